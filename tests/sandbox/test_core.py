"""Parameters, lists, expand, keys: what holds for every call."""

import time

import pytest
import stripe

from sandbox import Sandbox
from sandbox.check import check_object
from sandbox.schema import API_VERSION, find_route
from sandbox.shapes import blank

KINDS = ["customer", "product", "price", "subscription", "invoice", "charge", "refund", "account"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_blank_object_has_its_documented_shape(kind):
    assert check_object(blank(kind)) == []


def test_an_unknown_field_is_a_deviation():
    problems = check_object({**blank("customer"), "colour": "red"})

    assert [(p.kind, p.path) for p in problems] == [("unknown", ("colour",))]


def test_the_api_version_is_the_one_that_was_tested():
    assert API_VERSION == "2026-08-26.dahlia"


def test_a_fixed_path_wins_over_a_templated_one():
    route, ids = find_route("GET", "/v1/invoices/search")

    assert (route.template, ids) == ("/v1/invoices/search", [])


def test_an_unknown_parameter_is_named(client):
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.customers.create({"emial": "a@example.com"})

    assert (refused.value.code, refused.value.param) == ("parameter_unknown", "emial")
    assert client.customers.list().data == []


def test_an_unknown_parameter_deep_inside_is_named(client, product):
    terms = {"product": product.id, "currency": "usd", "unit_amount": 100}

    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.prices.create({**terms, "recurring": {"interval": "month", "every": 2}})

    assert refused.value.param == "recurring[every]"


def test_a_missing_parameter_is_named(client):
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.products.create({})

    assert (refused.value.code, refused.value.param) == ("parameter_missing", "name")


def test_a_number_must_be_one(client):
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.payment_intents.create({"amount": "ten", "currency": "usd"})

    assert refused.value.code == "parameter_invalid_integer"


def test_an_unknown_object_is_404(client):
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.customers.retrieve("cus_unknown")

    assert (refused.value.http_status, refused.value.code) == (404, "resource_missing")


def test_an_unknown_reference_names_its_parameter(client):
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.payment_methods.attach("pm_card_visa", {"customer": "cus_unknown"})

    assert (refused.value.http_status, refused.value.param) == (400, "customer")


def test_metadata_is_merged_and_an_empty_value_removes_its_key(client):
    customer = client.customers.create({"metadata": {"a": "1", "b": "2"}})

    changed = client.customers.update(customer.id, {"metadata": {"b": "", "c": "3"}})

    assert changed.metadata.to_dict() == {"a": "1", "c": "3"}


def test_a_deleted_customer_stays_as_a_stub(client):
    customer = client.customers.create()

    client.customers.delete(customer.id)

    assert client.customers.retrieve(customer.id).to_dict() == {
        "id": customer.id,
        "object": "customer",
        "deleted": True,
    }


def test_lists_are_newest_first_and_page_by_cursor(client):
    ids = [client.customers.create().id for _ in range(5)]

    first = client.customers.list({"limit": 2})
    second = client.customers.list({"limit": 2, "starting_after": first.data[-1].id})
    back = client.customers.list({"limit": 2, "ending_before": second.data[0].id})

    assert [c.id for c in first.data] == [ids[4], ids[3]]
    assert [c.id for c in second.data] == [ids[2], ids[1]]
    assert [c.id for c in back.data] == [ids[4], ids[3]]
    assert (first.has_more, second.has_more, back.has_more) == (True, True, False)


def test_auto_paging_gives_each_object_once(client):
    made = {client.customers.create().id for _ in range(23)}

    found = [c.id for c in client.customers.list({"limit": 10}).auto_paging_iter()]

    assert (len(found), set(found)) == (23, made)


def test_lists_filter_by_field_and_by_time(client, sandbox):
    client.customers.create({"email": "ann@example.com"})
    client.customers.create({"email": "bob@example.com"})

    found = client.customers.list({"email": "bob@example.com", "created": {"gte": sandbox.now()}})
    none = client.customers.list({"created": {"gt": sandbox.now()}})

    assert [c.email for c in found.data] == ["bob@example.com"]
    assert none.data == []


def test_expand_puts_the_object_in_place_of_its_id(client, monthly, product):
    price = monthly()

    found = client.prices.list({"expand": ["data.product"]})

    assert client.prices.retrieve(price.id).product == product.id
    assert found.data[0].product.name == "Pro"


def test_what_cannot_be_expanded_is_refused(client, monthly):
    with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
        client.prices.retrieve(monthly().id, {"expand": ["produkt"]})


def test_no_key_is_refused(sandbox):
    answer = sandbox.request("GET", "/v1/account", "", {})

    assert answer.status == 401


def test_a_live_key_is_refused_with_the_reason(sandbox):
    client = stripe.StripeClient("sk_live_" + "a" * 24, http_client=sandbox.http_client())

    with pytest.raises(stripe.AuthenticationError, match="refuses live keys"):
        client.v1.accounts.retrieve_current()


def test_every_answer_names_request_and_version(sandbox):
    answer = sandbox.request("GET", "/v1/account", "", {"Authorization": "Bearer sk_test_abc"})

    assert answer.headers["Request-Id"].startswith("req_")
    assert answer.headers["Stripe-Version"] == API_VERSION


def test_a_call_takes_a_few_milliseconds_at_most(client):
    client.customers.create()

    begun = time.thread_time()  # of the processor: others on the machine do not count
    for _ in range(50):
        client.customers.create({"email": "a@example.com", "metadata": {"a": "b"}})

    assert (time.thread_time() - begun) / 50 < 0.02


def test_two_sandboxes_know_nothing_of_each_other(client):
    client.customers.create()

    other = Sandbox()

    assert list(other.store.all("customer")) == []
