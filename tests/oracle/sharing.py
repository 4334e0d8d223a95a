"""Rule versions, profiles in force, the chain of beneficiaries and their shares.

See docs/spec/money.md#pricing and docs/spec/rules.md#files.
"""

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Any

from tests.oracle.moments import MICROSECONDS_PER_SECOND, instant, instant_of, optional_instant

BPS = 10_000
DEFAULT_MIN_NET_COMMISSION_FEN = 2
DEFAULT_MIN_REBATE_FEN = 1
UserRecord = tuple[dict[str, Any], int]


@dataclass(frozen=True)
class Profile:
    """One profile fact: from when it holds, the level and the inviter."""

    effective_at: Fraction
    level: str
    inviter_id: str | None


@dataclass(frozen=True)
class Beneficiary:
    """Someone who has a share of a line: the buyer at depth 0, inviters at 1 and 2."""

    user_id: str
    depth: int
    level: str | None
    bps: int


class RuleVersion:
    """One rule file."""

    def __init__(self, source: dict[str, Any] | str) -> None:
        """Take a parsed file or its TOML text."""
        document = tomllib.loads(source) if isinstance(source, str) else source
        start = document["effective_from"]
        money = document.get("money", {})
        inviter = document.get("inviter", {})
        self.name = str(document["version"])
        self.replaces: str | None = document.get("replaces")
        self.effective_from = instant_of(start) if isinstance(start, datetime) else instant(start)
        self.levels: dict[str, dict[str, int]] = {
            entry["id"]: entry["share_bps"] for entry in document["level"]
        }
        self.first_level = str(document["level"][0]["id"])
        self.min_net = int(money.get("min_net_commission_fen", DEFAULT_MIN_NET_COMMISSION_FEN))
        self.min_rebate = int(money.get("min_rebate_fen", DEFAULT_MIN_REBATE_FEN))
        self.max_levels = int(inviter.get("max_levels", 0))
        self.of_buyer_rebate = inviter.get("base", "net_commission") == "buyer_rebate"
        self.inviter_bps: dict[int, dict[str, int]] = {
            entry["depth"]: entry["bps"] for entry in inviter.get("level", [])
        }

    def known_level(self, level: str | None) -> str:
        """Return the level, or the first one where this version does not know it."""
        return level if level in self.levels else self.first_level

    def buyer_bps(self, level: str, platform: str) -> int:
        """Return the buyer's share of this level on this platform."""
        shares = self.levels[level]
        return shares[platform] if platform in shares else shares["default"]

    def bps_of_inviter(self, depth: int, level: str) -> int:
        """Return the share of an inviter; none for his depth or level is 0."""
        return self.inviter_bps.get(depth, {}).get(level, 0)

    def shares(self, chain: Sequence[Beneficiary], net: int) -> list[int]:
        """Return what each of the chain gets of a line with this net, in fen."""
        if not chain:
            return []
        buyer = self._after_minimums(Fraction(net * chain[0].bps, BPS), net)
        base = buyer if self.of_buyer_rebate else net
        inviters = [self._after_minimums(Fraction(base * one.bps, BPS), net) for one in chain[1:]]
        return [buyer, *inviters]

    def _after_minimums(self, exact: Fraction, net: int) -> int:
        share = exact.numerator // exact.denominator
        return 0 if net < self.min_net or share < self.min_rebate else share


def version_in_force(versions: Iterable[RuleVersion], paid: Fraction | None) -> RuleVersion | None:
    """Return the version with the greatest `effective_from` that is not after the payment.

    One that another of the versions replaces is not in force.
    """
    if paid is None:
        return None
    versions = list(versions)
    replaced = {version.replaces for version in versions}
    begun = [v for v in versions if v.effective_from <= paid and v.name not in replaced]
    return max(begun, key=lambda version: version.effective_from, default=None)


def read_profile(record: UserRecord) -> Profile:
    """Return the profile of a `user.profile` record; without `effective_at` the record's own time holds."""
    document, log_timestamp_us = record
    effective_at = optional_instant(document.get("effective_at"))
    if effective_at is None:
        effective_at = Fraction(log_timestamp_us, MICROSECONDS_PER_SECOND)
    return Profile(effective_at, document["level"], document.get("inviter_id"))


def profile_in_force(profiles: Sequence[Profile], paid: Fraction) -> Profile | None:
    """Return the profile in force at the payment, of a user's profiles in the order of his log."""
    if not profiles:
        return None
    begun = [profile.effective_at for profile in profiles if profile.effective_at <= paid]
    chosen = max(begun) if begun else min(profile.effective_at for profile in profiles)
    return [profile for profile in profiles if profile.effective_at == chosen][-1]


def chain_of(
    version: RuleVersion, platform: str, owner: str, paid: Fraction, profiles: dict[str, list[Profile]]
) -> list[Beneficiary]:
    """Return the buyer and his inviters under this version, as their profiles stood at the payment."""
    profile = profile_in_force(profiles.get(owner, []), paid)
    level = version.known_level(profile.level if profile else None)
    chain = [Beneficiary(owner, 0, level, version.buyer_bps(level, platform))]
    for depth in range(1, version.max_levels + 1):
        inviter_id = profile.inviter_id if profile else None
        if inviter_id is None or inviter_id in [one.user_id for one in chain]:
            break
        profile = profile_in_force(profiles.get(inviter_id, []), paid)
        level = version.known_level(profile.level if profile else None)
        chain.append(Beneficiary(inviter_id, depth, level, version.bps_of_inviter(depth, level)))
    return chain
