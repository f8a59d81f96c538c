"""Answers of Stripe that are no JSON: what they mean depends on what was asked."""

import pytest
import stripe
from django.db import transaction

from billing import gateway
from billing.reconciliation.pace import usual_pace


class Saying(stripe.HTTPClient):
    """Answers everything with the same text."""

    name = "saying"

    def __init__(self, text, status=200):
        super().__init__(verify_ssl_certs=False)
        self.text, self.status = text, status

    def request(self, method, url, headers, post_data=None, **_):
        return self.text, self.status, {"request-id": "req_1"}

    def close(self):
        """Nothing is open."""


@pytest.fixture
def saying():
    yield lambda *answer: gateway.connect(Saying(*answer))
    gateway.connect(None)


@pytest.mark.django_db(transaction=True)
def test_a_read_whose_answer_is_cut_off_may_be_tried_again(saying):
    saying('{"id": "cus_1", "obj')

    with pytest.raises(gateway.StripeUnavailable, match="cut off"):
        gateway.read("/v1/customers/cus_1")


@pytest.mark.django_db(transaction=True)
def test_the_outcome_of_a_write_whose_answer_is_cut_off_is_unknown(saying):
    saying("<html>Bad gateway</html>")

    with pytest.raises(gateway.OutcomeUnknown) as problem:
        gateway.write("/v1/refunds", {}, idempotency_key="refund:1")
    assert problem.value.saved


def test_an_answer_is_parsed_into_plain_dicts(saying, db):
    saying(b'{"id": "cus_1", "address": {"city": "Gr\xc3\xbcn"}}')

    found = gateway.read("/v1/customers/cus_1")
    assert found == {"id": "cus_1", "address": {"city": "Grün"}}
    assert type(found["address"]) is dict


def test_a_comparison_never_asks_inside_a_transaction(saying, db):
    saying("{}")

    with transaction.atomic(), pytest.raises(RuntimeError, match="inside a transaction"):
        usual_pace().read("/v1/customers")
