"""Two consumers who are one person become one: nothing is lost, nothing counts twice."""

from datetime import timedelta

import pytest
from django.apps import apps

from billing import merge_rows
from billing.merging import adopt_stragglers, merge_consumers, rehearse_merge
from billing.models import TrialUse, UsageReport
from config.errors import InvalidInput, NotFound
from entitlements.models import Answer
from entitlements.selectors import answer_of
from entitlements.services import revoke_feature
from keystore.merging import NotMergeable
from keystore.models import AuditEntry, Consumer, OutboxMessage
from keystore.selectors import consumer_of
from keystore.services import issue_key, register_consumer
from metering.ingest import record
from metering.models import CreditPack, UsageEvent
from metering.quotas import take
from metering.services import give_credits, reserve_quota, settle_reservation
from tests.conftest import NOON
from tests.metering.quota_cast import give, ledger_of, metered, sell, used_of
from tests.metering.usage import use as use_late

pytestmark = pytest.mark.django_db

SAM = {"actor": "staff:sam", "reason": "the same person"}


def merge(duplicate, survivor, at=NOON):
    return merge_consumers(duplicate=duplicate, survivor=survivor, clock=lambda: at, **SAM)


def use(consumer, meter, quantity, name, at=NOON):
    return take(consumer=consumer, meter=meter, quantity=quantity, event_id=name, at=at)


def features(consumer):
    import json

    body = json.loads(answer_of(consumer=consumer, at=NOON).body)
    return {one["feature_code"]: one["limit"] for one in body["entitlements"] if one["active"]}


def test_every_table_that_names_a_consumer_is_thought_of():
    moved = {table._meta.label for table in merge_rows.PLAIN.values()}
    moved |= {
        *("keystore.ApiKey", "keystore.ConsumerNote", "keystore.OutboxMessage"),
        *("keystore.Consumer", "entitlements.Grant", "entitlements.Answer"),
        *("entitlements.GrantBatchLine", "metering.Cycle", "metering.CreditPack"),
        *("metering.UsageEvent", "metering.UsageTotal", "metering.UsageDistinct"),
        *("metering.QuotaBalance", "billing.Price", "billing.Checkout", "billing.TrialUse"),
        *("billing.StripeCustomer", "billing.PriceOverride", "billing.UsageReport"),
        "billing.DashboardLink",
    }
    left = {"billing.Earning"}  # a ledger that takes no change
    ours = {"keystore", "entitlements", "metering", "billing"}
    naming = {
        model._meta.label
        for model in apps.get_models()
        for field in model._meta.concrete_fields
        if field.related_model is Consumer and model._meta.app_label in ours
    }
    assert naming == moved | left


def test_the_survivor_has_what_both_had(journal, alice, bob):
    give(bob, plan=sell(journal, "export", kind="boolean", limit=None))
    give(alice, feature=journal.features.create(code="labs"))
    key = issue_key(project=journal, owner=bob, actor="system", at=NOON).key
    bob.notes.create(project=journal, text="calls on Fridays", author="staff:sam")

    merger = merge(bob, alice)

    assert set(features(alice)) == {"export", "labs"}
    key.refresh_from_db()
    assert (key.consumer, alice.notes.count()) == (alice, 1)
    assert (merger.opened, merger.moved["grants"], merger.moved["keys"]) == (["export"], 1, 1)
    assert not Answer.objects.filter(consumer=bob).exists()


def test_whoever_names_the_duplicate_is_answered_as_the_survivor(journal, alice, bob):
    merge(bob, alice)

    for name in ("bob", bob.public_id, "alice"):
        assert consumer_of(project=journal, user_id=name) == alice
    assert register_consumer(project=journal, external_id="bob", name="Bob") == alice
    alice.refresh_from_db()
    assert (alice.name, alice.email, journal.consumers.count()) == ("Bob", "alice@example.com", 2)


def test_an_earlier_duplicate_leads_to_the_last_survivor_in_one_step(journal, alice, bob):
    carol = journal.consumers.create(external_id="carol")
    merge(carol, bob)
    merge(bob, alice)
    carol.refresh_from_db()
    assert carol.merged_into == alice


def test_the_limit_of_the_period_counts_what_both_used_once(journal, alice, bob):
    meter, plan = metered(journal), sell(journal, "tokens", limit=10)
    give(alice, plan=plan)
    give(bob, plan=plan)
    use(alice, meter, 3, "a1")
    use(bob, meter, 4, "b1")

    merge(bob, alice)

    assert used_of(alice, meter) == (7, 0, 0)
    assert use(alice, meter, 3, "a2").allowed
    assert not use(alice, meter, 1, "a3").allowed
    assert UsageEvent.objects.filter(consumer=alice).count() == 3
    assert not UsageEvent.objects.filter(consumer=bob).exists()


def test_usage_without_a_balance_of_the_period_is_counted_from_its_events(journal, alice, bob):
    """The duplicate counted by days, the survivor counts by months."""
    meter = metered(journal)
    give(bob, plan=sell(journal, "tokens", limit=10, reset="day"))
    use(bob, meter, 4, "b1")
    use(bob, meter, 2, "b2", at=NOON + timedelta(days=1))
    give(alice, plan=sell(journal, "tokens", limit=100))
    use(alice, meter, 5, "a1")

    merger = merge(bob, alice, at=NOON + timedelta(days=1))

    balances = alice.quota_balances.order_by("period_start", "period_end")
    assert [(row.used) for row in balances if row.limit == 100] == [11]
    assert [(quota.left.used, quota.left.limit) for quota in merger.quotas] == [(11, 100)]


@pytest.mark.parametrize(
    ("kind", "used"), [("max", 9), ("latest", 4), ("unique", 2), ("count", 3), ("sum", 18)]
)
def test_each_kind_of_meter_adds_up_in_its_own_way(journal, alice, bob, kind, used):
    named = {"value_property": "who"} if kind == "unique" else {}
    meter, plan = metered(journal, aggregation=kind, **named), sell(journal, "tokens", limit=100)
    for consumer, quantity, minute in ((alice, 5, 0), (bob, 9, 1), (alice, 4, 2)):
        give(consumer, plan=plan, key=f"{minute}")
        at = NOON + timedelta(minutes=minute)
        tell_event(journal, consumer, quantity, at)

    merge(bob, alice, at=NOON + timedelta(hours=1))

    assert used_of(alice, meter)[0] == used


def tell_event(project, consumer, quantity, at):
    from metering.wire import parse

    who = "x" if quantity == 5 else "y"
    body = (
        f'{{"id": "e{quantity}", "user_id": "{consumer.external_id}", "meter": "tokens", '
        f'"quantity": {quantity}, "properties": {{"who": "{who}"}}}}'
    )
    envelope = parse(body.encode(), content_type="application/json", headers={})
    receipts = record(project=project, events=envelope.events, at=at)
    assert [receipt.status for receipt in receipts] == ["accepted"]


def test_credits_and_what_is_kept_back_move_with_their_ledger(journal, alice, bob):
    meter, plan = metered(journal), sell(journal, "tokens", limit=10)
    for consumer in (alice, bob):
        give(consumer, plan=plan)
    pack = give_credits(
        consumer=bob, meter=meter, amount=5, reason="r", given_by="sam", idempotency_key="k",
        actor="sam", at=NOON,
    )  # fmt: skip
    give_credits(
        consumer=alice, meter=meter, amount=1, reason="r", given_by="sam", idempotency_key="k",
        actor="sam", at=NOON,
    )  # fmt: skip
    use(alice, meter, 1, "a1")
    held = reserve_quota(consumer=bob, meter=meter, quantity=4, ttl_seconds=600, at=NOON)

    merge(bob, alice)

    assert used_of(alice, meter) == (1, 4, 0)
    assert (CreditPack.objects.filter(consumer=alice).count(), ledger_of(pack)) == (2, (5, 5))
    settle_reservation(reservation=held, quantity=3, at=NOON)
    assert used_of(alice, meter) == (4, 0, 0)


def test_reports_of_one_hour_stay_apart(journal, alice, bob):
    meter = metered(journal)
    for consumer in (alice, bob):
        for version in (1, 2):
            consumer.usage_reports.create(
                project=journal, meter=meter, bucket=NOON, version=version, counted=1, quantity=1,
                identifier=f"{consumer}{version}", state="done",
            )  # fmt: skip
    merge(bob, alice)
    rows = UsageReport.objects.filter(consumer=alice).order_by("version")
    assert [row.version for row in rows] == [1, 2, 3, 4]


def test_a_trial_that_either_has_used_is_used(journal, alice, bob, pro):
    TrialUse.objects.create(project=journal, consumer=bob, plan=pro, began_at=NOON)
    TrialUse.objects.create(project=journal, consumer=alice, plan=pro)
    merge(bob, alice)
    assert TrialUse.objects.get(consumer=alice).began_at == NOON


def test_both_histories_say_so_and_hooks_are_told(journal, alice, bob):
    journal.hook_endpoints.create(url="https://x.example/", kinds=[], sealed_secret=b"")
    merge(bob, alice)
    entries = AuditEntry.objects.filter(act__in=("consumer.merge", "consumer.take_over"))
    assert [(one.act, one.consumer_id, one.reason) for one in entries.order_by("pk")] == [
        ("consumer.merge", bob.public_id, "the same person"),
        ("consumer.take_over", alice.public_id, "the same person"),
    ]
    told = OutboxMessage.objects.get(kind="consumer.merged").data
    assert (told["user_id"], told["merged_into"]["user_id"]) == ("bob", "alice")


def test_the_same_merge_again_changes_nothing(alice, bob):
    merge(bob, alice)
    assert not merge(bob, alice).done
    assert AuditEntry.objects.filter(act="consumer.merge").count() == 1


def test_a_merge_in_a_circle_or_into_somebody_merged_is_refused(journal, alice, bob):
    carol = journal.consumers.create(external_id="carol")
    merge(bob, alice)
    for duplicate, survivor in ((alice, bob), (carol, bob), (bob, carol), (carol, carol)):
        with pytest.raises(NotMergeable):
            merge(duplicate, survivor)
    assert alice.merged_into is None


def test_an_erased_one_and_another_projects_are_refused(alice, bob, mallory):
    Consumer.objects.filter(pk=bob.pk).update(erased_at=NOON)
    with pytest.raises(NotMergeable, match="stands for nobody"):
        merge(alice, bob)
    with pytest.raises(NotFound):
        merge(mallory, alice)


def test_a_merge_needs_a_reason(alice, bob):
    with pytest.raises(InvalidInput):
        merge_consumers(
            duplicate=bob, survivor=alice, actor="staff:sam", reason=" ", clock=lambda: NOON
        )


def test_a_denial_that_would_close_what_the_other_has_is_named(journal, alice, bob):
    plan = sell(journal, "export", kind="boolean", limit=None)
    give(alice, plan=plan)
    give(bob, plan=plan)
    revoke_feature(
        consumer=bob, feature=journal.features.get(), reason="r", revoked_by="s",
        idempotency_key="k", actor="s", at=NOON,
    )  # fmt: skip
    with pytest.raises(NotMergeable, match="closed for both: export"):
        merge(bob, alice)
    assert set(features(alice)) == {"export"}


def test_a_rehearsal_tells_all_and_changes_nothing(journal, alice, bob):
    meter = metered(journal)
    give(bob, plan=sell(journal, "tokens", limit=10))
    use(bob, meter, 4, "b1")

    merger = rehearse_merge(duplicate=bob, survivor=alice, at=NOON)

    assert (merger.moved["usage events"], merger.opened) == (1, ["tokens"])
    bob.refresh_from_db()
    assert (bob.merged_into, used_of(bob, meter)) == (None, (4, 0, 0))
    assert not AuditEntry.objects.filter(act="consumer.merge").exists()


def test_what_was_written_under_the_duplicate_meanwhile_is_adopted(journal, alice, bob):
    """A request found bob before the merge and wrote after it."""
    meter, plan = metered(journal), sell(journal, "tokens", limit=10)
    give(bob, plan=plan)
    give(alice, plan=plan)
    merge(bob, alice)
    late = give(bob, feature=journal.features.create(code="late"))
    use_late(meter, bob, "late", 2)
    assert late.consumer == bob

    assert adopt_stragglers(at=NOON) == 1

    assert "late" in features(alice)
    month = alice.quota_balances.get(period_start=NOON.replace(hour=0))
    assert (month.used, UsageEvent.objects.filter(consumer=alice).count()) == (2, 1)
    assert adopt_stragglers(at=NOON) == 0
