"""The gateway's questions: GET and POST /api/v1/keys/verify, and whoami."""

import json
import re
from datetime import datetime
from ipaddress import AddressValueError, IPv4Address
from typing import Any

import orjson

from config.clock import now
from config.hotway.cleared import ask_again, clear
from config.hotway.holder import KeyHolder
from config.hotway.shape import Answer, Door, Environ, body_of, is_small_json
from keystore.addresses import remote_address
from keystore.credentials import token_in
from keystore.lastused import note_use
from metering.decide import Decision, decide, identify

# Values that mean the same however the query is read.
PAIR = re.compile(r"(scopes|feature|project|environment)=([A-Za-z0-9_.:,-]*)")
WORD = re.compile(r"[A-Za-z0-9_.:-]{1,50}")
KEY = re.compile(r"[!-~]{1,400}")
MOST_SCOPES = 50
ENVIRONMENTS = ("", "live", "test")
DEFAULTS: dict[str, Any] = {"scopes": [], "feature": "", "environment": "", "ip": ""}
VERIFY_SCOPE = "keys:read"
# As DRF's renderer writes it.
WRITE = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class WhoamiDoor(Door):
    """Asked with the key itself, which is the only credential."""

    methods = frozenset({"GET"})

    def __init__(self, holder: KeyHolder) -> None:
        self._holder = holder

    def is_for_us(self, environ: Environ) -> bool:
        return environ.get("CONTENT_LENGTH", "") in ("", "0")

    def answer(self, environ: Environ, request_id: str) -> Answer | None:
        query = plain_query(environ["QUERY_STRING"])
        token, at = token_in(environ), now()
        held = self._holder.find(token, at) if query is not None else None
        if query is None or held is None:
            return None
        decision = identify(
            token=token,
            remote_ip=remote_address(environ),
            project=query.get("project", ""),
            environment=query.get("environment", ""),
            at=at,
            found=held.key,
        )
        return said(decision, decision.status)


class VerifyDoor(WhoamiDoor):
    """GET as above; POST by an app that holds somebody's key."""

    methods = frozenset({"GET", "POST"})

    def is_for_us(self, environ: Environ) -> bool:
        if environ["REQUEST_METHOD"] == "GET":
            return super().is_for_us(environ)
        return environ["QUERY_STRING"] == "" and is_small_json(environ)

    def answer(self, environ: Environ, request_id: str) -> Answer | None:
        if environ["REQUEST_METHOD"] == "GET":
            return self._answer_holder(environ, now())
        return self._answer_app(environ, now())

    def _answer_holder(self, environ: Environ, at: datetime) -> Answer | None:
        question, token = environ["QUERY_STRING"], token_in(environ)
        held = self._holder.find(token, at)
        if held is None:
            return None
        if (answer := ask_again(held, question, at)) is not None:
            return answer
        query = plain_query(question)
        if query is None:
            return None
        decision = decide(
            token=token,
            remote_ip=remote_address(environ),
            scopes_wanted=query.get("scopes", "").replace(",", " ").split(),
            api="",
            feature=query.get("feature", ""),
            project=query.get("project", ""),
            environment=query.get("environment", ""),
            at=at,
            found=held.key,
        )
        return clear(held, question, decision, said(decision, decision.status))

    def _answer_app(self, environ: Environ, at: datetime) -> Answer | None:
        asker = self._holder.asker(token_in(environ), VERIFY_SCOPE, at)
        asked = plain_wish(body_of(environ))
        if asker is None or asked is None:
            return None
        held = self._holder.find(asked["key"], at)
        if held is None:
            return None
        note_use(key=asker.key, at=at)
        project = asker.key.project.public_id
        question = (project, asked["feature"], asked["environment"], *asked["scopes"])
        if (answer := ask_again(held, question, at)) is not None:
            return answer
        decision = decide(
            token=asked["key"],
            remote_ip=asked["ip"],
            scopes_wanted=asked["scopes"],
            api="",
            feature=asked["feature"],
            environment=asked["environment"],
            at=at,
            project=project,
            found=held.key,
        )
        return clear(held, question, decision, said(decision, 200))


def plain_query(text: str) -> dict[str, str] | None:
    """The query if it reads the same in every way; None: let Django read it."""
    if not text:
        return {}
    pairs = [PAIR.fullmatch(part) for part in text.split("&")]
    found = {pair[1]: pair[2] for pair in pairs if pair is not None}
    return found if len(found) == len(pairs) else None


def plain_wish(body: bytes) -> dict[str, Any] | None:
    """The wish if the serializer would take it as it is; None: let Django see."""
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(given, dict) or not given.keys() - {"key"} <= DEFAULTS.keys():
        return None
    wish = {**DEFAULTS, **given}
    key, scopes, address = wish.get("key"), wish["scopes"], wish["ip"]
    plain = (
        isinstance(key, str)
        and KEY.fullmatch(key)
        and isinstance(scopes, list)
        and len(scopes) <= MOST_SCOPES
        and all(_is_word(each) for each in scopes)
        and (wish["feature"] == "" or _is_word(wish["feature"]))
        and wish["environment"] in ENVIRONMENTS
        and (address == "" or _is_address(address))
    )
    return wish if plain else None


def said(decision: Decision, status: int) -> Answer:
    text = WRITE(decision.body).replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return Answer(status, text.encode(), decision.headers)


def _is_word(value: object) -> bool:
    return isinstance(value, str) and WORD.fullmatch(value) is not None


def _is_address(value: object) -> bool:
    try:
        return isinstance(value, str) and str(IPv4Address(value)) == value
    except AddressValueError:
        return False
