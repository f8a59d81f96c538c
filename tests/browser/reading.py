"""Whether a page can be read by everybody: axe's word, on any screen, by day and by night."""

from typing import Any

from axe_playwright_python.sync_playwright import Axe

from tests.browser import pictures

SERIOUS = {"serious", "critical"}


def examine(page: Any, name: str) -> None:
    """The page as it stands. Open it with bypass_csp: axe is put into it from outside, and our
    policy forbids scripts from elsewhere.
    """
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found = Axe().run(page).response["violations"]
        assert [one["id"] for one in found if one["impact"] in SERIOUS] == [], (name, scheme, found)
        pictures.take(page, f"{name}-{scheme}")
