"""What the list of consumers tells of each at a glance: plan, status, and how much is used."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from django.contrib.admin.views.main import ChangeList
from django.db.models import Q
from django.http import HttpRequest
from unfold.decorators import display
from unfold.views import ChangeList as UnfoldChangeList

from billing import access
from billing.models import Subscription
from config.clock import now
from keystore.models import Consumer
from metering.models import QuotaBalance


class ConsumerChangeList(UnfoldChangeList):
    """Reads the standing of a page's consumers together: two queries, however many there are."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows = list(self.result_list)
        plans, used = plans_of(rows), usage_of(rows, now())
        for row in rows:
            row.plan_told = plans.get(row.pk, "")
            row.usage_told = used.get(row.pk, "")
        self.result_list = rows


class ShowsStanding:
    """The two columns. Mixed into the consumers' ModelAdmin."""

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return ConsumerChangeList

    @display(description="plan")
    def plan(self, consumer: Any) -> str:
        return str(consumer.plan_told)

    @display(description="usage")
    def usage(self, consumer: Any) -> str:
        return str(consumer.usage_told)


def plans_of(consumers: Collection[Consumer]) -> dict[int, str]:
    """ "Pro (active), Team (past_due)"; what has ended is left out."""
    found: dict[int, list[str]] = {}
    rows = Subscription.objects.filter(consumer__in=consumers).exclude(status__in=access.ENDED)
    for one in rows.select_related("plan").order_by("started_at"):
        told = f"{one.plan or 'unknown plan'} ({one.status})"
        found.setdefault(one.consumer_id, []).append(told)
    return {consumer: ", ".join(told) for consumer, told in found.items()}


def usage_of(consumers: Collection[Consumer], at: datetime) -> dict[int, str]:
    """ "API calls 83 %": the limit that is used the most in the period that runs."""
    runs = Q(period_end=None) | Q(period_end__gt=at)
    rows = QuotaBalance.objects.filter(runs, consumer__in=consumers, period_start__lte=at)
    fullest: dict[int, tuple[int, str]] = {}
    for one in rows.filter(limit__gt=0).select_related("meter"):
        percent = int((one.used - one.from_credits) * 100 / (one.limit or 1))
        told = f"{one.meter.name or one.meter.code} {percent} %"
        fullest[one.consumer_id] = max(fullest.get(one.consumer_id, (-1, "")), (percent, told))
    return {consumer: told for consumer, (_, told) in fullest.items()}
