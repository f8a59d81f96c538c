"""Which key, project or consumer is meant? Always asked within the caller's own project."""

import hmac

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
    """The project's consumer by the app's own id or by ours (con_...). The app's id wins."""
    if "\x00" in user_id:
        return None
    named = Q(external_id=user_id) | Q(public_id=user_id)
    found = list(Consumer.objects.filter(named, project=project))
    return max(found, key=lambda consumer: consumer.external_id == user_id, default=None)


def consumers_of(*, project: Project, email: str = "") -> QuerySet[Consumer]:
    """The project's consumers, or those with this address."""
    found = Consumer.objects.filter(project=project)
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
