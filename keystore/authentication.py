"""Turns the key in a request into the caller it speaks for."""

from typing import Any, cast

from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from config.clock import now
from keystore.callers import Caller
from keystore.credentials import token_in
from keystore.errors import ConsumerKey, InvalidApiKey, MissingApiKey
from keystore.lastused import note_use
from keystore.models import ApiKey, Project
from keystore.selectors import find_key, project_of_caller


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
        return 'Bearer realm="latchkey"'


def caller_of(request: Request) -> Caller:
    """Who asks, in a view that only app keys open: what DRF calls the user is ours there."""
    return cast(Caller, request.user)


def project_named(request: Request, asked: dict[str, Any]) -> Project:
    """The caller's project; a `project_id` that names another one is refused."""
    caller = caller_of(request)
    if "project_id" not in asked:
        return caller.project
    return project_of_caller(caller, asked["project_id"])
