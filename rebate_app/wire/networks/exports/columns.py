"""Mapping files: which columns of an export hold which member of an order fact, by name.

The files beside this module ship with the product; `--columns` names one of the operator's own. A file is
TOML of the schema `export-columns/1` (docs/importing.md#exports). All its problems are reported at once.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from msgspec import Struct

from rebate_app.domain.facts import STATUS_RANK
from rebate_app.networks import NETWORKS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SCHEMA = "export-columns/1"
UNKNOWN_STATUS = "unknown"
#: Members of [columns] whose cells are ids: none of them may have lost digits.
ID_COLUMNS = ("order_line_id", "parent_order_id", "order_id", "special_id", "relation_id", "pid")
TIME_COLUMNS = ("modified_at", "created_at", "paid_at", "finished_at", "settled_at")
AMOUNT_COLUMNS = ("est_commission", "settled_commission", "service_fee")
OTHER_COLUMNS = (
    *("status", "expected_settle", "sub_union_id", "custom_uid"),
    *("item_id", "item_title", "item_shop"),
)
COLUMNS = (*ID_COLUMNS, *TIME_COLUMNS, *AMOUNT_COLUMNS, *OTHER_COLUMNS)
#: What a mapping of orders has to place, in any export.
NEEDED_COLUMNS = ("order_line_id", "status", "est_commission")
UNITS = ("yuan", "fen")
KEYS = ("schema", "network", "amounts", "columns", "statuses", "refused", "recognised_by")
STATUSES = frozenset({*STATUS_RANK, UNKNOWN_STATUS})

_UNIT_SUFFIX = re.compile(r"\((?:\+|-)?元\)$")
_FOLDER = Path(__file__).parent


class ExportColumns(Struct, frozen=True):
    """One mapping: `columns` has the header names of each member, the preferred one first.

    `statuses` maps status texts to statuses of order facts; other texts are `unknown`. `unit` is that of the
    amounts. `refused`: every row is refused with this code. `recognised_by`: header names of which any one
    makes a file one of this mapping, whatever its other columns.
    """

    network: str
    columns: dict[str, tuple[str, ...]]
    statuses: dict[str, str] = {}
    unit: Literal["yuan", "fen"] = "yuan"
    refused: str | None = None
    recognised_by: tuple[str, ...] = ()

    def places(self, header: Sequence[str]) -> dict[str, int]:
        """Return the place in a header of every member that it has a column for."""
        by_name = {name: place for place, name in reversed(list(enumerate(map(normalized, header))))}
        found = {
            member: next((by_name[name] for name in map(normalized, names) if name in by_name), None)
            for member, names in self.columns.items()
        }
        return {member: place for member, place in found.items() if place is not None}

    def is_recognised(self, header: Sequence[str]) -> bool:
        """Return whether a header has a column that no other export has."""
        names = set(map(normalized, header))
        return any(normalized(name) in names for name in self.recognised_by)

    def repeated(self, header: Sequence[str]) -> list[str]:
        """Return the names of mapped columns that stand more than once in a header."""
        counts = Counter(map(normalized, header))
        return [name for names in self.columns.values() for name in names if counts[normalized(name)] > 1]


class ColumnsError(ValueError):
    """A mapping file cannot be used: `problems` has one sentence for each reason."""

    def __init__(self, path: Path, problems: list[str]) -> None:
        super().__init__(f"{path} is no mapping of columns: {'; '.join(problems)}")
        self.problems = problems


def normalized(name: str) -> str:
    """Return the name of a column without what differs between exports of the same table.

    Widths of characters, case, blanks, invisible marks, and a unit in brackets at the end do not count.
    """
    text = unicodedata.normalize("NFKC", name).casefold()
    visible = (each for each in text if unicodedata.category(each) not in ("Cf", "Cc", "Zs"))
    return _UNIT_SUFFIX.sub("", "".join(visible).strip("\"'`"))


def shipped_columns(network: str) -> list[ExportColumns]:
    """Return the mappings of a network that ship with the product; [] where no export is known."""
    return [read_columns(path) for path in sorted(_FOLDER.glob(f"{network}-*.toml"))]


def read_columns(path: Path, network: str | None = None) -> ExportColumns:
    """Read a mapping file; ColumnsError with every problem, OSError if it cannot be read.

    `network`: the file has to be one of this network.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ColumnsError(path, [str(error)]) from None
    problems = list(_problems(document, network))
    if problems:
        raise ColumnsError(path, problems)
    return ExportColumns(
        network=document["network"],
        columns={member: tuple(names) for member, names in document["columns"].items()},
        statuses=document.get("statuses", {}),
        unit=cast("Literal['yuan', 'fen']", document.get("amounts", "yuan")),
        refused=document.get("refused"),
        recognised_by=tuple(document.get("recognised_by", ())),
    )


def _problems(document: dict[str, Any], network: str | None) -> Iterator[str]:
    """Return one sentence for each reason why a document is no mapping."""
    yield from (f"{key} is no key of a mapping" for key in document if key not in KEYS)
    if document.get("schema") != SCHEMA:
        yield f'schema has to be "{SCHEMA}"'
    if document.get("network") not in NETWORKS:
        yield f"network has to be one of {', '.join(NETWORKS)}"
    elif network is not None and document["network"] != network:
        yield f"its network is {document['network']}, not {network}"
    if document.get("amounts", "yuan") not in UNITS:
        yield "amounts has to be yuan or fen"
    if not _is_names(document.get("recognised_by", ["-"])):
        yield "recognised_by has to be a list of names of columns"
    if not isinstance(document.get("refused", ""), str):
        yield "refused has to be a reason code"
    yield from _column_problems(document.get("columns"), is_refused="refused" in document)
    yield from _status_problems(document.get("statuses", {}))


def _column_problems(columns: Any, *, is_refused: bool) -> Iterator[str]:
    if not isinstance(columns, dict):
        yield "[columns] is missing"
        return
    for member, names in columns.items():
        if member not in COLUMNS:
            yield f"columns.{member} is no member; the members are {', '.join(COLUMNS)}"
        elif not _is_names(names):
            yield f"columns.{member} has to be a list of names of columns"
    if not is_refused:
        yield from (f"columns.{member} is missing" for member in NEEDED_COLUMNS if member not in columns)
        if not any(member in columns for member in TIME_COLUMNS):
            yield f"none of {', '.join(TIME_COLUMNS)} is in [columns]"


def _status_problems(statuses: Any) -> Iterator[str]:
    if not isinstance(statuses, dict):
        yield "[statuses] has to map texts to statuses"
        return
    for text, status in statuses.items():
        if status not in STATUSES:
            yield f'statuses."{text}" has to be one of {", ".join(sorted(STATUSES))}'


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(name, str) and name for name in value)
