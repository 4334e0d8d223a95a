"""What an adapter of a network consists of, and how it is loaded.

An adapter is a module with an `ADAPTER`; the row of its network in rebate_app/networks.py names the module.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Struct

from rebate_app.domain.faults import Fault
from rebate_app.networks import CANONICAL, CANONICAL_ADAPTER, NETWORKS

from ..json_values import parse_network

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Iterator, Mapping

Row = dict[str, Any]


class PageEnd(Struct, frozen=True):
    """The end of one good answer: how many rows it had.

    `more`: it announces further pages. `total`: how many rows its query has on all pages, None if unknown.
    """

    rows: int
    more: bool = False
    total: int | None = None


PageItem = Row | Fault | PageEnd


class MappedRow(NamedTuple):
    """One row as an order fact: its JSON members, and the faults of the row's fields.

    `sources` maps a member of the fact to the fields of the row that it is read from, so that a refusal
    names what the network calls it; {} where the row is the fact itself.
    """

    document: dict[str, Any]
    faults: list[Fault]
    sources: Mapping[str, tuple[str, ...]] = {}


class Adapter(NamedTuple):
    """How the files of one network are read: text to values, an answer to rows, a row to a fact.

    `answer_rows` takes one JSON object, an answer of the API or a bare row, and yields its rows, refusals
    and, at the end of a good answer, a `PageEnd`. `read_row` takes a row and the time of the fetch in
    milliseconds since 1970, and returns an order fact with the faults of the row's fields.

    `envelope` matches the member that encloses an answer, None for rows without one. `parse` raises
    ValueError for text that is no document. `is_canonical`: the rows are facts already, written by people,
    so members that look misspelt are reported. `fee_statuses`: the statuses at which a row has to state the
    network's service fee. `whole_pid` matches a pid with all its parts, None where a pid has no parts.
    """

    answer_rows: Callable[[Row], Iterator[PageItem]]
    read_row: Callable[[Row, int], MappedRow]
    envelope: re.Pattern[str] | None = None
    parse: Callable[[bytes], Any] = parse_network
    is_canonical: bool = False
    fee_statuses: frozenset[str] = frozenset()
    whole_pid: re.Pattern[str] | None = None


def load_adapter(name: str) -> Adapter:
    """Return the adapter of a network or of the canonical format; KeyError for any other name."""
    module = CANONICAL_ADAPTER if name == CANONICAL else NETWORKS[name].adapter
    adapter: Adapter = import_module(module).ADAPTER
    return adapter
