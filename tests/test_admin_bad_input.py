"""Whatever an address of the admin holds: a page, a refusal or a way elsewhere, never a 500."""

from urllib.parse import quote

import pytest

from tests.staff import client_of
from tests.test_admin_access import PARAMETER, addresses, admin_patterns, ask, cast

__all__ = ["cast"]  # a fixture

ODD = {
    "a word": "x",
    "a digit that is no number": "²",
    "beyond every column": "9999999999999999999",
    "5,000 digits": "1" * 5000,
    "NUL": "\0",
}
ASKED = """
p page q o row at as_of from to since until days range limit cursor lines state kind type plan price
feature consumer project currency next created_at__gte e ids key
"""


@pytest.mark.parametrize("odd", ODD)
def test_no_page_fails_for_an_odd_row(cast, odd):
    client = client_of("superuser")
    for name, pattern in admin_patterns().items():
        if "<" in pattern and not name.endswith(("_delete", "_history")):
            path = "/" + PARAMETER.sub(quote(ODD[odd]), pattern)
            for method in ("get", "post"):
                ask(client, method, path)


def test_no_page_fails_for_odd_questions(cast):
    client = client_of("superuser")
    odd = [quote(one) for one in ODD.values() if one != "\0"]
    asked = "&".join(f"{name}={odd[place % len(odd)]}" for place, name in enumerate(ASKED.split()))
    for name, path in addresses(cast).items():
        if not name.endswith(("_add", "_delete")) and not name.startswith("djstripe_"):
            ask(client, "get", f"{path}?{asked}")


def test_differences_named_by_odd_numbers_are_not_settled(cast):
    from billing.models import ReconciliationRun

    client = client_of("superuser")
    run = ReconciliationRun.objects.get()
    for odd in ODD.values():
        form = {"act": "ignore", "drift": odd, "deed_reason": "x"}
        answer = client.post(f"/admin/billing/reconciliationrun/{run.pk}/settle/", form)
        assert answer.status_code in (302, 400)
