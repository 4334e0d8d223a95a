"""The work of the `rebate rules` commands, without options and output."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import asdict

from rebate_app.domain.pricing.rules import RuleVersion
from rebate_app.domain.pricing.withdraw_rules import WithdrawRules
from rebate_app.settings import EXIT_USAGE, ConfigurationError, Settings
from rebate_app.streams.kafka.admin import ensure_topics
from rebate_app.streams.kafka.rule_versions import publish, read_published
from rebate_app.wire.audit_trail import encode_trail
from rebate_app.wire.moments import format_moment
from rebate_app.wire.rules.files import RuleFile, RuleFilesError, check_publishable, read_files, read_folder
from rebate_app.wire.rules.published import PublishedVersion
from rebate_app.wire.topics import Topics

from .command_trail import command_record
from .exits import CommandError
from .worker_client import WorkerClient

Row = tuple[str, str, str]


def check_rule_files(settings: Settings, paths: Sequence[Path]) -> dict[str, Any]:
    """Check files against each other and against the folder; nothing is sent.

    `problems` of a file that cannot be published; `warnings` of one that can.
    """
    problems: list[str] = []
    names = {path.resolve() for path in paths}
    try:
        beside = [each.version for each in read_folder(settings.rules, leave_out=names)]
    except ConfigurationError as error:
        beside, problems = [], [f"{settings.rules}: {error}"]
    try:
        files = read_files(paths, beside)
        check_publishable(files)
    except RuleFilesError as error:
        return {"items": [], "problems": [*problems, *error.problems]}
    items = [
        _described(file.version) | {"file": file.name, "warnings": warnings_of(file.version)}
        for file in files
    ]
    return {"items": items, "problems": problems}


def warnings_of(rule: RuleVersion) -> list[str]:
    """Return what is odd about a version and stops nothing."""
    warnings = []
    if rule.effective_from < time.time_ns() // 1_000:
        warnings.append("effective_from is past: it prices lines that come later only")
    return warnings


async def publish_files(settings: Settings, paths: Sequence[Path], by: str, reason: str) -> dict[str, Any]:
    """Publish files, all or none; ConfigurationError for one that conflicts with what is published."""
    published = await read_published(settings)
    files = read_files(paths, published.catalogue.versions)
    topics = Topics.of(settings)
    await ensure_topics(settings, used=(topics.rule_versions, topics.audit_trail))
    names = ",".join(each.version for each in _versions(files))
    trail = encode_trail(command_record("rules.publish", names, by, reason))
    report = await publish(settings, files, by, reason, trail=trail)
    return {
        "published": [_described(each) for each in _versions(files) if each.version in report.published],
        "unchanged": report.unchanged,
        "warnings": [
            {"version": rule.version, "detail": warning}
            for rule in _versions(files)
            if rule.version in report.published
            for warning in warnings_of(rule)
        ],
    }


def _versions(files: Sequence[RuleFile]) -> list[RuleVersion]:
    return [file.version for file in files]


async def list_versions(settings: Settings) -> dict[str, Any]:
    """Return the published versions; `activated` by partition, null when no worker answers."""
    published = await read_published(settings)
    activated = await _activated(settings)
    now = published.catalogue.book.in_force(time.time_ns() // 1_000)
    items = [
        _described(each.rule)
        | {
            "in_force": each.rule is now,
            "by": each.by,
            "at": each.at,
            "reason": each.reason,
            "activated": None if activated is None else activated.get(each.rule.version, {}),
        }
        for each in published.entries.values()
    ]
    return {"items": items, "next_cursor": None}


async def _activated(settings: Settings) -> dict[str, dict[str, int]] | None:
    """Return version → partition → offset behind which it is known, None when no worker answers."""
    try:
        async with WorkerClient(settings.url) as client:
            workers = (await client.get("/v1/workers"))["items"]
    except CommandError:
        return None
    found: dict[str, dict[str, int]] = {}
    for worker in workers:
        for each in worker.get("rules") or []:
            found.setdefault(each["version"], {}).update(each["activated"])
    return found


async def published_version(settings: Settings, name: str) -> PublishedVersion:
    """Return a published version; CommandError for a name that is none."""
    entries = (await read_published(settings)).entries
    if name not in entries:
        known = ", ".join(entries) or "none"
        raise CommandError(f"No rule version {name!r} is published ({known}).", EXIT_USAGE)
    return entries[name]


def _described(rule: RuleVersion) -> dict[str, Any]:
    return {
        "version": rule.version,
        "effective_from": format_moment(rule.effective_from),
        "replaces": rule.replaces,
        "content_hash": rule.content_hash,
    }


def shown(published: PublishedVersion) -> dict[str, Any]:
    """Return a published version with its file."""
    return _described(published.rule) | {
        "by": published.by,
        "at": published.at,
        "reason": published.reason,
        "content": published.content,
    }


def compare(one: RuleVersion, other: RuleVersion) -> list[Row]:
    """Return what two versions give, side by side: (what, first, second)."""
    first, second = _figures(one), _figures(other)
    return [(name, first.get(name, "-"), second.get(name, "-")) for name in {**first, **second}]


def _figures(rule: RuleVersion) -> dict[str, str]:
    """Return every figure of a version by name; shares in basis points, amounts in fen."""
    figures = {"effective_from": format_moment(rule.effective_from)}
    for level in rule.levels:
        figures[f"share_bps {level.id} default"] = str(level.default_bps)
        figures |= {f"share_bps {level.id} {name}": str(bps) for name, bps in level.platform_bps.items()}
    figures["inviter max_levels"] = str(rule.inviter_max_levels)
    figures["inviter base"] = rule.inviter_base
    for depth, shares in sorted(rule.inviter_bps.items()):
        figures |= {f"inviter bps {depth} {level}": str(bps) for level, bps in sorted(shares.items())}
    figures["min_net_commission_fen"] = str(rule.min_net_commission_fen)
    figures["min_rebate_fen"] = str(rule.min_rebate_fen)
    figures["max_payout_bps"] = str(rule.max_payout_bps)
    if rule.withdraw is not None:
        figures |= _withdraw_figures(rule.withdraw)
    return figures


def _withdraw_figures(section: WithdrawRules) -> dict[str, str]:
    """Return every figure of the section by name."""
    members = asdict(section)
    members["channels"] = " ".join(section.channels)
    members["days_of_month"] = "{} to {}".format(*section.days_of_month)
    del members["approvals_over"]
    figures = {f"withdraw {name}": str(value) for name, value in members.items()}
    for each in section.approvals_over:
        figures[f"withdraw approvals over {each.fen}"] = str(each.approvals)
    return figures
