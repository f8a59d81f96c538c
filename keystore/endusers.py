"""A token of a project's identity provider (JWT) becomes the person it speaks for.

The token names its issuer and audience; they lead to one TokenIssuer, which says with what family
of algorithm and which keys it is checked. Nothing that the token says of itself decides that.
"""

import hashlib
import logging
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from keystore.callers import EndUser
from keystore.errors import InvalidToken
from keystore.ids import CONSUMER_ID
from keystore.keysets import KeySetUnavailable, public_key
from keystore.models import Algorithm, Consumer, TokenIssuer
from keystore.seal import Unsealable, unseal
from keystore.selectors import survivor_of

logger = logging.getLogger(__name__)

LONGEST_TOKEN = 8192
LONGEST_ID = 255
LONGEST_ADDRESS = 254
SHORTEST_HEADER = 12
OBJECTS = ("eyJ", "eyA", "ew")  # how an object begins in base64, with a space or a line end too
LEEWAY = timedelta(seconds=30)  # clocks differ
LONGEST_LIFE = timedelta(days=31)
REQUIRED = ["exp", "iat", "sub", "aud", "iss"]
TYPES = {"", "jwt", "at+jwt"}
# What hostile text makes the parser raise besides its own errors.
UNREADABLE = (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError)

Claims = dict[str, Any]


def looks_like_token(text: str) -> bool:
    """Whether it is made as a signed token is: three parts, the first of them an object. A key
    that was taken over may have dots too.
    """
    first = text.partition(".")[0]
    return text.count(".") == 2 and len(first) >= SHORTEST_HEADER and first.startswith(OBJECTS)


@dataclass(frozen=True)
class Ticket:
    """A token, looked at as what opens something once. `digest` is the same for whatever its
    holder may write otherwise without its issuer: it is made of what is signed.
    """

    user: EndUser
    issuer: TokenIssuer
    issued_at: datetime
    expires_at: datetime
    digest: str


def read_token(*, token: str, at: datetime) -> EndUser:
    """Whom the token speaks for. Raises InvalidToken, KeySetUnavailable."""
    return _end_user(*_checked(token, at))


def read_ticket(*, token: str, at: datetime) -> Ticket:
    """The same, with what bounds its use. Raises InvalidToken, KeySetUnavailable."""
    issuer, claims = _checked(token, at)
    once = claims.get("jti")
    signed = f"jti:{once}" if isinstance(once, str) and once else token.rpartition(".")[0]
    return Ticket(
        user=_end_user(issuer, claims),
        issuer=issuer,
        issued_at=datetime.fromtimestamp(int(claims["iat"]), UTC),
        expires_at=datetime.fromtimestamp(int(claims["exp"]), UTC),
        digest=hashlib.sha256(f"{issuer.pk}:{signed}".encode(errors="replace")).hexdigest(),
    )


def _checked(token: str, at: datetime) -> tuple[TokenIssuer, Claims]:
    if len(token) > LONGEST_TOKEN:
        raise InvalidToken(f"The token is longer than {LONGEST_TOKEN} characters.")
    header, said = _unverified(token)
    issuer = _issuer_of(said)
    return issuer, _verified(token, header, issuer, at)


def _unverified(token: str) -> tuple[Claims, Claims]:
    try:
        header = jwt.get_unverified_header(token)
        said = jwt.decode(token, options={"verify_signature": False})
    except UNREADABLE as problem:
        raise InvalidToken("This is not a JSON Web Token.") from problem
    if "crit" in header:
        raise InvalidToken("The token's crit demands what nobody here understands.")
    if str(header.get("typ", "")).lower() not in TYPES:
        raise InvalidToken("The token's typ says that it is made for something else.")
    return header, said


def _issuer_of(said: Claims) -> TokenIssuer:
    audiences = said.get("aud")
    named: list[Any] = audiences if isinstance(audiences, list) else [audiences]
    if not isinstance(said.get("iss"), str) or not all(isinstance(one, str) for one in named):
        raise InvalidToken("The token needs the claims iss and aud, as text.")
    if not (said["iss"] + "".join(named)).isprintable():  # no control, no half of a character
        raise InvalidToken("The token's iss or aud is not text.")
    found = TokenIssuer.objects.select_related("project").filter(
        issuer=said["iss"], audience__in=named, disabled_at=None
    )
    issuers = list(found[:2])
    if len(issuers) != 1:
        raise InvalidToken(
            "No project accepts tokens of this issuer for this audience: check iss and aud."
            if not issuers
            else "Two projects accept this token: ask for one with a single audience."
        )
    return issuers[0]


def _verified(token: str, header: Claims, issuer: TokenIssuer, at: datetime) -> Claims:
    refusal: Exception | None = None
    for key in _keys(issuer, header, at):
        try:
            claims: Claims = jwt.decode(
                token,
                key,
                algorithms=[issuer.algorithm],
                audience=issuer.audience,
                issuer=issuer.issuer,
                leeway=LEEWAY,
                options={"require": REQUIRED},
            )
        except jwt.InvalidSignatureError as problem:
            refusal = problem  # perhaps the secret before the last roll
        except UNREADABLE as problem:
            raise InvalidToken(f"The token is not accepted: {problem}.") from problem
        else:
            return claims
    raise InvalidToken("The token's signature does not fit its issuer.") from refusal


def _keys(issuer: TokenIssuer, header: Claims, at: datetime) -> list[Any]:
    """What may have signed it, by the issuer's family alone."""
    if issuer.algorithm == Algorithm.HS256:
        return _secrets(issuer, at)
    kid = header.get("kid")
    if kid is not None and not isinstance(kid, str):
        raise InvalidToken("The token's kid is not text.")
    found = public_key(issuer=issuer, kid=kid, at=at)
    if found is None:
        raise InvalidToken("The token names a key that its issuer does not publish.")
    return [found]


def _secrets(issuer: TokenIssuer, at: datetime) -> list[bytes]:
    """The secret, and while it is being rolled the one before."""
    is_rolling = issuer.previous_until is not None and at < issuer.previous_until
    sealed = [issuer.sealed_secret, *([issuer.sealed_previous_secret] if is_rolling else [])]
    opened = []
    for one in sealed:
        with suppress(Unsealable):
            opened.append(unseal(one).encode())
    if not opened:
        logger.error("The secret of the issuer %s cannot be unsealed.", issuer.public_id)
        raise KeySetUnavailable("The secret of this sign-in service cannot be read: tell us.")
    return opened


def _end_user(issuer: TokenIssuer, claims: Claims) -> EndUser:
    external_id = claims["sub"]
    if not 0 < len(external_id) <= LONGEST_ID or not external_id.isprintable():
        raise InvalidToken(f"The token's sub must have 1 to {LONGEST_ID} visible characters.")
    if CONSUMER_ID.fullmatch(external_id):
        raise InvalidToken("The token's sub looks like an id of ours: use the project's own ids.")
    issued_at = int(claims["iat"])
    if int(claims["exp"]) - issued_at > LONGEST_LIFE.total_seconds():
        raise InvalidToken(f"The token lives for more than {LONGEST_LIFE.days} days.")
    rows = Consumer.objects.select_related("merged_into__project")
    named = rows.filter(project=issuer.project, external_id=external_id).first()
    known = survivor_of(named) if named else None
    if _was_before(issued_at, issuer.tokens_since):
        raise InvalidToken("Everybody was signed out: sign in again.")
    if any(_was_before(issued_at, one.tokens_since) for one in (named, known) if one):
        raise InvalidToken("This person was signed out: sign in again.")
    return EndUser(
        project=issuer.project,
        external_id=external_id,
        consumer=known,
        email=_address(claims),
        is_admin=issuer.admin_role in _roles(issuer, claims),
    )


def _was_before(issued_at: int, signed_out_at: datetime | None) -> bool:
    return signed_out_at is not None and issued_at < signed_out_at.timestamp()


def _address(claims: Claims) -> str:
    """The e-mail address, unless it is none or the provider says that nobody has proved it."""
    address = claims.get("email")
    if claims.get("email_verified", True) is not True or not isinstance(address, str):
        return ""
    try:
        is_sane = len(address) <= LONGEST_ADDRESS and address.isprintable()
        validate_email(address if is_sane else "")
    except ValidationError:
        return ""
    return address


def _roles(issuer: TokenIssuer, claims: Claims) -> set[str]:
    """The roles that a claim lists; "realm_access.roles" looks into an object."""
    found: Any = claims
    for name in issuer.roles_claim.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    if isinstance(found, str):
        return set(found.split())
    return {one for one in found if isinstance(one, str)} if isinstance(found, list) else set()
