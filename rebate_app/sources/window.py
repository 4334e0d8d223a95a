"""Read one window of rows completely: on one page, or over and over until two passes agree.

A row that changes between two pages leaves the window, and the first row of the next page is skipped: so a
window that does not fit on one page is halved by the caller. One of one second is read page by page until two
passes in a row give the same set of ids and modification times (docs/spec/sources.md#watermark).
"""

from __future__ import annotations

from enum import Enum, auto

from rebate_app.wire.moments import SECOND_US, beijing_to_us, unix_to_us
from rebate_app.wire.networks.adapter import Row

from .apis.api import ApiClient, Query, RowPage

PASSES_MAX = 3
SECOND = 1
#: Pages in a row with a row outside their window that are asked for again; the next one is believed.
FOREIGN_PAGES_MAX = 3
#: A row's moment may be the second before or after its window's edge.
EDGE_SECONDS = 1


class WindowProgress(Enum):
    """What a page did to the window."""

    MORE_PAGES = auto()
    COMPLETE = auto()
    TOO_MANY = auto()  # it does not fit on one page, and can be halved
    UNSETTLED = auto()  # after PASSES_MAX passes no two in a row agreed
    OVERFULL = auto()  # one second has more pages than the network gives
    FOREIGN = auto()  # a row lies outside the window: it answers another question


class WindowRead:
    """The reading of [start, end], in Unix seconds. `rows` has every row that was seen, passes included."""

    def __init__(
        self,
        api: ApiClient,
        window: tuple[int, int],
        scan_kind: str,
        *,
        backward: bool,
        by_settlement: bool = False,
    ) -> None:
        self.window = window
        self.scan_kind = scan_kind
        self.rows: list[Row] = []
        self.pages = 0
        self._api = api
        self._backward = backward
        self._by_settlement = by_settlement
        self._page = 1
        self._cursor = ""
        self._passes = 0
        self._pass_rows: list[Row] = []
        self._pass_pages: set[frozenset[tuple[str, str]]] = set()
        self._last_pass: frozenset[tuple[str, str]] | None = None
        self._is_probe = True
        self._foreign_pages = 0

    @property
    def query(self) -> Query:
        """Return the query of the page that is next."""
        cursor = self._cursor if self._page > 1 else ""
        return Query(*self.window, self._page, cursor, self._by_settlement)

    @property
    def is_shortest(self) -> bool:
        """Return whether the window cannot be halved."""
        return self.window[1] - self.window[0] <= SECOND

    def take(self, page: RowPage) -> WindowProgress:
        """Take the page that `query` asked for."""
        self.pages += 1
        if self._is_foreign(page) and self._foreign_pages < FOREIGN_PAGES_MAX:
            self._foreign_pages += 1
            return WindowProgress.FOREIGN
        self._foreign_pages = 0
        if self._is_probe:
            if self._fits(page):
                self.rows += page.rows
                return WindowProgress.COMPLETE
            if not self.is_shortest:
                return WindowProgress.TOO_MANY
            self._is_probe = False
            if self._backward:
                return self._begin_backward(page)
        self.rows += page.rows
        self._pass_rows += page.rows
        return self._next_backward(page) if self._backward else self._next_forward(page)

    def _is_foreign(self, page: RowPage) -> bool:
        """Return whether a row lies outside the window: a gateway repeats an older answer.

        One row decides: the windows that are read one after the other share an edge, and overlap.
        """
        if self._by_settlement or not page.rows:
            return False
        start, end = self.window[0] - EDGE_SECONDS, self.window[1] + EDGE_SECONDS
        moments = (moment_of(self._api.version_of(row)[1]) for row in page.rows)
        return any(moment is not None and not start <= moment <= end for moment in moments)

    def _fits(self, page: RowPage) -> bool:
        """Return whether the first page is the whole window, with as many rows as the total states."""
        return not page.more and (page.total is None or page.total == len(page.rows))

    def _begin_backward(self, page: RowPage) -> WindowProgress:
        """Begin a pass at the last page of the total."""
        pages = max(1, -(-max(page.total or 0, len(page.rows)) // self._api.page_rows))
        if pages > self._api.pages_max:
            return WindowProgress.OVERFULL
        self._page = pages
        return WindowProgress.MORE_PAGES

    def _next_backward(self, page: RowPage) -> WindowProgress:
        if not self._count_page(page):
            return self._end_pass(repeated=True)
        if self._page > 1:
            self._page -= 1
            return WindowProgress.MORE_PAGES
        progress = self._end_pass()
        return self._begin_backward(page) if progress is WindowProgress.MORE_PAGES else progress

    def _next_forward(self, page: RowPage) -> WindowProgress:
        if not self._count_page(page):
            return self._end_pass(repeated=True)
        if page.more:
            if self._page >= self._api.pages_max:
                return WindowProgress.OVERFULL
            self._page += 1
            self._cursor = page.cursor
            return WindowProgress.MORE_PAGES
        return self._end_pass()

    def _count_page(self, page: RowPage) -> bool:
        """Return whether the page is none that this pass has had already: then a page is missing."""
        versions = frozenset(map(self._api.version_of, page.rows))
        is_new = not versions or versions not in self._pass_pages
        self._pass_pages.add(versions)
        return is_new

    def _end_pass(self, *, repeated: bool = False) -> WindowProgress:
        """Compare a pass with the one before it, and begin the next."""
        found = frozenset(map(self._api.version_of, self._pass_rows))
        agrees = not repeated and found == self._last_pass
        self._last_pass = None if repeated else found
        self._pass_rows, self._pass_pages = [], set()
        self._passes += 1
        if agrees:
            return WindowProgress.COMPLETE
        if self._passes >= PASSES_MAX:
            return WindowProgress.UNSETTLED
        if not self._backward or repeated:
            self._page, self._cursor = 1, ""
            self._is_probe = self._backward
        return WindowProgress.MORE_PAGES


def moment_of(text: str) -> int | None:
    """Return a modification time in Unix seconds: given as such, or as Beijing time; None for neither."""
    try:
        us = unix_to_us(int(text)) if text.isascii() and text.isdigit() else beijing_to_us(text)
    except ValueError:
        return None
    return us // SECOND_US
