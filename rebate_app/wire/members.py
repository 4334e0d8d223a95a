"""Read the members of one fact and remember every fault, in contract order.

Law: null is absent; all missing members come before all invalid ones, each group in the order in
which the members are read (contracts.md 1 and 5). It is separate because order facts and user facts
are refused by the same rules, and so that a rule is a call and not a ladder of ifs.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from rebate_app.domain.faults import Fault, invalid, missing

from .moments import parse_date, parse_moment

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping

#: How much of a bad value a fault shows.
SHOWN_CHARACTERS_MAX = 80
#: Python takes its time over longer ones, and refuses to write those of more than 4,300 digits.
INTEGER_BITS_SHOWN_MAX = 512


class MemberReader:
    """The members of one parsed JSON object, and the faults found in them so far.

    Paths have at most one dot. A parent that is no object is one fault of the parent, and none of
    its children are missing besides. A `needed_…` method returns an empty value when there is a fault:
    the caller builds the fact only if `faults()` is empty.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._parents: dict[str, Mapping[str, Any] | None] = {}
        self._missing: list[Fault] = []
        self._invalid: list[Fault] = []

    def faults(self) -> list[Fault]:
        """Return what was found: missing members first, then invalid ones."""
        return self._missing + self._invalid

    def refuse(self, path: str, detail: str) -> None:
        """Add the fault that the member cannot be used."""
        self._invalid.append(invalid(path, detail))

    def value(self, path: str, *, needed: bool = False) -> Any:
        """Return the member or None; a fault if it is needed and absent (or null)."""
        parent, dot, name = path.rpartition(".")
        home = self._parent(parent) if dot else self._document
        if home is None:
            return None
        value = home.get(name)
        if value is None and needed:
            self._missing.append(missing(path))
        return value

    def text(
        self, path: str, accepts: Callable[[str], object], says: str, *, needed: bool = False
    ) -> str | None:
        """Return a string member that `accepts` says yes to, or None; `says` is the rule in words."""
        value = self.value(path, needed=needed)
        if value is None:
            return None
        if isinstance(value, str) and accepts(value):
            return value
        self.refuse(path, f"{path} has to be {says}, and is {shown(value)}")
        return None

    def needed_text(self, path: str, accepts: Callable[[str], object], says: str) -> str:
        """Return a string member that has to be there, or "" and a fault."""
        return self.text(path, accepts, says, needed=True) or ""

    def choice(self, path: str, choices: Container[str]) -> str:
        """Return a needed string member out of an enumeration, or "" and a fault."""
        return self.needed_text(path, choices.__contains__, "one of the known values")

    def integer(self, path: str, least: int, most: int, *, needed: bool = False) -> int | None:
        """Return an integer member within the bounds, or None; 1.0 and true are no integers."""
        value = self.value(path, needed=needed)
        if value is None:
            return None
        if type(value) is int and least <= value <= most:
            return value
        self.refuse(path, f"{path} has to be an integer from {least} to {most}, and is {shown(value)}")
        return None

    def moment(self, path: str, *, needed: bool = False) -> int | None:
        """Return a moment in microseconds UTC, or None."""
        return self._parsed(path, parse_moment, "an RFC 3339 moment with offset", needed=needed)

    def needed_moment(self, path: str) -> int:
        """Return a moment that has to be there, or 0 and a fault."""
        return self.moment(path, needed=True) or 0

    def date(self, path: str) -> int | None:
        """Return a date in days since 1970-01-01, or None."""
        return self._parsed(path, parse_date, "a date YYYY-MM-DD", needed=False)

    def _parsed(self, path: str, parse: Callable[[str], int], says: str, *, needed: bool) -> int | None:
        """Return what `parse` makes of a string member, or None."""
        value = self.value(path, needed=needed)
        if value is None:
            return None
        if isinstance(value, str):
            try:
                return parse(value)
            except ValueError:
                pass
        self.refuse(path, f"{path} has to be {says}, and is {shown(value)}")
        return None

    def _parent(self, name: str) -> Mapping[str, Any] | None:
        """Return the object a member lives in: empty if absent, None (and one fault) if it is no object."""
        if name not in self._parents:
            value = self._document.get(name)
            if value is not None and not isinstance(value, dict):
                self.refuse(name, f"{name} has to be an object, and is {shown(value)}")
            self._parents[name] = {} if value is None else value if isinstance(value, dict) else None
        return self._parents[name]


def shown(value: Any) -> str:
    """Return a bad value as short ASCII text for a fault's detail, whatever it is."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, int) and value.bit_length() > INTEGER_BITS_SHOWN_MAX:
        return "a huge integer"
    if isinstance(value, Decimal):
        text = str(value)
    else:
        text = json.dumps(value[: SHOWN_CHARACTERS_MAX + 1]) if isinstance(value, str) else ascii(value)
    return text if len(text) <= SHOWN_CHARACTERS_MAX else f"{text[:SHOWN_CHARACTERS_MAX]}..."
