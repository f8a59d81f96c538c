"""What the tests of refunds share: things that alice paid for, and people who give money back."""

from itertools import count

from billing import gateway
from billing.models import AfterRefund, RefundBudget, RefundLimit
from billing.refund_desk import RefundWish, request_refund
from billing.refund_steps import follow_request
from tests.conftest import NOON

_numbers = count()


def stripe(path, _method="post", **params):
    """What somebody does at Stripe without us."""
    return gateway.write(path, params, idempotency_key=f"cast:{next(_numbers)}", method=_method)


def a_person(name, role=None, **more):
    from django.contrib.auth.models import Group, User

    person = User.objects.create_user(name, is_staff=True, **more)
    if role:
        person.groups.add(Group.objects.get(name=role))
    return person


def a_limit(project, minor=5_000, currency="usd"):
    return RefundLimit.objects.create(
        project=project, currency=currency, approval_above_minor=minor
    )


def a_budget(project, role, minor, currency="usd"):
    from django.contrib.auth.models import Group

    group = Group.objects.get(name=role)
    return RefundBudget.objects.create(
        project=project, role=group, currency=currency, monthly_minor=minor
    )


def wish(amount_minor, key="click-1", **more):
    return RefundWish(key=key, amount_minor=amount_minor, reason="too slow", **more)


def ask(payment, person, amount_minor, *, at=NOON, **more):
    return request_refund(payment=payment, wish=wish(amount_minor, **more), person=person, at=at)


def carry_out(payment, person, amount_minor, clock, **more):
    """Ask, and let the worker do all of it."""
    request = ask(payment, person, amount_minor, at=clock(), **more)
    return follow_request(request=request, clock=clock)


def back_at_stripe(payment):
    found = gateway.read_all("/v1/refunds", charge=payment.stripe_charge_id)
    return [(each["amount"], each["status"]) for each in found]


CANCEL_NOW, AT_PERIOD_END = AfterRefund.CANCEL_NOW, AfterRefund.CANCEL_AT_PERIOD_END
