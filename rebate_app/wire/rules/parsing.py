"""Parses a rule file: the rule version, or every problem of the file (docs/spec/rules.md#checks).

A version pays out no more than its own `max_payout_bps`, and no member of its file is ignored.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from rebate_app.domain.facts import AMOUNT_FEN_MAX, PLATFORM_PATTERN
from rebate_app.domain.money import BPS
from rebate_app.domain.pricing.rules import (
    BASE_BUYER_REBATE,
    BASE_NET,
    INVITER_LEVELS_MAX,
    Level,
    RuleVersion,
)
from rebate_app.networks import NETWORKS

from .section import Section
from .withdraw import read_withdraw

SCHEMA = "rebate-rules/1"
DEFAULT_SHARE = "default"
#: Sections of docs/spec/rules.md#sections-not-supported-yet that a later issue builds: refused, since
#: ignoring one would pay wrong amounts.
NOT_SUPPORTED = (
    "release",
    "campaign",
    "cap",
    "exclude",
    "self_purchase",
    "clawback",
    "platform",
)
NOT_SUPPORTED_INVITER = ("first_order_bonus",)

MIN_NET_COMMISSION_FEN = 2
MIN_REBATE_FEN = 1
MAX_PAYOUT_BPS = 9_000

_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PLATFORM = re.compile(PLATFORM_PATTERN)


def parse_rules(
    text: str | bytes, source: str, platforms: Collection[str] | None = NETWORKS
) -> RuleVersion | list[str]:
    """Return the version that a rule file is, or all its problems, each a sentence that begins with `source`.

    `platforms` may have shares of their own: a misspelt one would pay the default. None: any name, for
    published versions, which an older or a newer release may have taken. The content hash is that of the
    file's bytes, so that a changed comment counts as another file.
    """
    content = text.encode() if isinstance(text, str) else text
    try:
        document = tomllib.loads(content.decode())
    except (ValueError, RecursionError) as error:
        return [f"{source}: not TOML in UTF-8: {error}"]
    problems: list[str] = []
    top = Section(f"{source}: ", "", document, problems)
    version = _read(top, hashlib.sha256(content).hexdigest(), platforms)
    return problems or version


def _read(top: Section, content_hash: str, platforms: Collection[str] | None) -> RuleVersion:
    _check_what_is_fixed(top)
    version = top.name("version")
    effective_from = _effective_from(top)
    replaces = _replaces(top, version)
    money = _money(top)
    levels = _levels(top, platforms)
    max_levels, base, bps = _inviter(top, {level.id for level in levels})
    known = len(top.problems)
    max_payout_bps = money.integer("max_payout_bps", 0, BPS, MAX_PAYOUT_BPS)
    payout_is_known = len(top.problems) == known
    rule = RuleVersion(
        version=version,
        effective_from=effective_from,
        levels=levels,
        min_net_commission_fen=money.integer(
            "min_net_commission_fen", 0, AMOUNT_FEN_MAX, MIN_NET_COMMISSION_FEN
        ),
        min_rebate_fen=money.integer("min_rebate_fen", 0, AMOUNT_FEN_MAX, MIN_REBATE_FEN),
        max_payout_bps=max_payout_bps,
        inviter_max_levels=max_levels,
        inviter_base=base,
        inviter_bps=bps,
        content_hash=content_hash,
        replaces=replaces,
        withdraw=read_withdraw(top),
    )
    money.refuse_unknown()
    top.refuse_unknown()
    # Rates that could not be read are 0 by now, so the payout is checked beside other problems too.
    if payout_is_known and levels:
        _check_payout(top, rule)
    return rule


def _check_what_is_fixed(top: Section) -> None:
    """Report a value that this version does not support."""
    top.refuse_unsupported(NOT_SUPPORTED)
    top.one_of("schema", (SCHEMA,), needed=True)
    top.one_of("select_by", ("paid_at",))
    top.one_of("pin", ("first_paid_snapshot",))


def _replaces(top: Section, version: str) -> str | None:
    replaces = top.optional_name("replaces")
    if replaces is not None and replaces == version:
        top.problem("replaces", "is the version itself")
    return replaces


def _money(top: Section) -> Section:
    """Return the section of amounts, whose fixed values are checked."""
    money = top.section("money")
    money.one_of("currency", ("CNY",))
    money.one_of("base", (BASE_NET,))
    money.one_of("rounding", ("floor",))
    return money


def _effective_from(top: Section) -> int:
    value = top.take("effective_from", needed=True)
    if isinstance(value, datetime) and value.tzinfo is not None:
        return (value - _EPOCH) // _MICROSECOND
    if value is not None:
        top.problem("effective_from", "has to be a date-time with offset, as 2026-01-01T00:00:00+08:00")
    return 0


def _levels(top: Section, known_platforms: Collection[str] | None) -> tuple[Level, ...]:
    levels: list[Level] = []
    for section in top.sections("level", needed=True):
        level_id = section.name("id")
        if level_id and any(level.id == level_id for level in levels):
            section.problem("id", f"the level {level_id!r} is there twice")
        shares = section.section("share_bps", needed=True)
        default = shares.integer(DEFAULT_SHARE, 0, BPS)
        platforms: dict[str, int] = {}
        for platform in shares.rest():
            known = known_platforms is None or platform in known_platforms
            if known and _PLATFORM.fullmatch(platform):
                platforms[platform] = shares.integer(platform, 0, BPS)
        shares.refuse_unknown(known_platforms or ())
        section.refuse_unknown()
        levels.append(Level(level_id, default, platforms))
    return tuple(levels)


def _inviter(top: Section, level_ids: set[str]) -> tuple[int, str, dict[int, dict[str, int]]]:
    """Return (max_levels, base, depth → level → bps); an absent section is no inviter at all."""
    if not top.has("inviter"):
        return 0, BASE_NET, {}
    inviter = top.section("inviter")
    inviter.refuse_unsupported(NOT_SUPPORTED_INVITER)
    inviter.one_of("paid_by", ("platform_cut",))
    max_levels = inviter.integer("max_levels", 0, INVITER_LEVELS_MAX)
    base = inviter.one_of("base", (BASE_NET, BASE_BUYER_REBATE))
    by_depth: dict[int, dict[str, int]] = {}
    for section in inviter.sections("level"):
        depth = section.integer("depth", 1, INVITER_LEVELS_MAX)
        if depth in by_depth:
            section.problem("depth", f"the depth {depth} is there twice")
        shares = section.section("bps", needed=True)
        by_depth[depth] = {level: shares.integer(level, 0, BPS) for level in shares.rest() & level_ids}
        shares.refuse_unknown()
        section.refuse_unknown()
    inviter.refuse_unknown()
    return max_levels, base, by_depth


def _check_payout(top: Section, rule: RuleVersion) -> None:
    """Refuse a version whose greatest payout exceeds what it allows, in exact integers."""
    buyer_bps = max(max([level.default_bps, *level.platform_bps.values()]) for level in rule.levels)
    inviters_bps = sum(
        max(shares.values(), default=0)
        for depth, shares in rule.inviter_bps.items()
        if depth <= rule.inviter_max_levels
    )
    inviters_base_bps = buyer_bps if rule.inviter_base == BASE_BUYER_REBATE else BPS
    if buyer_bps * BPS + inviters_bps * inviters_base_bps > rule.max_payout_bps * BPS:
        top.problem(
            "money.max_payout_bps",
            f"is {rule.max_payout_bps}, and a buyer's {buyer_bps} with inviters' {inviters_bps} bps "
            f"of the {rule.inviter_base} can exceed it",
        )
