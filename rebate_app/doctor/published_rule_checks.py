"""Checks of published rule versions: against the folder, and between the workers (docs/spec/rules.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rebate_app.settings import ConfigurationError, Settings
from rebate_app.streams.kafka.rule_start import compare_folder
from rebate_app.streams.kafka.rule_versions import PublishedRules, read_published
from rebate_app.streams.kafka.topic_check import TopicFound
from rebate_app.streams.kafka.used_rules import check_used_rules
from rebate_app.wire.rules.files import read_folder, refusals
from rebate_app.wire.rules.published import unknown_platforms
from rebate_app.wire.topics import Topics

from .check_spec import CheckSpec, Context, failure, warning
from .result import CheckResult, fail, ok, shortened_list, warn
from .rule_checks import CORRECT_NAMES

NAME = "published rules"
WORKERS = "workers' rules"
PUBLISH = "`rebate rules publish`, or remove the files"
CORRECT = "correct the files"
REPLACE = "bring back the published file, and put a correction into a version that replaces it"
WAIT = "a worker reads a new version within a second; restart one that stays behind"


async def check_published(
    settings: Settings, topics: Topics, found: Mapping[str, TopicFound]
) -> list[CheckResult]:
    """Compare the published versions with the folder, and with what older releases have used."""
    if topics.rule_versions not in found:
        return [check_first_publishing(settings)]
    published = await read_published(settings)
    try:
        if published.entries and topics.rules in found:
            await check_used_rules(settings, topics, published.catalogue.versions)
        files = read_folder(settings.rules)
    except ConfigurationError as error:
        return [fail(NAME, str(error), REPLACE)]
    differences = compare_folder(files, published.catalogue)
    if differences.changed:
        text = f"{settings.rules} differs from what is published: {shortened_list(differences.changed)}"
        return [fail(NAME, text, REPLACE)]
    if refused := refusals(files, {version.content_hash for version in published.catalogue.versions}):
        return [fail(NAME, f"workers do not start: {shortened_list(refused)}", CORRECT)]
    if differences.unpublished:
        text = f"files in {settings.rules} are not published: {shortened_list(differences.unpublished)}"
        return [warn(NAME, text, PUBLISH)]
    return [_summary(published)]


def check_first_publishing(settings: Settings) -> CheckResult:
    """Return the result where nothing is published: whether the folder can be."""
    try:
        refused = refusals(read_folder(settings.rules))
    except ConfigurationError as error:
        return fail(NAME, str(error), CORRECT)
    if refused:
        return fail(NAME, f"workers do not start: {shortened_list(refused)}", CORRECT)
    return warn(NAME, "no rule version is published", "start a worker, or `rebate rules publish`")


def _summary(published: PublishedRules) -> CheckResult:
    versions = published.catalogue.versions
    if unknown := sorted({name for version in versions for name in unknown_platforms(version)}):
        text = f"published versions have shares of platforms without adapter: {shortened_list(unknown)}"
        return warn(NAME, text, CORRECT_NAMES)
    count = len(published.entries)
    return ok(NAME, f"{count} versions are published, those of the folder among them, unchanged")


def check_workers_rules(items: list[dict[str, Any]]) -> CheckResult:
    """Compare what the workers know: each has read every version, and its partitions know it."""
    known = {item["url"]: item["rules"] for item in items if item.get("rules") is not None}
    names = {each["version"] for rules in known.values() for each in rules}
    behind = [
        f"{url} lacks {shortened_list(sorted(missing))}"
        for url, rules in known.items()
        if (missing := names - {each["version"] for each in rules})
    ]
    for item in items:
        behind += _not_activated(item)
    if behind:
        return warn(WORKERS, f"workers know different versions: {shortened_list(behind)}", WAIT)
    return ok(WORKERS, f"{len(known)} workers know the same {len(names)} versions")


def _not_activated(item: Mapping[str, Any]) -> list[str]:
    """Return the versions that the worker has read and that some of its partitions do not know yet."""
    rules = item.get("rules") or []
    partitions = {partition for each in rules for partition in each["activated"]}
    late = [each["version"] for each in rules if partitions - each["activated"].keys()]
    return [f"partitions of {item['url']} do not know {shortened_list(late)}"] if late else []


async def _published(context: Context) -> list[CheckResult]:
    return await check_published(context.settings, context.topics, context.found)


async def _workers(context: Context) -> list[CheckResult]:
    return [] if context.worker_items is None else [check_workers_rules(context.worker_items)]


CHECKS = (
    CheckSpec(
        NAME,
        "the published rule versions, the files below `REBATE_RULES`, and what older releases have used",
        "topic list",
        (
            warning("no rule version is published", "start a worker, or `rebate rules publish`"),
            warning("files are not published", PUBLISH),
            warning("published versions have shares of platforms without adapter", CORRECT_NAMES),
            failure("a file that is not published cannot be", CORRECT),
            failure("a file, or what was used, differs from the published version", REPLACE),
        ),
        _published,
    ),
    CheckSpec(
        WORKERS,
        "the rule versions that each worker has read, and that each of its partitions knows",
        "worker",
        (warning("workers or partitions know different versions", WAIT),),
        _workers,
    ),
)
