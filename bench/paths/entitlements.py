"""What a user may use: asked for, by an app, about one of many users."""

import random

from bench import data
from bench.field import Field
from bench.gun import Plan, request
from bench.paths import shots
from bench.rounds import Contender, Figures, table

ASKED_ABOUT = 20_000  # users, or all if there are fewer
WARM_FOR_THEM = 500  # few enough that all of theirs are in Redis before the first round
LIMIT, SEEDS = "bare granian", "seeds' design"
PATH = "/api/v1/entitlements?user_id=user_{}"


def measure(field: Field) -> str:
    """One table for each number of consumers."""
    return "\n".join(_measure(field, count) for count in field.sizes.consumers)


def _measure(field: Field, consumers: int) -> str:
    field.furnish(consumers)
    users = random.Random(1).sample(range(consumers), min(consumers, ASKED_ABOUT))
    answers = data.answers_of(users)
    ours = [
        (request("GET", PATH.format(user), shots.with_app_key()), body) for user, body in answers
    ]
    theirs = [
        (request("GET", PATH.format(user), shots.with_app_key()), b'"feature_code":"exports"')
        for user in users[:WARM_FOR_THEM]
    ]
    plan, their_plan = Plan(shots.share_of(ours)), Plan(shots.share_of(theirs), exact=False)
    body = answers[0][1]
    contenders = [
        Contender(LIMIT, field.bare(body), Plan(shots.always("GET", PATH.format(0), body))),
        Contender("PostgreSQL each time", field.ours(PUSH_CACHE="false"), plan),
        Contender("push cache", field.ours(PUSH_CACHE="true"), plan),
        *([Contender(SEEDS, field.seeds(), their_plan)] if field.baselines else []),
    ]
    # Every answer is asked for once before: the cache is warm, theirs and ours.
    found = field.run(contenders, warm_up=len(users))
    told = table(f"Entitlements, {consumers:,} consumers", found, limit=LIMIT, seeds=SEEDS)
    return told + _hits(field, contenders[2], found["push cache"])


def _hits(field: Field, contender: Contender, figures: Figures) -> str:
    return ""
