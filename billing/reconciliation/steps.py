"""The steps of a run. Each reads Stripe without a transaction, then writes what it read together
with the place where the next step, or the next worker after a crash, goes on.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Min

from billing import gateway
from billing.models import (
    Drift,
    DriftState,
    Invoice,
    ListedObject,
    Payment,
    Refund,
    RunMode,
)
from billing.reconciliation import causes, drifts, listing
from billing.reconciliation.answers import stale_after
from billing.reconciliation.comparisons import COMPARISONS, Scope, differences
from billing.reconciliation.runs import Hold
from billing.reconciliation.trust import SETTLING, ask_for_one, known_live, not_listed

ASKED_AT_ONCE = 10
Clock = Callable[[], datetime]
Step = Callable[[Hold, Clock], None]


def next_step(name: str) -> str:
    names = [*STEPS, REPAIR]
    return names[names.index(name) + 1]


def _done(hold: Hold, **changes: object) -> None:
    hold.save(step=next_step(hold.run.step), cursor="", troubled_since=None, **changes)


def begin(hold: Hold, clock: Clock) -> None:
    """Start with nothing listed, and say how much there is to expect."""
    at = clock()
    expected = sum(
        known_live(kind=kind, project_id=hold.run.project_id, at=at).rows.count()
        for kind in ("customer", "subscription")
    ) + sum(
        rows.objects.filter(**_of_project(hold), **_since(hold, "created_at__gte")).count()
        for rows in (Payment, Refund, Invoice)
    )
    with transaction.atomic():
        listing.forget(batch=hold.run.public_id)
        hold.save(step="list customer", cursor="", compared=0, expected=expected)


def _of_project(hold: Hold) -> dict[str, object]:
    return {} if hold.run.project_id is None else {"project_id": hold.run.project_id}


def _since(hold: Hold, name: str) -> dict[str, object]:
    run = hold.run
    if run.days_back is None:
        return {}
    return {name: run.created_at - timedelta(days=run.days_back)}


def list_page(hold: Hold, clock: Clock) -> None:
    """One page of one of Stripe's lists."""
    run = hold.run
    kind = run.step.removeprefix("list ")
    path, params = listing.LISTS[kind]
    if kind in listing.MONEY and run.days_back is not None:
        since = run.created_at - timedelta(days=run.days_back)
        params = {**params, "created": {"gte": int(since.timestamp())}}
    if run.cursor:
        params = {**params, "starting_after": run.cursor}
    at = clock()
    try:
        page = hold.pace.read(path, limit=gateway.PAGE_SIZE, **params)
    except (gateway.StripeMissing, gateway.StripeRefused):
        if not run.cursor:
            raise
        return _list_again(hold, kind)
    rows = listing.listed_rows(
        kind=kind,
        found=page["data"],
        batch=run.public_id,
        project_id=run.project_id,
        at=at,
    )
    with transaction.atomic():
        compared = run.compared + len(page["data"])
        if page["has_more"]:
            cursor = page["data"][-1]["id"]
            hold.save(cursor=cursor, compared=compared, troubled_since=None)
        else:
            _done(hold, compared=compared)
        listing.keep(rows)
    return None


def _list_again(hold: Hold, kind: str) -> None:
    """The object where we stopped is gone, so its list has no such place: from the start."""
    with transaction.atomic():
        hold.save(cursor="")
        listing.forget(batch=hold.run.public_id, kind=kind)


def ask_for_missing(hold: Hold, clock: Clock) -> None:
    """A few of those that we know and the list lacks. Raises NotBelieved."""
    run = hold.run
    kind = run.step.removeprefix("ask for ").removesuffix("s")
    # Younger ones than the list are not missing from it.
    known = known_live(kind=kind, project_id=run.project_id, at=_listed_at(hold, clock()))
    missing = [
        each for each in not_listed(known=known, batch=run.public_id) if each[0] > run.cursor
    ]
    rows = [
        row
        for stripe_id, owner in missing[:ASKED_AT_ONCE]
        for row in ask_for_one(
            known=known,
            stripe_id=stripe_id,
            owner=owner,
            batch=run.public_id,
            pace=hold.pace,
            at=clock(),
        )
    ]
    with transaction.atomic():
        if len(missing) > ASKED_AT_ONCE:
            hold.save(cursor=missing[ASKED_AT_ONCE - 1][0], troubled_since=None)
        else:
            _done(hold)
        listing.keep(rows)


def _listed_at(hold: Hold, at: datetime) -> datetime:
    """When the first page was read; what changed later may not be in the lists."""
    first = ListedObject.objects.filter(batch=hold.run.public_id).aggregate(at=Min("listed_at"))
    return min(at, first["at"] or hold.run.started_at or at)


def compare(hold: Hold, clock: Clock) -> None:
    """One comparison, settled by Stripe's own events, written as drift rows."""
    run = hold.run
    at = clock()
    listed_at = _listed_at(hold, at)
    scope = Scope(run.public_id, listed_at, listed_at - SETTLING, run.project_id, run_id=run.pk)
    found = differences(name=run.step.removeprefix("compare "), scope=scope)
    if found and hold.told is None:
        hold.told = causes.read_events(pace=hold.pace, at=at)
    told = hold.told or causes.Told(at=at, since=at)
    unsettled = [each for each in found if causes.is_on_its_way(each, told, scope.at)]
    settled = [each for each in found if each not in unsettled]
    why = causes.causes_of(settled, told)
    with transaction.atomic():
        kept = drifts.keep_found(run=run, found=settled, causes=why, at=at)
        drifts.keep_open(run=run, unsettled=unsettled)
        _done(hold, found=run.found + kept)


def check_answers(hold: Hold, clock: Clock) -> None:
    """A thousand stored answers."""
    run = hold.run
    at = clock()
    found, last, number = stale_after(pk=int(run.cursor or 0), at=at, project_id=run.project_id)
    why = {each.key: causes.OWN_CAUSES[each.kind] for each in found}
    with transaction.atomic():
        kept = drifts.keep_found(run=run, found=found, causes=why, at=at)
        compared = run.compared + number
        if last is not None:
            hold.save(cursor=str(last), found=run.found + kept, compared=compared)
        else:
            _done(hold, found=run.found + kept, compared=compared)


def tidy(hold: Hold, clock: Clock) -> None:
    """Settle what is gone, drop what was listed, and ask for the repairs that are automatic."""
    run = hold.run
    at = clock()
    with transaction.atomic():
        drifts.mark_gone(run=run, at=at)
        if run.mode == RunMode.REPAIR:
            wanted = Drift.objects.filter(
                run=run, state=DriftState.OPEN, kind__in=run.repair_kinds, repair_wanted_at=None
            )
            wanted.update(
                repair_wanted_at=at,
                repair_wanted_by=run.started_by,
                repair_reason=f"{run.public_id} repairs this kind by itself",
            )
        _done(hold)
        listing.forget(batch=run.public_id)


# In this order; "repair" and the end are the work of `work`.
STEPS: dict[str, Step] = {
    "": begin,
    **{f"list {kind}": list_page for kind in listing.LISTS},
    "ask for customers": ask_for_missing,
    "ask for subscriptions": ask_for_missing,
    **{f"compare {name}": compare for name in COMPARISONS},
    "check answers": check_answers,
    "tidy": tidy,
}
REPAIR = "repair"
