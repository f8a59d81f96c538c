"""Persons are masked everywhere, and seen by who may, on record, for a quarter of an hour."""

from datetime import timedelta

import pytest

from config.clock import now
from keystore import audit
from keystore.masking import masked_all, masked_in
from keystore.models import AuditEntry
from tests.staff import client_of

LIST = "/admin/keystore/consumer/"


@pytest.fixture
def carol(journal):
    return journal.consumers.create(
        external_id="carol@example.com", email="carol@example.com", name="Carol Smith"
    )


@pytest.fixture
def support(db):
    return client_of("Support")


def page_of(consumer):
    return f"{LIST}{consumer.pk}/change/"


def reveal(client, consumer, **more):
    return client.post(f"/admin/reveal/keystore.consumer/{consumer.pk}/", more)


@pytest.mark.parametrize("role", ["Read-only", "Support", "Finance", "Operator", "superuser"])
def test_no_list_and_no_page_names_a_person_unasked(carol, role):
    client = client_of(role)
    audit.record(
        actor="app:x", act="consumer.change", target=carol, consumer=carol,
        after={"email": "carol@example.com", "name": "Carol Smith"}, reason="as carol@example.com",
    )  # fmt: skip
    entry = AuditEntry.objects.get()

    for address in (LIST, page_of(carol), f"{LIST}?q={carol.public_id}",
                    "/admin/keystore/auditentry/", f"/admin/keystore/auditentry/{entry.pk}/change/",
                    f"/admin/search/?s={carol.public_id}&extended=1",
                    f"{LIST}{carol.pk}/history/", f"{LIST}{carol.pk}/delete/"):  # fmt: skip
        page = client.get(address).content.decode()
        assert "carol@" not in page
        assert "Smith" not in page


def test_reveal_shows_the_person_on_their_page_alone_and_is_on_record(support, carol):
    answer = reveal(support, carol, deed_reason="she called")

    assert answer["Location"] == page_of(carol)
    assert "carol@example.com" in support.get(page_of(carol)).content.decode()
    assert "carol@example.com" not in support.get(LIST).content.decode()
    entry = AuditEntry.objects.get(act="personal_data.reveal")
    assert (entry.actor, entry.consumer_id) == ("staff:support", carol.public_id)
    assert entry.reason == "she called"


def test_reveal_of_one_shows_nobody_else(support, carol, journal):
    other = journal.consumers.create(external_id="u2", email="dan@example.com")
    reveal(support, carol)

    assert "dan@example.com" not in support.get(page_of(other)).content.decode()


def test_reveal_ends_after_a_quarter_of_an_hour(support, carol):
    reveal(support, carol)
    session = support.session
    session["revealed"] = {carol.public_id: (now() - timedelta(seconds=1)).timestamp()}
    session.save()

    assert "carol@example.com" not in support.get(page_of(carol)).content.decode()


def test_reveal_ends_with_the_permission(support, carol):
    from django.contrib.auth.models import Group, User

    reveal(support, carol)
    User.objects.get().groups.set([Group.objects.get(name="Read-only")])

    assert "carol@example.com" not in support.get(page_of(carol)).content.decode()


@pytest.mark.parametrize("role", ["Read-only", "none"])
def test_reveal_needs_the_permission(carol, role):
    client = client_of(role)

    assert reveal(client, carol).status_code == 403
    assert "Reveal personal data" not in client.get(page_of(carol)).content.decode()
    assert AuditEntry.objects.count() == 0


def test_reveal_is_a_post_of_a_known_row(support, carol):
    address = f"/admin/reveal/keystore.consumer/{carol.pk}/"

    assert support.get(address).status_code == 405
    for wrong in ("keystore.consumer/0", "keystore.consumer/x", "keystore.nothing/1", "x/1"):
        assert support.post(f"/admin/reveal/{wrong}/").status_code == 404
    assert support.post("/admin/reveal/auth.user/1/").status_code == 403


def test_whoever_may_reveal_finds_people_by_address(support, carol):
    assert "c***@example.com" in support.get(LIST, {"q": "carol@"}).content.decode()


@pytest.mark.parametrize("guess", ["car", "carol@", "Smi", "smith"])
def test_parts_of_what_is_masked_find_nothing_for_others(carol, guess):
    client = client_of("Read-only")

    assert len(client.get(LIST, {"q": guess}).context["cl"].result_list) == 0
    # Who has the whole address is led to the page.
    assert client.get(LIST, {"q": "carol@example.com"}).url == page_of(carol)


def test_addresses_in_texts_and_json_are_masked():
    assert masked_in("to a.b+c@x.example.com, twice") == "to a***@x.example.com, twice"
    assert masked_all({"e": ["mail x@y.zz"], "name": "Ann", "n": 1, "city": None}) == {
        "e": ["mail x***@y.zz"],
        "name": "A***",
        "n": 1,
        "city": None,
    }
