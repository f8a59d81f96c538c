"""How the seeds make entitlements anew: read the reasons, replace the rows, clear the cache.

`python -m bench.baselines.seeds_recompute TIMES` prints the seconds and the seconds of CPU of each.
"""

import sys
import time
from datetime import UTC, datetime

from sqlalchemy import BigInteger, DateTime, ForeignKey, String, delete
from sqlalchemy import select as choose
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from bench.baselines.seeds import Base, Entitlement, User, cache, engine, sessions

USERS = 1_000


class Price(Base):
    __tablename__ = "prices"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    feature_code: Mapped[str] = mapped_column(String(100))


class Subscription(Base):
    __tablename__ = "subscriptions"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    price_id: Mapped[int] = mapped_column(ForeignKey("prices.id"))
    status: Mapped[str] = mapped_column(String(50))
    started_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    ends_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    price: Mapped[Price] = relationship()


class ManualGrant(Base):
    __tablename__ = "manual_grants"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    feature_code: Mapped[str] = mapped_column(String(100))
    valid_from: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    valid_to: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


def recompute(session: Session, user_id: int) -> None:
    user = session.get_one(User, user_id)
    at = datetime.now(UTC)
    reasons = [
        (one.price.feature_code, "subscription", one.id, one.started_at, one.ends_at)
        for one in session.scalars(choose(Subscription).where(Subscription.user_id == user.id))
        if one.status in ("active", "trialing")
    ] + [
        (one.feature_code, "manual", one.id, one.valid_from, one.valid_to)
        for one in session.scalars(choose(ManualGrant).where(ManualGrant.user_id == user.id))
    ]
    session.execute(delete(Entitlement).where(Entitlement.user_id == user.id))
    for feature, source, source_id, start, end in reasons:
        session.add(
            Entitlement(
                user_id=user.id,
                project_id=user.project_id,
                feature_code=feature,
                active=start <= at and (end is None or end > at),
                source=source,
                source_id=source_id,
                valid_from=start,
                valid_to=end,
            )
        )
    session.commit()
    cache.delete(f"entitlements:{user.project_id}:{user.external_id}")


def furnish(users: int) -> None:
    """A subscription and a manual grant for each."""
    Base.metadata.create_all(engine)
    with sessions() as session:
        if session.get(Price, 1) is not None:
            return
        session.add(Price(id=1, feature_code="exports"))
        session.flush()
        at = datetime.now(UTC)
        for number in range(1, users + 1):
            session.add(Subscription(user_id=number, price_id=1, status="active", started_at=at))
            session.add(ManualGrant(user_id=number, feature_code="api_calls", valid_from=at))
        session.commit()


def main() -> None:
    times = int(sys.argv[1])
    with sessions() as session:
        users = min(USERS, session.query(User).count())
    furnish(users)
    for turn in range(times):
        began, cpu = time.perf_counter(), time.process_time()
        with sessions() as session:
            recompute(session, turn % users + 1)
        print(time.perf_counter() - began, time.process_time() - cpu)


if __name__ == "__main__":
    main()
