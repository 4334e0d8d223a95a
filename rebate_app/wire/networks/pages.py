"""What the adapters share to find rows in answers: arrays of answers, arrays of rows, bare rows, totals.

Every row is found exactly once and in reading order. An answer without rows is either the empty page of
docs/spec/networks.md#envelopes or one `network-error`; nothing that looks like an answer is skipped.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeGuard

from rebate_app.domain.faults import UNDECODABLE, Fault

from ..facts.members import quoted
from .errors import ERROR_ENVELOPE, OK_OR_ZERO_CODES, error_of, network_error
from .integers import integer_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .adapter import PageItem, Row

#: Part of the name of every envelope.
ENVELOPE_MARK = "_respon"

_ANY_ENVELOPE = re.compile(r"\w+_respon[sc]e")


def answers_in(document: Any) -> Iterator[Row | Fault]:
    """Take a document apart: arrays hold answers or rows, an object is one of them.

    An answer that consists of an error is a refusal already. `error_response` null beside other members is
    absent.
    """
    if isinstance(document, list):
        for element in document:
            yield from answers_in(element)
    elif isinstance(document, dict):
        yield _answer_or_error(document) if ERROR_ENVELOPE in document else document
    else:
        yield not_a_row(document)


def _answer_or_error(document: Row) -> Row | Fault:
    """Return the rest of an answer whose `error_response` is null, else its error."""
    rest = {name: value for name, value in document.items() if name != ERROR_ENVELOPE}
    if document[ERROR_ENVELOPE] is None and rest:
        return rest
    return network_error(document[ERROR_ENVELOPE])


def present_envelopes(answer: Row, names: Iterable[str]) -> dict[str, Any]:
    """Return the envelopes of an answer by name; one that is null beside others is absent."""
    envelopes = {name: answer[name] for name in names if name in answer}
    return {name: value for name, value in envelopes.items() if value is not None} or envelopes


def rows_in(value: list[Any] | Row) -> Iterator[Row | Fault]:
    """Return the rows of an array, or a single one."""
    for row in value if isinstance(value, list) else [value]:
        yield row if isinstance(row, dict) else not_a_row(row)


class NotARow(Fault, frozen=True):
    """The refusal of a `value` that stands in the place of a row: its neighbours are rows all the same."""

    value: Any = None


def not_a_row(value: Any) -> NotARow:
    """Return the refusal of a value that stands in the place of a row."""
    return NotARow(UNDECODABLE, "", f"a row is a JSON object, and this is {quoted(value)}", value)


def has_rows(value: Any) -> TypeGuard[list[Any] | Row]:
    """Return whether a member holds rows: a non-empty array, or a single object."""
    return isinstance(value, list | dict) and bool(value)


def bare_rows(answer: Row, line_field: str, status_field: str | None = None) -> Iterator[PageItem]:
    """Read an object without a known envelope: a row, or an error that it reports.

    An object with a line id and a status is a row, whatever its other members.
    """
    is_row = line_field in answer and (status_field is None or status_field in answer)
    error = None if is_row else error_of([answer], OK_OR_ZERO_CODES)
    yield error or row_or_refusal(answer)


def row_or_refusal(answer: Row) -> Row | Fault:
    """Return an object as a row, or the refusal of an envelope that no adapter knows."""
    name = next((name for name in answer if _ANY_ENVELOPE.fullmatch(name)), None)
    if name is None:
        return answer
    return Fault(UNDECODABLE, "", f"{quoted(name)} is no envelope that is known for this network")


def total_count(fields: Row) -> int | None:
    """Return the number of rows on all pages, None where the answer does not name it."""
    total = integer_of(fields.get("total_count"))
    return total if total is not None and total >= 0 else None
