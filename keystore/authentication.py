"""Turns the key or token in a request into the caller it speaks for."""

from typing import Any, cast

from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from config.clock import now
from config.errors import InvalidInput
from keystore.callers import Caller, EndUser
from keystore.credentials import bearer_in, token_in
from keystore.endusers import looks_like_token, read_token
from keystore.errors import ConsumerKey, ConsumerNotFound, InvalidApiKey, MissingApiKey
from keystore.lastused import note_use
from keystore.models import ApiKey, Consumer, Project
from keystore.selectors import consumer_of, find_key, project_of_caller
from keystore.services import register_consumer

REALM = 'Bearer realm="latchkey"'


class AppKeyAuthentication(BaseAuthentication):
    """App keys in `X-API-Key` or `Authorization: Bearer`; never in the query string."""

    def authenticate(self, request: Request) -> tuple[Caller, ApiKey]:
        token = token_in(request.META)
        if not token:
            raise MissingApiKey("Send the app's key in X-API-Key or as a Bearer token.")
        key, at = find_key(token), now()
        if key is None or not key.is_usable(at):
            raise InvalidApiKey("This key is not valid: create one for the app and use that.")
        if key.app is None:
            raise ConsumerKey("This is a consumer's key: call with the key of an app.")
        note_use(key=key, at=at)
        return Caller(project=key.project, app=key.app, key=key), key

    def authenticate_header(self, request: Request) -> str:
        return REALM


class UserTokenAuthentication(BaseAuthentication):
    """An end user's token (JWT) in `Authorization: Bearer`; a key beside it comes first."""

    def authenticate(self, request: Request) -> tuple[EndUser, None] | None:
        token = bearer_in(request.META)
        if not looks_like_token(token) or request.META.get("HTTP_X_API_KEY"):
            return None
        return read_token(token=token, at=now()), None

    def authenticate_header(self, request: Request) -> str:
        return REALM


# For views that serve the project's apps and its users.
KEY_OR_TOKEN = [UserTokenAuthentication, AppKeyAuthentication]


def caller_of(request: Request) -> Caller:
    """Who asks, in a view that only app keys open: what DRF calls the user is ours there."""
    return cast(Caller, request.user)


def asker_of(request: Request) -> Caller | EndUser:
    """Who asks, in a view that app keys and end users' tokens open."""
    return cast(Caller | EndUser, request.user)


def consumer_meant(request: Request, user_id: str) -> Consumer | None:
    """Whose things are read: an end user's own, or those of the user whom an app names.

    None for somebody who is not known here. Raises ConsumerNotFound when an end user names
    somebody else, InvalidInput when an app names nobody.
    """
    asker = asker_of(request)
    if isinstance(asker, EndUser):
        _refuse_others(asker, user_id)
        return asker.consumer
    if not user_id:
        raise InvalidInput("Say whose: send user_id.")
    return consumer_of(project=asker.project, user_id=user_id)


def consumer_acting(request: Request, user_id: str) -> Consumer:
    """Whose things are changed. An end user who comes for the first time is registered.

    Raises ConsumerNotFound for a user whom an app never registered, or who is somebody else.
    """
    asker = asker_of(request)
    if isinstance(asker, EndUser):
        _refuse_others(asker, user_id)
        return asker.consumer or register_consumer(
            project=asker.project,
            external_id=asker.external_id,
            email=asker.email,
            actor=asker.actor,
        )
    found = consumer_meant(request, user_id)
    if found is None:
        raise ConsumerNotFound(
            "There is no such user: register it with POST /api/v1/consumers/register."
        )
    return found


def _refuse_others(asker: EndUser, user_id: str) -> None:
    own = {"", asker.external_id, *([asker.consumer.public_id] if asker.consumer else [])}
    if user_id not in own and not _is_merged_name(asker, user_id):
        raise ConsumerNotFound("There is no such user: a token opens its own user's things only.")


def _is_merged_name(asker: EndUser, user_id: str) -> bool:
    """Whether the id is another one of the same person, by a merge."""
    named = consumer_of(project=asker.project, user_id=user_id)
    return named is not None and named == asker.consumer


def project_named(request: Request, asked: dict[str, Any]) -> Project:
    """The caller's project; a `project_id` that names another one is refused."""
    caller = asker_of(request)
    if "project_id" not in asked:
        return caller.project
    return project_of_caller(caller, asked["project_id"])
