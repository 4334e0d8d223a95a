"""Read a file of a network, or of facts, as facts of the contract: every row a fact or a refusal.

Law: rows are numbered from 1 in reading order, by line where a line is a document; a refused row does
not hold up its neighbours; what is handed out would be taken by HTTP and by the topic (contracts.md 5
and 8). It is separate so that the command line only sends and prints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Struct

from rebate_app.domain.faults import UNDECODABLE, Fault

from .files import Piece, read_pieces
from .json_values import parse_network, parse_strict
from .networks import canonical, jd, pages, pdd, taobao
from .order_facts import check_order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from .networks.rows import Row

#: In the order of contracts.md 1; what is not here comes last.
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


class Read(Struct):
    """One row: `document` is the fact to send, or None and `faults` says why not, at least once."""

    row: int
    document: dict[str, Any] | None
    faults: list[Fault]


class Network(NamedTuple):
    """How the files of one network are read: text to values, values to rows, a row to a fact."""

    parse: Callable[[bytes], Any]
    rows: Callable[[Any], Iterator[pages.Found]]
    read_row: Callable[[Row], tuple[dict[str, Any], list[Fault]]]


NETWORKS = {
    taobao.PLATFORM: Network(parse_network, pages.taobao_rows, taobao.read_row),
    jd.PLATFORM: Network(parse_network, pages.jd_rows, jd.read_row),
    pdd.PLATFORM: Network(parse_network, pages.pdd_rows, pdd.read_row),
    "canonical": Network(parse_strict, pages.plain_rows, canonical.read_row),
}


def read_facts(path: Path, network: str, now_us: int) -> Iterator[Read]:
    """Read the rows of a file, `.gz` or not, as facts or refusals, in order.

    `network` is a key of `NETWORKS`; `now_us`, microseconds UTC, is the moment after which a
    `modified_at` is too far in the future by 24 hours. Files of one document a line are streamed.
    OSError if the file cannot be read.
    """
    customs = NETWORKS[network]
    for piece in read_pieces(path, customs.parse):
        yield from _facts(piece, customs, now_us)


def _facts(piece: Piece, customs: Network, now_us: int) -> Iterator[Read]:
    """Read the rows of one document."""
    if piece.fault is not None:
        yield Read(piece.line or 1, None, [piece.fault])
        return
    for running, found in enumerate(_rows(piece.value, customs), start=1):
        row = running if piece.line is None else piece.line
        yield Read(row, None, [found]) if isinstance(found, Fault) else _fact(row, found, customs, now_us)


def _rows(document: Any, customs: Network) -> list[pages.Found]:
    """Find the rows of a document; one that is nested deeper than our own stack has none."""
    try:
        return list(customs.rows(document))
    except RecursionError:
        return [Fault(UNDECODABLE, "", "the document is nested too deep")]


def _fact(row: int, found: Row, customs: Network, now_us: int) -> Read:
    """Map and check one row; a field that could not be read is not missing besides."""
    document, faults = customs.read_row(found)
    unreadable = {fault.member for fault in faults}
    verdict = check_order(document, now_us)
    if isinstance(verdict, list) and not faults:
        return Read(row, None, verdict)
    if isinstance(verdict, list):
        faults = sorted(faults + [fault for fault in verdict if fault.member not in unreadable], key=_place)
    return Read(row, None, faults) if faults else Read(row, document, [])


def _place(fault: Fault) -> tuple[int, int]:
    """Return where a fault of a mapped row stands: missing, invalid, the time, each in contract order."""
    group = next((i for i, name in enumerate(("missing-", "invalid-"), 1) if fault.code.startswith(name)), 3)
    place = MEMBER_ORDER.index(fault.member) if fault.member in MEMBER_ORDER else len(MEMBER_ORDER)
    return group, place
