"""The service as the seeds describe it: FastAPI, SQLAlchemy, PostgreSQL, Redis.

An app key looked up for each request, entitlements cached in Redis and cleared when they change
(seeds 002, 003); keys with a rate limit by plan (seed 000); usage checked against the quota, then
recorded (seed 004); webhooks verified, stored, processed before they are answered (002, 003).
Plain handlers and sessions, as the seeds' own examples have them; prepared statements, a pool as
large as the thread pool, and orjson-free defaults of FastAPI.
"""

import hashlib
import hmac
import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

import redis
from fastapi import Depends, FastAPI, Header, HTTPException, Request
from pydantic import BaseModel
from sqlalchemy import BigInteger, DateTime, ForeignKey, String, UniqueConstraint, create_engine
from sqlalchemy import select as choose
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

SECRET = os.environ["BENCH_WEBHOOK_SECRET"]
CACHE_SECONDS = 300
THREADS = 40  # of Starlette's pool


class Base(DeclarativeBase):
    pass


class App(Base):
    __tablename__ = "apps"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    project_id: Mapped[int] = mapped_column(BigInteger)
    api_key_hash: Mapped[str] = mapped_column(String(64), unique=True)
    active: Mapped[bool]


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    project_id: Mapped[int] = mapped_column(BigInteger)
    external_id: Mapped[str] = mapped_column(String(255))
    __table_args__ = (UniqueConstraint("project_id", "external_id"),)


class Entitlement(Base):
    __tablename__ = "entitlements"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    project_id: Mapped[int] = mapped_column(BigInteger)
    feature_code: Mapped[str] = mapped_column(String(100))
    active: Mapped[bool]
    source: Mapped[str] = mapped_column(String(50))
    source_id: Mapped[int] = mapped_column(BigInteger)
    valid_from: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    valid_to: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class Key(Base):
    __tablename__ = "keys"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    key_hash: Mapped[str] = mapped_column(String(64), unique=True)
    email: Mapped[str] = mapped_column(String(255))
    plan: Mapped[str] = mapped_column(String(50))
    limit_per_minute: Mapped[int] = mapped_column(BigInteger)
    active: Mapped[bool]


class Quota(Base):
    __tablename__ = "quotas"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), unique=True)
    api_calls_limit: Mapped[int] = mapped_column(BigInteger)
    api_calls_used: Mapped[int] = mapped_column(BigInteger)


class Usage(Base):
    __tablename__ = "usage"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    event_id: Mapped[str] = mapped_column(String(255), unique=True)
    kind: Mapped[str] = mapped_column(String(50))
    quantity: Mapped[int] = mapped_column(BigInteger)
    details: Mapped[Any] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class WebhookEvent(Base):
    __tablename__ = "webhook_events"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    stripe_event_id: Mapped[str] = mapped_column(String(255), unique=True)
    type: Mapped[str] = mapped_column(String(100))
    payload: Mapped[Any] = mapped_column(JSONB)
    processed: Mapped[bool]
    received_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class StripeCustomer(Base):
    __tablename__ = "stripe_customers"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    stripe_customer_id: Mapped[str] = mapped_column(String(255), unique=True)
    email: Mapped[str] = mapped_column(String(255))


app = FastAPI()
engine = create_engine(os.environ["BENCH_SEEDS_URL"], pool_size=THREADS, max_overflow=THREADS)
sessions = sessionmaker(engine)
cache = redis.Redis.from_url(os.environ["REDIS_URL"])


def get_session() -> Iterator[Session]:
    with sessions() as session:
        yield session


Db = Annotated[Session, Depends(get_session)]
ApiKey = Annotated[str, Header(alias="X-API-Key")]


def hashed(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def calling_app(session: Db, key: ApiKey) -> App:
    found = session.scalar(choose(App).where(App.api_key_hash == hashed(key)))
    if found is None or not found.active:
        raise HTTPException(401, "unknown app key")
    return found


Caller = Annotated[App, Depends(calling_app)]


class EntitlementShown(BaseModel):
    feature_code: str
    active: bool
    source: str
    source_id: int
    valid_from: datetime
    valid_to: datetime | None


class Entitlements(BaseModel):
    entitlements: list[EntitlementShown]


@app.get("/api/v1/entitlements")
def entitlements(caller: Caller, session: Db, user_id: str) -> Entitlements:
    name = f"entitlements:{caller.project_id}:{user_id}"
    cached = cache.get(name)
    if cached is not None:
        return Entitlements.model_validate_json(cached)
    rows = session.scalars(
        choose(Entitlement)
        .join(User, User.id == Entitlement.user_id)
        .where(User.project_id == caller.project_id, User.external_id == user_id)
    )
    shown = [EntitlementShown.model_validate(row, from_attributes=True) for row in rows]
    answer = Entitlements(entitlements=shown)
    cache.setex(name, CACHE_SECONDS, answer.model_dump_json())
    return answer


@app.get("/whoami")
def whoami(session: Db, key: ApiKey) -> dict[str, Any]:
    found = session.scalar(choose(Key).where(Key.key_hash == hashed(key)))
    if found is None or not found.active:
        raise HTTPException(401, "unknown key")
    window = f"rate:{found.id}:{int(time.time() // 60)}"
    with cache.pipeline() as pipe:
        count, _ = pipe.incr(window).expire(window, 120).execute()
    if count > found.limit_per_minute:
        raise HTTPException(429, "rate limit exceeded")
    return {
        "valid": True,
        "email": found.email,
        "plan": found.plan,
        "limit": found.limit_per_minute,
        "remaining": found.limit_per_minute - count,
    }


class UsageTold(BaseModel):
    id: str
    user_id: str
    quantity: int = 1
    metadata: dict[str, Any] = {}


@app.post("/api/billing/usage")
def record_usage(caller: Caller, session: Db, told: UsageTold) -> dict[str, Any]:
    """Check the quota, then record."""
    user, quota = _quota_of(session, caller, told.user_id)
    if session.scalar(choose(Usage.id).where(Usage.event_id == told.id)) is not None:
        return {"recorded": False, "duplicate": True}
    if quota.api_calls_used + told.quantity > quota.api_calls_limit:
        raise HTTPException(403, "quota exceeded")
    session.add(_usage(user.id, told))
    quota.api_calls_used += told.quantity
    session.commit()
    return {"recorded": True}


@app.post("/api/billing/usage/batch")
def record_usages(caller: Caller, session: Db, told: list[UsageTold]) -> dict[str, Any]:
    """The same for many: the users, the known events and the quotas are read once."""
    names = {one.user_id for one in told}
    found = session.execute(
        choose(User, Quota)
        .join(Quota, Quota.user_id == User.id)
        .where(User.project_id == caller.project_id, User.external_id.in_(names))
    ).all()
    known = {user.external_id: (user.id, quota) for user, quota in found}
    ids = [one.id for one in told]
    repeated = set(session.scalars(choose(Usage.event_id).where(Usage.event_id.in_(ids))))
    results, rows = [], []
    for one in told:
        user_id, quota = known[one.user_id]
        if one.id in repeated or quota.api_calls_used + one.quantity > quota.api_calls_limit:
            results.append({"id": one.id, "recorded": False})
            continue
        quota.api_calls_used += one.quantity
        rows.append(_usage(user_id, one))
        results.append({"id": one.id, "recorded": True})
    session.add_all(rows)
    session.commit()
    return {"recorded": len(rows), "results": results}


def _quota_of(session: Session, caller: App, user_id: str) -> tuple[User, Quota]:
    found = session.execute(
        choose(User, Quota)
        .join(Quota, Quota.user_id == User.id)
        .where(User.project_id == caller.project_id, User.external_id == user_id)
    ).first()
    if found is None:
        raise HTTPException(404, "no quota")
    return found[0], found[1]


def _usage(user_id: int, told: UsageTold) -> Usage:
    return Usage(
        user_id=user_id,
        event_id=told.id,
        kind="api_calls",
        quantity=told.quantity,
        details=told.metadata,
        created_at=datetime.now(UTC),
    )


@app.post("/api/v1/webhooks/stripe")
async def webhook(request: Request) -> dict[str, Any]:
    """Verify, store, process, answer; the work is done in the pool."""
    from starlette.concurrency import run_in_threadpool

    body = await request.body()
    return await run_in_threadpool(_take_event, body, request.headers["stripe-signature"])


def _take_event(body: bytes, signature: str) -> dict[str, Any]:
    parts = dict(part.split("=", 1) for part in signature.split(","))
    made = hmac.new(SECRET.encode(), f"{parts['t']}.".encode() + body, hashlib.sha256)
    if not hmac.compare_digest(made.hexdigest(), parts["v1"]):
        raise HTTPException(400, "bad signature")
    event = json.loads(body)
    with sessions() as session:
        known = session.scalar(
            choose(WebhookEvent).where(WebhookEvent.stripe_event_id == event["id"])
        )
        if known is not None and known.processed:
            return {"received": True}
        stored = WebhookEvent(
            stripe_event_id=event["id"],
            type=event["type"],
            payload=event,
            processed=False,
            received_at=datetime.now(UTC),
        )
        session.add(stored)
        session.commit()
        _process(session, event)
        stored.processed = True
        session.commit()
    return {"received": True}


def _process(session: Session, event: dict[str, Any]) -> None:
    """Bring the customer up to date, recompute the entitlements, clear the cached answer."""
    told = event["data"]["object"]
    customer = session.scalar(
        choose(StripeCustomer).where(StripeCustomer.stripe_customer_id == told["id"])
    )
    if customer is None:
        return
    customer.email = told.get("email") or customer.email
    user = session.get_one(User, customer.user_id)
    for row in session.scalars(choose(Entitlement).where(Entitlement.user_id == user.id)):
        row.active = row.valid_to is None or row.valid_to > datetime.now(UTC)
    cache.delete(f"entitlements:{user.project_id}:{user.external_id}")


# One app, `:count` users with two entitlements, a key, a quota and a Stripe customer each.
FILL = """
INSERT INTO apps VALUES (1, 1, :app, true) ON CONFLICT DO NOTHING;
CREATE TEMPORARY TABLE new AS
    SELECT n FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS n;
INSERT INTO users SELECT n, 1, 'user_' || (n - 1) FROM new;
INSERT INTO entitlements SELECT n * 2 + part, n, 1, (ARRAY['api_calls', 'exports'])[part + 1],
    true, 'subscription', n, now(), now() + interval '300 days'
FROM new, generate_series(0, 1) AS part;
INSERT INTO quotas SELECT n, n, 1000000000, 0 FROM new;
INSERT INTO keys SELECT n, encode(sha256(('sk_seed_' || (n - 1))::bytea), 'hex'),
    'user@example.com', 'pro', 1000000000, true FROM new;
INSERT INTO stripe_customers SELECT n, n, 'cus_bench' || (n - 1), 'user@example.com'
FROM new WHERE n <= 20000;
SELECT setval('entitlements_id_seq', 2 * CAST(:last AS bigint) + 2);
DROP TABLE new
"""


def fill(users: int, app_key: str) -> None:
    """Make the tables, and users up to so many."""
    from sqlalchemy import text

    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        (there,) = connection.execute(text("SELECT count(*) FROM users")).one()
        values = {"app": hashed(app_key), "first": there + 1, "last": users}
        for statement in FILL.split(";") if there < users else []:
            named = {name: value for name, value in values.items() if f":{name}" in statement}
            connection.execute(text(statement), named)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))


if __name__ == "__main__":
    import sys

    fill(int(sys.argv[1]), sys.argv[2])
