"""Chromium, looking at the console as people do."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

#: What Chromium is called where it is installed.
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
#: A phone and a desk, in CSS pixels.
PHONE, DESK = (360, 740), (1280, 860)


def program() -> str | None:
    """Where this machine has Chromium; None: nowhere."""
    return next((found for name in NAMES if (found := shutil.which(name)) is not None), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """This machine's Chromium, without a window."""
    found = program()
    assert found is not None, "Chromium is installed: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Watched:
    """What a page did that it should not: errors that it told, requests that left its origin."""

    page: Page
    origin: str
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.wrong.append(f"script: {error}"))
        self.page.on("request", self._asked)

    def open(self, address: str) -> list[str]:
        """What went wrong while a page was opened; that it does not fit into the window is wrong too."""
        self.wrong = []
        answer = self.page.goto(self.origin + address)
        if answer is None or not answer.ok:
            self.wrong.append(f"status {answer and answer.status}")
        self.page.wait_for_load_state("load")
        wide = self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        if wide > 0:
            self.wrong.append(f"{wide} px too wide")
        return self.wrong

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.wrong.append(f"console: {message.text}")

    def _asked(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme not in ("data", "blob") and f"{address.scheme}://{address.netloc}" != self.origin:
            self.wrong.append(f"asked {request.url}")
