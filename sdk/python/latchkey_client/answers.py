"""What the service answers. Each keeps the whole answer in `raw`: fields may be added to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

Json = dict[str, Any]


def instant(text: str | None) -> datetime | None:
    """An ISO 8601 instant."""
    return None if text is None else datetime.fromisoformat(text)


def amount(value: Any) -> Decimal | None:
    """A quantity; None stays None, which is unlimited where a limit is meant."""
    return None if value is None else Decimal(str(value))


@dataclass(frozen=True)
class Entitlement:
    """What a user may use of one feature. `value`: True, a limit (None: unlimited) or a config."""

    feature_code: str
    active: bool
    value: Any
    source: str
    source_id: str
    valid_from: datetime | None
    valid_to: datetime | None
    raw: Json = field(repr=False, default_factory=dict)

    @classmethod
    def read(cls, told: Json) -> Entitlement:
        return cls(
            feature_code=told["feature_code"],
            active=bool(told["active"]),
            value=told.get("value"),
            source=told.get("source") or "",
            source_id=told.get("source_id") or "",
            valid_from=instant(told.get("valid_from")),
            valid_to=instant(told.get("valid_to")),
            raw=told,
        )


@dataclass(frozen=True)
class Entitlements:
    """All that a user may use. `stale`: told from memory because the service did not answer."""

    user_id: str
    plan: str | None
    version: int
    features: dict[str, Entitlement]
    changes_at: datetime | None
    stale: bool = False
    raw: Json = field(repr=False, default_factory=dict)

    @classmethod
    def read(cls, told: Json) -> Entitlements:
        found = [Entitlement.read(one) for one in told["entitlements"]]
        return cls(
            user_id=told["user_id"],
            plan=told.get("plan"),
            version=told.get("version", 0),
            features={one.feature_code: one for one in found},
            changes_at=instant(told.get("changes_at")),
            raw=told,
        )

    def allows(self, feature_code: str, at: datetime) -> bool:
        """Whether the feature is open at `at`: also between two answers a term may end."""
        found = self.features.get(feature_code)
        if found is None or not found.active:
            return False
        return found.valid_to is None or at < found.valid_to


@dataclass(frozen=True)
class Check:
    """May this user do this now? `fallback`: the service did not answer, your policy did."""

    allowed: bool
    code: str
    reason: str
    limit: Decimal | None = None
    used: Decimal | None = None
    remaining: Decimal | None = None
    resets_at: datetime | None = None
    fallback: bool = False
    raw: Json = field(repr=False, default_factory=dict)

    @classmethod
    def read(cls, told: Json) -> Check:
        return cls(
            allowed=bool(told["allowed"]),
            code=told.get("code") or "",
            reason=told.get("reason") or "",
            limit=amount(told.get("limit")),
            used=amount(told.get("used")),
            remaining=amount(told.get("remaining")),
            resets_at=instant(told.get("resets_at")),
            raw=told,
        )


@dataclass(frozen=True)
class Verification:
    """What a key may do. `code` is VALID, or why not."""

    valid: bool
    code: str
    detail: str
    user_id: str | None
    plan: str | None
    key_id: str | None
    raw: Json = field(repr=False, default_factory=dict)

    @classmethod
    def read(cls, told: Json) -> Verification:
        return cls(
            valid=bool(told["valid"]),
            code=told["code"],
            detail=told.get("detail") or "",
            user_id=(told.get("consumer") or {}).get("external_id"),
            plan=told.get("plan"),
            key_id=(told.get("key") or {}).get("id"),
            raw=told,
        )


@dataclass(frozen=True)
class Receipt:
    """What became of one event: accepted, duplicate, conflict or rejected, and why."""

    id: str
    source: str
    status: str
    code: str
    detail: str
    raw: Json = field(repr=False, default_factory=dict)

    @property
    def counted(self) -> bool:
        return self.status in ("accepted", "duplicate")

    @classmethod
    def read(cls, told: Json) -> Receipt:
        return cls(
            id=told["id"] or "",
            source=told.get("source") or "",
            status=told["status"],
            code=told.get("code") or "",
            detail=told.get("detail") or "",
            raw=told,
        )


@dataclass(frozen=True)
class Quota:
    """One limit in its period. `limit` and `remaining` None: unlimited."""

    meter: str
    limit: Decimal | None
    used: Decimal
    remaining: Decimal | None
    resets_at: datetime | None
    raw: Json = field(repr=False, default_factory=dict)

    @classmethod
    def read(cls, told: Json) -> Quota:
        return cls(
            meter=told["meter"],
            limit=amount(told["limit"]),
            used=Decimal(str(told["used"])),
            remaining=amount(told["remaining"]),
            resets_at=instant(told.get("resets_at")),
            raw=told,
        )


@dataclass(frozen=True)
class Reservation:
    """A part of a quota that is kept until `expires_at`."""

    id: str
    state: str
    quantity: Decimal
    expires_at: datetime | None
    raw: Json = field(repr=False, default_factory=dict)

    @classmethod
    def read(cls, told: Json) -> Reservation:
        return cls(
            id=told["id"],
            state=told["state"],
            quantity=Decimal(str(told["quantity"])),
            expires_at=instant(told.get("expires_at")),
            raw=told,
        )


@dataclass(frozen=True)
class CheckoutSession:
    """A checkout: send the buyer to `url`."""

    id: str
    state: str
    url: str | None
    raw: Json = field(repr=False, default_factory=dict)

    @classmethod
    def read(cls, told: Json) -> CheckoutSession:
        return cls(id=told["id"], state=told["state"], url=told.get("url"), raw=told)


@dataclass(frozen=True)
class PortalSession:
    """The customer portal: send the user to `url`."""

    id: str
    url: str
    raw: Json = field(repr=False, default_factory=dict)

    @classmethod
    def read(cls, told: Json) -> PortalSession:
        return cls(id=told["id"], url=told["url"], raw=told)
