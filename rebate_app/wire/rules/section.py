"""One table of a rule file, read member by member; every problem is noted and reading goes on.

A problem is a sentence that begins with the file and the dotted path of the member.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ..known_values import closest

NAME = re.compile(r"[^\x00-\x1f\x7f-\x9f]{1,64}")
NAME_FORM = "1-64 characters without control"


class Section:
    """A TOML table, and the problems of the whole file.

    A wrong or absent member is noted and read as a harmless value, so that one pass finds all problems; the
    version made of such values is discarded.
    """

    def __init__(self, source: str, path: str, values: object, problems: list[str]) -> None:
        self._source = source
        self._path = path
        self.problems = problems
        self._values: dict[str, Any] = values if isinstance(values, dict) else {}
        self._known: set[str] = set()
        if not isinstance(values, dict):
            self.problem("", "has to be a table")

    def problem(self, member: str, problem: str) -> None:
        """Note what is wrong with a member; "" means the table itself."""
        self.problems.append(f"{self._source}{self._member(member)}: {problem}")

    def _member(self, name: str) -> str:
        return ".".join(filter(None, (self._path, name)))

    def has(self, member: str) -> bool:
        """Whether the member is there."""
        return member in self._values

    @property
    def values(self) -> Mapping[str, Any]:
        """Return all members as they are."""
        return self._values

    def rest(self) -> set[str]:
        """Return the members that were not read."""
        return self._values.keys() - self._known

    def take(self, member: str, *, needed: bool = False) -> Any:
        """Return the member's value, None where it is absent."""
        self._known.add(member)
        if needed and member not in self._values:
            self.problem(member, "is needed")
        return self._values.get(member)

    def name(self, member: str) -> str:
        """Return a needed name."""
        value = self.take(member, needed=True)
        if isinstance(value, str) and NAME.fullmatch(value):
            return value
        if value is not None:
            self.problem(member, f"has to be text of {NAME_FORM}, not {value!r}")
        return ""

    def optional_name(self, member: str) -> str | None:
        """Return a name, None where it is absent."""
        value = self.take(member)
        if value is None or (isinstance(value, str) and NAME.fullmatch(value)):
            return value
        self.problem(member, f"has to be text of {NAME_FORM}, not {value!r}")
        return None

    def one_of(self, member: str, known: tuple[str, ...], *, needed: bool = False) -> str:
        """Return a member that has one of the known values; absent: the first of them."""
        value = self.take(member, needed=needed)
        if value is not None and (not isinstance(value, str) or value not in known):
            self.problem(member, f"has to be {' or '.join(map(repr, known))}, not {value!r}")
        return value if isinstance(value, str) else known[0]

    def integer(self, member: str, least: int, greatest: int, default: int | None = None) -> int:
        """Return an integer within both ends; needed where there is no default. true is no integer."""
        value = self.take(member, needed=default is None)
        if value is None:
            return least if default is None else default
        if type(value) is int and least <= value <= greatest:
            return value
        self.problem(member, f"has to be an integer from {least} to {greatest}, not {value!r}")
        return least

    def flag(self, member: str, *, default: bool) -> bool:
        """Return true or false, the default where it is absent."""
        value = self.take(member)
        if isinstance(value, bool):
            return value
        if value is not None:
            self.problem(member, f"has to be true or false, not {value!r}")
        return default

    def section(self, member: str, *, needed: bool = False) -> Section:
        """Return a table within this one; absent: an empty one."""
        value = self.take(member, needed=needed)
        return Section(self._source, self._member(member), {} if value is None else value, self.problems)

    def sections(self, member: str, *, needed: bool = False) -> list[Section]:
        """Return the tables of an array; needed: at least one."""
        value = self.take(member, needed=needed)
        if value is None:
            return []
        if not isinstance(value, list) or (needed and not value):
            self.problem(member, f"has to be one or more tables, each begun with [[{self._member(member)}]]")
            return []
        return [
            Section(self._source, f"{self._member(member)}[{number}]", item, self.problems)
            for number, item in enumerate(value, start=1)
        ]

    def refuse_unsupported(self, members: tuple[str, ...]) -> None:
        """Refuse members that a later version of this program will know."""
        for member in members:
            if member in self._values:
                self.take(member)
                self.problem(member, "not supported yet")

    def refuse_unknown(self, allowed: Iterable[str] = ()) -> None:
        """Refuse every member that was not read, and name the one that was probably meant.

        `allowed`: members that may be there beside those that were read.
        """
        for member in sorted(self.rest()):
            near = closest(member, {*self._known, *allowed})
            self.problem(member, "unknown key" + ("" if near is None else f"; did you mean {near}?"))
