"""Rows of sums in an export, and the rows that they are about (docs/spec/sources.md#exports).

Some back offices put a sum below its rows, others above them; pages and the whole file may have one each.
Amounts are fen by column.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from msgspec import Struct

SUM_WORDS = ("合计", "总计", "汇总")
#: How exports write that there is no amount.
NONE_AMOUNTS = ("", "--", "-")

#: What stands beside the number in the cell of a sum: words, colons, the currency, separators, blanks.
_BESIDE = re.compile(rf"{'|'.join(SUM_WORDS)}|[:¥元,\s]")
_NUMBER = re.compile(r"[+-]?[0-9]{1,40}(?:\.[0-9]{0,40})?(?:[eE][+-]?[0-9]{1,2})?")


def read_sum(text: str, digits: int) -> int | None:
    """Return the amount of a cell in fen, None for none; it may exceed what one fact may have.

    The unit is 10^`digits` fen; half a fen is rounded up. `¥1,234.50`, `￥12` and `12元` are amounts.
    ValueError for other text.
    """
    plain = _BESIDE.sub("", unicodedata.normalize("NFKC", text))
    if plain in NONE_AMOUNTS:
        return None
    if _NUMBER.fullmatch(plain) is None:
        raise ValueError("no amount")
    return int(Decimal(plain).scaleb(digits).to_integral_value("ROUND_HALF_UP"))


class Total(Struct, frozen=True):
    """How many rows there are, and their sums in fen by column."""

    rows: int
    fen: dict[str, int]

    def __sub__(self, earlier: Total) -> Total:
        """Return the total of the rows that are not among the earlier ones."""
        fen = {column: amount - earlier.fen.get(column, 0) for column, amount in self.fen.items()}
        return Total(self.rows - earlier.rows, fen)

    def difference(self, stated: Mapping[str, int]) -> dict[str, int]:
        """Return what the rows have of each amount that is stated otherwise."""
        return {name: self.fen.get(name, 0) for name, fen in stated.items() if self.fen.get(name, 0) != fen}


NO_ROWS = Total(0, {})


def running_totals(rows: Iterable[Mapping[str, int] | None]) -> list[Total]:
    """Return the totals above each row of sums and of the whole file, the first of them 0.

    `rows`: the amounts of each row, None for a row of sums.
    """
    totals, count, fen = [NO_ROWS], 0, Counter[str]()
    for amounts in rows:
        if amounts is None:
            totals.append(Total(count, dict(fen)))
        else:
            count += 1
            fen.update(amounts)
    return [*totals, Total(count, dict(fen))]


def difference(totals: Sequence[Total], number: int, stated: Mapping[str, int]) -> dict[str, int]:
    """Return what the rows have of each amount that a row of sums states otherwise; {} where it agrees.

    `totals`: `running_totals` of the file; `number`: how many rows of sums are above this one. A sum is that
    of the rows above it, since the last sum or all of them. Where there are none since the last sum, and in a
    file that begins with a sum, it may be that of the rows below it, up to the next sum or all of them.
    """
    here = totals[number + 1]
    since_last = here - totals[number]
    groups, below = [here, since_last], [totals[number + 2] - here, totals[-1] - here]
    if not totals[1].rows:
        groups = below + groups
    elif not since_last.rows:
        groups += below
    differences = [group.difference(stated) for group in groups if group.rows]
    if not differences:
        return NO_ROWS.difference(stated)
    return {} if {} in differences else differences[0]
