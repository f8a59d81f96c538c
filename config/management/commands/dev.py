"""`manage.py dev`: what `make run` runs."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from config import supervisor


class Command(BaseCommand):
    help = "Run the whole product in this terminal; Ctrl-C stops all of it."
    requires_system_checks = []  # the children check themselves, with their own environment

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, help="the web port (PORT, or 8000)")
        parser.add_argument("--down", action="store_true", help="stop the running stack")

    def handle(self, *, port: int | None, down: bool, **options: Any) -> None:
        arguments = [*([f"--port={port}"] if port else []), *(["--down"] if down else [])]
        sys.exit(supervisor.main(arguments))
