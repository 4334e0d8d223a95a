"""Rebate rule versions, each in force from a moment on (docs/spec/rules.md#files).

A version is immutable. The line's paid time decides which version prices it, among those that are known at
its place in the log (docs/spec/rules.md#activation). To add a rule kind, see docs/how-to/add-a-rule.md.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Self

from msgspec import Struct

from .withdraw_rules import WithdrawRules

#: The law counts the organiser's own level too (docs/spec/domain.md#inviter-levels): code, not settings.
INVITER_LEVELS_MAX = 2

BASE_NET = "net_commission"
BASE_BUYER_REBATE = "buyer_rebate"


class Level(Struct, frozen=True):
    """A member level: its share of the net commission in basis points, by platform or by default."""

    id: str
    default_bps: int
    platform_bps: dict[str, int] = {}

    def share_bps(self, platform: str) -> int:
        """Return the buyer's share at this level on that platform."""
        return self.platform_bps.get(platform, self.default_bps)


class RuleVersion(Struct, frozen=True):
    """One rule file, checked. Moments in µs, rates in basis points, amounts in fen.

    `replaces`: the version that this one corrects, with the same `effective_from`. `withdraw` None: nobody
    can withdraw.
    """

    version: str
    effective_from: int
    levels: tuple[Level, ...]
    min_net_commission_fen: int = 2
    min_rebate_fen: int = 1
    max_payout_bps: int = 9_000
    inviter_max_levels: int = 0
    inviter_base: str = BASE_NET
    inviter_bps: dict[int, dict[str, int]] = {}
    content_hash: str = ""
    replaces: str | None = None
    withdraw: WithdrawRules | None = None

    def level(self, level_id: str | None) -> Level:
        """Return the level of that name; one that this version does not know counts as its first."""
        for level in self.levels:
            if level.id == level_id:
                return level
        return self.levels[0]

    def inviter_share_bps(self, depth: int, level_id: str) -> int:
        """Return what an inviter of that level gets at that depth; none given: 0."""
        return self.inviter_bps.get(depth, {}).get(level_id, 0)


def _no_other(version: str) -> RuleVersion:
    raise KeyError(version)


class RuleBook:
    """The rule versions that are known at one place of a log (docs/spec/rules.md#activation).

    `in_force` chooses among these versions only. `named` also finds versions by `find`, since a line or a
    bonus keeps the version that priced it elsewhere. `known_after`: by version, the offset behind which it is
    known; a version without one is known everywhere.
    """

    def __init__(
        self,
        versions: Iterable[RuleVersion],
        find: Callable[[str], RuleVersion] = _no_other,
        known_after: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        self.versions = sorted(versions, key=lambda version: (version.effective_from, version.version))
        self._find = find
        self._known_after = known_after
        self._by_name = {version.version: version for version in self.versions}
        replaced = {version.replaces for version in self.versions}
        self._in_force = [version for version in self.versions if version.version not in replaced]
        self._starts = [version.effective_from for version in self._in_force]

    @classmethod
    def of(cls, *versions: RuleVersion) -> Self:
        """Return a book of the given versions."""
        return cls(versions)

    def known_at(self, offset: int) -> RuleBook:
        """Return the book of the versions that were known for the record at an offset of this log."""
        known = [each for each in self.versions if self._known_after.get(each.version, -1) < offset]
        return self if len(known) == len(self.versions) else RuleBook(known, self.named, self._known_after)

    def in_force(self, paid_at: int) -> RuleVersion | None:
        """Return the version with the greatest `effective_from` ≤ paid; None before the first.

        A version that a known one replaces is never in force.
        """
        position = bisect_right(self._starts, paid_at)
        return self._in_force[position - 1] if position else None

    def named(self, version: str) -> RuleVersion:
        """Return the version of that name, known here or not.

        KeyError: nobody published it. VersionNotReadError: this process may not have read it yet.
        """
        found = self._by_name.get(version)
        return self._find(version) if found is None else found

    @property
    def level_ids(self) -> set[str]:
        """Return every level that some version of the book has."""
        return {level.id for version in self.versions for level in version.levels}
