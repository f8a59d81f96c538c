"""Log lines as JSON, with the request they belong to, and without anything that opens a door."""

import json
import logging
import re
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from keystore.correlation import current_request_id

SCRUBBED = "[scrubbed]"
MAX_DEPTH = 6
PLAIN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
# Django attaches the whole request; what is worth knowing of it is in the request's own line.
UNTOLD_FIELDS = frozenset({"request", "server_time"})
SECRET_NAME = re.compile(
    r"authorization|cookie|passw|secret|token|api_?key|pepper|plaintext|signature|card_number", re.I
)
CARD = re.compile(r"(?<![\w.])\d(?:[ -]?\d){12,18}(?!\w)")
CONTROL = re.compile(r"[\x00-\x1f\x7f\u0085\u2028\u2029]")
CONTROL_IN_TRACEBACK = re.compile(r"[\x00-\x09\x0b-\x1f\x7f\u0085\u2028\u2029]")
PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?<![A-Za-z0-9])(sk|rk|pk|lk|whsec)_[A-Za-z0-9_+/=-]{6,}"), rf"\1_{SCRUBBED}"),
    # A checkout session's id opens the page on which the buyer's key is handed over.
    (re.compile(r"(?<![A-Za-z0-9])cs_(test|live)_[A-Za-z0-9]{6,}"), rf"cs_\1_{SCRUBBED}"),
    (re.compile(r"\b(bearer|basic)\s+[^\s\"',;]+", re.I), rf"\1 {SCRUBBED}"),
    # A JSON web token, whole or cut off: an object in base64, and the parts after it.
    (re.compile(r"(?<![A-Za-z0-9])(eyJ|eyA|ew[0ko])[\w-]{9,}(\.[\w-]*){0,4}"), SCRUBBED),
    (re.compile(r"(://[^\s/:@]*):[^\s/@]+@"), rf"\1:{SCRUBBED}@"),  # a password in an address
)


class ScrubSecrets(logging.Filter):
    """Takes secrets out of a record's message, arguments, extra fields and traceback.

    Never raises: a log line must not break the work that it tells of.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = one_line(scrub(message_of(record)))
        record.args = None
        if record.exc_info and not record.exc_text:
            record.exc_text = "".join(traceback.format_exception(*record.exc_info)).rstrip()
        if record.exc_text:
            record.exc_text = escape(scrub(record.exc_text), CONTROL_IN_TRACEBACK)
        if record.stack_info:
            record.stack_info = escape(scrub(record.stack_info), CONTROL_IN_TRACEBACK)
        for name, value in extras_of(record).items():
            setattr(record, name, scrub_value(value, name=name))
        return True


class RefusalsInOneLine(logging.Filter):
    """What Django calls suspicious any stranger can send: a warning, without a traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.startswith("django.security."):
            record.levelno, record.levelname = logging.WARNING, "WARNING"
            record.exc_info = record.exc_text = None
        return True


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, logger, message, request_id, extra fields, error."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": message_of(record),
        }
        if request_id := current_request_id():
            line["request_id"] = request_id
        line |= extras_of(record)
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        if record.exc_text:
            line["error"] = record.exc_text
        if record.stack_info:
            line["stack"] = record.stack_info
        return json.dumps(line, default=safe_text, ensure_ascii=False)


def scrub(text: str) -> str:
    """The text with each secret replaced; the kind of a key stays readable."""
    for pattern, replacement in PATTERNS:
        text = pattern.sub(replacement, text)
    return CARD.sub(_scrub_card, text)


def scrub_value(value: object, *, name: str = "", depth: int = 0) -> object:
    """A JSON-friendly copy of an extra field, scrubbed by what it is and by what it is called."""
    if SECRET_NAME.search(name) and value:
        return SCRUBBED
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if scrub(str(value)) == str(value) else SCRUBBED
    if isinstance(value, Mapping) and depth < MAX_DEPTH:
        return {
            scrub(str(key)): scrub_value(item, name=str(key), depth=depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset) and depth < MAX_DEPTH:
        return [scrub_value(item, depth=depth + 1) for item in value]
    return one_line(scrub(safe_text(value)))


def message_of(record: logging.LogRecord) -> str:
    """The record's message, also when its arguments do not fit."""
    return _attempt(record.getMessage) or safe_text(record.msg)


def extras_of(record: logging.LogRecord) -> dict[str, Any]:
    return {
        name: value
        for name, value in vars(record).items()
        if name not in PLAIN_FIELDS and name not in UNTOLD_FIELDS and not name.startswith("_")
    }


def one_line(text: str) -> str:
    """Without line ends and control characters, so that no input can forge a line."""
    return escape(text, CONTROL)


def escape(text: str, pattern: re.Pattern[str]) -> str:
    return pattern.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


def safe_text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return _attempt(lambda: str(value)) or f"<{type(value).__name__}>"


def _attempt(text: Callable[[], str]) -> str | None:
    try:
        return text()
    except Exception:  # noqa: BLE001  foreign __str__ and __format__ may raise anything
        return None


def _scrub_card(found: re.Match[str]) -> str:
    digits = [int(digit) for digit in found.group() if digit.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    is_card = (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
    return SCRUBBED if is_card else found.group()
