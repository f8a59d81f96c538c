"""`python -m tests.browser.furnish FILE`: the demo data, with their logins in FILE."""

import os
import sys
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from billing.demo import build_demo  # noqa: E402  needs the apps to be loaded
from billing.demo_logins import Logins  # noqa: E402
from config.clock import now  # noqa: E402


def main() -> None:
    report = build_demo(logins=Logins(Path(sys.argv[1])), clock=now)
    if report.problems:
        sys.exit("\n".join(report.problems))


if __name__ == "__main__":
    main()
