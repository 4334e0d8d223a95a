"""All published rule versions that a process has read, and the books of those that a log knows.

Publishing makes a version available to everybody; an activation makes it known behind an offset of one
partition of the user log (docs/spec/rules.md#activation). A catalogue only grows; a version never changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from .rules import RuleBook, RuleVersion


class VersionNotReadError(Exception):
    """A version is named that this process has not read: it may have been published a moment ago."""

    def __init__(self, version: str) -> None:
        super().__init__(f"the rule version {version!r} was not read yet")
        self.version = version


class Activation(Struct, frozen=True, array_like=True):
    """From which place on one partition knows a version: every record behind `after_offset`.

    `at`: when its owner learned of it, ms since 1970.
    """

    version: str
    content_hash: str
    after_offset: int
    at: int


class RuleCatalogue:
    """Published versions in the order in which they were published.

    `revision` grows with each version. A `live` catalogue may lack a version that exists, so it raises
    VersionNotReadError where others raise KeyError, until `note_absent` rules that out.
    """

    def __init__(self, versions: Iterable[RuleVersion] = (), *, live: bool = False) -> None:
        self._versions: dict[str, RuleVersion] = {}
        self._live = live
        self._absent: set[str] = set()
        self._books: dict[bytes, RuleBook] = {}
        self.revision = 0
        self.book = RuleBook(())
        for version in in_order(versions):
            self.add(version)

    @property
    def versions(self) -> Sequence[RuleVersion]:
        """Return every version, in the order in which they were published."""
        return list(self._versions.values())

    @property
    def level_ids(self) -> set[str]:
        """Return every level that some version has."""
        return self.book.level_ids

    def add(self, version: RuleVersion) -> None:
        """Take a version that `conflict` accepts; ValueError for another one."""
        if problem := conflict(version, self._versions.values()):
            raise ValueError(problem)
        self._versions[version.version] = version
        self.revision += 1
        self.book = RuleBook(self._versions.values(), self.named)

    def get(self, version: str) -> RuleVersion | None:
        """Return the version of that name, None when this process has read none."""
        return self._versions.get(version)

    def named(self, version: str) -> RuleVersion:
        """Return the version of that name; VersionNotReadError or KeyError as the class says."""
        found = self._versions.get(version)
        if found is not None:
            return found
        if self._live and version not in self._absent:
            raise VersionNotReadError(version)
        raise KeyError(version)

    def note_absent(self, version: str) -> None:
        """Note that all published versions were read, and this one is not among them."""
        if version not in self._versions:
            self._absent.add(version)

    def book_of(self, stored: bytes, activations: Sequence[Activation]) -> RuleBook:
        """Return the book of these activations; `stored`, their encoding, identifies it.

        VersionNotReadError: one of them was not read yet.
        """
        book = self._books.get(stored)
        if book is None:
            known_after = {each.version: each.after_offset for each in activations}
            book = RuleBook([self.named(version) for version in known_after], self.named, known_after)
            self._books[stored] = book
        return book

    def cached_book(self, stored: bytes) -> RuleBook | None:
        """Return the book of activations with this encoding, None before `book_of` made it."""
        return self._books.get(stored)


def in_order(versions: Iterable[RuleVersion]) -> list[RuleVersion]:
    """Return versions by `effective_from`, then name, each behind the one that it replaces."""
    waiting = sorted(versions, key=lambda version: (version.effective_from, version.version))
    names = {version.version for version in waiting}
    ordered: list[RuleVersion] = []
    done: set[str] = set()
    while waiting:
        ready = [v for v in waiting if v.replaces is None or v.replaces in done or v.replaces not in names]
        if not ready:
            return ordered + waiting  # a circle, which `conflict` refuses
        ordered += ready
        done |= {version.version for version in ready}
        waiting = [version for version in waiting if version.version not in done]
    return sorted(ordered, key=lambda version: version.effective_from)


def conflict(version: RuleVersion, others: Iterable[RuleVersion]) -> str | None:
    """Return why a version cannot be published beside the others, None when it can.

    `effective_from` belongs to one version and its replacements, and a version is replaced once.
    """
    name, replaces = version.version, version.replaces
    by_name = {other.version: other for other in others}
    if name in by_name:
        return f"the version {name!r} is there already"
    if replaces is None:
        same = [other.version for other in by_name.values() if other.effective_from == version.effective_from]
        if same:
            return f"effective_from is the same as in {same[0]!r}, and there is no replaces"
        return None
    if replaces not in by_name:
        return f"replaces: there is no version {replaces!r}"
    if by_name[replaces].effective_from != version.effective_from:
        return f"effective_from has to be that of {replaces!r}, which it replaces"
    twice = [other.version for other in by_name.values() if other.replaces == replaces]
    return f"replaces: {twice[0]!r} replaces {replaces!r} already" if twice else None
