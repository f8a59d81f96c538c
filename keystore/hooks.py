"""Every change to hook endpoints, and telling again. One function is one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from config.errors import Conflict, InvalidInput
from keystore import audit
from keystore.doorbell import ring
from keystore.hook_urls import check_url
from keystore.models import DeliveryState, HookAttempt, HookDelivery, HookEndpoint, Project
from keystore.outbox import KINDS, TEST_KIND, write_message
from keystore.seal import seal
from keystore.signatures import new_secret

BOTH_SIGN = timedelta(hours=24)
MOST_ENDPOINTS = 20  # of a project: every message is written once for each
MOST_DESCRIPTION = 200


class EndpointIsOff(Conflict):
    """Nothing is sent to an endpoint that is switched off."""

    code = "hook_endpoint_disabled"


class StillRolling(Conflict):
    """Receivers may still know only the secret that a second roll would forget."""

    code = "hook_secret_still_rolling"


@dataclass(frozen=True)
class MadeEndpoint:
    """An endpoint and its new signing secret, which is shown this once."""

    endpoint: HookEndpoint
    secret: str


@transaction.atomic
def make_endpoint(
    *,
    project: Project,
    url: str,
    kinds: Sequence[str] = (),
    description: str = "",
    actor: str,
    reason: str = "",
    at: datetime,
) -> MadeEndpoint:
    """Tell `url` from now on of what happens in the project; no `kinds`: of everything."""
    Project.objects.select_for_update(no_key=True).get(pk=project.pk)  # counted one at a time
    _check(project, url, kinds, description)
    if project.hook_endpoints.count() >= MOST_ENDPOINTS:
        raise Conflict(f"A project has at most {MOST_ENDPOINTS} hook endpoints: remove one first.")
    secret = new_secret()
    endpoint = HookEndpoint.objects.create(
        project=project,
        url=url,
        kinds=_sorted(kinds),
        description=description,
        sealed_secret=seal(secret),
        created_at=at,
    )
    _record("hook.make", endpoint, actor, reason, after=_terms(endpoint))
    return MadeEndpoint(endpoint, secret)


@transaction.atomic
def change_endpoint(
    *,
    endpoint: HookEndpoint,
    url: str,
    kinds: Sequence[str],
    description: str,
    actor: str,
    reason: str = "",
) -> bool:
    """Give the endpoint these terms. What waits goes to the new address."""
    current = _locked(endpoint)
    _check(endpoint.project, url, kinds, description, but=endpoint)
    before = _terms(current)
    after = {"url": url, "kinds": _sorted(kinds), "description": description}
    if before == after:
        return False
    _set(endpoint, **after)
    _record("hook.change", endpoint, actor, reason, before=before, after=after)
    return True


@transaction.atomic
def roll_secret(
    *, endpoint: HookEndpoint, actor: str, reason: str = "", at: datetime
) -> MadeEndpoint:
    """A new signing secret; for 24 hours the old one signs too. Raises StillRolling before."""
    current = _locked(endpoint)
    if current.previous_until is not None and current.previous_until > at:
        raise StillRolling(
            f"The secret was rolled less than 24 hours ago: wait until "
            f"{current.previous_until:%Y-%m-%d %H:%M} UTC."
        )
    secret = new_secret()
    _set(
        endpoint,
        sealed_secret=seal(secret),
        sealed_previous_secret=bytes(current.sealed_secret),
        previous_until=at + BOTH_SIGN,
    )
    _record("hook.roll_secret", endpoint, actor, reason)
    return MadeEndpoint(endpoint, secret)


@transaction.atomic
def disable_endpoint(*, endpoint: HookEndpoint, actor: str, reason: str, at: datetime) -> bool:
    """Tell it nothing more. What was on its way is dropped, and can be told again later."""
    current = _locked(endpoint)
    if current.disabled_at is not None:
        return False
    _set(endpoint, disabled_at=at, disabled_because=reason)
    dropped = endpoint.deliveries.filter(state=DeliveryState.PENDING).update(
        state=DeliveryState.DROPPED, lease_until=None, finished_at=at
    )
    _record("hook.disable", endpoint, actor, reason, after={"dropped": dropped})
    return True


@transaction.atomic
def enable_endpoint(*, endpoint: HookEndpoint, actor: str, reason: str = "") -> bool:
    """Tell it again of what happens from now on."""
    if _locked(endpoint).disabled_at is None:
        return False
    back_on = dict.fromkeys(("disabled_at", "failing_since", "held_until", "tell_staff_at"))
    _set(endpoint, disabled_because="", **back_on)
    _record("hook.enable", endpoint, actor, reason)
    return True


@transaction.atomic
def remove_endpoint(*, endpoint: HookEndpoint, actor: str, reason: str = "") -> None:
    """Forget the endpoint and what was sent to it; the audit trail keeps its address."""
    current = _locked(endpoint)
    _record("hook.remove", endpoint, actor, reason, before=_terms(current))
    HookAttempt.objects.filter(delivery__endpoint=endpoint).delete()
    endpoint.deliveries.all().delete()
    HookEndpoint.objects.filter(pk=endpoint.pk).delete()


@transaction.atomic
def send_test(
    *, endpoint: HookEndpoint, actor: str, reason: str = "", at: datetime
) -> HookDelivery:
    """Send it a message of the kind `test`, whatever kinds it wants."""
    _require_on(_locked(endpoint))
    message = write_message(
        [endpoint],
        project=endpoint.project,
        kind=TEST_KIND,
        data={"endpoint_id": endpoint.public_id, "text": "It works."},
        consumer=None,
        at=at,
    )
    _record("hook.test", endpoint, actor, reason, after={"message": message.public_id})
    return message.deliveries.get()


@transaction.atomic
def redeliver(*, delivery: HookDelivery, actor: str, reason: str = "", at: datetime) -> None:
    """Send one message again, under the id that it had, with a fresh series of tries."""
    _require_on(_locked(delivery.endpoint))
    again = HookDelivery.objects.filter(pk=delivery.pk)
    row = again.select_for_update(no_key=True).get()
    _begin_again(delivery.endpoint, again, at)
    audit.record(
        actor=actor,
        act="hook.redeliver",
        target=delivery,
        before={"state": row.state, "attempts": row.attempts},
        after={"state": DeliveryState.PENDING},
        reason=reason,
    )


@transaction.atomic
def redeliver_failed(
    *,
    endpoint: HookEndpoint,
    since: datetime | None = None,
    actor: str,
    reason: str = "",
    at: datetime,
) -> int:
    """Send again all that did not arrive at the endpoint (since `since`); how many those are."""
    _require_on(_locked(endpoint))
    lost = endpoint.deliveries.filter(state__in=(DeliveryState.FAILED, DeliveryState.DROPPED))
    if since is not None:
        lost = lost.filter(created_at__gte=since)
    number = _begin_again(endpoint, lost, at)
    if number:
        _record("hook.redeliver_failed", endpoint, actor, reason, after={"deliveries": number})
    return number


def _begin_again(endpoint: HookEndpoint, deliveries: QuerySet[HookDelivery], at: datetime) -> int:
    """Due now, first try. A lease is left alone: who has it is sending at this moment."""
    number = deliveries.update(
        state=DeliveryState.PENDING,
        attempts=0,
        next_attempt_at=at,
        last_error="",
        finished_at=None,
    )
    _set(endpoint, held_until=None)  # somebody believes that it works again
    transaction.on_commit(partial(ring, "keystore.tasks.deliver_hooks"))
    return number


def _check(
    project: Project,
    url: str,
    kinds: Sequence[str],
    description: str,
    but: HookEndpoint | None = None,
) -> None:
    check_url(url)
    unknown = sorted(set(kinds) - set(KINDS))
    if unknown:
        message = f"There is no kind {unknown[0]!r}."
        fix = f"Use any of: {', '.join(KINDS)}."
        raise InvalidInput(
            f"{message} {fix}", errors=[{"location": "body.kinds", "message": message, "fix": fix}]
        )
    if len(description) > MOST_DESCRIPTION or not description.isprintable():
        raise InvalidInput(f"A description has at most {MOST_DESCRIPTION} characters on one line.")
    twin = project.hook_endpoints.filter(url=url).first()
    if twin is not None and twin != but:
        raise Conflict("The project has an endpoint with this URL already: change that one.")


def _locked(endpoint: HookEndpoint) -> HookEndpoint:
    """The endpoint as it is now, held until the end of the transaction."""
    rows = HookEndpoint.objects.select_for_update(of=("self",), no_key=True)
    found = rows.filter(pk=endpoint.pk).first()
    if found is None:
        raise Conflict("This endpoint was removed meanwhile.")
    return found


def _require_on(endpoint: HookEndpoint) -> None:
    if endpoint.disabled_at is not None:
        raise EndpointIsOff("The endpoint is switched off: switch it on first.")


def _set(endpoint: HookEndpoint, **values: Any) -> None:
    for name, value in values.items():
        setattr(endpoint, name, value)
    endpoint.save(update_fields=list(values))


def _sorted(kinds: Sequence[str]) -> list[str]:
    return sorted(set(kinds), key=KINDS.index)


def _terms(endpoint: HookEndpoint) -> dict[str, object]:
    return {
        "url": endpoint.url,
        "kinds": endpoint.kinds,
        "description": endpoint.description,
    }


def _record(act: str, endpoint: HookEndpoint, actor: str, reason: str, **told: Any) -> None:
    audit.record(actor=actor, act=act, target=endpoint, reason=reason, **told)
