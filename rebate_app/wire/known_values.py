"""Sentences about a value that is none of a few known ones: which are known, and which was probably meant.

An enumeration's values are few and short, so a detail can name all of them (docs/spec/facts.md#reason-codes).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

SIMILARITY_MIN = 0.7
#: A longer text is no misspelling of a known value, and comparing it takes time.
COMPARED_CHARACTERS_MAX = 100
#: More are counted: a detail stays one readable sentence.
LISTED_MAX = 20


def hint(value: object, known: Iterable[str]) -> str:
    """Return "did you mean a? known: a, b", without the question if nothing resembles the value."""
    names = list(known)
    near = closest(value, names)
    suggestion = f"did you mean {near}? " if near is not None else ""
    return f"{suggestion}known: {listed(names)}"


def closest(value: object, known: Iterable[str]) -> str | None:
    """Return the known value that resembles this one most, letter case aside; None if none does."""
    if not isinstance(value, str) or not 0 < len(value) <= COMPARED_CHARACTERS_MAX:
        return None
    by_folded = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(value.casefold(), by_folded, 1, SIMILARITY_MIN)
    return by_folded[near[0]] if near else None


def listed(names: list[str]) -> str:
    """Return the names with commas between, the first LISTED_MAX of them and how many follow."""
    more = len(names) - LISTED_MAX
    return ", ".join(names[:LISTED_MAX]) + (f" and {more} more" if more > 0 else "")
