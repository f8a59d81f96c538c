"""The page to pay, to which the mails about a failed payment lead. No login: its link is signed.

It shows one invoice, from our tables alone, so that it reads while Stripe is away. What it says
about the payment comes from a sync, never from the address.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.cache import add_never_cache_headers
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from billing import access, gateway
from billing.dunning.course import owed
from billing.dunning.links import course_behind, is_too_old, pay_url, token_of
from billing.grace import grace_of
from billing.invoice_desk import ConfirmationNeeded, InvoiceNotOpen, PaymentDeclined, pay_now
from billing.models import CourseEnd, CourseState, DunningCourse
from billing.origins import origin_of
from billing.ownpages.acts import WAIT_SECONDS
from billing.ownpages.refusals import words_for
from billing.ownpages.visitor import in_their_language
from billing.ownpages.wording import day, money
from billing.sync import NotOurs, sync_customer
from config.clock import now
from config.errors import DomainError
from keystore import ratelimit

REASON = "paid on the page to pay"
PER_MINUTE = 10  # of one invoice: each asks Stripe
PAYABLE = ("open", "uncollectible")
Act = Callable[[HttpRequest, DunningCourse], HttpResponse]


@dataclass(frozen=True)
class Shown:
    """One invoice as its payer sees it. `state` is open, paid, settled, ended or replaced."""

    state: str
    project: str
    plan: str
    amount: str
    invoice: str
    until: str
    has_ended: bool
    is_open: bool  # what was bought may be used
    newer: str  # the page of the invoice that took its place


@require_safe
@in_their_language
def pay(request: HttpRequest) -> HttpResponse:
    """What is owed, by when, and what happens otherwise."""
    course = course_behind(request.GET.get("token", ""))
    if course is None:
        return _no_such(request)
    at = now()
    if _is_payable(course) and is_too_old(course, at):
        return _answer(request, course, {"too_old": True}, status=410)
    return _answer(request, course, {"shown": shown_of(course, at)})


def shown_of(course: DunningCourse, at: datetime) -> Shown:
    invoice, plan = course.invoice, course.subscription.plan
    newer = _newer(course)
    until = course.access_until.astimezone(UTC)
    return Shown(
        state=_state_of(course, newer),
        project=str(course.project),
        plan=str(plan.name or plan.code) if plan else str(course.project),
        amount=money(owed(invoice) or invoice.total_minor, invoice.currency),
        invoice=invoice.number or invoice.stripe_invoice_id,
        until=f"{day(until)}, {until:%H:%M} UTC",
        has_ended=course.access_until <= at,
        is_open=_gives_access(course, at),
        newer=pay_url(newer, get_language() or "") if newer else "",
    )


def _state_of(course: DunningCourse, newer: DunningCourse | None) -> str:
    if course.invoice.status == "paid":
        return "settled" if course.outcome == CourseEnd.CREDITED else "paid"
    if course.state != CourseState.CLOSED:
        return "open"
    if course.outcome == CourseEnd.CANCELLED:
        return "ended"
    if newer is not None:
        return "replaced"
    return "open" if _is_payable(course) else "settled"


def _is_payable(course: DunningCourse) -> bool:
    """Also when access does not hang on it any more, as long as it is owed."""
    left_behind = course.outcome == CourseEnd.SUPERSEDED and course.invoice.status == "open"
    return course.state != CourseState.CLOSED or left_behind


def _newer(course: DunningCourse) -> DunningCourse | None:
    if course.outcome != CourseEnd.SUPERSEDED:
        return None
    rows = DunningCourse.objects.filter(subscription=course.subscription_id)
    return rows.exclude(state=CourseState.CLOSED).first()


def _gives_access(course: DunningCourse, at: datetime) -> bool:
    row = course.subscription
    grace = grace_of(row.project)
    window = access.subscription_window(row, grace=grace, lost_at=None, doubled=False)
    return access.is_open(window, at)


def _act(act: Act) -> Callable[[HttpRequest], HttpResponse]:
    """A POST with the link's token: refused alike for every token that we did not sign."""

    @require_POST
    @in_their_language
    def guarded(request: HttpRequest) -> HttpResponse:
        course = course_behind(request.POST.get("token", ""))
        if course is None:
            return _no_such(request)
        if not _is_payable(course) or is_too_old(course, now()):
            return _back(course)
        subject = f"pay:{course.public_id}"
        if not ratelimit.take(subject=subject, limit_per_minute=PER_MINUTE, burst=None).allowed:
            messages.error(request, _("That was often: wait a minute, then try again."))
            return _back(course)
        try:
            with gateway.deadline(WAIT_SECONDS):
                return act(request, course)
        except DomainError as refusal:
            messages.error(request, words_for(refusal))
            return _back(course)

    return guarded


def _at_stripe(request: HttpRequest, course: DunningCourse) -> HttpResponse:
    found = gateway.read(f"/v1/invoices/{course.invoice.stripe_invoice_id}")
    url = found.get("hosted_invoice_url") or ""
    if found["status"] not in PAYABLE or origin_of(url) is None:
        _follow(course)
        return _back(course)
    return redirect(url)


def _saved_card(request: HttpRequest, course: DunningCourse) -> HttpResponse:
    actor = f"user:{course.consumer.public_id}"
    try:
        pay_now(invoice=course.invoice, card="", actor=actor, reason=REASON, clock=now)
    except ConfirmationNeeded as asked:
        url = str(asked.details.get("hosted_url") or "")
        if origin_of(url) is not None:
            return redirect(url)
        messages.error(request, _("The bank asks you to confirm: pay with the button above."))
    except PaymentDeclined:
        messages.error(request, _("The card was declined. Pay with another one."))
    except InvoiceNotOpen:
        _follow(course)
    return _back(course)


def _look(request: HttpRequest, course: DunningCourse) -> HttpResponse:
    _follow(course)
    course.invoice.refresh_from_db()
    if course.invoice.status == "open":
        messages.info(request, _("As far as we know, it is not paid yet."))
    return _back(course)


at_stripe = _act(_at_stripe)
saved_card = _act(_saved_card)
look = _act(_look)


def _follow(course: DunningCourse) -> None:
    """What Stripe says now becomes ours, access included. Raises StripeUnavailable."""
    holder = course.consumer.stripe_customer
    try:
        sync_customer(
            stripe_customer_id=holder.stripe_customer_id,
            clock=now,
            touched=[("invoice", course.invoice.stripe_invoice_id)],
        )
    except NotOurs:
        return


def _back(course: DunningCourse) -> HttpResponse:
    return redirect(pay_url(course))


def _answer(
    request: HttpRequest, course: DunningCourse, context: dict[str, object], status: int = 200
) -> HttpResponse:
    told = {"token": token_of(course), "project": str(course.project), **context}
    response = render(request, "billing/own/pay.html", told, status=status)
    add_never_cache_headers(response)
    return response


def _no_such(request: HttpRequest) -> HttpResponse:
    response = render(request, "billing/own/pay.html", status=404)
    add_never_cache_headers(response)
    return response
