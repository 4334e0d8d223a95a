"""One worker and one browser for all tests of this folder.

The worker is started first: while Playwright runs, its loop is this thread's, and nothing else may use one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from playwright.sync_api import Browser

from tests.page.browser import Tab, chromium
from tests.page.site import Site, running

NewTab = Callable[..., Tab]


@pytest.fixture(scope="package")
def site(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Run a real worker with the page's world in it, behind keys."""
    folder = tmp_path_factory.mktemp("page")
    with running(kafka, f"page-{uuid4().hex[:8]}-", folder) as made:
        yield made


@pytest.fixture(scope="package")
def browser(site: Site) -> Iterator[Browser]:
    """Run Chromium."""
    del site
    with chromium() as made:
        yield made


@pytest.fixture
def tab(site: Site, browser: Browser) -> Iterator[NewTab]:
    """Return a maker of tabs, signed in with the key of a scope; each is checked when the test has ended."""
    tabs: list[Tab] = []

    def make(scope: str | None = "admin", **options: object) -> Tab:
        made = Tab(browser, site.url, **options)  # type: ignore[arg-type]
        tabs.append(made)
        return made if scope is None else made.sign_in(site.token(scope))

    yield make
    for each in tabs:
        each.close()
