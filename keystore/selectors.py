"""Which key, project or consumer is meant? Always asked within the caller's own project."""

import hmac
from collections.abc import Collection

from django.db.models import Prefetch, Q, QuerySet

from config.errors import NotFound
from keystore import tokens
from keystore.callers import Caller, EndUser
from keystore.errors import ProjectMismatch
from keystore.models import (
    ApiKey,
    Consumer,
    HookDelivery,
    HookEndpoint,
    OutboxMessage,
    Project,
)


def find_key(token: str) -> ApiKey | None:
    """The key that `token` is, whatever its state. A malformed token costs no query.

    A digest made with the previous pepper, or taken over as a plain SHA-256, is renewed on the way.
    """
    if not tokens.is_plausible(token):
        return None
    wanted = tokens.digests(token)
    rows = ApiKey.objects.select_related("project", "app", "consumer", "api")
    found = list(rows.filter(digest__in=wanted))
    for digest in wanted:
        for key in found:
            if hmac.compare_digest(key.digest, digest):
                _renew_digest(key, wanted[0])
                return key
    return None


def key_for_slot(*, project: Project, slot: str) -> ApiKey | None:
    """The newest key made for `slot`, also when it is revoked."""
    return ApiKey.objects.filter(project=project, provisioned_for=slot).order_by("pk").last()


def keys_of(*, consumer: Consumer | None) -> QuerySet[ApiKey]:
    """Every key of a consumer, in whatever state; nobody has none."""
    if consumer is None:
        return ApiKey.objects.none()
    keys = ApiKey.objects.filter(consumer=consumer).select_related("api", "consumer")
    return keys.prefetch_related(successors())


def successors() -> Prefetch:
    """The live successor of each key, if it has one."""
    return Prefetch("replaced_by", ApiKey.objects.filter(revoked_at=None), "live_successors")


def keys_looking_like(*, text: str) -> QuerySet[ApiKey]:
    """For people who hold a key or the start of one. A whole key finds itself alone."""
    exact = ApiKey.objects.filter(digest__in=tokens.digests(text))
    if not text.startswith(tokens.OURS) or exact.exists():
        return exact
    return ApiKey.objects.filter(prefix__startswith=text[: tokens.OURS_SHOWN])


def consumer_key(*, project: Project, key_id: str) -> ApiKey:
    """A consumer's key by its public id. Raises NotFound; app keys are not managed here."""
    keys = ApiKey.objects.filter(project=project, consumer__isnull=False, public_id=key_id)
    found = keys.select_related("consumer", "api").prefetch_related(successors()).first()
    if found is None:
        raise NotFound("There is no such key: list the keys of a user with ?user_id=.")
    return found


def project_of_caller(caller: Caller | EndUser, project_id: object) -> Project:
    """The caller's project if `project_id` (number, slug or public id) names it.

    Raises ProjectMismatch for any other project, whether it exists or not.
    """
    project = caller.project
    if not is_named(project, project_id):
        raise ProjectMismatch(
            "This key or token belongs to another project: use one of that project."
        )
    return project


def is_named(project: Project, name: object) -> bool:
    """Whether `name` is the project's number, slug or public id."""
    return str(name) in {str(project.pk), project.slug, project.public_id}


def consumer_of(*, project: Project, user_id: str) -> Consumer | None:
    """The project's consumer by the app's own id or by ours (con_...). The app's id wins.

    One that was merged is answered as the other; one that was erased is nobody.
    """
    return consumers_named(project=project, user_ids=[user_id]).get(user_id)


def consumers_named(*, project: Project, user_ids: Collection[str]) -> dict[str, Consumer]:
    """Those that exist, by the name that was asked for; the app's own id wins."""
    names = [name for name in user_ids if "\x00" not in name]
    named = Q(external_id__in=names) | Q(public_id__in=names)
    rows = Consumer.objects.filter(named, project=project, erased_at=None)
    found = list(rows.select_related("merged_into"))
    for row in found:
        # Whoever it was merged into is of the same project: joins would cost more than they bring.
        row.project = survivor_of(row).project = project
    by_name = {row.public_id: survivor_of(row) for row in found}
    return by_name | {row.external_id: survivor_of(row) for row in found}


def survivor_of(consumer: Consumer) -> Consumer:
    """Who answers for the consumer: itself, or the one that it was merged into."""
    return consumer.merged_into or consumer


def ids_of(consumer: Consumer) -> list[str]:
    """Every public id under which the consumer's history is on record: its own, and those of the
    consumers that were merged into it.
    """
    merged = Consumer.objects.filter(merged_into=consumer).values_list("public_id", flat=True)
    return [consumer.public_id, *merged]


def consumers_of(*, project: Project, email: str = "") -> QuerySet[Consumer]:
    """The project's consumers, or those with this address; nobody merged or erased."""
    found = Consumer.objects.filter(project=project, merged_into=None, erased_at=None)
    if "\x00" in email:
        return found.none()
    return found.filter(email=email) if email else found


def _renew_digest(key: ApiKey, digest: str) -> None:
    if not hmac.compare_digest(key.digest, digest):
        known_by = ApiKey.objects.filter(pk=key.pk, digest=key.digest)
        known_by.update(digest=digest, has_foreign_digest=False)
        key.digest = digest


def hook_endpoint(*, project: Project, endpoint_id: str) -> HookEndpoint:
    endpoints = HookEndpoint.objects.select_related("project")
    found = endpoints.filter(project=project, public_id=endpoint_id).first()
    if found is None:
        raise NotFound("There is no such hook endpoint in this project.")
    return found


def hook_deliveries_of(
    *, project: Project, endpoint_id: str = "", state: str = ""
) -> QuerySet[HookDelivery]:
    """What was sent to the project's endpoints, or to one of them."""
    deliveries = HookDelivery.objects.filter(project=project)
    if endpoint_id:
        endpoint = hook_endpoint(project=project, endpoint_id=endpoint_id)
        deliveries = deliveries.filter(endpoint=endpoint)
    if state:
        deliveries = deliveries.filter(state=state)
    return deliveries.select_related("message", "endpoint")


def hook_delivery(*, project: Project, delivery_id: str) -> HookDelivery:
    found = hook_deliveries_of(project=project).filter(public_id=delivery_id).first()
    if found is None:
        raise NotFound("There is no such delivery in this project.")
    return found


def hook_message(*, project: Project, message_id: str) -> OutboxMessage:
    found = OutboxMessage.objects.filter(project=project, public_id=message_id).first()
    if found is None:
        raise NotFound("There is no such message in this project: it may be forgotten by now.")
    return found
