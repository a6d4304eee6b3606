"""A real browser, headless: Debian's chromium, driven by Playwright. axe-core is beside it, in `axe/`, with its licence."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

AXE = (Path(__file__).parent / "axe/axe.min.js").read_text()
WIDE, PHONE = (1200, 900), (390, 844)
Scheme = Literal["light", "dark"]


def find_chromium() -> str | None:
    """The path of a Chromium; None: there is none."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextmanager
def running_browser() -> Iterator[Browser]:
    """A browser for the length of a block."""
    # Chromium's own sandbox does not work for root, who runs most containers.
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=options)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(
    browser: Browser,
    url: str,
    *,
    scheme: Scheme = "light",
    size: tuple[int, int] = WIDE,
    javascript: bool = True,
    forgiven: str = "status of 400",
) -> Iterator[Page]:
    """A fresh visitor at a page. Whatever the browser complains of (scripts, what the policy forbids) fails the test.

    :param forgiven: what it may complain of: that a page has the status 400 is no fault of the page's
    """
    viewport: Any = {"width": size[0], "height": size[1]}
    context = browser.new_context(
        base_url=url, color_scheme=scheme, viewport=viewport, java_script_enabled=javascript, locale="en-GB"
    )
    complaints: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and forgiven not in message.text:
            complaints.append(message.text)

    page = context.new_page()
    page.on("console", listen)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    try:
        page.goto("/")
        yield page
    finally:
        context.close()
    assert not complaints


def log_in(page: Page, token: str) -> None:
    """By the form."""
    page.get_by_label("API token").fill(token)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("button", name="Log out").wait_for()


def find_barriers(page: Page) -> list[str]:
    """What axe-core finds on a page: rule and place each."""
    page.evaluate(AXE)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [f"{rule['id']}: {node['target']}" for rule in found for node in rule["nodes"]]
