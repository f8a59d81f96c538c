"""Writes that may be sent twice: the same Idempotency-Key gets the same answer."""

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any

from django.http import HttpResponse
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from config.clock import now
from config.errors import InvalidInput
from keystore import stored_answers
from keystore.callers import Caller, EndUser

WRITES = {"POST", "PUT", "PATCH", "DELETE"}
LONGEST_KEY = 255
# What changed something, and a declined payment, which must not be tried again by a retry.
FINAL = {*range(200, 400), 402}

Handler = Callable[..., Response]


class IdempotentWrites(APIView):
    """For views whose writes accept an Idempotency-Key."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        method = (request.method or "").lower()
        key = request.headers.get("Idempotency-Key")
        caller = request.user
        if key is None or request.method not in WRITES or not isinstance(caller, Caller | EndUser):
            return
        if not (0 < len(key) <= LONGEST_KEY and key.isascii() and key.isprintable()):
            raise InvalidInput(
                f"An Idempotency-Key has 1 to {LONGEST_KEY} visible ASCII characters."
            )
        # DRF looks the handler up on the view after this hook: put ours before it.
        handler = getattr(self, method, self.http_method_not_allowed)
        setattr(self, method, partial(_answer_once, handler, caller, key))


def _answer_once(
    handler: Handler,
    caller: Caller | EndUser,
    key: str,
    request: Request,
    *args: Any,
    **kwargs: Any,
) -> Response | HttpResponse:
    kept = stored_answers.begin(caller=caller, key=key, request_hash=_hash(request), at=now())
    if kept is not None:
        return HttpResponse(
            kept.text,
            status=kept.status,
            content_type="application/json",
            headers={"Idempotent-Replayed": "true"},
        )
    try:
        response = handler(request, *args, **kwargs)
    except BaseException:
        stored_answers.give_up(caller=caller, key=key)
        raise
    if response.status_code in FINAL:
        text = JSONRenderer().render(response.data).decode()
        stored_answers.finish(caller=caller, key=key, status=response.status_code, text=text)
    else:
        stored_answers.give_up(caller=caller, key=key)
    return response


def _hash(request: Request) -> str:
    asked = f"{request.method} {request.get_full_path()}\n".encode()
    return hashlib.sha256(asked + request._request.body).hexdigest()
