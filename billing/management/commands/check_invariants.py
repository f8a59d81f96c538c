"""`manage.py check_invariants`: do the promises hold?"""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from billing.invariants import CHECKS, check_all, check_named
from config.clock import now


class Command(BaseCommand):
    help = "Look at the promises that must hold. Ends with 1 when one is broken."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("codes", nargs="*", metavar="CODE", help="only these; all without")
        parser.add_argument("--list", action="store_true", help="name the promises and end")

    def handle(self, *, codes: list[str], **options: Any) -> None:
        if options["list"]:
            for check in CHECKS:
                self.stdout.write(f"{check.code:32} {check.title}")
            return
        unknown = [code for code in codes if check_named(code) is None]
        if unknown:
            raise CommandError(f"No such promise: {', '.join(unknown)}. See --list.")
        chosen = [check for check in CHECKS if not codes or check.code in codes]
        rows = check_all(at=now(), checks=chosen)
        for check, row in zip(chosen, rows, strict=True):
            self.stdout.write(f"{'BROKEN' if row.violations else 'holds ':6} {check.title}")
            if row.violations:
                self.stdout.write(f"       {row.violations} break it ({check.code})")
            for example in row.examples:
                self.stdout.write(f"       {example['object']}: {example['detail']}")
        broken = sum(row.violations > 0 for row in rows)
        if broken:
            raise CommandError(f"{broken} of {len(rows)} promises are broken.", returncode=1)
        self.stdout.write(f"All {len(rows)} promises hold.")
