"""Usage events as they come in: plain JSON or CloudEvents, each taken or refused by itself. Pure.

Only what is no JSON at all, or no list of events, fails a request as a whole.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import unquote

import msgspec

from config.errors import DomainError
from keystore.errors import InvalidJson, TooLarge
from metering.errors import InvalidEvent, TooManyEvents, UnsupportedEventType
from metering.told import NONE, Told, Unreadable, check_name, named, told

MOST_EVENTS = 1_000
MOST_BYTES = 6_000_000  # room for 1,000 events with all the properties that they may have
PLAIN = "application/json"
STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
BINARY_MARK = "ce-specversion"
ABSENT = msgspec.Raw(b"")

Instant = Annotated[datetime, msgspec.Meta(tz=True)]


class PlainEvent(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An unknown field is refused: a misspelt quantity would count as one."""

    id: str
    meter: str
    user_id: str
    quantity: msgspec.Raw = ABSENT
    occurred_at: Instant | None = None
    source: str = ""
    properties: msgspec.Raw = ABSENT
    api: str = ""
    key: str = ""


class CloudEvent(msgspec.Struct, gc=False):
    """Other extensions than `api` and `key` are let by, as the standard asks."""

    id: str
    type: str
    subject: str
    source: str
    specversion: str
    time: Instant | None = None
    datacontenttype: str | None = None
    data: msgspec.Raw = ABSENT
    data_base64: str | None = None
    api: str = ""
    key: str = ""


class Several(msgspec.Struct, forbid_unknown_fields=True):
    events: list[msgspec.Raw]


class SeveralPlain(msgspec.Struct, forbid_unknown_fields=True):
    events: list[PlainEvent]


@dataclass(slots=True)
class Envelope:
    """`single`: the request was one event, so its outcome is the outcome of the request."""

    events: list[Told | Unreadable]
    single: bool


Reader = Callable[[Any], Told]

PLAIN_DECODER = msgspec.json.Decoder(PlainEvent)
SEVERAL_PLAIN = msgspec.json.Decoder(SeveralPlain)
SEVERAL = msgspec.json.Decoder(Several)
CLOUD_DECODER = msgspec.json.Decoder(CloudEvent)
CLOUD_LIST = msgspec.json.Decoder(list[CloudEvent])
RAW_LIST = msgspec.json.Decoder(list[msgspec.Raw])
RAW_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
SIGNS_OF_MORE = (b'"events"', b"\\u")  # a body without these is no list of events
INSTANT = msgspec.json.Decoder(Instant)


def parse(body: bytes, *, content_type: str, headers: Mapping[str, str]) -> Envelope:
    """The events of a request. `headers` have lower-case names; only `ce-...` are read.

    Raises InvalidJson, TooLarge, TooManyEvents, InvalidEvent, UnsupportedEventType.
    """
    if len(body) > MOST_BYTES:
        raise TooLarge(f"A body may have {MOST_BYTES:,} bytes: send fewer events at a time.")
    kind = content_type.partition(";")[0].strip().lower()
    try:
        if BINARY_MARK in headers:
            return Envelope([_binary(body, kind, headers)], single=True)
        if kind == BATCH:
            return _cloud_batch(body)
        if kind == STRUCTURED:
            return Envelope([_one(body, CLOUD_DECODER, _of_cloud)], single=True)
        if kind == PLAIN:
            return _plain(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidJson(f"The body is not usable JSON: {error}.") from error
    raise UnsupportedEventType(f"Send events as {PLAIN}, {STRUCTURED} or {BATCH}, not as {kind!r}.")


def _plain(body: bytes) -> Envelope:
    if body[:1] == b"{" and not any(sign in body for sign in SIGNS_OF_MORE):
        return Envelope([_one(body, PLAIN_DECODER, _of_plain)], single=True)
    try:
        return _many(SEVERAL_PLAIN.decode(body).events, _of_plain)
    except msgspec.ValidationError:
        pass  # a single event, or one of several is wrong
    try:
        fields = RAW_OBJECT.decode(body)
        if "events" not in fields:
            return Envelope([_one(body, PLAIN_DECODER, _of_plain)], single=True)
        raws = SEVERAL.decode(body).events
    except msgspec.ValidationError as error:
        raise InvalidEvent(f'Send one event, or {{"events": [...]}}: {error}.') from error
    return _many(raws, lambda raw: _of_plain(PLAIN_DECODER.decode(raw)))


def _cloud_batch(body: bytes) -> Envelope:
    try:
        return _many(CLOUD_LIST.decode(body), _of_cloud)
    except msgspec.ValidationError:
        pass
    try:
        raws = RAW_LIST.decode(body)
    except msgspec.ValidationError as error:
        raise InvalidEvent(f"A batch is a list of CloudEvents: {error}.") from error
    return _many(raws, lambda raw: _of_cloud(CLOUD_DECODER.decode(raw)))


def _many(events: Sequence[Any], reader: Reader) -> Envelope:
    if not events:
        raise InvalidEvent("Send at least one event.")
    if len(events) > MOST_EVENTS:
        raise TooManyEvents(f"A request holds at most {MOST_EVENTS:,} events: send several.")
    return Envelope([_read(event, reader) for event in events], single=False)


def _one(body: bytes, decoder: "msgspec.json.Decoder[Any]", reader: Reader) -> Told | Unreadable:
    return _read(msgspec.Raw(body), lambda raw: reader(decoder.decode(raw)))


def _read(event: Any, reader: Reader) -> Told | Unreadable:
    try:
        return reader(event)
    except DomainError as error:
        refusal = error
    except msgspec.ValidationError as error:
        refusal = InvalidEvent(f"{error}.")
    name, source = named(event) if isinstance(event, msgspec.Raw) else (event.id, event.source)
    return _unreadable(str(name), str(source), refusal)


def _unreadable(id: str, source: str, error: DomainError) -> Unreadable:
    """With names that can be kept."""
    return Unreadable(id[:255].replace("\x00", ""), source[:255].replace("\x00", ""), error)


def _of_plain(event: PlainEvent) -> Told:
    return told(
        id=event.id,
        source=event.source,
        meter=event.meter,
        user_id=event.user_id,
        quantity=bytes(event.quantity),
        occurred_at=event.occurred_at,
        properties=bytes(event.properties),
        api=event.api,
        key=event.key,
    )


def _of_cloud(event: CloudEvent) -> Told:
    if not event.specversion.startswith("1."):
        raise InvalidEvent("Send CloudEvents of specversion 1.0.")
    check_name("source", event.source)
    if event.data_base64 is not None or not _is_json(event.datacontenttype or PLAIN):
        raise InvalidEvent(
            "The data of a CloudEvent must be a JSON object: no text, no data_base64."
        )
    properties = bytes(event.data)
    return told(
        id=event.id,
        source=event.source,
        meter=event.type,
        user_id=event.subject,
        quantity=_quantity_in(properties),
        occurred_at=event.time,
        properties=properties,
        api=event.api,
        key=event.key,
    )


def _binary(body: bytes, kind: str, headers: Mapping[str, str]) -> Told | Unreadable:
    """Attributes in headers, percent-encoded where they must be; the body is the data."""
    fields = {name[3:]: unquote(value) for name, value in headers.items() if name.startswith("ce-")}
    try:
        time = fields.pop("time", None)
        event = msgspec.convert({**fields, "datacontenttype": kind or PLAIN}, CloudEvent)
        event.time = None if time is None else msgspec.convert(time, Instant)
        event.data = msgspec.Raw(body or NONE)
    except msgspec.ValidationError as error:
        refusal = InvalidEvent(f"ce- headers: {error}.")
        return _unreadable(fields.get("id", ""), fields.get("source", ""), refusal)
    RAW_OBJECT.decode(event.data)
    return _read(event, _of_cloud)


def _quantity_in(properties: bytes) -> bytes:
    """A CloudEvent has no field for the quantity: it is the data's own `quantity`, if any."""
    if b'"quantity"' not in properties:
        return b""
    return bytes(RAW_OBJECT.decode(properties).get("quantity", ABSENT))


def _is_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind in (PLAIN, "text/json") or kind.endswith("+json")
