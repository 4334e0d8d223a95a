"""Read a file of a network, or of facts: every row becomes a fact of the contract or a refusal.

The way of a row: file → documents → answers → rows → fact → check. Rows are numbered from 1 in reading
order, by line where each line is a document. A refused row does not hold up its neighbours, and every fact
that is returned is taken by HTTP and by the topic (docs/spec/facts.md#reason-codes and
docs/spec/networks.md#rows).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from rebate_app.domain.faults import UNDECODABLE, Fault
from rebate_app.networks import NETWORKS

from ..facts.members import quoted
from ..facts.order import check_order
from ..facts.unknown_members import MemberCheck, MemberWarning
from ..files import FileDocument, read_documents
from ..moments import MILLISECOND_US
from .adapter import Adapter, PageEnd, PageItem, Row, load_adapter
from .pages import ENVELOPE_MARK, answers_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

#: In the order of docs/spec/facts.md#order-facts; other members come last.
MEMBER_ORDER = (
    "platform",
    "order_line_id",
    "seq.modified_at",
    "status",
    "amounts.est_commission",
    "times.paid",
    "amounts.settled_commission",
    "amounts.service_fee",
    "times.settled",
    "times.expected_settle",
    "suit_id",
    "refund_status",
    "net_refund",
    "modified_at",
)


class RowResult(Struct):
    """One row: `document` is the fact to send, or None with at least one of `faults`.

    `warnings` name members of the document that nothing reads. Of a refused row, `order_line_id` is its id
    as far as it has one, and `sources` maps members to the network's own fields (`MappedRow`).
    """

    row: int
    document: dict[str, Any] | None
    faults: list[Fault]
    warnings: list[MemberWarning] = []
    order_line_id: str | None = None
    sources: Mapping[str, tuple[str, ...]] = {}


class FileWarning(Struct, frozen=True):
    """An oddity of a file that is imported all the same: a stable code and one sentence."""

    code: str
    detail: str


EMPTY_FILE = FileWarning("empty-file", "the file is empty: it has neither rows nor answers in it")
MORE_PAGES = FileWarning("more-pages", "the last answer in the file says that more pages follow")


def read_facts(
    path: Path,
    network: str,
    now_us: int,
    *,
    fetched_at_ms: int | None = None,
    warn: Callable[[FileWarning], None] | None = None,
) -> Iterator[RowResult]:
    """Read the rows of a file, compressed or not, as facts or refusals, in order.

    `network` is one of `file_formats()`; `now_us`, microseconds UTC, is the moment after which a
    `modified_at` is too far in the future by 24 hours. `fetched_at_ms`, milliseconds since 1970 (None:
    now), is `fetch_seq` of rows without a modification time. `warn` is called at the end of a file that
    is empty or announces more pages. Files of one document a line are streamed. OSError if the file
    cannot be read.
    """
    fetched_ms = now_us // MILLISECOND_US if fetched_at_ms is None else fetched_at_ms
    reader = _FactReader(network, now_us, fetched_ms)
    for document in read_documents(path, reader.adapter.parse):
        yield from reader.results(document)
    if warn is not None:
        for warning in reader.warnings():
            warn(warning)


class _FactReader:
    """Turns the documents of one file into facts, and remembers what its answers state about pages."""

    def __init__(self, network: str, now_us: int, fetched_at_ms: int) -> None:
        self.adapter = load_adapter(network)
        self._network = network
        self._others = [] if self.adapter.envelope is None else _other_adapters(network)
        self._now_us = now_us
        self._fetched_at_ms = fetched_at_ms
        self._member_check = MemberCheck()
        self._is_empty = True
        self._rows = 0
        self._page_rows = 0
        self._last_page: PageEnd | None = None

    def results(self, document: FileDocument) -> Iterator[RowResult]:
        """Return a result for each row of one document."""
        items = self._items(document.value) if document.fault is None else [document.fault]
        for item in items:
            self._is_empty = False
            if isinstance(item, PageEnd):
                self._count_page(item)
                continue
            self._rows += 1
            row = self._rows if document.line is None else document.line
            yield RowResult(row, None, [item]) if isinstance(item, Fault) else self._fact(row, item)

    def _count_page(self, page: PageEnd) -> None:
        """Count the rows of one query: another total, or a total that was reached, begins the next query."""
        last = self._last_page
        if last is None or page.total != last.total or self._page_rows >= (last.total or 0):
            self._page_rows = 0
        self._page_rows += page.rows
        self._last_page = page

    def warnings(self) -> Iterator[FileWarning]:
        """Return the oddities of the file as a whole."""
        page = self._last_page
        if self._is_empty:
            yield EMPTY_FILE
        elif page is not None and (page.more or (page.total is not None and page.total > self._page_rows)):
            yield MORE_PAGES

    def _items(self, document: Any) -> list[PageItem]:
        """Return the rows, refusals and pages of a document; one that is nested too deep is one refusal."""
        try:
            return [item for answer in answers_in(document) for item in self._answer_items(answer)]
        except RecursionError:
            return [Fault(UNDECODABLE, "", "the document is nested too deep")]

    def _answer_items(self, answer: Row | Fault) -> Iterator[PageItem]:
        """Return the rows of one answer, or one refusal if it is an answer of another network."""
        if isinstance(answer, Fault):
            yield answer
            return
        fault = self._foreign_envelope(answer)
        if fault is None:
            yield from self.adapter.answer_rows(answer)
        else:
            yield fault

    def _foreign_envelope(self, answer: Row) -> Fault | None:
        """Return the refusal of an answer in an envelope of another network, None for all others."""
        if ENVELOPE_MARK not in "\n".join(answer):  # nearly all rows
            return None
        for other, adapter in self._others:
            for name in answer:
                if answer[name] is None and len(answer) > 1:
                    continue
                if adapter.envelope is not None and adapter.envelope.fullmatch(name):
                    detail = f"{quoted(name)} is no envelope of {self._network} but one of {other}"
                    return Fault(UNDECODABLE, "", f"{detail}: import the file as {other}")
        return None

    def _fact(self, row: int, fields: Row) -> RowResult:
        """Map and check one row."""
        document, faults, sources = self.adapter.read_row(fields, self._fetched_at_ms)
        verdict = check_order(document, self._now_us)
        if isinstance(verdict, list):
            faults = ordered_faults(faults, verdict)
        if faults:
            return RowResult(row, None, faults, [], line_id_of(document), sources)
        warnings = self._member_check.warnings(document) if self.adapter.is_canonical else []
        return RowResult(row, document, [], warnings)


def ordered_faults(row_faults: list[Fault], verdict: list[Fault]) -> list[Fault]:
    """Return the faults of a row's fields and of its fact in contract order.

    A field that could not be read is not missing besides.
    """
    if not row_faults:
        return verdict
    unreadable = {fault.member for fault in row_faults}
    others = [fault for fault in verdict if fault.member not in unreadable]
    return sorted(row_faults + others, key=_place)


def line_id_of(document: dict[str, Any]) -> str | None:
    """Return the line's id, else the buyer's order number, None for neither."""
    ids = (document.get(name) for name in ("order_line_id", "parent_order_id"))
    return next((each for each in ids if isinstance(each, str) and each), None)


def _other_adapters(network: str) -> list[tuple[str, Adapter]]:
    return [(name, load_adapter(name)) for name in NETWORKS if name != network]


def _place(fault: Fault) -> tuple[int, int]:
    """Return where a fault of a mapped row stands: missing, invalid, the time, each in contract order."""
    group = next((i for i, name in enumerate(("missing-", "invalid-"), 1) if fault.code.startswith(name)), 3)
    place = MEMBER_ORDER.index(fault.member) if fault.member in MEMBER_ORDER else len(MEMBER_ORDER)
    return group, place
