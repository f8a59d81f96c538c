"""A check from bytes to bytes: the one way in, whoever reads the socket.

Refusals are raised as DomainError; a "no" is an answer like any other.
"""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from config.errors import InvalidInput
from entitlements.selectors import feature_by_code, features_of
from keystore.models import Consumer, Project
from keystore.selectors import consumer_of, consumers_named
from metering.asking import Question, question_in, questions_in
from metering.checks import Answer, Known, after_taking, judge, missing_feature, plans_that_would
from metering.failpolicy import Policy, cache_control, policies_of, strictest
from metering.models import Aggregation, Meter
from metering.quotas import take
from metering.replies import Reply, conditional_reply, json_reply
from metering.reservations import RESERVABLE, hold
from metering.selectors import answers_of, limited_meters, quotas_of

NO_STORE = {"Cache-Control": "no-store"}


def check(body: bytes, *, project: Project, if_none_match: str = "", at: datetime) -> Reply:
    """Answer one question; taking what is asked for when it says so."""
    asked = question_in(body)
    feature = feature_by_code(project=project, code=asked.feature_code)
    consumer = consumer_of(project=project, user_id=asked.user_id)
    meter = limited_meters(project=project).filter(feature=feature).first()
    policies = policies_of(project=project)
    policy = policies.get(feature.code, policies[None])
    known = _known([consumer], [meter] if meter else [], at)[consumer.pk] if consumer else None
    answer = judge(
        user_id=consumer.external_id if consumer else asked.user_id,
        feature=feature.code,
        quantity=asked.quantity,
        known=known,
        policy=policy,
    )
    taken: dict[str, Any] = {}
    if not asked.only_reads:
        answer, taken = _take(answer, asked, consumer, _takeable(meter, asked), at)
    content = {**_in_utc(answer), **taken}
    if asked.with_preview:
        content["preview"] = {
            "plans": plans_that_would(
                project=project, feature=feature, quantity=asked.quantity, left=answer.left
            )
        }
    if not asked.only_reads:
        return json_reply(200, content, NO_STORE)
    return conditional_reply(
        content, if_none_match=if_none_match, headers=_cached(policy, [answer], at)
    )


def check_batch(body: bytes, *, project: Project, if_none_match: str = "", at: datetime) -> Reply:
    """The answers about every user and every feature that is named, in a handful of queries."""
    asked = questions_in(body)
    codes = list(dict.fromkeys(asked.feature_codes))
    users = list(dict.fromkeys(asked.user_ids))
    exist = set(features_of(project=project).filter(code__in=codes).values_list("code", flat=True))
    consumers = consumers_named(project=project, user_ids=users)
    meters = list(limited_meters(project=project).filter(feature__code__in=codes))
    known = _known({one.pk: one for one in consumers.values()}.values(), meters, at)
    policies = policies_of(project=project)
    answers = {
        user: {
            code: _one(user, code, asked.quantity, consumers.get(user), known, policies)
            if code in exist
            else missing_feature(user_id=user, feature=code)
            for code in codes
        }
        for user in users
    }
    content = {
        "data": [
            {"user_id": user, "features": {code: _in_utc(one) for code, one in found.items()}}
            for user, found in answers.items()
        ]
    }
    flat = [one for found in answers.values() for one in found.values()]
    policy = strictest(policies.get(code, policies[None]) for code in exist)
    return conditional_reply(
        content, if_none_match=if_none_match, headers=_cached(policy, flat, at)
    )


def known_of(*, consumer: Consumer, at: datetime) -> Known:
    """Everything that is to be said about one consumer."""
    meters = list(limited_meters(project=consumer.project))
    return _known([consumer], meters, at)[consumer.pk]


def _known(
    consumers: Collection[Consumer], meters: Collection[Meter], at: datetime
) -> dict[int, Known]:
    answers = answers_of(consumers=consumers, at=at)
    held = {pk: answer["entitlements"] for pk, answer in answers.items()}
    quotas = quotas_of(consumers=consumers, meters=meters, answers=held, at=at) if meters else {}
    codes = {meter.pk: meter.feature.code for meter in meters if meter.feature}
    found: dict[int, Known] = {}
    for pk, answer in answers.items():
        entitlements = {one["feature_code"]: one for one in answer["entitlements"]}
        left = {code: quotas[pk, meter] for meter, code in codes.items()}
        found[pk] = Known(entitlements, answer["version"], left)
    return found


def _one(
    user: str,
    code: str,
    quantity: Decimal,
    consumer: Consumer | None,
    known: Mapping[int, Known],
    policies: Mapping[str | None, Policy],
) -> Answer:
    return judge(
        user_id=user,
        feature=code,
        quantity=quantity,
        known=known[consumer.pk] if consumer else None,
        policy=policies.get(code, policies[None]),
    )


def _takeable(meter: Meter | None, asked: Question) -> Meter:
    if meter is None or meter.aggregation not in RESERVABLE:
        raise InvalidInput("Nothing is counted for this feature: ask without consume and reserve.")
    if meter.aggregation == Aggregation.COUNT and asked.quantity != 1:
        raise InvalidInput("This meter counts uses: send a quantity of 1.")
    return meter


def _take(
    answer: Answer, asked: Question, consumer: Consumer | None, meter: Meter, at: datetime
) -> tuple[Answer, dict[str, Any]]:
    if consumer is None:
        return answer, {}
    taken: dict[str, Any]
    if asked.reserve:
        held = hold(
            consumer=consumer,
            meter=meter,
            quantity=asked.quantity,
            ttl_seconds=asked.ttl_seconds,
            at=at,
        )
        verdict, kept = held.verdict, held.reservation
        taken = {"reservation": kept and {"id": kept.public_id, "expires_at": kept.expires_at}}
    else:
        verdict = take(
            consumer=consumer, meter=meter, quantity=asked.quantity, event_id=asked.event_id, at=at
        )
        event = str(verdict.event) if verdict.event else None
        taken = {"event": event, "repeated": verdict.repeated}
    after = after_taking(answer, left=verdict.left, code=verdict.code, resets_at=verdict.resets_at)
    return after, taken


def _cached(policy: Policy, answers: Collection[Answer], at: datetime) -> dict[str, str]:
    ends = {one.resets_at for one in answers}
    ends |= {
        datetime.fromisoformat(one.entitlement["valid_to"])
        for one in answers
        if one.entitlement and one.entitlement["valid_to"]
    }
    return {"Cache-Control": cache_control(policy, until=ends, at=at)}


def _in_utc(answer: Answer) -> dict[str, Any]:
    content = answer.body()
    if answer.resets_at is not None:
        content["resets_at"] = answer.resets_at.astimezone(UTC)
    return content
