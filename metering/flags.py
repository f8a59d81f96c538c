"""Features as flags, by the OpenFeature Remote Evaluation Protocol: from bytes to bytes.

A boolean feature is true or false, a limit its number, a config feature its value. What the user
is not entitled to has no value, so that the app's own default holds; booleans are false, limits 0.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from entitlements.models import Feature, FeatureKind
from entitlements.selectors import features_of
from keystore.models import Project
from keystore.selectors import consumer_of
from metering.amounts import shown
from metering.asking import MOST_BYTES
from metering.checking import known_of
from metering.checks import NOBODY, Known
from metering.failpolicy import cache_control, policies_of, strictest
from metering.replies import Reply, conditional_reply, json_reply

UNLIMITED = 2**53 - 1  # the largest number that every client reads exactly
LONGEST_KEY = 255
NO_STORE = {"Cache-Control": "no-store"}


class FlagError(Exception):
    """A refusal in the protocol's own words."""

    def __init__(self, code: str, details: str, status: int = 400) -> None:
        super().__init__(details)
        self.code, self.details, self.status = code, details, status


def evaluate_flag(key: str, body: bytes, *, project: Project, at: datetime) -> Reply:
    """One feature for the user that the context names; limits with what is left now."""
    try:
        user_id = targeting_key(body)
        feature = Feature.objects.filter(project=project, code=key).first()
        if feature is None:
            raise FlagError("FLAG_NOT_FOUND", f"There is no feature {key!r}.", 404)
    except FlagError as error:
        refusal = {"key": key, "errorCode": error.code, "errorDetails": error.details}
        return json_reply(error.status, refusal, NO_STORE)
    known, _ = _known(project, user_id, at)
    return json_reply(200, _flag(feature, known, with_usage=True), NO_STORE)


def evaluate_flags(
    body: bytes, *, project: Project, if_none_match: str = "", at: datetime
) -> Reply:
    """Every feature of the project. The ETag does not change with usage, so it is not told."""
    try:
        user_id = targeting_key(body)
    except FlagError as error:
        refusal = {"errorCode": error.code, "errorDetails": error.details}
        return json_reply(error.status, refusal, NO_STORE)
    known, ends = _known(project, user_id, at)
    features = list(features_of(project=project))
    policies = policies_of(project=project)
    policy = strictest(policies.get(feature.code, policies[None]) for feature in features)
    content = {
        "flags": [_flag(feature, known, with_usage=False) for feature in features],
        "metadata": {"version": known.version},
    }
    return conditional_reply(
        content,
        if_none_match=if_none_match,
        headers={"Cache-Control": cache_control(policy, until=ends, at=at)},
    )


def targeting_key(body: bytes) -> str:
    """The user of the context. Raises FlagError."""
    if len(body) > MOST_BYTES:
        raise FlagError("PARSE_ERROR", f"A body may have {MOST_BYTES:,} bytes.")
    try:
        asked = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FlagError("PARSE_ERROR", f"The body is not valid JSON: {error}.") from error
    context = asked.get("context") if isinstance(asked, dict) else None
    if not isinstance(context, dict):
        raise FlagError("INVALID_CONTEXT", "Send an object with an object `context`.")
    key = context.get("targetingKey")
    if key is None or key == "":
        raise FlagError("TARGETING_KEY_MISSING", "Send the user's id as context.targetingKey.")
    if not isinstance(key, str) or len(key) > LONGEST_KEY or "\x00" in key:
        raise FlagError("INVALID_CONTEXT", "context.targetingKey is a text: the user's id.")
    return key


def _known(project: Project, user_id: str, at: datetime) -> tuple[Known, list[datetime | None]]:
    """And the instants at which something of it ends by itself."""
    consumer = consumer_of(project=project, user_id=user_id)
    if consumer is None:
        return NOBODY, []
    known = known_of(consumer=consumer, at=at)
    ends = [one["valid_to"] for one in known.entitlements.values() if one["valid_to"]]
    return known, [datetime.fromisoformat(end) for end in ends]


def _flag(feature: Feature, known: Known, *, with_usage: bool) -> dict[str, Any]:
    held = known.entitlements.get(feature.code)
    active = held is not None and (held["active"] or held["reason"] == "none_included")
    flag: dict[str, Any] = {
        "key": feature.code,
        "reason": "TARGETING_MATCH" if active else "DISABLED",
        "variant": str((held["plan"] or held["source"]) if active and held else "off"),
        "metadata": _metadata(feature, held, known, with_usage),
    }
    if feature.kind == FeatureKind.BOOLEAN:
        flag["value"] = active
    elif feature.kind == FeatureKind.LIMIT:
        flag["value"] = 0 if not active or held is None else _limit(held)
    elif active and held is not None and held["value"] is not None:
        flag["value"] = held["value"]
    return flag


def _limit(held: Mapping[str, Any]) -> int:
    return UNLIMITED if held["limit"] is None else min(held["limit"], UNLIMITED)


def _metadata(
    feature: Feature, held: Mapping[str, Any] | None, known: Known, with_usage: bool
) -> dict[str, Any]:
    """The protocol allows texts, numbers and booleans only: what is unknown is left out."""
    told: dict[str, Any] = {"kind": feature.kind, "version": known.version}
    if held is None:
        return told
    told |= {"source": held["source"], "source_id": held["source_id"], "reason": held["reason"]}
    if held["valid_to"]:
        told["valid_to"] = held["valid_to"]
    if feature.kind == FeatureKind.LIMIT:
        told["unlimited"] = held["limit"] is None and held["reason"] != "denied"
    quota = known.quotas.get(feature.code)
    if with_usage and quota is not None and quota.terms.entitled:
        told |= {"used": shown(quota.left.used), "credits": shown(quota.left.credits)}
        if quota.left.remaining is not None:
            told["remaining"] = shown(quota.left.remaining)
    return told
