"""manage.py issuers: whose tokens the projects accept."""

import os
from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from config.clock import now
from config.errors import DomainError
from keystore import issuers
from keystore.models import Algorithm, Project, TokenIssuer

ACTOR = "system"


class Command(BaseCommand):
    help = "List, add and roll the issuers of end users' tokens."

    def add_arguments(self, parser: ArgumentParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True, metavar="list|add|roll")
        acts.add_parser("list", help="Whose tokens are accepted.")
        adding = acts.add_parser("add", help="Accept tokens of an issuer.")
        adding.add_argument("--project", required=True, help="its slug")
        adding.add_argument("--issuer", required=True, help="the claim iss")
        adding.add_argument("--audience", required=True, help="the claim aud")
        adding.add_argument("--algorithm", choices=Algorithm.values, default=Algorithm.HS256)
        adding.add_argument("--jwks-url", default="", help="RS256 and ES256: where the keys are")
        adding.add_argument("--roles-claim", default="roles")
        adding.add_argument("--admin-role", default="admin")
        rolling = acts.add_parser("roll", help="Give an issuer a new secret.")
        rolling.add_argument("issuer_id", help="iss_..., as list shows it")
        rolling.add_argument("--overlap-hours", type=int, default=24, help="0: the old one leaked")
        for each in (adding, rolling):
            each.add_argument("--secret-env", default="", help="the variable that has the secret")
            each.add_argument("--reason", default="", help="for the audit trail")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            {"list": self._list, "add": self._add, "roll": self._roll}[options["act"]](options)
        except DomainError as refusal:
            raise CommandError(refusal.message) from refusal

    def _list(self, options: dict[str, Any]) -> None:
        for row in TokenIssuer.objects.select_related("project").order_by("pk"):
            state = "off" if row.disabled_at else "on"
            self.stdout.write(
                f"{row.public_id}  {row.project.slug}  {row.algorithm}  {state}  "
                f"iss={row.issuer}  aud={row.audience}"
            )

    def _add(self, options: dict[str, Any]) -> None:
        made = issuers.make_issuer(
            project=_project(options["project"]),
            issuer=options["issuer"],
            audience=options["audience"],
            algorithm=options["algorithm"],
            secret=_secret(options["secret_env"]),
            jwks_url=options["jwks_url"],
            roles_claim=options["roles_claim"],
            admin_role=options["admin_role"],
            actor=ACTOR,
            reason=options["reason"],
            at=now(),
        )
        self._tell(made)

    def _roll(self, options: dict[str, Any]) -> None:
        row = TokenIssuer.objects.filter(public_id=options["issuer_id"]).first()
        if row is None:
            raise CommandError("There is no such issuer: see `manage.py issuers list`.")
        made = issuers.roll_secret(
            issuer=row,
            secret=_secret(options["secret_env"]),
            overlap=timedelta(hours=options["overlap_hours"]),
            actor=ACTOR,
            reason=options["reason"],
            at=now(),
        )
        self._tell(made)

    def _tell(self, made: issuers.MadeIssuer) -> None:
        self.stdout.write(f"{made.issuer.public_id} accepts tokens of {made.issuer.issuer}.")
        if made.secret:
            self.stdout.write(f"Its secret, shown this once: {made.secret}")
        if made.usable_keys:
            self.stdout.write(f"Found {made.usable_keys} usable keys.")


def _project(slug: str) -> Project:
    found = Project.objects.filter(slug=slug).first()
    if found is None:
        known = ", ".join(Project.objects.values_list("slug", flat=True))
        raise CommandError(f"There is no project {slug!r}: {known}.")
    return found


def _secret(variable: str) -> str:
    if variable and not os.environ.get(variable):
        raise CommandError(f"The environment has no {variable}.")
    return os.environ[variable] if variable else ""
