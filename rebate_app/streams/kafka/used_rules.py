"""The registry of an app: how user ids are read, the event epoch, and rule versions that older releases used.

Releases before published rule versions recorded here the content hash of every version that priced a line
(docs/spec/rules.md#upgrade). Nothing is added for rules any more; the entries are compared at each start, so
that an upgrade cannot change what has priced lines.
"""

from __future__ import annotations

from collections.abc import Iterable

from aiokafka.errors import KafkaError

from rebate_app.domain.pricing.rules import RuleVersion
from rebate_app.settings import ConfigurationError, Settings
from rebate_app.wire.topics import Topics
from rebate_app.wire.unreadable import BadRecord, Skip, ignore_skipped
from rebate_app.wire.used_rules import EVENT_EPOCH_PREFIX, USER_ID_FIELDS_KEY, VERSION_PREFIX, decode_registry

from ..errors import UnreadableRecordError
from .admin import BrokerUnavailableError
from .connection import client_options
from .control_topic import ControlTopic

EPOCH_REMEDY = "run the version that wrote it, or write a record with its key and without a value"


async def check_used_rules(
    settings: Settings,
    topics: Topics,
    versions: Iterable[RuleVersion],
    skip: Skip = ignore_skipped,
    where: str = "among the published versions",
) -> None:
    """Compare versions with those that older releases have used; ConfigurationError if they differ.

    `where`: what the versions are, for the message. REBATE_USER_ID_FIELDS is compared as well.
    """
    try:
        used = await read_used_rules(settings, topics, skip)
    except KafkaError as error:
        raise BrokerUnavailableError(f"the broker at {settings.broker} failed: {error!r}") from error
    loaded = {version.version: version.content_hash for version in versions}
    problems = []
    for key, value in sorted(used.items()):
        version = key.removeprefix(VERSION_PREFIX)
        if key == USER_ID_FIELDS_KEY:
            if value != settings.user_id_fields:
                problems.append(
                    f"REBATE_USER_ID_FIELDS is {settings.user_id_fields!r}, lines were read with {value!r}"
                )
        elif key.startswith(EVENT_EPOCH_PREFIX):
            continue
        elif version not in loaded:
            problems.append(f"rule version {version} was used and is missing {where}")
        elif loaded[version] != value:
            problems.append(f"rule version {version} was used with another content than {where}")
    if problems:
        raise ConfigurationError("; ".join(problems))


async def read_used_rules(settings: Settings, topics: Topics, skip: Skip = ignore_skipped) -> dict[str, str]:
    """Return what the registry holds: key → content hash, setting or event epoch, in the order of the log.

    What cannot be decoded goes to `skip`; UnreadableRecordError when it is the app's event epoch.
    """
    registry = Registry(topics.rules, skip)
    await registry.read_once(client_options(settings))
    return registry.values()


class Registry(ControlTopic[str, str | BadRecord]):
    """The registry of used rules: the last record of a key holds.

    A value that cannot be decoded changes nothing. An event epoch that cannot be decoded keeps its place,
    since the first of them in the log wins.
    """

    def __init__(self, topic: str, skip: Skip) -> None:
        super().__init__(topic, decode_registry, skip)
        self._skip_later = skip

    def unreadable(self, key: bytes | None, bad: BadRecord) -> bool:
        """Skip a record that cannot be decoded, unless it is an event epoch."""
        if key is None or not key.startswith(EVENT_EPOCH_PREFIX.encode()):
            return super().unreadable(key, bad)
        epoch = BadRecord(bad.place, bad.fault, EPOCH_REMEDY)
        self.entries.setdefault(key.decode("utf-8", "backslashreplace"), epoch)
        return True

    def values(self) -> dict[str, str]:
        """Return key → value; UnreadableRecordError when the first event epoch cannot be decoded."""
        values: dict[str, str] = {}
        decided = False
        for key, value in self.entries.items():
            if isinstance(value, str):
                values[key] = value
                decided = decided or key.startswith(EVENT_EPOCH_PREFIX)
            elif decided:
                self._skip_later(value)
            else:
                raise UnreadableRecordError(value)
        return values
