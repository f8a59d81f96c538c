"""All users of a project with what they have and what they used, a page at a time."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from billing import access
from billing.models import Subscription
from keystore.models import Consumer, Project
from metering.selectors import QuotaShown, answers_of, limited_meters, quotas_of

NO_SUBSCRIPTION = "none"


def current_of(rows: Iterable[Subscription]) -> Subscription | None:
    """The one that counts: a running one before an ended one, then the newest."""
    ranked = sorted(rows, key=lambda row: (row.status not in access.ENDED, row.started_at))
    return ranked[-1] if ranked else None


def users_of(*, project: Project, status: str = "", plan: str = "") -> Any:
    """Consumers of a project; those with a subscription of that status or plan, or with `none`."""
    rows = Consumer.objects.filter(project=project, merged_into=None, erased_at=None)
    if status == NO_SUBSCRIPTION:
        rows = rows.exclude(pk__in=Subscription.objects.filter(project=project).values("consumer"))
        status = ""
    wanted = {"status": status, "plan__code": plan}
    wanted = {name: value for name, value in wanted.items() if value}
    if wanted:
        held = Subscription.objects.filter(project=project, **wanted)
        rows = rows.filter(pk__in=held.values("consumer"))
    return rows


def tell_users(*, users: Sequence[Consumer], at: datetime) -> list[dict[str, Any]]:
    """Each with its subscription and usage; a handful of queries, however many."""
    held: dict[int, list[Subscription]] = {}
    rows = Subscription.objects.filter(consumer__in=users).select_related("plan")
    for row in rows:
        held.setdefault(row.consumer_id, []).append(row)
    used = _used(users, at)
    return [_told(user, current_of(held.get(user.pk, [])), used[user.pk]) for user in users]


def _used(users: Sequence[Consumer], at: datetime) -> dict[int, list[dict[str, Any]]]:
    told: dict[int, list[dict[str, Any]]] = {user.pk: [] for user in users}
    if not users:
        return told
    found = answers_of(consumers=users, at=at)
    quotas = quotas_of(
        consumers=users,
        meters=list(limited_meters(project=users[0].project)),
        answers={pk: answer["entitlements"] for pk, answer in found.items()},
        at=at,
    )
    for (pk, _), quota in quotas.items():
        if quota.terms.entitled:
            told[pk].append(usage_line(quota))
    return told


def usage_line(quota: QuotaShown) -> dict[str, Any]:
    limit, used = quota.left.limit, quota.left.used
    return {
        "meter": quota.meter.code,
        "used": used,
        "limit": limit,
        "remaining": quota.left.remaining,
        "percent": round(float(used) * 100 / float(limit), 1) if limit else None,
        "resets_at": quota.resets_at,
    }


def _told(user: Consumer, row: Subscription | None, usage: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "user_id": user.external_id,
        "consumer_id": user.public_id,
        "email": user.email,
        "created_at": user.created_at,
        "status": row.status if row else NO_SUBSCRIPTION,
        "plan": row.plan.code if row and row.plan else None,
        "subscription_id": row.stripe_subscription_id if row else None,
        "current_period_end": row.current_period_end if row else None,
        "usage": usage,
    }
