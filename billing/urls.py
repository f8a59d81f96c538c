"""Billing's paths. The seeds' spellings are aliases: one view each."""

from django.urls import path

from billing import views
from billing.api import market, market_apis, own, subscriptions
from billing.api.billing_details import BillingDetailsView, TaxIdsView, TaxIdView
from billing.api.checkout import (
    CheckoutClaimView,
    CheckoutStateView,
    CheckoutView,
    PublicCheckoutView,
)
from billing.api.credit_notes import (
    CreditNotePreviewView,
    CreditNotesView,
    CreditNoteView,
    InvoiceCreditNotesView,
    VoidCreditNoteView,
)
from billing.api.custom_invoices import (
    CustomInvoicesView,
    CustomInvoiceView,
    SendCustomInvoiceView,
    VoidCustomInvoiceView,
)
from billing.api.dashboard import DashboardSessionView
from billing.api.erase import EraseView
from billing.api.everybody import AllInvoicesView, AllUsersView
from billing.api.inbox import ReplayView
from billing.api.inbox_desk import (
    InboxEventView,
    InboxView,
    ReplayRunView,
    ReplaysView,
    SweepView,
)
from billing.api.invoice_acts import GiveUpInvoiceView, PayInvoiceView, VoidInvoiceView
from billing.api.invoices import (
    InvoiceDownloadView,
    InvoiceLinesView,
    InvoicesView,
    InvoiceView,
)
from billing.api.metrics import RevenueView, SubscriptionMetricsView
from billing.api.overrides import OverridesView, OverrideView
from billing.api.payment_methods import (
    DefaultPaymentMethodView,
    PaymentMethodsView,
    PaymentMethodView,
)
from billing.api.portal import PortalEligibilityView, PortalView
from billing.api.prices import PricesView
from billing.api.reconciliation import ReconciliationsView, ReconciliationView
from billing.api.subscribe import SubscriptionsView
from billing.ownpages import acts, changes, entry, pages, paying, wallet

CREATOR = "api/v1/creators/<str:creator_id>"
API = "api/v1/apis/<str:api_id>"
SUBSCRIPTION = "api/v1/subscriptions/<str:subscription_id>"
INVOICE = "api/v1/invoices/<str:invoice_id>"
CREDIT_NOTE = "api/v1/credit-notes/<str:note_id>"
CUSTOM_INVOICE = "api/v1/custom-invoices/<str:custom_id>"
PAYMENT_METHOD = "api/v1/payment-methods/<str:payment_method_id>"
OWN = "dashboard/subscriptions/<str:subscription_id>"
WEBHOOKS = ("webhooks/stripe", "api/v1/webhooks/stripe", "billing/webhook", "api/billing/webhook")

urlpatterns = [
    *(path(spelling, views.stripe_webhook) for spelling in WEBHOOKS),
    *(path(f"{spelling}/", views.stripe_webhook) for spelling in WEBHOOKS),
    path("checkout/return", views.checkout_return, name="checkout-return"),
    path("checkout/claim", views.claim_key, name="checkout-claim"),
    path("pay", paying.pay, name="pay"),
    path("pay/at-stripe", paying.at_stripe, name="pay-at-stripe"),
    path("pay/saved-card", paying.saved_card, name="pay-saved-card"),
    path("pay/look", paying.look, name="pay-look"),
    path("dashboard", pages.dashboard, name="dashboard"),
    path("dashboard/open", pages.open_dashboard, name="dashboard-open"),
    path("dashboard/enter", entry.enter, name="dashboard-enter"),
    path("dashboard/usage", pages.usage, name="dashboard-usage"),
    path("dashboard/invoices/<str:invoice_id>/pdf", pages.invoice_pdf, name="dashboard-pdf"),
    path("dashboard/invoices/<str:invoice_id>/pay", pages.pay_invoice, name="dashboard-pay"),
    path("dashboard/leave", pages.leave, name="dashboard-leave"),
    path("dashboard/plans", changes.plans, name="dashboard-plans"),
    path(f"{OWN}/change/<str:price_id>", changes.change, name="dashboard-change"),
    path(f"{OWN}/cancel", acts.cancel, name="dashboard-cancel"),
    path(f"{OWN}/keep", acts.keep, name="dashboard-keep"),
    path("dashboard/buy/<str:price_id>", acts.buy, name="dashboard-buy"),
    path("dashboard/portal", acts.portal, name="dashboard-portal"),
    path("dashboard/cards", wallet.cards, name="dashboard-cards"),
    path("dashboard/cards/<str:card_id>/use", wallet.use, name="dashboard-card-use"),
    path("dashboard/cards/<str:card_id>/remove", wallet.remove, name="dashboard-card-remove"),
    path("dashboard/keys/<str:key_id>/claim", acts.claim, name="dashboard-claim"),
    path("dashboard/keys/<str:key_id>/rotate", acts.rotate, name="dashboard-rotate"),
    path("api/v1/consumers/<str:consumer_id>/erase", EraseView.as_view()),
    path("api/v1/dashboard/session", DashboardSessionView.as_view()),
    path("checkout/cancelled", views.checkout_cancelled, name="checkout-cancelled"),
    path("billing/create-checkout-session", PublicCheckoutView.as_view()),
    path("api/v1/checkout/session", CheckoutView.as_view()),
    path("api/v1/checkout/session/<str:reference>", CheckoutStateView.as_view()),
    path("api/v1/checkout/session/<str:reference>/claim", CheckoutClaimView.as_view()),
    path("api/v1/prices", PricesView.as_view()),
    path("api/v1/billing-details", BillingDetailsView.as_view()),
    path("api/v1/billing-details/tax-ids", TaxIdsView.as_view()),
    path("api/v1/billing-details/tax-ids/<str:tax_id>", TaxIdView.as_view()),
    path("api/v1/subscriptions", SubscriptionsView.as_view()),
    path(SUBSCRIPTION, subscriptions.SubscriptionDetailView.as_view()),
    path(f"{SUBSCRIPTION}/usage", subscriptions.SubscriptionUsageView.as_view()),
    path(f"{SUBSCRIPTION}/upgrade", subscriptions.UpgradeView.as_view()),
    path(f"{SUBSCRIPTION}/quantity", subscriptions.QuantityView.as_view()),
    path(f"{SUBSCRIPTION}/schedule", subscriptions.ScheduleView.as_view()),
    path(f"{SUBSCRIPTION}/preview", subscriptions.PreviewView.as_view()),
    path(f"{SUBSCRIPTION}/change", subscriptions.ChangeView.as_view()),
    path(f"{SUBSCRIPTION}/cancel", subscriptions.CancelView.as_view()),
    path(f"{SUBSCRIPTION}/uncancel", subscriptions.UncancelView.as_view()),
    path(f"{SUBSCRIPTION}/pause", subscriptions.PauseView.as_view()),
    path(f"{SUBSCRIPTION}/resume", subscriptions.ResumeView.as_view()),
    path("api/v1/payment-methods", PaymentMethodsView.as_view()),
    path(PAYMENT_METHOD, PaymentMethodView.as_view()),
    path(f"{PAYMENT_METHOD}/default", DefaultPaymentMethodView.as_view()),
    path("api/v1/invoices", InvoicesView.as_view()),
    path(INVOICE, InvoiceView.as_view()),
    path(f"{INVOICE}/lines", InvoiceLinesView.as_view()),
    path(f"{INVOICE}/download", InvoiceDownloadView.as_view()),
    path(f"{INVOICE}/pay", PayInvoiceView.as_view()),
    path(f"{INVOICE}/void", VoidInvoiceView.as_view()),
    path(f"{INVOICE}/uncollectible", GiveUpInvoiceView.as_view()),
    path(f"{INVOICE}/credit-notes", InvoiceCreditNotesView.as_view()),
    path(f"{INVOICE}/credit-notes/preview", CreditNotePreviewView.as_view()),
    path("api/v1/credit-notes", CreditNotesView.as_view()),
    path(CREDIT_NOTE, CreditNoteView.as_view()),
    path(f"{CREDIT_NOTE}/void", VoidCreditNoteView.as_view()),
    path("api/v1/custom-invoices", CustomInvoicesView.as_view()),
    path(CUSTOM_INVOICE, CustomInvoiceView.as_view()),
    path(f"{CUSTOM_INVOICE}/send", SendCustomInvoiceView.as_view()),
    path(f"{CUSTOM_INVOICE}/void", VoidCustomInvoiceView.as_view()),
    path("api/billing/checkout", own.OwnCheckoutView.as_view()),
    path("api/billing/portal", own.OwnPortalView.as_view()),
    path("api/billing/subscription", own.OwnSubscriptionView.as_view()),
    path("api/billing/quota", own.OwnQuotaView.as_view()),
    path("api/billing/usage", own.OwnUsageView.as_view()),
    path("api/billing/invoices", own.OwnInvoicesView.as_view()),
    path("api/billing/admin/users", AllUsersView.as_view()),
    path("api/billing/admin/invoices", AllInvoicesView.as_view()),
    path("api/v1/price-overrides", OverridesView.as_view()),
    path("api/v1/price-overrides/<str:override_id>", OverrideView.as_view()),
    path("api/v1/creators", market.CreatorsView.as_view()),
    path(CREATOR, market.CreatorView.as_view()),
    path(f"{CREATOR}/onboarding", market.OnboardingView.as_view()),
    path(f"{CREATOR}/payouts", market.CreatorPayoutsView.as_view()),
    path(f"{CREATOR}/statements/<str:month>", market.StatementView.as_view()),
    path("api/v1/marketplace", market_apis.MarketplaceView.as_view()),
    path("api/v1/apis", market_apis.ApisView.as_view()),
    path(API, market_apis.ApiView.as_view()),
    path(f"{API}/plans", market_apis.ApiPlansView.as_view()),
    path(f"{API}/usage", market_apis.ApiUsageView.as_view()),
    path(f"{API}/earnings", market_apis.ApiEarningsView.as_view()),
    path("api/v1/portal/session", PortalView.as_view()),
    path("api/v1/portal/eligibility", PortalEligibilityView.as_view()),
    path("api/v1/admin/inbox", InboxView.as_view()),
    path("api/v1/admin/inbox/events/<str:event_id>", InboxEventView.as_view()),
    path("api/v1/admin/inbox/replay", ReplayView.as_view()),
    path("api/v1/admin/reconciliations", ReconciliationsView.as_view()),
    path("api/v1/admin/reconciliations/<str:run_id>", ReconciliationView.as_view()),
    path("api/v1/admin/inbox/replays", ReplaysView.as_view()),
    path("api/v1/admin/inbox/replays/<str:replay_id>", ReplayRunView.as_view()),
    path("api/v1/admin/inbox/sweep", SweepView.as_view()),
    path(
        "api/v1/metrics/project/<str:project_id>/subscriptions", SubscriptionMetricsView.as_view()
    ),
    path("api/v1/metrics/project/<str:project_id>/revenue", RevenueView.as_view()),
]
