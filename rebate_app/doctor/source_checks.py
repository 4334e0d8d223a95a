"""Checks of the accounts whose orders are fetched: the file REBATE_SOURCES, and their cursors' topic."""

from __future__ import annotations

from pathlib import Path

from rebate_app.sources.configuration import SourcesConfiguration, SourcesError, read_sources
from rebate_app.sources.cursors import CursorTopic
from rebate_app.streams.kafka.connection import client_options

from .check_spec import CheckSpec, Context, failure, warning
from .named_files import exposed, named_files
from .result import CheckResult, fail, ok, shortened_list, warn

NAME = "sources"
CURSORS = "source cursors"
SECRETS = ("secret_file", "session_file", "key_file")
REMEDY = "mend the file; workers keep what they read before, and one that starts ends with 78"
RESUME = "`rebate sources resume ACCOUNT`"
CREATE = "start a worker, or see `rebate topics create`"
IDLE = "add an [[account]], or remove the app"


def check_sources(path: Path) -> list[CheckResult]:
    """Check the file as a worker reads it, and the secrets that it names."""
    try:
        configuration = read_sources(path)
    except OSError as error:
        return [fail(NAME, f"{path} cannot be read: {error.strerror}", REMEDY)]
    except SourcesError as error:
        return [fail(NAME, f"{path}: {shortened_list(error.problems)}", REMEDY)]
    results = exposed(NAME, named_files(path, *SECRETS))
    idle = sorted(name for name in configuration.apps if not configuration.accounts_of(name))
    if idle:
        results.append(warn(NAME, f"nothing is fetched with {shortened_list(idle)}: no account", IDLE))
    return results or [_summary(path, configuration)]


def _summary(path: Path, configuration: SourcesConfiguration) -> CheckResult:
    count = len(configuration.accounts)
    return ok(NAME, f"workers take {path}: {count} accounts of {len(configuration.apps)} apps")


def cursor_results(configuration: SourcesConfiguration, topic: CursorTopic) -> list[CheckResult]:
    """Return which accounts have been fetched, from what the topic of cursors holds."""
    accounts = configuration.accounts
    paused = [name for name in accounts if (decided := topic.decision(name)) is not None and decided.paused]
    fresh = [name for name in accounts if not topic.cursors(name) and name not in paused]
    results = []
    if paused:
        results.append(warn(CURSORS, f"paused: {shortened_list(sorted(paused))}", RESUME))
    if fresh:
        text = f"nothing has been fetched yet of {shortened_list(sorted(fresh))}"
        results.append(warn(CURSORS, text, "`rebate sources check`, then start a worker"))
    return results or [ok(CURSORS, f"{len(accounts)} accounts have been fetched")]


async def _sources(context: Context) -> list[CheckResult]:
    path = context.settings.sources
    return (
        [ok(NAME, "REBATE_SOURCES is not set: nothing is fetched")] if path is None else check_sources(path)
    )


async def _cursors(context: Context) -> list[CheckResult]:
    """Read the topic, which needs the right to do so; a file that cannot be used is said elsewhere."""
    path, name = context.settings.sources, context.topics.fetch_cursors
    if path is None:
        return []
    try:
        configuration = read_sources(path)
    except (OSError, SourcesError):
        return []
    if name not in context.found:
        return [warn(CURSORS, f"there is no topic {name}", CREATE)]
    topic = CursorTopic(name)
    await topic.read_once(client_options(context.settings))
    return cursor_results(configuration, topic)


CHECKS = (
    CheckSpec(
        NAME,
        "the file of `REBATE_SOURCES`: apps, accounts, and the secrets that it names",
        "nothing",
        (
            failure(
                "workers would refuse the file: it cannot be read, a secret is missing, an id occurs twice, "
                "or a network is unknown",
                REMEDY,
            ),
            warning("other users can use a file with a secret", "`chmod 600`"),
            warning("an app has no account", IDLE),
        ),
        _sources,
    ),
    CheckSpec(
        CURSORS,
        "the topic of cursors: whether it can be read, and which accounts have been fetched",
        "topic list",
        (
            warning("the topic is not there", CREATE),
            warning("an account is paused", RESUME),
            warning("nothing has been fetched of an account", "`rebate sources check`, then start a worker"),
        ),
        _cursors,
    ),
)
