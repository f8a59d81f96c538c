"""Staff see what Stripe was told of usage."""

import pytest
from django.urls import reverse

from billing.models import UsageReport
from keystore.models import AuditEntry
from metering.models import Meter
from tests.billing.admin.conftest import say
from tests.conftest import NOON
from tests.staff import client_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def refused(alice):
    meter = Meter.objects.create(project=alice.project, code="calls")
    return UsageReport.objects.create(
        project=alice.project,
        consumer=alice,
        meter=meter,
        bucket=NOON,
        version=1,
        identifier="calls-alice-1",
        counted=5,
        quantity=5,
        state="failed",
        error="No such customer",
    )


def test_the_list_shows_states(refused):
    page = client_of("Read-only").get(reverse("admin:billing_usagereport_changelist"))

    assert page.status_code == 200
    assert "calls-alice-1" in page.text
    assert "failed" in page.text


def test_the_customer_page_shows_what_was_told(refused, alice):
    page = client_of("Support").get(reverse("admin:keystore_consumer_change", args=[alice.pk]))

    assert "Usage told to Stripe" in page.text


def send_again(client, report, **answers):
    """What the dialog of the button sends."""
    path = reverse("admin:billing_usagereport_retry", args=[report.pk])
    return client.post(path, say(**answers))


def test_finance_sends_a_refused_report_again(refused):
    finance = client_of("Finance")
    page = finance.get(reverse("admin:billing_usagereport_change", args=[refused.pk]))
    assert "Send again" in page.text

    answer = send_again(finance, refused, reason="The customer is back")

    assert answer.headers["HX-Redirect"] == page.request["PATH_INFO"]
    refused.refresh_from_db()
    assert refused.state == "waiting"
    entry = AuditEntry.objects.get(act="usage_report.retry")
    assert (entry.actor, entry.reason) == ("staff:finance", "The customer is back")
    page = finance.get(page.request["PATH_INFO"])
    assert "calls-alice-1 is in line to be sent." in page.text
    assert "Send again" not in page.text


def test_a_report_is_not_sent_again_without_a_reason(refused):
    answer = send_again(client_of("Finance"), refused, reason="")

    assert "This field is required" in answer.text
    refused.refresh_from_db()
    assert refused.state == "failed"


def test_a_report_that_was_taken_meanwhile_is_not_sent_again(refused):
    UsageReport.objects.update(state="done")

    answer = send_again(client_of("Operator"), refused)

    assert "was not refused: nothing was changed." in answer.text
    assert UsageReport.objects.get().state == "done"
    assert not AuditEntry.objects.exists()


def test_support_may_look_at_reports_but_not_send_them(refused):
    assert send_again(client_of("Support"), refused).status_code == 403
    assert UsageReport.objects.get().state == "failed"
