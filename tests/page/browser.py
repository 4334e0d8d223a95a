"""A real Chromium, and a tab that remembers everything that must not happen in it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    Request,
    Response,
    sync_playwright,
)

from tests.rig.tools import tool

SECONDS_MAX = 60
POLL_MS = 20
#: A container has no user name spaces for Chromium's own sandbox.
ARGUMENTS = ("--no-sandbox", "--disable-gpu")
WATCH_POLICY = """
window.violations = [];
addEventListener("securitypolicyviolation", (event) =>
  window.violations.push(`${event.violatedDirective}: ${event.blockedURI || event.sample}`));
"""
LOCALES = {"zh": "zh-CN", "en": "en-GB"}


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run Chromium for the block; no other event loop may run in this thread meanwhile."""
    path = tool("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


class Memory(NamedTuple):
    """Bytes of the scripts' heap, elements and texts, and listeners of events."""

    heap: int
    nodes: int
    listeners: int


class Tab:
    """One tab of a browser without history. `refused`: statuses that the test asks for, such as 404."""

    def __init__(
        self,
        browser: Browser,
        url: str,
        *,
        language: str = "en",
        width: int = 1440,
        dark: bool = False,
        reduced: bool = False,
    ) -> None:
        self.url = url
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.bytes_received = 0
        self.refused: set[int] = set()
        self.context: BrowserContext = browser.new_context(
            locale=LOCALES[language],
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce" if reduced else "no-preference",
        )
        self.context.add_init_script(WATCH_POLICY)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(SECONDS_MAX * 1_000)
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.errors.append(f"script: {error}"))
        self.page.on("request", self._on_request)
        self.page.on("response", self._on_response)

    def _on_console(self, message: ConsoleMessage) -> None:
        expected = any(f"status of {status} " in message.text for status in self.refused)
        if message.type in ("error", "warning") and not expected:
            self.errors.append(f"console: {message.text}")

    def _on_request(self, request: Request) -> None:
        self.requests.append(request.url)

    def _on_response(self, response: Response) -> None:
        self.bytes_received += int(response.headers.get("content-length", "0"))

    def sign_in(self, token: str) -> Self:
        """Sign in with a key over the API, as the form does."""
        answer = self.context.request.post(self.url + "v1/session", data={"key": token})
        assert answer.ok, answer.text()
        return self

    def open(self, view: str = "") -> Self:
        """Open a view and wait until it is shown."""
        target = f"{self.url}#/{view}"
        if self.page.url.startswith(self.url):
            self.page.evaluate("target => { location.hash = target }", f"#/{view}")
        else:
            self.page.goto(target)
        self.page.wait_for_selector(".view h1, .sign-in h1")
        self.page.wait_for_selector(".loading", state="detached")
        return self

    def until(self, expression: str) -> None:
        """Wait until an expression is true; Playwright's own way needs `eval`, which the policy forbids."""
        end = time.monotonic() + SECONDS_MAX
        while not self.page.evaluate(expression):
            assert time.monotonic() < end, expression
            self.page.wait_for_timeout(POLL_MS)

    def text(self, selector: str = "main") -> str:
        """Return what a person reads there."""
        return self.page.inner_text(selector)

    def named(self, role: Any, name: str, *, exact: bool = True) -> Locator:
        """Return the element with that role and name, as a screen reader finds it."""
        return self.page.get_by_role(role, name=name, exact=exact)

    def fill(self, label: str, value: str) -> None:
        """Type into the field of that label, of the dialog while there is one."""
        dialog = self.page.locator("dialog")
        (dialog if dialog.count() else self.page).get_by_label(label).fill(value)

    def confirm(self, name: str) -> None:
        """Press the button of that name in the dialog."""
        self.page.locator("dialog").get_by_role("button", name=name, exact=True).click()

    def shows(self, text: str) -> None:
        """Wait until that is announced, and the dialog is gone."""
        self.page.locator(".toast", has_text=text).first.wait_for()
        self.page.wait_for_selector("dialog", state="detached")

    def refresh(self, path: str) -> None:
        """Let the view refresh now, as after five seconds, and wait for its answer from that path."""
        with self.page.expect_response(lambda response: path in response.url):
            self.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")

    def memory(self) -> Memory:
        """Return what the tab holds after a collection of garbage."""
        session = self.context.new_cdp_session(self.page)
        session.send("Performance.enable")
        for _ in range(2):
            session.send("HeapProfiler.collectGarbage")
        found = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
        session.detach()
        return Memory(int(found["JSHeapUsedSize"]), int(found["Nodes"]), int(found["JSEventListeners"]))

    def width_beyond(self) -> int:
        """Return by how many pixels the page is wider than its window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - innerWidth"))

    def serious(self) -> list[str]:
        """Return what axe-core finds serious or critical."""
        if not self.page.evaluate("Boolean(window.axe)"):
            self.page.evaluate(AXE_SCRIPT)
        found = self.page.evaluate("axe.run({ resultTypes: ['violations'] })")["violations"]
        return [
            f"{each['id']} {node['target']}: {node['failureSummary']}"
            for each in found
            if each["impact"] in ("serious", "critical")
            for node in each["nodes"]
        ]

    def check(self) -> None:
        """Nothing went wrong: no error, no violation of the policy, no request to another host."""
        assert self.page.evaluate("window.violations") == []
        assert self.page.evaluate("window.pwned") is None, "text became script"
        assert self.errors == []
        hosts = {urlsplit(url).netloc for url in self.requests}
        assert hosts <= {urlsplit(self.url).netloc}

    def close(self) -> None:
        """Close it, after a last look."""
        self.check()
        self.context.close()
