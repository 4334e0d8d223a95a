"""The index of table `order_lines` by order number: key `O NUMBER LINE`, no content.

A line is found under its own id, and under the buyer's order numbers that its display fields have:
`parent_order_id` and `order_id` (docs/spec/api-security.md#added-reads). Own ids of PLATFORMS need no record,
since those lines are looked up by their key. A number that is none, such as one with a space, is not indexed.
"""

from __future__ import annotations

import re
from typing import Any, Final

from msgspec import Struct
from msgspec.json import Decoder

from rebate_app.networks import NETWORKS
from rebate_app.streams.state.buffer import StateTransaction
from rebate_app.streams.state.record_kind import RecordKind
from rebate_app.streams.state.store import Listable

ORDER_NUMBERS_NAME: Final = "order-numbers"
#: Platforms whose lines are looked up by `platform:id`.
PLATFORMS: Final = tuple(NETWORKS)
ORDER_NUMBER = RecordKind("O", str)
_NOTHING = b'""'

match_order_number = re.compile(r"[^\s\x00-\x1f\x7f-\x9f]{1,64}").fullmatch


class _Numbers(Struct):
    """The display fields that are order numbers; clients may send anything."""

    parent_order_id: Any = None
    order_id: Any = None


_decode = Decoder(_Numbers).decode


def _number_of(value: Any) -> str | None:
    """Return a display field as an order number, None for anything else."""
    if type(value) is int:
        value = str(value)
    return value if isinstance(value, str) and match_order_number(value) else None


def display_numbers(display: str) -> tuple[str | None, str | None]:
    """Return the order numbers `parent_order_id` and `order_id` of a line's display fields."""
    numbers = _decode(display)
    return _number_of(numbers.parent_order_id), _number_of(numbers.order_id)


def indexed_numbers(line: str, display: str | None) -> set[str]:
    """Return the numbers under which a line has an index record; `display` None: there is no line."""
    if display is None:
        return set()
    platform, _, own_id = line.partition(":")
    numbers = {number for number in display_numbers(display) if number is not None}
    return numbers - {own_id} if platform in PLATFORMS else numbers | {own_id}


def index_numbers(transaction: StateTransaction, line: str, before: str | None, after: str) -> None:
    """Bring the index up to date with a line whose display fields changed."""
    old, new = indexed_numbers(line, before), indexed_numbers(line, after)
    for number in new - old:
        transaction.put(ORDER_NUMBER.key(number, line), _NOTHING)
    for number in old - new:
        transaction.delete(ORDER_NUMBER.key(number, line))


def lines_of_number(store: Listable, number: str, platform: str, limit: int) -> list[str]:
    """Return the lines of the partition that have an index record for the number, in byte order.

    `platform`: of which platform, "" for all.
    """
    prefix = ORDER_NUMBER.key(number, "")
    wanted = prefix + f"{platform}:".encode() if platform else prefix
    return [key[len(prefix) :].decode() for key in store.keys_after(wanted, b"", limit)]
