"""Usage told to Stripe while half of the calls fail and senders die: every unit once.

12 rounds in the suite; with KILLS=n in the environment 60 for each.
"""

import os
import random
from decimal import Decimal

import pytest
from django.db.models import Sum

from billing import usage_reports, usage_sending
from billing.models import UsageReport
from metering.models import UsageTotal
from tests.billing.usage_cast import HOUR, at_stripe, count, customer, link_meter, roll_up_to
from tests.conftest import NOON

pytestmark = pytest.mark.django_db(transaction=True)

FAULTS = ("rate_limit", "server_error", "server_error_after", "reset_before", "reset_after")
EACH = 0.13  # one of the five strikes a call with probability 1/2
DEATHS = 0.3


def die_after_the_call(clock):
    """What a kill between call and settlement leaves: Stripe has it, our row says sent."""
    for report_id in usage_sending._due(clock(), 1):
        row = usage_sending._claim(report_id, clock())
        try:
            if row is not None:
                usage_sending._call(row)
        except Exception:  # noqa: BLE001  the dead report nothing
            pass


def test_every_unit_is_told_once(alice, bob, journal, stripe_world, clock):
    rounds = 60 * int(os.environ["KILLS"]) if "KILLS" in os.environ else 12
    chance = random.Random(int(os.environ.get("SEED", "7")))
    link, buyers = link_meter(journal), {who: customer(who) for who in (alice, bob)}
    stripe_world.faults.seed(chance.randrange(10_000))
    for fault in FAULTS:
        stripe_world.faults.add("POST /v1/billing/*", fault, probability=EACH)
    clock.advance(hours=1, minutes=2)
    for number in range(rounds):
        who, hour = chance.choice(list(buyers)), chance.randrange(-2, number // 8 + 1) * HOUR
        count(who, link, chance.randrange(1, 50), bucket=NOON + hour, closed=False)
        roll_up_to(clock())
        usage_reports.plan_reports(clock=clock, back=usage_reports.ALL)
        if chance.random() < DEATHS:
            die_after_the_call(clock)
        usage_sending.send_due(clock=clock)
        clock.advance(minutes=chance.choice((1, 6, 20)))
        if number == rounds // 2:
            clock.advance(hours=25)  # everything in between is settled by the summaries
    stripe_world.faults.clear()
    clock.advance(hours=rounds)  # every hour that was counted is closed
    roll_up_to(clock())
    for _ in range(10):
        usage_reports.plan_reports(clock=clock, back=usage_reports.ALL)
        usage_sending.send_due(clock=clock)
        clock.advance(minutes=6)

    for who, buyer in buyers.items():
        counted = UsageTotal.objects.filter(consumer=who).aggregate(all=Sum("quantity"))["all"]
        told = at_stripe(link, buyer, start=NOON - 3 * HOUR, hours=rounds * 3 + 60)
        assert Decimal(told) == counted
    assert set(UsageReport.objects.values_list("state", flat=True)) == {"done"}
