"""A worker's start with rules: publish the folder where nothing is published, else compare it.

See docs/spec/rules.md#publishing and docs/spec/rules.md#upgrade.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from aiokafka.errors import KafkaError
from msgspec import Struct

from rebate_app.domain.pricing.catalogue import RuleCatalogue
from rebate_app.domain.pricing.rules import RuleVersion
from rebate_app.settings import ConfigurationError, Settings
from rebate_app.wire.rules.files import RuleFile, check_publishable
from rebate_app.wire.rules.published import unknown_platforms
from rebate_app.wire.topics import Topics
from rebate_app.wire.unreadable import Skip, ignore_skipped

from .admin import BrokerUnavailableError
from .connection import client_options
from .rule_versions import PublishedRules, publish
from .used_rules import check_used_rules, read_used_rules

FIRST_START = "the folder of the first worker that started"

log = logging.getLogger(__name__)


class FolderDifferences(Struct, frozen=True):
    """How rule files differ from what is published, by version."""

    unpublished: list[str]
    changed: list[str]


def compare_folder(files: Sequence[RuleFile], catalogue: RuleCatalogue) -> FolderDifferences:
    """Return the versions of the files that are not published, or published with another content."""
    pairs = [(file.version, catalogue.get(file.version.version)) for file in files]
    return FolderDifferences(
        [version.version for version, published in pairs if published is None],
        [
            version.version
            for version, published in pairs
            if published is not None and published.content_hash != version.content_hash
        ],
    )


async def start_with_rules(
    settings: Settings, files: Sequence[RuleFile], rules: PublishedRules, skip: Skip = ignore_skipped
) -> None:
    """Read the published versions into `rules`; publish `files` first where there are none.

    ConfigurationError: nothing to start with, a file that differs from the published version of its name, one
    that could not be published, or versions that older releases have used and that are missing or different.
    """
    topics = Topics.of(settings)
    try:
        await rules.read_once(client_options(settings))
        if not rules.entries:
            await _publish_folder(settings, topics, files, skip)
            await rules.read_once(client_options(settings))
    except KafkaError as error:
        raise BrokerUnavailableError(f"the broker at {settings.broker} failed: {error!r}") from error
    differences = compare_folder(files, rules.catalogue)
    if differences.changed:
        names = ", ".join(differences.changed)
        raise ConfigurationError(
            f"{settings.rules} has rule versions that are published with another content: {names}; a "
            "published version never changes: put the correction into a new version that replaces it"
        )
    check_publishable(files, {version.content_hash for version in rules.catalogue.versions})
    await check_used_rules(settings, topics, rules.catalogue.versions, skip)
    _warn_of_platforms(rules.catalogue.versions)
    if differences.unpublished:
        names = ", ".join(differences.unpublished)
        log.warning("%s has unpublished rule versions: %s (`rebate rules publish`)", settings.rules, names)
    log.info("rule versions: %s", ", ".join(each.version for each in rules.catalogue.versions))


def _warn_of_platforms(versions: Iterable[RuleVersion]) -> None:
    """Log which published versions have shares of platforms that are no networks of this release."""
    for version in versions:
        if unknown := unknown_platforms(version):
            names = ", ".join(unknown)
            log.warning("rule version %r has shares of platforms without adapter: %s", version.version, names)


async def _publish_folder(settings: Settings, topics: Topics, files: Sequence[RuleFile], skip: Skip) -> None:
    if not files:
        raise ConfigurationError(
            f"there are no rule files (*.toml) in {settings.rules}, and no rule version is published"
        )
    used = await read_used_rules(settings, topics, skip)
    check_publishable(files, set(used.values()))  # what an older release has used cannot be changed any more
    where = f"in {settings.rules}"
    await check_used_rules(settings, topics, [file.version for file in files], skip, where)
    report = await publish(settings, files, settings.own_url, FIRST_START, only_first=True)
    if report.published:
        log.info("published rule versions: %s", ", ".join(report.published))
