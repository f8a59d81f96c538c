"""The dialogs in which a subscription is changed. Each says what follows before the click."""

from datetime import UTC, datetime
from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from billing import access, gateway
from billing.models import Price, PriceKind, Subscription
from billing.money import shown
from billing.overrides import price_for
from billing.prices import price_text
from billing.subscription_desk import Seen, money_of
from billing.subscriptions import ChangePreview, preview_plan_change, preview_resume
from config.clock import now
from config.errors import DomainError
from keystore.admin.dialogs import ReasonDialog
from keystore.admin.pages import row_or_404

STRIPE_SECONDS = 8.0
ROWS = Subscription.objects.select_related("project", "consumer__stripe_customer", "plan", "price")


class SubscriptionDialog(ReasonDialog):
    """A dialog about one subscription."""

    form_before_template = "admin/acts/follows.html"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.subscription: Subscription = row_or_404(ROWS.all(), self.object_id)
        self.preview: ChangePreview | None = None

    def follows(self) -> list[str]:
        """What the act will do to access and money, in sentences."""
        return []

    def get_before_template_context(self, request: Any, object_id: Any = None) -> dict[str, Any]:
        return {"follows": self.follows(), "preview": _told(self.preview)}

    @property
    def plan(self) -> str:
        return str(self.subscription.plan or "a plan that is not in our catalogue")

    @property
    def paid_until(self) -> str:
        end = self.subscription.current_period_end
        return f"{end:%Y-%m-%d %H:%M} UTC" if end else "the end of the period"


def _told(preview: ChangePreview | None) -> dict[str, Any] | None:
    if preview is None:
        return None
    lines = [
        {"description": line.description, "amount": shown(line.amount_minor, preview.currency)}
        for line in preview.lines
    ]
    return {"lines": lines, "said": money_of(preview)}


class CancelNowDialog(SubscriptionDialog):
    def follows(self) -> list[str]:
        return [
            f"Access by {self.plan} ends at once, though it is paid until {self.paid_until}. A key "
            "that came with it is revoked.",
            "Nothing is paid back by this: refund the payment by itself. It cannot be undone.",
        ]


class CancelLaterDialog(SubscriptionDialog):
    def follows(self) -> list[str]:
        return [
            f"Access by {self.plan} stays until {self.paid_until}, then it ends. Nothing more is "
            "charged. Until then it can be taken back.",
        ]


class UncancelDialog(SubscriptionDialog):
    def follows(self) -> list[str]:
        return [f"{self.plan} renews by itself again; the next charge is on {self.paid_until}."]


class PauseDialog(SubscriptionDialog):
    resumes_on = forms.DateField(
        label="Goes on by itself on",
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"type": "date"}),
        help_text="At 00:00 UTC. Empty: when somebody resumes it.",
    )

    def follows(self) -> list[str]:
        return [
            f"Access by {self.plan} stays until {self.paid_until}, which is paid, and closes then.",
            "Nothing is charged until it goes on; invoices of that time are voided. Going on after "
            "the paid time begins a new period, which is charged.",
        ]

    @property
    def resumes_at(self) -> datetime | None:
        day = self.cleaned_data["resumes_on"]
        return datetime(day.year, day.month, day.day, tzinfo=UTC) if day else None


class SeenDialog(SubscriptionDialog):
    """Shows Stripe's price first; what was shown comes back with the click."""

    data: Any
    seen_at = forms.IntegerField(widget=forms.HiddenInput, required=False)
    seen_due = forms.IntegerField(widget=forms.HiddenInput, required=False)

    @property
    def seen(self) -> Seen:
        told = self.cleaned_data
        return Seen(datetime.fromtimestamp(told["seen_at"], UTC), told["seen_due"])

    def clean_seen_at(self) -> int | None:
        seen_at: int | None = self.cleaned_data["seen_at"]
        if seen_at is not None and not 0 < seen_at < 2**33:
            raise forms.ValidationError("This is no instant.")
        return seen_at

    def show(self, preview: ChangePreview) -> None:
        """Put a preview on the form, with what the next click agrees to."""
        self.preview = preview
        shown_now = {"seen_at": int(preview.at.timestamp()), "seen_due": preview.due_now_minor}
        if self.is_bound:
            self.data = self.data.copy()
            self.data.update({name: str(value) for name, value in shown_now.items()})
        else:
            self.initial.update(shown_now)


class ResumeDialog(SeenDialog):
    """Priced when it opens."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.problem = ""
        if not self.is_bound:
            self.price_it()

    def price_it(self) -> None:
        at = now().replace(microsecond=0)
        try:
            with gateway.deadline(STRIPE_SECONDS):
                self.show(preview_resume(subscription=self.subscription, at=at))
        except DomainError as refusal:
            self.problem = refusal.message

    def follows(self) -> list[str]:
        said = [f"Access by {self.plan} opens again at once."]
        return [self.problem] if self.problem else said

    def clean(self) -> dict[str, Any]:
        asked = super().clean() or {}
        if asked.get("seen_at") is None or asked.get("seen_due") is None:
            self.add_error("deed_reason", "Look at the price first: open this dialog again.")
        return asked


def prices_for(subscription: Subscription) -> list[Price]:
    """What it can be changed to, as this consumer pays it."""
    offered = Price.objects.filter(
        project=subscription.project,
        kind=PriceKind.RECURRING,
        active=True,
        only_for=None,
        currency=subscription.currency,
    )
    found = offered.select_related("plan").order_by("plan__rank", "amount_minor")
    own = [price_for(consumer=subscription.consumer, price=price) for price in found]
    return [price for price in own if price.pk != subscription.price_id]


class PricedDialog(SeenDialog):
    """The first click shows the price of what was chosen, the second one agrees to it."""

    asks_for = "price"  # the field that says what is wanted
    settle = forms.ChoiceField(
        label="The rest of this period",
        choices=[
            ("now", "is settled now: the difference is charged or credited"),
            ("later", "stays as it is paid: the new price begins with the next period"),
        ],
        widget=UnfoldAdminSelectWidget,
    )
    seen_for = forms.CharField(widget=forms.HiddenInput, required=False, max_length=60)

    @property
    def prorate(self) -> bool:
        return bool(self.cleaned_data["settle"] == "now")

    @property
    def wish(self) -> str:
        return f"{self.cleaned_data[self.asks_for]}:{self.cleaned_data['settle']}"

    @property
    def is_confirmed(self) -> bool:
        """Whether the click agrees to a price that was shown for the very same choice."""
        asked = self.cleaned_data
        was_shown = asked.get("seen_at") is not None and asked.get("seen_due") is not None
        return was_shown and asked["seen_for"] == self.wish

    @property
    def chosen(self) -> Price:
        # Each form says it: Django's metaclass of forms leaves no room for an abstract one.
        raise NotImplementedError

    @property
    def quantity(self) -> int | None:
        return None

    def price_it(self) -> None:
        """Raises whatever speaks against the change."""
        at = now().replace(microsecond=0)
        with gateway.deadline(STRIPE_SECONDS):
            preview = preview_plan_change(
                subscription=self.subscription,
                price=self.chosen,
                prorate=self.prorate,
                at=at,
                quantity=self.quantity,
            )
        self.show(preview)
        self.data["seen_for"] = self.wish


class ChangePlanDialog(PricedDialog):
    """To which price, and when the difference is settled."""

    price = forms.ChoiceField(label="New price", widget=UnfoldAdminSelectWidget)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.prices = {price.public_id: price for price in prices_for(self.subscription)}
        self.fields["price"].choices = [
            ("", "Choose..."),
            *((one, f"{price.plan}: {price_text(price)}") for one, price in self.prices.items()),
        ]

    def follows(self) -> list[str]:
        if self.preview is not None:
            return ["This is what follows. Press the button again to do it."]
        said = [
            f"Now: {self.plan}, paid until {self.paid_until}. The button shows the price first."
        ]
        if self.subscription.cancel_at is not None:
            said.append("It is cancelled: after the change it still ends then.")
        if self.subscription.status not in access.PAYING:
            said.append(f"It is {self.subscription.status}: settle the open invoice first.")
        return said

    @property
    def chosen(self) -> Price:
        return self.prices[self.cleaned_data["price"]]
