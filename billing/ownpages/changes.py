"""Changing plan: what it costs, to the cent, then the change for just that."""

from datetime import UTC, datetime
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from billing import gateway
from billing.models import DashboardLink, Price, Subscription
from billing.ownpages.acts import REASON, WAIT_SECONDS, actor_of, told
from billing.ownpages.offers import offers_for, own_subscription, price_on_sale
from billing.ownpages.pages import not_here
from billing.ownpages.refusals import words_for
from billing.ownpages.visitor import for_visitor
from billing.ownpages.wording import day, money
from billing.ownpages.wording import price as price_text
from billing.subscription_desk import PreviewOutdated, Seen, change_plan
from billing.subscriptions import ChangePreview, preview_plan_change
from config.clock import now
from config.errors import DomainError, NotFound


@require_safe
@for_visitor
def plans(request: HttpRequest, visit: DashboardLink) -> HttpResponse:
    """All plans and prices, from our tables."""
    offers = offers_for(consumer=visit.consumer)
    return render(request, "billing/own/plans.html", {"visit": visit, "offers": offers})


@require_http_methods(["GET", "HEAD", "POST"])
@for_visitor
def change(
    request: HttpRequest, visit: DashboardLink, subscription_id: str, price_id: str
) -> HttpResponse:
    """What the change costs now and next; confirmed, it is charged what was shown or not at all."""
    try:
        row = own_subscription(visit.consumer, subscription_id)
        price = price_on_sale(visit.consumer.project, price_id)
        with gateway.deadline(WAIT_SECONDS):
            if request.method == "POST":
                return _change(request, visit, row, price)
            preview = preview_plan_change(subscription=row, price=price, prorate=True, at=_second())
    except NotFound:
        return not_here(request)
    except PreviewOutdated as refusal:
        messages.error(request, words_for(refusal))
        return redirect("dashboard-change", subscription_id, price_id)
    except DomainError as refusal:
        messages.error(request, words_for(refusal))
        return redirect("dashboard")
    context = {"visit": visit, "row": row, "price": price, **_costs(preview, price)}
    return render(request, "billing/own/change.html", context)


def _second() -> datetime:
    """The form carries whole seconds, by which Stripe counts, too."""
    return now().replace(microsecond=0)


def _change(
    request: HttpRequest, visit: DashboardLink, row: Subscription, price: Price
) -> HttpResponse:
    outcome = change_plan(
        subscription=row,
        price=price,
        prorate=True,
        seen=_seen(request),
        actor=actor_of(visit),
        reason=REASON,
        clock=now,
    )
    messages.success(request, told(outcome, _("You have %(plan)s now.") % {"plan": price.plan}))
    return redirect("dashboard")


def _seen(request: HttpRequest) -> Seen:
    """Raises PreviewOutdated for a form that we did not make."""
    try:
        at = datetime.fromtimestamp(int(request.POST.get("priced_at", "")), UTC)
        return Seen(at, int(request.POST.get("due_now_minor", "")))
    except (ValueError, OverflowError, OSError) as odd:
        raise PreviewOutdated("Look at the price, then confirm it.") from odd


def _costs(preview: ChangePreview, price: Price) -> dict[str, Any]:
    due, currency = preview.due_now_minor, preview.currency
    next_at = day(preview.next_at) if preview.next_at and preview.next_minor is not None else ""
    return {
        "priced_at": int(preview.at.timestamp()),
        "due_now_minor": due,
        "charged": money(due, currency) if due > 0 else "",
        "credited": money(-due, currency) if due < 0 else "",
        "next_at": next_at,
        "next_total": money(preview.next_minor or 0, currency),
        "every": price_text(price),
    }
