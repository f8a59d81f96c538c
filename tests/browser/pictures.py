"""Screenshots for people to look at, in the folder that PICTURES names; without it none."""

import os
from pathlib import Path
from typing import Any

FOLDER = os.environ.get("PICTURES", "")
PAINT = "dark => document.documentElement.classList.toggle('dark', dark)"
LOOKS = (("light", 1280), ("dark", 1280), ("light", 390), ("dark", 390))


def take(page: Any, name: str, *, full: bool = True) -> None:
    """The page as it stands, in both themes and both widths; no width may need to scroll.

    Only of a page of which something was seen: one that is on its way has no width yet.
    """
    page.wait_for_load_state()
    for theme, width in LOOKS:
        page.evaluate(PAINT, theme == "dark")
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, (name, width)
        if FOLDER:
            page.wait_for_timeout(150)  # colours fade over
            path = Path(FOLDER) / f"{name}-{theme}-{width}.png"
            page.screenshot(path=path, full_page=full)
    page.evaluate(PAINT, False)
    page.set_viewport_size({"width": 1280, "height": 900})
