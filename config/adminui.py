"""The admin's look: everything of Unfold that is not a ModelAdmin."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _
from unfold.dataclasses import SearchResult

MOST_FOUND = 20


def environment(request: HttpRequest) -> tuple[str, str]:
    """The badge beside the title: whose money is at stake here."""
    if settings.STRIPE_USES_SANDBOX:
        return "SANDBOX", "warning"
    return ("LIVE", "danger") if settings.STRIPE_LIVE_MODE else ("TEST", "info")


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """The first page: the figures of the business, and what waits, as counts with their rows."""
    from billing.admin.overview import business_of
    from billing.admin.waiting import counts_for
    from config.clock import now
    from keystore.jobs import overdue

    at = now()
    late = overdue(at=at, schedule=settings.JOB_SCHEDULE)
    return {
        **context,
        "title": _("Overview"),
        "counts": counts_for(request, at=at, overdue_jobs=late),
        "business": business_of(request, at=at),
    }


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
    "SCRIPTS": [lambda request: static("latchkey/dialogs.js")],
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
                    _page("Scheduled changes", "event_upcoming", "billing.scheduledchange"),
                    _page("Coupons", "sell", "billing.coupon"),
                    _page(
                        "Overdue",
                        "notification_important",
                        "billing.dunningcourse",
                        query={"state__in": "running,paused"},
                    ),
                    _page("Payments", "payments", "billing.payment"),
                    _page("Refund requests", "approval_delegation", "billing.refundrequest"),
                    _page("Refunds", "undo", "billing.refund"),
                    _page("Disputes", "gavel", "billing.dispute"),
                    _page("Credit notes", "request_quote", "billing.creditnote"),
                    _page("Invoices", "receipt_long", "billing.invoice"),
                    _page("Invoices by hand", "edit_document", "billing.custominvoice"),
                    _page("Purchases", "shopping_bag", "billing.purchase"),
                    _page("Checkouts", "shopping_cart", "billing.checkout"),
                ],
            },
            {
                "title": "Marketplace",
                "items": [
                    _page("Creators", "storefront", "billing.creator"),
                    _page("Listings", "inventory_2", "billing.apilisting"),
                    _page("Earnings", "savings", "billing.earning"),
                    _page("Payouts", "account_balance", "billing.payout"),
                    _page("Adjustments", "exposure", "billing.adjustment"),
                    _page("Commissions", "percent", "billing.commission"),
                    _page("Terms", "tune", "billing.marketpolicy"),
                ],
            },
            {
                "title": "Usage",
                "items": [
                    _page("Balances", "data_usage", "metering.quotabalance"),
                    _page("Credits", "toll", "metering.creditpack"),
                    _page("Fail policies", "emergency_home", "metering.failpolicy"),
                ],
            },
            {
                "title": "Stripe",
                "items": [
                    _page("Inbox", "inbox", "billing.inboxevent"),
                    _page("Replays", "replay", "billing.replayrun"),
                    _page("Calls to Stripe", "outbound", "billing.operation"),
                    _page("Usage reports", "speed", "billing.usagereport"),
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
                    _page("Leaked keys", "key_off", "keystore.keyleak"),
                    _page("Jobs", "schedule", "keystore.jobrun"),
                ],
            },
            {
                "title": "Catalogue",
                "items": [
                    _page("Projects", "domain", "keystore.project"),
                    _page("Apps", "dns", "keystore.app"),
                    _page("APIs", "api", "keystore.api"),
                    _page("Sign-in services", "fingerprint", "keystore.tokenissuer"),
                    _page("Plans", "sell", "entitlements.plan"),
                    _page("Features", "toggle_on", "entitlements.feature"),
                    _page("Meters", "speed", "metering.meter"),
                    _page("Prices", "price_change", "billing.price"),
                    _page("Agreed prices", "handshake", "billing.priceoverride"),
                    _page("Billing policies", "tune", "billing.billingpolicy"),
                    _page("Dunning policies", "event_repeat", "billing.dunningpolicy"),
                    _page("Dunning texts", "drafts", "billing.dunningtext"),
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
