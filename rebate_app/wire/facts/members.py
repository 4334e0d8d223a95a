"""Read the members of one fact, order or user fact, and collect every fault in contract order.

null is absent. All missing members come before all invalid ones, each group in the order in which the members
are read (docs/spec/facts.md#reason-codes). Moments are microseconds UTC, dates are days since 1970-01-01.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from rebate_app.domain.faults import Fault, invalid, missing

from ..known_values import hint
from ..moments import parse_date, parse_moment

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

#: How much of a bad value the detail of a fault quotes.
QUOTED_CHARACTERS_MAX = 80
#: Python is slow to write longer ones, and refuses those of more than 4,300 digits.
INTEGER_BITS_QUOTED_MAX = 512


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
        """Return all faults: missing members first, then invalid ones."""
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

    def require_present(self, name: str) -> None:
        """Add a fault if a member of the object itself is absent; here null is a value."""
        if name not in self._document:
            self._missing.append(missing(name))

    def text(
        self, path: str, accepts: Callable[[str], object], rule: str, *, needed: bool = False
    ) -> str | None:
        """Return a string member that `accepts` takes, or None; `rule` describes what it takes."""
        value = self.value(path, needed=needed)
        if value is None:
            return None
        if isinstance(value, str) and accepts(value):
            return value
        self.refuse(path, f"{path} has to be {rule}, and is {quoted(value)}")
        return None

    def needed_text(self, path: str, accepts: Callable[[str], object], rule: str) -> str:
        """Return a string member that has to be present, or "" and a fault."""
        return self.text(path, accepts, rule, needed=True) or ""

    def choice(self, path: str, choices: Collection[str]) -> str:
        """Return a needed string member out of an enumeration, or "" and a fault that names its values."""
        value = self.value(path, needed=True)
        if isinstance(value, str) and value in choices:
            return value
        if value is not None:
            self.refuse(path, f"{path} {quoted(value)} is not known here; {hint(value, choices)}")
        return ""

    def texts(self, path: str, accepts: Callable[[str], object], rule: str) -> tuple[str, ...] | None:
        """Return a list of strings that `accepts` takes, at least one, or None; equal ones once."""
        value = self.value(path)
        if value is None:
            return None
        texts = value if isinstance(value, list) else []
        if texts and all(isinstance(each, str) and accepts(each) for each in texts):
            return tuple(dict.fromkeys(texts))
        self.refuse(path, f"{path} has to be {rule}, and is {quoted(value)}")
        return None

    def flag(self, path: str) -> bool:
        """Return a boolean member, False where it is absent."""
        value = self.value(path)
        if value is None or isinstance(value, bool):
            return bool(value)
        self.refuse(path, f"{path} has to be true or false, and is {quoted(value)}")
        return False

    def integer(self, path: str, least: int, most: int, *, needed: bool = False) -> int | None:
        """Return an integer member within the bounds, or None; 1.0 and true are no integers."""
        value = self.value(path, needed=needed)
        if value is None:
            return None
        if type(value) is int and least <= value <= most:
            return value
        self.refuse(path, f"{path} has to be an integer from {least} to {most}, and is {quoted(value)}")
        return None

    def moment(self, path: str, *, needed: bool = False) -> int | None:
        """Return a moment in microseconds UTC, or None."""
        return self._parsed(path, parse_moment, "an RFC 3339 moment with offset", needed=needed)

    def needed_moment(self, path: str) -> int:
        """Return a moment that has to be present, or 0 and a fault."""
        return self.moment(path, needed=True) or 0

    def date(self, path: str) -> int | None:
        """Return a date in days since 1970-01-01, or None."""
        return self._parsed(path, parse_date, "a date YYYY-MM-DD", needed=False)

    def _parsed(self, path: str, parse: Callable[[str], int], rule: str, *, needed: bool) -> int | None:
        """Return the result of `parse` for a string member, or None."""
        value = self.value(path, needed=needed)
        if value is None:
            return None
        if isinstance(value, str):
            try:
                return parse(value)
            except ValueError:
                pass
        self.refuse(path, f"{path} has to be {rule}, and is {quoted(value)}")
        return None

    def _parent(self, name: str) -> Mapping[str, Any] | None:
        """Return the object a member lives in: empty if absent, None (and one fault) if it is no object."""
        if name not in self._parents:
            value = self._document.get(name)
            if value is not None and not isinstance(value, dict):
                self.refuse(name, f"{name} has to be an object, and is {quoted(value)}")
            self._parents[name] = {} if value is None else value if isinstance(value, dict) else None
        return self._parents[name]


def quoted(value: Any) -> str:
    """Return a bad value as short ASCII text for a fault's detail, whatever it is."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, int) and value.bit_length() > INTEGER_BITS_QUOTED_MAX:
        return "a huge integer"
    if isinstance(value, Decimal):
        text = str(value)
    else:
        text = json.dumps(value[: QUOTED_CHARACTERS_MAX + 1]) if isinstance(value, str) else ascii(value)
    return text if len(text) <= QUOTED_CHARACTERS_MAX else f"{text[:QUOTED_CHARACTERS_MAX]}..."
