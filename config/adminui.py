"""The admin's look: everything of Unfold that is not a ModelAdmin."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy
from unfold.dataclasses import SearchResult

SOON = timedelta(days=7)
MOST_FOUND = 20


def environment(request: HttpRequest) -> tuple[str, str]:
    """The badge beside the title: whose money is at stake here."""
    if settings.STRIPE_USES_SANDBOX:
        return "SANDBOX", "warning"
    return ("LIVE", "danger") if settings.STRIPE_LIVE_MODE else ("TEST", "info")


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """The first page: the figures of the business, and what waits, as counts with their rows."""
    from billing.admin.overview import business_of
    from config.clock import now

    counts = [count for count in _counts() if _may_follow(request, count)]
    return {**context, "counts": counts, "business": business_of(request, at=now())}


def find_consumers(request: HttpRequest, term: str) -> list[SearchResult]:
    """Ctrl-K: consumers by whatever support was given. Unfold lowers the term; Stripe does not."""
    from billing.search import consumers_matching
    from keystore.admin import personal

    if not request.user.has_perm("keystore.view_consumer"):
        return []
    found = consumers_matching(
        term=request.GET.get("s", term).strip(), with_email=personal.may_see(request)
    )
    return [
        SearchResult(
            title=personal.masked(consumer.external_id),
            description=f"Consumer of {consumer.project}, {consumer.public_id}",
            link=reverse_lazy("admin:keystore_consumer_change", args=[consumer.pk]),
            icon="person",
        )
        for consumer in found.select_related("project").order_by("-pk")[:MOST_FOUND]
    ]


def _counts() -> list[dict[str, Any]]:
    from billing.access import PAYING
    from billing.models import InboxEvent, InvariantCheck, Operation, Subscription
    from billing.models.operations import OPEN_STATES
    from config.clock import now
    from entitlements.models import Grant
    from keystore.models import JobRun

    at = now()
    events, operations = InboxEvent.objects, Operation.objects
    ending = Grant.objects.live(at).filter(valid_to__lt=at + SOON)
    paying = Subscription.objects.filter(status__in=PAYING)
    return [
        _count("Subscriptions that pay", paying, f"status__in={','.join(sorted(PAYING))}"),
        _count("Events waiting", events.filter(state="pending"), "state__exact=pending"),
        _count("Events parked", events.filter(state="parked"), "state__exact=parked", bad=True),
        _count(
            "Calls to Stripe unfinished",
            operations.filter(state__in=OPEN_STATES),
            f"state__in={','.join(OPEN_STATES)}",
        ),
        _count(
            "Calls with unknown outcome",
            operations.filter(state="unknown"),
            "state__exact=unknown",
            bad=True,
        ),
        _count(
            "Grants that end within a week",
            ending,
            f"valid_to_from={at:%Y-%m-%d}&valid_to_to={at + SOON:%Y-%m-%d}&revoked_at__isempty=1",
        ),
        _count("Promises broken", InvariantCheck.objects.filter(violations__gt=0), "", bad=True),
        {**_count("Jobs that did not run", JobRun.objects.none(), ""), **_late_jobs(at)},
    ]


def _late_jobs(at: datetime) -> dict[str, Any]:
    from keystore import jobs

    late = len(jobs.overdue(at=at, schedule=settings.JOB_SCHEDULE))
    return {"number": late, "alarming": late > 0}


def _count(title: str, rows: Any, query: str, *, bad: bool = False) -> dict[str, Any]:
    """`bad`: any number but 0 wants somebody to look."""
    options, number = rows.model._meta, rows.count()
    page = reverse_lazy(f"admin:{options.app_label}_{options.model_name}_changelist")
    return {
        "title": title,
        "number": number,
        "alarming": bad and number > 0,
        "permission": f"{options.app_label}.view_{options.model_name}",
        "link": f"{page}?{query}",
    }


def _may_follow(request: HttpRequest, count: dict[str, Any]) -> bool:
    return request.user.has_perm(count["permission"])


def _page(
    title: str, icon: str, model: str, permission: str = "", query: dict[str, str] | None = None
) -> dict[str, Any]:
    app, name = model.split(".")
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{app}_{name}_changelist", query=query),
        "permission": _holds(permission or f"{app}.view_{name}"),
    }


def _holds(permission: str) -> Callable[[HttpRequest], bool]:
    return lambda request: request.user.has_perm(permission)


UNFOLD = {
    "SITE_TITLE": "Latchkey",
    "SITE_HEADER": "Latchkey",
    "SITE_SYMBOL": "key",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("latchkey/key.svg")}
    ],
    "STYLES": [
        lambda request: static("latchkey/admin.css"),
        lambda request: static("latchkey/consumer.css"),
    ],
    "SHOW_HISTORY": False,  # the audit trail tells more
    "SHOW_VIEW_ON_SITE": False,
    "ENVIRONMENT": "config.adminui.environment",
    "DASHBOARD_CALLBACK": "config.adminui.dashboard",
    "COMMAND": {"search_callback": "config.adminui.find_consumers"},
    "ACCOUNT": {
        "navigation": [
            {"title": "Change password", "link": reverse_lazy("admin:password_change")},
            {"title": "Second factor", "link": reverse_lazy("staff-enrol")},
        ]
    },
    "SIDEBAR": {
        "show_search": True,
        "command_search": True,
        "navigation": [
            {
                "title": "Support",
                "items": [
                    _page("Consumers", "group", "keystore.consumer"),
                    _page("Grants", "redeem", "entitlements.grant"),
                    _page(
                        "Expiring this week",
                        "event_busy",
                        "entitlements.grant",
                        query={"state": "expiring"},
                    ),
                    _page("Many grants at once", "playlist_add", "entitlements.grantbatch"),
                    _page("API keys", "key", "keystore.apikey"),
                    _page("Audit trail", "history", "keystore.auditentry"),
                ],
            },
            {
                "title": "Money",
                "items": [
                    _page("Subscriptions", "autorenew", "billing.subscription"),
                    _page("Payments", "payments", "billing.payment"),
                    _page("Refund requests", "approval_delegation", "billing.refundrequest"),
                    _page("Refunds", "undo", "billing.refund"),
                    _page("Disputes", "gavel", "billing.dispute"),
                    _page("Credit notes", "request_quote", "billing.creditnote"),
                    _page("Invoices", "receipt_long", "billing.invoice"),
                    _page("Purchases", "shopping_bag", "billing.purchase"),
                    _page("Checkouts", "shopping_cart", "billing.checkout"),
                ],
            },
            {
                "title": "Stripe",
                "items": [
                    _page("Inbox", "inbox", "billing.inboxevent"),
                    _page("Replays", "replay", "billing.replayrun"),
                    _page("Calls to Stripe", "outbound", "billing.operation"),
                    _page("Stripe customers", "badge", "billing.stripecustomer"),
                    _page("Reconciliation", "compare_arrows", "billing.reconciliationrun"),
                    _page("Differences", "difference", "billing.drift"),
                    _page("Mirror", "visibility", "djstripe.subscription", "billing.view_mirror"),
                ],
            },
            {
                "title": "Hooks",
                "items": [
                    _page("Endpoints", "webhook", "keystore.hookendpoint"),
                    _page("Deliveries", "local_shipping", "keystore.hookdelivery"),
                    _page("Messages", "outgoing_mail", "keystore.outboxmessage"),
                ],
            },
            {
                "title": "Watch",
                "items": [
                    _page("Promises", "verified", "billing.invariantcheck"),
                    _page("Jobs", "schedule", "keystore.jobrun"),
                ],
            },
            {
                "title": "Catalogue",
                "items": [
                    _page("Projects", "domain", "keystore.project"),
                    _page("Apps", "dns", "keystore.app"),
                    _page("APIs", "api", "keystore.api"),
                    _page("Plans", "sell", "entitlements.plan"),
                    _page("Features", "toggle_on", "entitlements.feature"),
                    _page("Prices", "price_change", "billing.price"),
                    _page("Billing policies", "tune", "billing.billingpolicy"),
                    _page("Refund limits", "group_add", "billing.refundlimit"),
                    _page("Refund budgets", "savings", "billing.refundbudget"),
                ],
            },
            {
                "title": "Staff",
                "items": [
                    _page("Users", "person", "auth.user"),
                    _page("Roles", "shield_person", "auth.group"),
                    _page("Second factors", "phonelink_lock", "keystore.authenticator"),
                    _page("Locked out", "lock_person", "axes.accessattempt"),
                    _page("Failed logins", "gpp_bad", "axes.accessfailurelog"),
                    _page("Logins", "login", "axes.accesslog"),
                ],
            },
        ],
    },
}
