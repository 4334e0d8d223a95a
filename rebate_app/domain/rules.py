"""Rebate rule versions, checked and in force from a moment on (contracts.md 6).

A version is immutable. Which one prices a line follows from the line's paid time alone, never
from when the line was processed.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Self

from msgspec import Struct

INVITER_LEVELS_MAX = 2  # the law counts the organiser's own level too (domain.md 2.3): code, not settings

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
    """One rule file, checked. Moments in µs, rates in basis points, amounts in fen."""

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

    def level(self, level_id: str | None) -> Level:
        """Return the level of that name; one that this version does not know counts as its first."""
        for level in self.levels:
            if level.id == level_id:
                return level
        return self.levels[0]

    def inviter_share_bps(self, depth: int, level_id: str) -> int:
        """Return what an inviter of that level gets at that depth; none given: 0."""
        return self.inviter_bps.get(depth, {}).get(level_id, 0)


class RuleBook:
    """All rule versions that were loaded, in order of their moments."""

    def __init__(self, versions: list[RuleVersion]) -> None:
        self.versions = sorted(versions, key=lambda version: version.effective_from)
        self._starts = [version.effective_from for version in self.versions]
        self._by_name = {version.version: version for version in self.versions}

    @classmethod
    def of(cls, *versions: RuleVersion) -> Self:
        """Return a book of the given versions."""
        return cls(list(versions))

    def in_force(self, paid_at: int) -> RuleVersion | None:
        """Return the version with the greatest `effective_from` ≤ paid; None before the first."""
        position = bisect_right(self._starts, paid_at)
        return self.versions[position - 1] if position else None

    def named(self, version: str) -> RuleVersion:
        """Return the version of that name; KeyError when its file was not loaded."""
        return self._by_name[version]

    @property
    def level_ids(self) -> set[str]:
        """Return every level that some loaded version knows."""
        return {level.id for version in self.versions for level in version.levels}
