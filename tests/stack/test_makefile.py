"""`make help` names every target."""

import re
import subprocess

from config import paths


def test_help_lists_every_target_with_a_line():
    makefile = (paths.ROOT / "Makefile").read_text().replace("\\\n", " ")
    targets = set(re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split())

    made = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=paths.ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    listed = {
        name
        for line in made.stdout.splitlines()
        for name in re.match(r"  make ([a-z -]+?)  ", line)[1].split()
    }
    assert listed == targets
