"""Eight equal requests over HTTP, each on its own connection: one execution."""

import pytest
from rest_framework.test import APIClient

from entitlements.models import Feature, Grant
from keystore.models import AuditEntry
from tests.together import at_once

pytestmark = pytest.mark.django_db(transaction=True)


def ask(backend_key, **more):
    client = APIClient()
    client.credentials(HTTP_X_API_KEY=backend_key, HTTP_IDEMPOTENCY_KEY="wish-1")
    wish = {"user_id": "alice", "feature_code": "labs", "granted_by": "sam", "reason": "goodwill"}
    return client.post("/api/v1/admin/grant", {**wish, **more}, format="json")


def test_one_idempotency_key_makes_one_grant(journal, alice, backend_key):
    Feature.objects.create(project=journal, code="labs")

    answers = at_once(lambda: ask(backend_key))

    made = [one for one in answers if one.status_code == 201]
    first = [one for one in made if "Idempotent-Replayed" not in one]
    assert {one.status_code for one in answers} <= {201, 409}
    assert (len(first), Grant.objects.count()) == (1, 1)
    assert {one.json()["grant_id"] for one in made} == {Grant.objects.get().public_id}
    assert AuditEntry.objects.filter(act="grant.give").count() == 1


def test_who_was_refused_gets_the_first_answer_when_asking_again(journal, alice, backend_key):
    Feature.objects.create(project=journal, code="labs")
    answers = at_once(lambda: ask(backend_key))
    first = next(one for one in answers if one.status_code == 201)

    again = ask(backend_key)

    assert (again.status_code, again.content) == (201, first.content)
    assert again["Idempotent-Replayed"] == "true"
    assert Grant.objects.count() == 1


def test_eight_users_met_for_the_first_time_are_one(journal, backend_key):
    Feature.objects.create(project=journal, code="labs")

    at_once(lambda: ask(backend_key, user_id="newcomer"))

    assert journal.consumers.filter(external_id="newcomer").count() == 1
    assert Grant.objects.count() == 1
