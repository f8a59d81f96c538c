"""A project's own texts: kept, taken back, and tried on oneself."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from billing.dunning.course import policy_of
from billing.dunning.letters import Facts, Letter, compose, send
from billing.dunning.texts import Text, check_text
from billing.models import DunningText, StepKind
from config.errors import Conflict, InvalidInput, Unavailable
from keystore import audit
from keystore.ids import new_id
from keystore.locking import upsert
from keystore.models import Project


class MailServerAway(Unavailable):
    """The mail server did not take it."""

    code = "mail_server_unavailable"


class NoAddress(Conflict):
    """There is nobody to send it to."""

    code = "no_address"


@transaction.atomic
def save_text(
    *,
    project: Project,
    kind: str,
    language: str,
    subject: str,
    body: str,
    actor: str,
    reason: str,
    at: datetime,
) -> DunningText:
    """Say it so from now on. Raises TextRefused; then nothing was changed."""
    _check_place(kind, language)
    text = check_text(kind=kind, subject=subject, body=body)
    place: dict[str, Any] = {"project": project, "kind": kind, "language": language}
    before = DunningText.objects.select_for_update(no_key=True).filter(**place).first()
    row, _ = upsert(DunningText, **place, defaults={"subject": text.subject, "body": text.body})
    audit.record(
        actor=actor,
        act="dunning_text.save",
        target=row,
        before=_told(before) if before else None,
        after=_told(row),
        reason=reason,
        at=at,
    )
    return row


@transaction.atomic
def drop_text(
    *, project: Project, kind: str, language: str, actor: str, reason: str, at: datetime
) -> bool:
    """Say it in the standard words again."""
    place: dict[str, Any] = {"project": project, "kind": kind, "language": language}
    row = DunningText.objects.select_for_update(no_key=True).filter(**place).first()
    if row is None:
        return False
    audit.record(
        actor=actor,
        act="dunning_text.drop",
        target=row,
        before=_told(row),
        reason=reason,
        at=at,
    )
    row.delete()
    return True


def sample_letter(
    *, project: Project, kind: str, language: str, text: Text, at: datetime
) -> Letter:
    """A mail to a customer whom there is not, made as those to customers are."""
    facts = Facts(
        name="Ada Lovelace",
        project=str(project),
        plan="Pro",
        amount_minor=1499,
        currency="usd",
        invoice="SAMPLE-0001",
        access_until=at.replace(minute=0, second=0, microsecond=0) + timedelta(days=7),
        link=f"{settings.PUBLIC_URL}/pay?token=sample",
    )
    return compose(text=text, facts=facts, policy=policy_of(project), language=language)


def send_sample(*, project: Project, letter: Letter, to: str, actor: str, at: datetime) -> None:
    """Send a sample to whoever asks for it. Raises NoAddress, MailServerAway."""
    if connection.in_atomic_block:
        raise RuntimeError("Mails are never sent inside a transaction.")
    if not to:
        raise NoAddress("Your account has no e-mail address: an administrator can add one.")
    try:
        send(letter, to=to, message_id=new_id("test"))
    except OSError as problem:
        raise MailServerAway("The mail server did not take it: try again later.") from problem
    audit.record(
        actor=actor,
        act="dunning_text.test",
        target=project,
        project=project,
        after={"subject": letter.subject},
        at=at,
    )


def _check_place(kind: str, language: str) -> None:
    if kind not in StepKind.values or language not in dict(settings.LANGUAGES):
        raise InvalidInput("There is no such kind of mail, or no such language.")


def _told(row: DunningText) -> dict[str, str]:
    return {
        "kind": row.kind,
        "language": row.language,
        "subject": row.subject,
        "body": row.body,
    }
