"""One running shop and a Chromium per module; nothing that the browser complains of is let pass.

Playwright's loop runs in this thread while it is open, and Django refuses the database then: it
ends with each module.
"""

import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import template

# The shell draws the same pages with a third of the CPU: it has no window to keep.
KNOWN = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, KNOWN)), KNOWN[1])
SLOWNESS = float(os.environ.get("SLOWNESS", "1"))  # 8: scripts take eight times as long
WIDE = {"width": 1280, "height": 900}
_told: list[str] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent not in item.path.parents:
            continue
        item.add_marker(pytest.mark.browser)
        item.add_marker(pytest.mark.slow)
        item.add_marker(pytest.mark.timeout(300))  # the first one starts the shop
        # Chromium is no Python package: `.ci/run` installs it; without it
        # `make test` skips these and says so.
        if shutil.which(CHROMIUM) is None:
            item.add_marker(pytest.mark.skip(reason=f"no Chromium at {CHROMIUM}: set CHROMIUM"))
        # As the tests of faults do: only Linux's /proc tells the children of a process.
        elif sys.platform != "linux":
            item.add_marker(pytest.mark.skip(reason="the shop finds its processes in /proc"))


@pytest.fixture(scope="package")
def shop() -> Iterator[Any]:
    from tests.browser.shop import Shop

    base = Path(tempfile.mkdtemp(prefix="latchkey-browser-"))
    running = Shop(base)
    try:
        running.start()
        yield running
    finally:
        running.stop()
        template.remove(base)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Without a sandbox of its own: that one refuses to run as root.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Any) -> Iterator[Callable[..., Any]]:
    """Opens a page of a fresh visitor; at the end none may have complained in its console."""
    contexts: list[Any] = []
    complaints: list[str] = []

    def hear(message: Any) -> None:
        # What failed to load is told below, where documents that refuse are told from the rest.
        if message.type in ("error", "warning") and "Failed to load" not in message.text:
            complaints.append(f"{message.type}: {message.text}")

    def check(answer: Any) -> None:
        if answer.status >= 400 and answer.request.resource_type != "document":
            complaints.append(f"{answer.status} {answer.url}")

    def open_one(*, forgive: str = "", **options: Any) -> Any:
        """`forgive`: a pattern; what matches it is no complaint."""
        contexts.append(chromium.new_context(**{"viewport": WIDE, **options}))
        page = contexts[-1].new_page()
        page.set_default_timeout(30_000)
        if SLOWNESS > 1:
            devtools = contexts[-1].new_cdp_session(page)
            devtools.send("Emulation.setCPUThrottlingRate", {"rate": SLOWNESS})
        forgiven = re.compile(forgive or "(?!)").search  # by itself nothing matches
        page.on("console", lambda told: forgiven(told.text) or hear(told))
        page.on(
            "response", lambda answer: forgiven(f"{answer.status} {answer.url}") or check(answer)
        )
        page.on("pageerror", lambda problem: complaints.append(f"uncaught: {problem}"))
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def buyer(open_page: Callable[..., Any]) -> Any:
    """A visitor without JavaScript: nothing that a buyer needs may depend on it."""
    return open_page(java_script_enabled=False)


@pytest.fixture(scope="module")
def logged_in(shop: Any, chromium: Any) -> dict[str, Any]:
    """The cookies of somebody with every right, who logged in once for the whole module."""
    context = chromium.new_context()
    page = context.new_page()
    page.goto(f"{shop.web}/admin/login/?next=/live")  # the first page is left for the tests
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password").fill(shop.admin_password)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"{shop.web}/live")
    cookies = dict(context.storage_state())
    context.close()
    return cookies


@pytest.fixture
def open_staff_page(open_page: Callable[..., Any], logged_in: dict[str, Any]) -> Callable[..., Any]:
    """Opens a page of somebody who has logged in to the admin with every right."""
    return lambda **options: open_page(storage_state=logged_in, **options)


@pytest.fixture
def staff(shop: Any, open_staff_page: Callable[..., Any]) -> Any:
    """Their first page."""
    page = open_staff_page()
    page.goto(f"{shop.web}/admin/")
    return page


@pytest.fixture
def newcomer(shop: Any) -> str:
    """A consumer of this test alone, who has nothing: the shop is shared, in any order."""
    from tests.browser.deeds import begin

    name = f"newcomer-{time.time_ns()}"
    begin(shop, name)
    return name


@pytest.fixture
def say() -> Callable[[str], None]:
    """Keep a figure for the end of the run."""
    return _told.append


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if _told:
        terminalreporter.section("in a real browser")
        for line in _told:
            terminalreporter.write_line(line)
