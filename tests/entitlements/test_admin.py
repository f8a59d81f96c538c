"""Editing plans in the admin reaches whoever holds them."""

import json
from datetime import timedelta

import pytest

from config.clock import now
from entitlements.models import Feature, Plan, PlanFeature
from entitlements.selectors import answer_of
from entitlements.services import WantedGrant, set_source_grants
from keystore.models import AuditEntry
from tests.staff import client_of


@pytest.fixture
def plan(journal):
    calls = Feature.objects.create(project=journal, code="calls", kind="limit")
    plan = Plan.objects.create(project=journal, code="pro", rank=20)
    PlanFeature.objects.create(plan=plan, feature=calls, limit=100)
    return plan


def edit(plan, *, feature=None, api=None, **values):
    row = plan.plan_features.get()
    return client_of("Operator").post(
        f"/admin/entitlements/plan/{plan.pk}/change/",
        {
            "name": "Pro",
            "rank": "20",
            "api": str(api.pk) if api else "",
            "public": "on",
            "issues_key": "on",
            "plan_features-TOTAL_FORMS": "1",
            "plan_features-INITIAL_FORMS": "1",
            "plan_features-0-id": str(row.pk),
            "plan_features-0-plan": str(plan.pk),
            "plan_features-0-feature": str((feature or row.feature).pk),
            "plan_features-0-limit": "100",
            "plan_features-0-reset": "billing_period",
            "plan_features-0-enforcement": "hard",
            "prices-TOTAL_FORMS": "0",
            "prices-INITIAL_FORMS": "0",
            **{f"plan_features-0-{name}": value for name, value in values.items()},
        },
    )


def limit_of(consumer):
    body = json.loads(answer_of(consumer=consumer, at=now()).body)
    return next(one["limit"] for one in body["entitlements"] if one["feature_code"] == "calls")


def test_changed_limit_reaches_the_holders(plan, alice):
    at = now()
    wanted = [WantedGrant(plan, at, at + timedelta(days=30))]
    set_source_grants(
        consumer=alice,
        source="subscription",
        source_ref="sub_1",
        wanted=wanted,
        reason="",
        actor="stripe",
        at=at,
    )
    assert limit_of(alice) == 100

    edit(plan, limit="500")

    assert limit_of(alice) == 500


def test_changed_contents_are_on_record(plan):
    edit(plan, limit="500")

    entry = AuditEntry.objects.get(act="plan.contents")
    assert (entry.before["calls"]["limit"], entry.after["calls"]["limit"]) == (100, 500)


def test_api_of_another_project_is_refused(plan, orbit):
    foreign = orbit.apis.create(code="foreign")

    answer = edit(plan, api=foreign)

    plan.refresh_from_db()
    assert "foreign belongs to another project." in answer.content.decode()
    assert plan.api is None


def test_feature_of_another_project_is_refused(plan, orbit):
    foreign = Feature.objects.create(project=orbit, code="foreign")

    answer = edit(plan, feature=foreign)

    assert "belongs to another project" in answer.content.decode()
    assert plan.plan_features.get().feature.code == "calls"
