"""dj-stripe's tables as a faithful copy of what Stripe said; nothing decides by them.

The copy is written from a recording of objects already read (see `gateway.ReplayClient`), parents
first, each in its own savepoint: a shape that dj-stripe cannot take is reported and skipped.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from django.db import OperationalError, transaction
from djstripe import models
from djstripe.models.account import Account

from billing import gateway
from billing.personal import veil
from billing.shapes import ref

logger = logging.getLogger(__name__)

# Parents before children, so that dj-stripe finds them and asks for nothing.
MODELS: dict[str, type[models.base.StripeModel]] = {
    "account": models.Account,
    "product": models.Product,
    "price": models.Price,
    "customer": models.Customer,
    "payment_method": models.PaymentMethod,
    "setup_intent": models.SetupIntent,
    "subscription": models.Subscription,
    "payment_intent": models.PaymentIntent,
    "charge": models.Charge,
    "refund": models.Refund,
    "dispute": models.Dispute,
    "invoice": models.Invoice,
    "checkout.session": models.Session,
}
ORDER = {kind: place for place, kind in enumerate(MODELS)}

# By which way a copy belongs to a customer, where that is not its own column; "": to nobody.
OWNERS = {
    "account": "",
    "product": "",
    "price": "",
    "customer": "id",
    "refund": "charge__customer__id",
    "dispute": "charge__customer__id",
}

# What dj-stripe asks for when it meets a reference to one that it does not have.
ASKED_FOR = {
    "payment_method": ["/v1/payment_methods/{}"],
    "product": ["/v1/products/{}", "/v1/products/{}/features"],
}
WITH_CARD = ("customer", "subscription", "payment_intent", "setup_intent", "charge")

# Fields that dj-stripe itself adds to what it stores of a customer.
ADDED = {"default_payment_method", "deleted"}

# The status of each mirrored subscription, as SQL for those who compare by sets.
MIRRORED_SUBSCRIPTIONS = f"""
SELECT id AS stripe_id, stripe_data ->> 'status' AS status
FROM {models.Subscription._meta.db_table}
"""


def install() -> None:
    """Keep Stripe's keys out of the database: the account is the row that we mirrored.

    dj-stripe looks the account up by the secret key and stores that key; afterwards its stored
    copy would win over a rotated one.
    """
    Account.get_or_retrieve_for_api_key = classmethod(_own_account)


def _own_account(cls: type[Account], api_key: str) -> Account | None:
    """The first that was ever copied: nothing is copied before it, connected ones come later.

    dj-stripe asks for every object that it copies; within one `write` it is read once.
    """
    seen = _seen_account.get()
    if seen:
        return seen[0]
    found = cls.objects.order_by("pk").first()
    if seen is not None and found is not None:
        seen.append(found)
    return found


_seen_account: ContextVar[list[Account] | None] = ContextVar("seen_account", default=None)


@contextmanager
def _one_account() -> Iterator[None]:
    token = _seen_account.set([])
    try:
        yield
    finally:
        _seen_account.reset(token)


def has_account() -> bool:
    return _own_account(Account, "") is not None


def parents_lacking(objects: list[gateway.Object]) -> set[str]:
    """Addresses of what these objects refer to and the mirror does not have: dj-stripe will ask
    for them, and what is read beforehand spares a round of `write` each.
    """
    named = {"payment_method": set[str](), "product": set[str]()}
    for found in objects:
        named["payment_method"] |= _payment_methods_of(found)
        named["product"] |= _products_of(found)
    lacking: set[str] = set()
    for kind, ids in named.items():
        known = MODELS[kind].objects.filter(id__in=ids).values_list("id", flat=True)
        for stripe_id in ids.difference(known):
            lacking.update(path.format(stripe_id) for path in ASKED_FOR[kind])
    return lacking


def _payment_methods_of(found: gateway.Object) -> set[str]:
    settings_of = found.get("invoice_settings") or {}
    named = (
        found.get("payment_method"),
        found.get("default_payment_method"),
        settings_of.get("default_payment_method"),
    )
    return {ref(one) for one in named if ref(one)} if found["object"] in WITH_CARD else set()


def _products_of(found: gateway.Object) -> set[str]:
    items = found["items"]["data"] if found["object"] == "subscription" else []
    return {ref(item["price"]["product"]) for item in items}


def write(objects: list[gateway.Object], recording: gateway.Recording) -> list[str]:
    """Copy the objects; returns what could not be copied and why. What the copy says already is
    left alone: a sync reads everything of a customer, and most of it is as it was.

    When `recording.missing` is filled afterwards, roll back, fill it, and write again.
    """
    problems: list[str] = []
    known = [found for found in objects if found["object"] in MODELS and not found.get("deleted")]
    copies = _copies_of(known)
    with gateway.replaying(recording), _one_account():
        for found in sorted(known, key=_place):
            if _says_the_same(copies.get(found["id"]), found):
                continue
            problem = _copy(found, recording)
            if problem:
                problems.append(problem)
    return problems


def _copies_of(objects: list[gateway.Object]) -> dict[str, gateway.Object]:
    """What the mirror has of these objects, by id, in one question."""
    ids: dict[str, list[str]] = {}
    for found in objects:
        ids.setdefault(found["object"], []).append(found["id"])
    tables = [
        MODELS[kind].objects.filter(id__in=of_kind).values_list("id", "stripe_data")
        for kind, of_kind in ids.items()
    ]
    return dict(tables[0].union(*tables[1:], all=True)) if tables else {}


def _says_the_same(copy: gateway.Object | None, found: gateway.Object) -> bool:
    if copy is None:
        return False
    return all(copy.get(name) == value for name, value in found.items()) and (
        copy.keys() - found.keys() <= ADDED
    )


def _place(found: gateway.Object) -> tuple[int, str]:
    """Always the same order: two writers of shared rows must not wait for each other."""
    return ORDER[found["object"]], found["id"]


def _copy(found: gateway.Object, recording: gateway.Recording) -> str | None:
    model = MODELS[found["object"]]
    try:
        with transaction.atomic():
            model.sync_from_stripe_data(gateway.as_library_object(found))
    except OperationalError:
        raise
    except Exception as problem:  # noqa: BLE001  dj-stripe raises whatever its parsing meets
        if not recording.missing:
            logger.warning("mirror.skipped", extra={"object_id": found["id"], "why": repr(problem)})
            return f"{found['id']}: {problem!r}"
    return None


def customers_with_card(stripe_id: str) -> list[str]:
    """The Stripe customers to whom the mirror says that a payment method belongs; one or none."""
    rows = models.PaymentMethod.objects.filter(id=stripe_id, customer__isnull=False)
    return list(rows.values_list("customer__id", flat=True))


def payment_methods_of(*, stripe_customer_id: str) -> list[gateway.Object]:
    """A customer's payment methods as they were last seen, newest first."""
    rows = models.PaymentMethod.objects.filter(customer__id=stripe_customer_id)
    return [dict(row.stripe_data) for row in rows.order_by("-created", "-id")]


def invoice_seen(*, stripe_invoice_id: str) -> gateway.Object | None:
    """An invoice as it was last seen."""
    row = models.Invoice.objects.filter(id=stripe_invoice_id).first()
    return dict(row.stripe_data) if row else None


def veil_customers(customer_ids: list[str]) -> None:
    """Take out of the copy what says who these customers are."""
    for kind, model in MODELS.items():
        owner = OWNERS.get(kind, "customer__id")
        rows = model.objects.filter(**{f"{owner}__in": customer_ids}) if owner else []
        for row in [*rows, *(_paid_with(customer_ids) if kind == "payment_method" else [])]:
            values = {"stripe_data": veil(row.stripe_data), "metadata": veil(row.metadata)}
            model.objects.filter(pk=row.pk).update(**values)
    models.Customer.objects.filter(id__in=customer_ids).update(email="")


def _paid_with(customer_ids: list[str]) -> Iterable[models.PaymentMethod]:
    """Cards that were used once and never saved belong to no customer, but to their payments."""
    used: set[str] = set()
    for model in (models.Charge, models.PaymentIntent, models.SetupIntent):
        rows = model.objects.filter(customer__id__in=customer_ids)
        used |= {
            ref(one.get("payment_method")) for one in rows.values_list("stripe_data", flat=True)
        }
    found: Iterable[models.PaymentMethod] = models.PaymentMethod.objects.filter(id__in=used)
    return found
