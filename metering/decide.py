"""The gateway's one question: may this key do this, from there, now?

Nothing about keys is cached: whatever was changed before the question was asked is in the answer.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from django.db.models import Q

from entitlements.selectors import answer_of
from keystore.addresses import is_within
from keystore.lastused import note_use
from keystore.limits import MINUTE, Verdict, all_allow, tightest
from keystore.models import Api, ApiKey, Consumer, DisabledBecause
from keystore.ratelimit import take_all
from keystore.selectors import find_key, is_named
from metering.passing import quota_headers, quota_shown, seconds_until, take_for_request
from metering.quotas import Verdict as QuotaVerdict


class Code(StrEnum):
    VALID = "VALID"
    NOT_FOUND = "NOT_FOUND"
    REVOKED = "REVOKED"
    EXPIRED = "EXPIRED"
    ROTATED_OUT = "ROTATED_OUT"
    DISABLED = "DISABLED"
    SUSPENDED_PAYMENT = "SUSPENDED_PAYMENT"
    IP_NOT_ALLOWED = "IP_NOT_ALLOWED"
    INSUFFICIENT_SCOPE = "INSUFFICIENT_SCOPE"
    FEATURE_NOT_ENTITLED = "FEATURE_NOT_ENTITLED"
    RATE_LIMITED = "RATE_LIMITED"
    USAGE_EXCEEDED = "USAGE_EXCEEDED"


NO_QUOTA = {"X-Quota-Limit": "", "X-Quota-Remaining": "", "X-Quota-Reset": ""}
CHALLENGE = 'Bearer realm="latchkey"'

# Only these statuses: nginx's auth_request and Caddy's forward_auth know no finer ones.
OUTCOMES = {
    Code.VALID: (200, "The key is valid."),
    Code.NOT_FOUND: (401, "There is no such key: send it in X-API-Key or as a Bearer token."),
    Code.REVOKED: (401, "This key was revoked: use another one."),
    Code.EXPIRED: (401, "This key has expired: use another one."),
    Code.ROTATED_OUT: (401, "This key was replaced: use its successor."),
    Code.DISABLED: (403, "This key is switched off: ask the provider."),
    Code.SUSPENDED_PAYMENT: (403, "This key waits for a payment: check the payment method."),
    Code.IP_NOT_ALLOWED: (403, "This key may not be used from this address."),
    Code.INSUFFICIENT_SCOPE: (403, "This key was not made for this: it lacks the scope or API."),
    Code.FEATURE_NOT_ENTITLED: (403, "The plan does not contain this feature: upgrade to use it."),
    Code.RATE_LIMITED: (429, "Too many requests: try again after Retry-After seconds."),
    Code.USAGE_EXCEEDED: (429, "The quota is used up until it starts anew: upgrade to use more."),
}


@dataclass(frozen=True)
class Decision:
    """The answer, in headers for gateways that read no body and as JSON for the others."""

    code: Code
    status: int
    headers: dict[str, str]
    body: dict[str, Any]
    key: ApiKey | None = field(default=None, repr=False, compare=False)

    @property
    def valid(self) -> bool:
        return self.code is Code.VALID


@dataclass(frozen=True)
class Wish:
    """What is to be done with the key: empty parts are not asked for."""

    remote_ip: str
    scopes: Sequence[str]
    api: str
    feature: str


def decide(
    *,
    token: str,
    remote_ip: str,
    scopes_wanted: Sequence[str],
    api: str,
    feature: str,
    at: datetime,
    project: str = "",
    environment: str = "",
    cost: int = 1,
    meter: str = "",
    request_id: str = "",
    found: ApiKey | None = None,
) -> Decision:
    """Whether the key `token` may be used; an accepted use takes `cost` of its rate limits.

    Keys of another `project` or `environment` are unknown. `meter`: one call is taken of limits,
    then `cost` of its quota, once for each `request_id`. Cost 0 only looks. `found`: if known.
    """
    key = found or find_key(token)
    if key is None or not _is_from(key, project, environment):
        return _decision(Code.NOT_FOUND)
    code = _state_of_wish(key, Wish(remote_ip, scopes_wanted, api, feature), at)
    verdicts: list[Verdict] = []
    quota: QuotaVerdict | None = None
    if code is Code.VALID:
        calls = min(cost, 1) if meter else cost
        verdicts = take_all(subject=key.limited_as, limits=key.rate_limits, cost=calls)
        if calls and not all_allow(verdicts):
            code = Code.RATE_LIMITED
        elif meter:
            quota = take_for_request(
                key=key, meter=meter, quantity=cost, request_id=request_id, at=at
            )
            code = Code(quota.code.upper()) if quota.code else Code.VALID
    if code is Code.VALID:
        note_use(key=key, at=at)
    told = _decision(code, key, verdicts, plan=plan_of(key, at))
    return told if quota is None else _with_quota(told, meter, quota, at)


def identify(
    *,
    token: str,
    remote_ip: str,
    at: datetime,
    project: str = "",
    environment: str = "",
    found: ApiKey | None = None,
) -> Decision:
    """Whose key this is and what its owner may use, without taking from the rate limit."""
    decision = decide(
        token=token,
        remote_ip=remote_ip,
        scopes_wanted=(),
        api="",
        feature="",
        at=at,
        project=project,
        environment=environment,
        cost=0,
        found=found,
    )
    key = decision.key
    if key is None or not decision.valid:
        return decision
    shown: dict[str, Any] = {"entitlements": _entitlements(key.consumer, at)}
    if key.consumer is not None:
        shown["consumer"] = {
            **decision.body["consumer"],
            "email": masked(key.consumer.email),
            "name": key.consumer.name,
        }
    return replace(decision, body={**decision.body, **shown})


def plan_of(key: ApiKey, at: datetime) -> str:
    """The plan that the key was made for, else the best that its consumer has; may be empty."""
    made_for = key.metadata.get("plan")
    if isinstance(made_for, str) and made_for:
        return made_for
    if key.consumer is None:
        return ""
    return str(_answer(key.consumer, at).get("plan") or "")


def masked(email: str) -> str:
    """Enough of an address to recognise one's own: a***@example.com."""
    name, at_sign, domain = email.partition("@")
    return f"{name[:1]}***@{domain}" if at_sign else ""


def _is_from(key: ApiKey, project: str, environment: str) -> bool:
    """Whether the key is of the project and the environment that are named, if any is."""
    at_home = not project or is_named(key.project, project)
    return at_home and environment in ("", key.environment)


def _state_of_wish(key: ApiKey, wish: Wish, at: datetime) -> Code:
    return _state_of(key, at) or _fit_of(key, wish, at) or Code.VALID


def _state_of(key: ApiKey, at: datetime) -> Code | None:
    if key.revoked_at is not None:
        return Code.REVOKED
    if key.has_expired(at) and key.replaced_at is not None:
        return Code.ROTATED_OUT
    # Its time ended with the days of grace, and when the money comes it works again.
    if key.disabled_because == DisabledBecause.PAYMENT:
        return Code.SUSPENDED_PAYMENT
    if key.has_expired(at):
        return Code.EXPIRED
    return None if key.is_usable(at) else Code.DISABLED


def _fit_of(key: ApiKey, wish: Wish, at: datetime) -> Code | None:
    if key.allowed_cidrs and not is_within(wish.remote_ip, key.allowed_cidrs):
        return Code.IP_NOT_ALLOWED
    if "*" not in key.scopes and not set(wish.scopes) <= set(key.scopes):
        return Code.INSUFFICIENT_SCOPE
    if wish.api and not _opens_api(key, wish.api):
        return Code.INSUFFICIENT_SCOPE
    if wish.feature and not _is_entitled(key.consumer, wish.feature, at):
        return Code.FEATURE_NOT_ENTITLED
    return None


def _opens_api(key: ApiKey, api: str) -> bool:
    """A key made for no API in particular opens those of its own project."""
    if key.api is not None:
        return api in {key.api.code, key.api.public_id}
    named = Q(code=api) | Q(public_id=api)
    return Api.objects.filter(named, project=key.project_id).exists()


def _is_entitled(consumer: Consumer | None, feature: str, at: datetime) -> bool:
    return any(
        one["feature_code"] == feature and one["active"] for one in _entitlements(consumer, at)
    )


def _entitlements(consumer: Consumer | None, at: datetime) -> list[dict[str, Any]]:
    return [] if consumer is None else list(_answer(consumer, at)["entitlements"])


def _answer(consumer: Consumer, at: datetime) -> dict[str, Any]:
    return _read(answer_of(consumer=consumer, at=at).body)


@lru_cache(maxsize=500)
def _read(body: str) -> dict[str, Any]:
    """For reading only: the same body is the same answer, and is read at every request."""
    answer: dict[str, Any] = json.loads(body)
    return answer


def _decision(
    code: Code, key: ApiKey | None = None, verdicts: Sequence[Verdict] = (), plan: str = ""
) -> Decision:
    status, detail = OUTCOMES[code]
    body = {
        "valid": code is Code.VALID,
        "code": code.value,
        "detail": detail,
        **_who(key),
        "plan": plan or None,
        **limits_shown(verdicts),
        "quota": None,
    }
    return Decision(code, status, _headers(code, key, tightest(verdicts), plan), body, key)


def limits_shown(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """The part of the body that says what is left of the limits."""
    shown = tightest(verdicts)
    return {
        "rate_limit": None if shown is None else _limit_shown(shown),
        "rate_limits": [_limit_shown(verdict) for verdict in verdicts],
    }


def limit_headers(verdict: Verdict | None) -> dict[str, str]:
    """The headers that say it of the tightest limit."""
    return {
        "X-RateLimit-Limit": str(verdict.limit) if verdict else "",
        "X-RateLimit-Remaining": str(verdict.remaining) if verdict else "",
        "X-RateLimit-Reset": str(verdict.reset_seconds) if verdict else "",
    }


def _with_quota(decision: Decision, meter: str, quota: QuotaVerdict, at: datetime) -> Decision:
    headers = {**decision.headers, **quota_headers(quota, at)}
    if decision.code is Code.USAGE_EXCEEDED:
        headers["Retry-After"] = str(seconds_until(quota.resets_at, at))
    body = {**decision.body, "quota": quota_shown(meter, quota)}
    return replace(decision, headers=headers, body=body)


def _who(key: ApiKey | None) -> dict[str, Any]:
    if key is None:
        return {"consumer": None, "app": None, "project": None, "key": None}
    consumer, app = key.consumer, key.app
    return {
        "consumer": consumer
        and {
            "id": consumer.public_id,
            "external_id": consumer.external_id,
            "user_id": consumer.external_id,
        },
        "app": app and {"id": app.public_id, "name": app.name},
        "project": {"id": key.project_id, "slug": key.project.slug, "name": key.project.name},
        "key": {
            "id": key.public_id,
            "name": key.name,
            "prefix": key.prefix,
            "last4": key.last4,
            "environment": key.environment,
            "api": key.api.code if key.api else None,
            "scopes": key.scopes,
            "expires_at": key.expires_at.isoformat() if key.expires_at else None,
            "metadata": {**key.metadata, **_masked_buyer(key)},
        },
    }


def _masked_buyer(key: ApiKey) -> dict[str, str]:
    """Whoever found a key, revoked or not, does not learn whom to write to."""
    email = key.metadata.get("customer_email")
    return {"customer_email": masked(email)} if isinstance(email, str) else {}


def _limit_shown(verdict: Verdict) -> dict[str, Any]:
    return {
        "name": verdict.name,
        "limit": verdict.limit,
        "window_seconds": verdict.window_seconds,
        "limit_per_minute": verdict.limit if verdict.name == MINUTE else None,
        "remaining": verdict.remaining,
        "reset_seconds": verdict.reset_seconds,
        "retry_after_seconds": verdict.retry_after_seconds,
    }


def _headers(code: Code, key: ApiKey | None, verdict: Verdict | None, plan: str) -> dict[str, str]:
    """Every header is always there, so that a gateway never passes on one that a caller sent."""
    consumer = key.consumer if key else None
    headers = {
        "X-Latchkey-Code": code.value,
        "X-Consumer": _header_text(consumer.external_id) if consumer else "",
        "X-Consumer-Id": consumer.public_id if consumer else "",
        "X-Plan": _header_text(plan),
        "X-Key-Id": key.public_id if key else "",
        "X-Key-Environment": key.environment if key else "",
        **limit_headers(verdict),
        **NO_QUOTA,
        "Retry-After": "0",
        "Cache-Control": "no-store",
    }
    if code is Code.RATE_LIMITED and verdict is not None:
        headers["Retry-After"] = str(max(1, verdict.retry_after_seconds))
    if OUTCOMES[code][0] == 401:
        headers["WWW-Authenticate"] = CHALLENGE
    return headers


def _header_text(value: str) -> str:
    """`value` as it is if a header can hold it, else percent-encoded."""
    fits = value.isascii() and value.isprintable() and value == value.strip()
    return value if fits else quote(value)
