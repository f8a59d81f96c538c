"""The second factor of staff: an authenticator app's codes, and recovery codes for a lost phone."""

import base64
import math
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import transaction
from django.utils.crypto import constant_time_compare
from django_otp.oath import hotp

from config.errors import Conflict, InvalidInput
from keystore import audit
from keystore.models import Authenticator, RecoveryCode
from keystore.seal import seal, unseal
from keystore.tokens import digest, digests

STEP_SECONDS = 30
DIGITS = 6
SECRET_BYTES = 20
RECOVERY_CODES = 10
RECOVERY_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # nothing that looks like another
FREE_FAILURES = 5
LONGEST_BLOCK = timedelta(hours=1)


class WrongCode(InvalidInput):
    """The code is wrong, was used before, or has run out."""

    code = "wrong_code"


class TooManyCodes(Conflict):
    """Too many wrong codes: none is looked at before the time that the message names."""

    code = "too_many_codes"


class AlreadyEnrolled(Conflict):
    """Whoever has a second factor keeps it until an operator takes it away."""

    code = "already_enrolled"


@dataclass(frozen=True)
class Enrolled:
    authenticator: Authenticator
    recovery_codes: list[str]  # shown once, kept nowhere


def authenticator_of(*, user: User) -> Authenticator | None:
    """What the user proves themselves with; None while nothing is confirmed."""
    found: Authenticator | None = Authenticator.objects.filter(user=user, confirmed=True).first()
    return found


@transaction.atomic
def begin_enrolment(*, user: User) -> str:
    """The secret that the user's app shall learn, in base 32. The same until it is confirmed."""
    fresh = secrets.token_bytes(SECRET_BYTES)
    defaults = {"name": "authenticator", "confirmed": False, "sealed": _sealed(fresh)}
    pending, _ = Authenticator.objects.get_or_create(user=user, defaults=defaults)
    if pending.confirmed:
        raise AlreadyEnrolled("You have a second factor. An operator can reset it.")
    return base64.b32encode(_secret_of(pending)).decode()


@transaction.atomic
def confirm_enrolment(*, user: User, code: str, actor: str, at: datetime) -> Enrolled:
    """Switch the second factor on, since the app makes the right codes. Raises WrongCode."""
    pending = Authenticator.objects.select_for_update(no_key=True).filter(user=user).first()
    if pending is None or pending.confirmed:
        raise AlreadyEnrolled("Nothing waits to be confirmed. Open the page again.")
    step = _step_of(pending, code, at)
    if step is None:
        raise WrongCode("That is not the code which the app shows now. Check the phone's clock.")
    pending.confirmed, pending.last_step = True, step
    pending.save(update_fields=["confirmed", "last_step"])
    codes = [_new_recovery_code() for _ in range(RECOVERY_CODES)]
    RecoveryCode.objects.bulk_create(
        RecoveryCode(authenticator=pending, digest=digest(_normal(one))) for one in codes
    )
    audit.record(actor=actor, act="second_factor.enrol", target=user)
    return Enrolled(pending, codes)


def check_code(*, authenticator: Authenticator, code: str, actor: str, at: datetime) -> None:
    """Take a code of the app, or a recovery code; each works once.

    Raises WrongCode or TooManyCodes; the count of failures stays although it raises.
    """
    refusal = _try_code(authenticator=authenticator, code=code, actor=actor, at=at)
    if refusal is not None:
        raise refusal


@transaction.atomic
def reset_second_factor(*, user: User, actor: str, reason: str) -> bool:
    """Take the user's authenticator and recovery codes away. False: there was none."""
    gone: int = Authenticator.objects.filter(user=user).delete()[0]
    if gone:
        audit.record(actor=actor, act="second_factor.reset", target=user, reason=reason)
    return gone > 0


@transaction.atomic
def _try_code(
    *, authenticator: Authenticator, code: str, actor: str, at: datetime
) -> WrongCode | TooManyCodes | None:
    """The refusal, returned and not raised, so that the failure is counted all the same."""
    locked = Authenticator.objects.select_for_update(of=("self",), no_key=True).get(
        pk=authenticator.pk
    )
    if locked.blocked_until is not None and locked.blocked_until > at:
        return TooManyCodes(
            f"Too many wrong codes. Try again after {locked.blocked_until:%H:%M:%S} UTC."
        )
    step = _step_of(locked, code, at)
    if step is None and not _use_recovery_code(locked, code, actor, at):
        _count_failure(locked, at)
        return WrongCode("That code is wrong or was used before. Wait for the next one.")
    locked.last_step = locked.last_step if step is None else step
    locked.failures, locked.blocked_until = 0, None
    locked.save(update_fields=["last_step", "failures", "blocked_until"])
    return None


def _count_failure(authenticator: Authenticator, at: datetime) -> None:
    """From the fifth failure in a row on: a pause of a minute, twice as long with each more."""
    authenticator.failures += 1
    over = authenticator.failures - FREE_FAILURES
    if over >= 0:
        pause = min(timedelta(minutes=2 ** min(over, 10)), LONGEST_BLOCK)
        authenticator.blocked_until = at + pause
    authenticator.save(update_fields=["failures", "blocked_until"])


def _use_recovery_code(authenticator: Authenticator, code: str, actor: str, at: datetime) -> bool:
    found = authenticator.recovery_codes.filter(digest__in=digests(_normal(code)), used_at=None)
    if not found.update(used_at=at):
        return False
    left = authenticator.recovery_codes.filter(used_at=None).count()
    audit.record(
        actor=actor,
        act="second_factor.recover",
        target=authenticator.user,
        after={"recovery_codes_left": left},
    )
    return True


def _step_of(authenticator: Authenticator, code: str, at: datetime) -> int | None:
    """The 30 seconds to which the code belongs: now, just before or just after; never again."""
    typed = code.replace(" ", "")
    now_step = math.floor(at.timestamp() / STEP_SECONDS)
    secret = _secret_of(authenticator)
    for step in (now_step, now_step - 1, now_step + 1):
        expected = f"{hotp(secret, step, DIGITS):0{DIGITS}d}"
        if step > authenticator.last_step and constant_time_compare(expected, typed):
            return step
    return None


def _secret_of(authenticator: Authenticator) -> bytes:
    return base64.b32decode(unseal(authenticator.sealed))


def _sealed(secret: bytes) -> bytes:
    return seal(base64.b32encode(secret).decode())


def _new_recovery_code() -> str:
    body = "".join(secrets.choice(RECOVERY_ALPHABET) for _ in range(12))
    return f"{body[:4]}-{body[4:8]}-{body[8:]}"


def _normal(code: str) -> str:
    return f"recovery:{code.lower().replace('-', '').replace(' ', '')}"
