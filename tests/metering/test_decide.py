from datetime import timedelta

import pytest

from entitlements.models import Feature, Plan, PlanFeature
from entitlements.services import give_grant
from keystore.rotation import rotate_key
from keystore.services import disable_key, issue_key, provision_key, revoke_key, suspend_key
from metering.decide import OUTCOMES, Code, decide, identify, masked
from tests.conftest import NOON

LATER = NOON + timedelta(hours=1)
HEADERS = {
    "X-Latchkey-Code",
    "X-Consumer",
    "X-Consumer-Id",
    "X-Plan",
    "X-Key-Id",
    "X-Key-Environment",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "X-Quota-Limit",
    "X-Quota-Remaining",
    "X-Quota-Reset",
    "Retry-After",
    "Cache-Control",
}


@pytest.fixture
def issue(journal, alice):
    """Issues a key of alice on the terms given."""

    def issue_alices(**terms):
        return issue_key(project=journal, owner=alice, actor="system", at=NOON, **terms)

    return issue_alices


@pytest.fixture
def pro(journal):
    """A plan with the feature export."""
    plan = Plan.objects.create(project=journal, code="pro")
    feature = Feature.objects.create(project=journal, code="export")
    PlanFeature.objects.create(plan=plan, feature=feature)
    return plan


def ask(token, **changes):
    wish = {"remote_ip": "", "scopes_wanted": (), "api": "", "feature": "", "at": LATER}
    return decide(token=token, **{**wish, **changes})


def grant(consumer, plan, valid_to=None):
    give_grant(
        consumer=consumer,
        plan=plan,
        valid_from=NOON,
        valid_to=valid_to,
        reason="test",
        granted_by="sam",
        idempotency_key="g1",
        actor="staff:sam",
        at=NOON,
    )


def test_valid_key_names_its_consumer_in_headers_and_body(issue, alice, journal):
    issued = issue(scopes=["read"], own_limit_per_minute=60, metadata={"plan": "pro"})

    decision = ask(issued.plaintext, scopes_wanted=["read"])

    assert (decision.code, decision.status, decision.valid) == (Code.VALID, 200, True)
    assert decision.headers == {
        "X-Latchkey-Code": "VALID",
        "X-Consumer": "alice",
        "X-Consumer-Id": alice.public_id,
        "X-Plan": "pro",
        "X-Key-Id": issued.key.public_id,
        "X-Key-Environment": "live",
        "X-RateLimit-Limit": "60",
        "X-RateLimit-Remaining": "59",
        "X-RateLimit-Reset": "60",
        "X-Quota-Limit": "",
        "X-Quota-Remaining": "",
        "X-Quota-Reset": "",
        "Retry-After": "0",
        "Cache-Control": "no-store",
    }
    assert decision.body["consumer"]["external_id"] == "alice"
    assert decision.body["project"]["slug"] == "journal"


@pytest.mark.parametrize("token", ["", "sk_unknown_key", "lk_live_tooshort", "\x00" * 20])
def test_unknown_key_is_not_found_and_names_nobody(db, token):
    decision = ask(token)

    assert (decision.code, decision.status) == (Code.NOT_FOUND, 401)
    assert set(decision.headers) == {*HEADERS, "WWW-Authenticate"}
    assert {
        value for name, value in decision.headers.items() if name.startswith("X-RateLimit")
    } == {""}
    assert decision.body["consumer"] is None


def test_key_of_another_project_is_not_found(issue, orbit):
    assert ask(issue().plaintext, project=orbit.public_id).code is Code.NOT_FOUND


@pytest.mark.parametrize("attribute", ["pk", "slug", "public_id"])
def test_key_of_the_named_project_is_valid(issue, journal, attribute):
    named = str(getattr(journal, attribute))
    assert ask(issue().plaintext, project=named).code is Code.VALID


def test_key_for_every_api_opens_none_of_another_project(issue, journal, orbit):
    journal.apis.create(code="maps")
    orbit.apis.create(code="weather")
    plaintext = issue().plaintext

    assert ask(plaintext, api="maps").code is Code.VALID
    assert ask(plaintext, api="weather").code is Code.INSUFFICIENT_SCOPE


def test_metadata_does_not_tell_the_buyers_address(issue):
    issued = issue(metadata={"customer_email": "alice@example.com", "plan": "pro"})
    revoke_key(key=issued.key, actor="staff:sam", reason="leaked", at=NOON)

    shown = ask(issued.plaintext).body["key"]["metadata"]
    assert shown == {"customer_email": "a***@example.com", "plan": "pro"}


def test_revoked_key(issue):
    issued = issue()
    revoke_key(key=issued.key, actor="staff:sam", reason="", at=NOON)
    assert ask(issued.plaintext).code is Code.REVOKED


def test_key_expires_to_the_instant(issue):
    issued = issue(expires_at=LATER)

    assert ask(issued.plaintext, at=LATER - timedelta(microseconds=1)).code is Code.VALID
    assert ask(issued.plaintext, at=LATER).code is Code.EXPIRED


def test_key_switched_off_by_staff(issue):
    issued = issue()
    disable_key(key=issued.key, actor="staff:sam", reason="", at=NOON)
    assert ask(issued.plaintext).code is Code.DISABLED


def test_key_that_waits_for_a_payment(journal, alice):
    from keystore.handover import claim_key

    terms = {"limit_per_minute": None, "expires_at": None, "metadata": {}, "at": NOON}
    key = provision_key(consumer=alice, slot="sub_1:default", environment="live", **terms)
    plaintext = claim_key(key=key, at=NOON)
    suspend_key(project=journal, slot="sub_1:default", at=NOON)

    assert ask(plaintext).code is Code.SUSPENDED_PAYMENT


def test_key_of_an_inactive_app_is_disabled(journal, backend, backend_key):
    assert ask(backend_key).body["app"]["name"] == "backend"
    backend.is_active = False
    backend.save(update_fields=["is_active"])

    assert ask(backend_key).code is Code.DISABLED


@pytest.mark.parametrize(
    ("address", "code"),
    [("10.1.2.3", Code.VALID), ("11.1.2.3", Code.IP_NOT_ALLOWED), ("", Code.IP_NOT_ALLOWED)],
)
def test_address_must_be_in_the_keys_networks(issue, address, code):
    issued = issue(allowed_cidrs=["10.0.0.0/8"])
    assert ask(issued.plaintext, remote_ip=address).code is code


@pytest.mark.parametrize(
    ("held", "wanted", "code"),
    [
        (["read"], ["read"], Code.VALID),
        (["read"], ["read", "write"], Code.INSUFFICIENT_SCOPE),
        ([], ["read"], Code.INSUFFICIENT_SCOPE),
        (["*"], ["anything"], Code.VALID),
    ],
)
def test_every_wanted_scope_must_be_held(issue, held, wanted, code):
    assert ask(issue(scopes=held).plaintext, scopes_wanted=wanted).code is code


def test_key_made_for_one_api_does_not_open_another(issue, journal):
    maps = journal.apis.create(code="maps")
    issued = issue(api=maps)

    assert ask(issued.plaintext, api="maps").code is Code.VALID
    assert ask(issued.plaintext, api=maps.public_id).code is Code.VALID
    assert ask(issued.plaintext, api="weather").code is Code.INSUFFICIENT_SCOPE


def test_feature_must_be_entitled_until_the_instant_it_ends(issue, alice, pro):
    issued = issue()
    assert ask(issued.plaintext, feature="export").code is Code.FEATURE_NOT_ENTITLED

    grant(alice, pro, valid_to=LATER)

    earlier = LATER - timedelta(seconds=1)
    assert ask(issued.plaintext, feature="export", at=earlier).code is Code.VALID
    assert ask(issued.plaintext, feature="other", at=earlier).code is Code.FEATURE_NOT_ENTITLED
    assert ask(issued.plaintext, feature="export").code is Code.FEATURE_NOT_ENTITLED


def test_plan_comes_from_the_grants_when_the_key_names_none(issue, alice, pro):
    grant(alice, pro)
    assert ask(issue().plaintext).headers["X-Plan"] == "pro"


def test_call_above_the_limit_says_when_to_come_back(issue):
    issued = issue(own_limit_per_minute=60, own_burst=2)

    codes = [ask(issued.plaintext).code for _ in range(3)]
    refusal = ask(issued.plaintext)

    assert codes == [Code.VALID, Code.VALID, Code.RATE_LIMITED]
    assert (refusal.status, refusal.headers["Retry-After"]) == (429, "1")
    assert refusal.headers["X-RateLimit-Remaining"] == "0"


def test_refused_call_takes_nothing_from_the_limit(issue):
    issued = issue(own_limit_per_minute=60, own_burst=1)
    ask(issued.plaintext, scopes_wanted=["write"])

    assert ask(issued.plaintext).code is Code.VALID


def test_looking_at_oneself_takes_nothing_from_the_limit(issue):
    issued = issue(own_limit_per_minute=60, own_burst=1)
    looks = [identify(token=issued.plaintext, remote_ip="", at=LATER) for _ in range(3)]

    assert [look.headers["X-RateLimit-Remaining"] for look in looks] == ["1"] * 3
    assert ask(issued.plaintext).code is Code.VALID
    assert identify(token=issued.plaintext, remote_ip="", at=LATER).code is Code.VALID


def test_key_without_limit_has_empty_limit_headers(issue):
    headers = ask(issue().plaintext).headers
    assert headers["X-RateLimit-Limit"] == headers["X-RateLimit-Remaining"] == ""


def test_plan_limit_holds_unless_the_key_has_its_own(issue):
    issued = issue(own_limit_per_minute=7)
    issued.key.plan_limit_per_minute = 100
    issued.key.save(update_fields=["plan_limit_per_minute"])

    assert ask(issued.plaintext).headers["X-RateLimit-Limit"] == "7"


@pytest.mark.parametrize(
    ("external_id", "header"),
    [("al\r\nX-Plan: team", "al%0D%0AX-Plan%3A%20team"), ("jos\xe9", "jos%C3%A9"), ("a b", "a b")],
)
def test_strange_user_ids_cannot_write_headers(journal, external_id, header):
    consumer = journal.consumers.create(external_id=external_id)
    issued = issue_key(project=journal, owner=consumer, actor="system", at=NOON)

    assert ask(issued.plaintext).headers["X-Consumer"] == header


def test_decision_with_a_plan_named_by_the_key_costs_one_query(issue, django_assert_num_queries):
    issued = issue(metadata={"plan": "pro"}, own_limit_per_minute=60)
    with django_assert_num_queries(1):
        ask(issued.plaintext)


def test_identity_lists_entitlements_and_masks_the_address(issue, alice, pro):
    grant(alice, pro)
    body = identify(token=issue().plaintext, remote_ip="", at=LATER).body

    assert [one["feature_code"] for one in body["entitlements"]] == ["export"]
    assert body["consumer"]["email"] == "a***@example.com"


@pytest.mark.parametrize(("email", "shown"), [("", ""), ("a@b.c", "a***@b.c"), ("broken", "")])
def test_address_is_masked(email, shown):
    assert masked(email) == shown


def test_every_code_has_a_status_that_gateways_know():
    assert set(OUTCOMES) == set(Code)
    assert {status for status, _ in OUTCOMES.values()} == {200, 401, 403, 429}


def test_key_whose_overlap_is_over_says_that_it_was_replaced(issue):
    old = issue()
    new = rotate_key(key=old.key, overlap=timedelta(hours=1), actor="staff:sam", reason="", at=NOON)

    assert ask(old.plaintext, at=LATER - timedelta(seconds=1)).code is Code.VALID
    assert (ask(old.plaintext).code, ask(old.plaintext).status) == (Code.ROTATED_OUT, 401)
    assert ask(new.plaintext).code is Code.VALID


def test_key_and_its_successor_share_one_limit(issue):
    old = issue(own_limit_per_minute=3)
    ask(old.plaintext)
    terms = {"overlap": timedelta(days=1), "actor": "staff:sam", "reason": "", "at": NOON}
    first = rotate_key(key=old.key, **terms)
    second = rotate_key(key=first.key, **terms)

    assert ask(first.plaintext).headers["X-RateLimit-Remaining"] == "1"
    assert ask(second.plaintext).headers["X-RateLimit-Remaining"] == "0"
    assert ask(old.plaintext).code is Code.RATE_LIMITED


@pytest.mark.parametrize(("environment", "code"), [("test", Code.VALID), ("live", Code.NOT_FOUND)])
def test_gateway_may_ask_for_keys_of_one_environment(issue, environment, code):
    issued = issue(environment="test")

    decision = ask(issued.plaintext, environment=environment)

    assert decision.code is code
    assert decision.headers["X-Key-Environment"] == ("test" if code is Code.VALID else "")


def test_tightest_of_several_limits_is_shown(issue):
    day = {"limit": 3, "window_seconds": 86_400}
    issued = issue(own_limit_per_minute=10, named_limits={"day": day})

    shown = [ask(issued.plaintext) for _ in range(4)]

    assert [one.headers["X-RateLimit-Limit"] for one in shown] == ["3"] * 4
    assert (shown[3].code, shown[3].headers["Retry-After"]) == (Code.RATE_LIMITED, "86400")
    minute, daily = shown[3].body["rate_limits"]
    assert (minute["name"], minute["remaining"]) == ("minute", 7)
    assert (daily["name"], daily["remaining"], daily["limit_per_minute"]) == ("day", 0, None)


def test_refused_key_is_told_how_to_authenticate(db):
    assert ask("sk_unknown_key").headers["WWW-Authenticate"] == 'Bearer realm="latchkey"'
