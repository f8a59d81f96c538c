"""What is asked, out of the bytes of a request. Pure."""

from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, TypeVar

import msgspec

from config.errors import InvalidInput

MOST_BYTES = 1_000_000
MOST_USERS = MOST_FEATURES = 100
MOST = Decimal(10) ** 20
PLACES = 12

UserId = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
Code = Annotated[str, msgspec.Meta(min_length=1, max_length=50)]
EventId = Annotated[str, msgspec.Meta(max_length=255)]
Seconds = Annotated[int, msgspec.Meta(ge=1, le=86_400)]


class Question(msgspec.Struct, frozen=True):
    """May this user use `quantity` of the feature? `consume` and `reserve` take it as well."""

    user_id: UserId
    feature_code: Code
    quantity: Decimal = Decimal(1)
    consume: bool = False
    reserve: bool = False
    event_id: EventId = ""
    ttl_seconds: Seconds = 600
    with_preview: bool = False

    @property
    def only_reads(self) -> bool:
        return not (self.consume or self.reserve)


class Questions(msgspec.Struct, frozen=True):
    """The same for each user and each feature."""

    user_ids: Annotated[list[UserId], msgspec.Meta(min_length=1, max_length=MOST_USERS)]
    feature_codes: Annotated[list[Code], msgspec.Meta(min_length=1, max_length=MOST_FEATURES)]
    quantity: Decimal = Decimal(1)


Asked = TypeVar("Asked", Question, Questions)


def question_in(body: bytes) -> Question:
    """Raises InvalidInput that names the place."""
    asked = _decoded(body, Question)
    if asked.consume and asked.reserve:
        raise _wrong("reserve", "A use is either consumed or reserved.", "Send one of the two.")
    if not asked.only_reads and not asked.quantity:
        raise _wrong("quantity", "There is nothing to take.", "Send more than 0.")
    return asked


def questions_in(body: bytes) -> Questions:
    return _decoded(body, Questions)


def _decoded(body: bytes, kind: type[Asked]) -> Asked:
    if len(body) > MOST_BYTES:
        raise InvalidInput(f"A question may have {MOST_BYTES:,} bytes: ask for less at a time.")
    try:
        asked = msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `$.")
        name = place.rstrip("`") or "body"
        raise _wrong(name, message, "Send a value of the documented type and form.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, InvalidOperation, RecursionError) as error:
        raise InvalidInput(f"The body is not valid JSON: {error}.") from error
    if b"\\u0000" in body and any("\x00" in text for text in _texts(asked)):
        raise InvalidInput("Texts must not contain the character U+0000: leave it out.")
    _check_quantity(asked.quantity)
    return asked


def _check_quantity(quantity: Decimal) -> None:
    exponent = quantity.as_tuple().exponent
    if not quantity.is_finite() or not 0 <= quantity <= MOST:
        raise _wrong("quantity", "This is no quantity.", "Send 0 to 10 to the power of 20.")
    if isinstance(exponent, int) and -exponent > PLACES:
        raise _wrong("quantity", "This is too exact.", f"Send at most {PLACES} decimal places.")


def _texts(asked: Any) -> list[str]:
    if isinstance(asked, Question):
        return [asked.user_id, asked.feature_code, asked.event_id]
    return [*asked.user_ids, *asked.feature_codes]


def _wrong(field: str, message: str, fix: str) -> InvalidInput:
    place = field if field == "body" else f"body.{field}"
    return InvalidInput(
        f"{place}: {message}", errors=[{"location": place, "message": message, "fix": fix}]
    )
