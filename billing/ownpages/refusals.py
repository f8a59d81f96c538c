"""Why something was not done, in the customer's words and language."""

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from billing.cards import CardInUse
from billing.checkout import AlreadySubscribed, CheckoutBusy
from billing.currencies import CurrencyFixed
from billing.gateway import StripeRefused, StripeUnavailable
from billing.portal import NoCustomer
from billing.refusals import TaxLocationNeeded
from billing.subscription_desk import PreviewOutdated
from billing.subscriptions import AlreadySo, NotChangeable
from config.errors import DomainError, Unavailable
from keystore.errors import KeyReplaced

WORDS: tuple[tuple[type[DomainError], str], ...] = (
    (AlreadySo, gettext_noop("It is so already: nothing was changed.")),
    (AlreadySubscribed, gettext_noop("You have this plan already.")),
    (CardInUse, gettext_noop("This card pays for a plan: make another one the default first.")),
    (CheckoutBusy, gettext_noop("Your last purchase is still being closed: try again shortly.")),
    (KeyReplaced, gettext_noop("This key was replaced already: its successor is in the list.")),
    (NoCustomer, gettext_noop("You have bought nothing yet, so there is nothing to manage.")),
    (NotChangeable, gettext_noop("This plan cannot be changed now. Pay the open invoice first.")),
    (PreviewOutdated, gettext_noop("The price has changed meanwhile: look at it again.")),
    (StripeRefused, gettext_noop("The payment service refused, and nothing was changed.")),
    (
        StripeUnavailable,
        gettext_noop("The payment service does not answer. Nothing is lost: try again shortly."),
    ),
    (
        TaxLocationNeeded,
        gettext_noop("We need your address to count the tax: add it in the payment portal."),
    ),
    (CurrencyFixed, gettext_noop("Your plans are paid in another currency.")),
    (Unavailable, gettext_noop("That does not work at the moment: try again shortly.")),
)


def words_for(refusal: DomainError) -> str:
    for kind, words in WORDS:
        if isinstance(refusal, kind):
            return _(words)
    return _("That did not work, and nothing was changed.")
