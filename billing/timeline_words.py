"""What an entry of the audit trail means, in words for people."""

from collections.abc import Mapping
from typing import Any

from billing.money import shown
from keystore.masking import masked_all
from keystore.models import AuditEntry

KIND_OF_OBJECT = {
    "grant": "access",
    "consumer": "staff",
    "consumernote": "staff",
    "apikey": "key",
    "inboxevent": "staff",
}
NOUNS = {
    "apikey": "Key",
    "checkout": "Checkout",
    "dunningcourse": "Reminders",
    "dunningtext": "Text of a reminder",
    "creditnote": "Credit note",
    "dispute": "Dispute",
    "invoice": "Invoice",
    "payment": "Payment",
    "purchase": "Purchase",
    "refund": "Refund",
    "priceoverride": "Agreed price",
    "refundrequest": "Refund request",
    "stripecustomer": "Stripe customer",
    "subscription": "Subscription",
}
VERBS = {
    "consumer.register": "Became known to us",
    "consumer.tag": "Tags set",
    "consumer.merge": "Merged into another consumer",
    "consumer.take_over": "Another consumer was merged into this one",
    "consumer.erase": "Personal data erased",
    "customer.sync": "Synced with Stripe",
    "note.add": "Note written",
    "note.remove": "Note taken down",
    "grant.give": "{name} opened",
    "grant.deny": "{name} denied",
    "grant.move": "Access to {name} moved",
    "grant.reopen": "{name} opened again",
    "grant.revoke": "Access to {name} ended",
    "grant.renew": "Access to {name} renewed",
    "grant.restore": "Revocation of {name} taken back",
    "key.provision": "Key {name} made for the purchase",
    "key.issue": "Key {name} issued",
    "key.claim": "Key {name} collected by the buyer",
    "key.suspend": "Key {name} suspended: not paid for",
    "key.update": "Key {name} brought up to date",
    "key.revoke": "Key {name} revoked",
    "key.rotate": "Key {name} rotated",
    "key.disable": "Key {name} switched off",
    "key.enable": "Key {name} switched on",
    "card.attach": "Payment method added",
    "card.set_default": "Another payment method pays from now on",
    "card.detach": "Payment method let go",
    "price_override.set": "Price agreed",
    "price_override.end": "Agreed price ended",
    "subscription.schedule": "Change of the plan scheduled",
    "subscription.schedule_resumption": "End of the pause scheduled",
    "subscription.schedule_done": "Scheduled change was made already",
    "subscription.schedule_withdrawn": "Scheduled change withdrawn",
    "subscription.schedule_failed": "Scheduled change failed, the old plan stays",
    "subscription.scheduled_change": "Scheduled change of the plan carried out",
    "refund.want": "Refund {name} asked for",
    "dunning.begin": "The payment of a renewal failed",
    "dunning.payment_failed": "Customer told that the payment failed",
    "dunning.reminder": "Customer reminded of the payment",
    "dunning.last_reminder": "Customer reminded for the last time",
    "dunning.access_ended": "Access ended: not paid within the days of grace",
    "dunning.access_ended_again": "Customer told again that access ended",
    "dunning.close": "Reminders of the payment ended",
    "dunning.pause": "Reminders of the payment paused",
    "dunning.resume": "Reminders of the payment resumed",
    "dunning.skip": "A reminder of the payment left out",
}
COLUMNS = {
    "amount_minor": "amount",
    "cancel_at": "cancels",
    "captured_minor": "captured",
    "current_period_end": "period ends",
    "mrr_minor": "per month",
    "paid_minor": "paid",
    "plan__code": "plan",
    "total_minor": "total",
    "valid_from": "since",
    "valid_to": "until",
}
SILENT = {"currency", "public_id", "reason", "ticket", "source", "source_ref", "effect", "config"}
SILENT |= {"feature", "plan", "revoked_at", "events", "metadata", "disabled_at", "slot", "scopes"}
Values = Mapping[str, Any]


def kind_of(entry: AuditEntry) -> str:
    if entry.object_kind in ("grant", "apikey"):
        return KIND_OF_OBJECT[entry.object_kind]
    if entry.actor.startswith("staff:"):
        return "staff"
    return KIND_OF_OBJECT.get(entry.object_kind, "money")


def text_of(entry: AuditEntry, names: Mapping[str, str]) -> str:
    """One line; `names` has what people call the objects, by public id."""
    before, after = _values(entry.before), _values(entry.after)
    said = _headline(entry, after, names)
    details = _details(before, after)
    return f"{said}: {', '.join(details)}" if details else said


def _headline(entry: AuditEntry, after: Values, names: Mapping[str, str]) -> str:
    name = names.get(entry.object_id, entry.object_id)
    events = after.get("events")
    if events:
        return f"One look at Stripe served {len(events)} events"
    if entry.act == "key.update" and after.get("disabled_at", 0) is None:
        return f"Key {name} works again"
    if entry.act in VERBS:
        return VERBS[entry.act].format(name=name)
    noun = NOUNS.get(entry.object_kind, entry.object_kind)
    verb = entry.act.partition(".")[2]
    what = f"{noun} {_stripe_id(after) or name}"
    return what if verb in ("add", "change") else f"{what} {verb.replace('_', ' ')}"


def _details(before: Values, after: Values) -> list[str]:
    told = []
    for name, value in after.items():
        if name in SILENT or name.startswith("stripe_") or (not before and value in (None, False)):
            continue
        new = _said(name, value, after)
        if name in before:
            told.append(f"{_column(name)} {_said(name, before[name], after)} → {new}")
        elif new:
            told.append(f"{_column(name)} {new}")
    return told


def _column(name: str) -> str:
    return COLUMNS.get(name, name.replace("_", " "))


def _said(name: str, value: Any, values: Values) -> str:
    if value is None:
        return "none"
    if name.endswith("_minor") and isinstance(value, int):
        currency = values.get("currency")
        return shown(value, currency) if currency else f"{value:,}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    text = str(value)
    is_instant = len(text) > 18 and text[4:5] == "-" and text[10:11] == "T"
    return text[:16].replace("T", " ") if is_instant else text.replace("_", " ")


def _stripe_id(after: Values) -> str:
    found = (str(value) for name, value in after.items() if name.startswith("stripe_"))
    return next(found, "")


def _values(told: Any) -> Values:
    """Nobody needs a name or an address to follow a story."""
    masked = masked_all(told)
    return masked if isinstance(masked, dict) else {}
