"""Replay dead letters in groups, each letter with an outcome of its own.

A letter whose whole record is gone, or whose topic refuses its size, stays open with that reason; the others
are sent. A group goes out in one transaction, bounded in number and bytes; when the broker refuses the group
for its size, its letters are sent one at a time. The size limit is the target topic's own
`max.message.bytes`; where that may not be read, only the broker's answer decides.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

from rebate_app.settings import Settings
from rebate_app.streams.kafka.admin import BrokerUnavailableError, admin_client, topic_configs
from rebate_app.streams.kafka.connection import BrokerAwayError
from rebate_app.wire.failure_headers import Place
from rebate_app.wire.truncation import record_bytes

from .dead_letter import DeadLetter, replay_headers
from .outcomes import REPLAYED, Outcome, origin_gone, too_large
from .reader import DeadLetterReader
from .sender import CLIENT_BYTES_MAX, DeadLetterSender, RecordTooLargeError, replay_topic

GROUP_LETTERS_MAX = 50
GROUP_BYTES_MAX = 32 * 1_048_576


class Replayer:
    """Sends the records of dead letters again with one sender. `limits`: the result of `size_limits`."""

    def __init__(
        self,
        settings: Settings,
        reader: DeadLetterReader,
        sender: DeadLetterSender,
        limits: Mapping[str, int],
    ) -> None:
        self._settings = settings
        self._reader = reader
        self._sender = sender
        self._limits = limits

    async def replay(self, letters: Sequence[DeadLetter], by: str, why: str = "") -> dict[Place, Outcome]:
        """Send what can be sent; return the outcome of each letter."""
        outcomes: dict[Place, Outcome] = {}
        async for group in self._groups(letters, outcomes):
            outcomes |= await self._send_group(group, by, why)
        return outcomes

    async def _groups(
        self, letters: Sequence[DeadLetter], outcomes: dict[Place, Outcome]
    ) -> AsyncIterator[list[DeadLetter]]:
        """Iterate over groups of whole letters; write the outcome of those that cannot be sent."""
        group: list[DeadLetter] = []
        size_bytes = 0
        for letter in letters:
            prepared = await prepare_replay(self._settings, self._reader, letter, self._limits)
            if isinstance(prepared, Outcome):
                outcomes[letter.place] = prepared
                continue
            group.append(prepared)
            size_bytes += record_bytes(prepared.key, prepared.value, prepared.headers)
            if len(group) == GROUP_LETTERS_MAX or size_bytes >= GROUP_BYTES_MAX:
                yield group
                group, size_bytes = [], 0
        if group:
            yield group

    async def _send_group(self, group: Sequence[DeadLetter], by: str, why: str) -> dict[Place, Outcome]:
        try:
            places = await self._sender.replay(group, by, why)
        except RecordTooLargeError:
            if len(group) > 1:
                outcomes: dict[Place, Outcome] = {}
                for letter in group:
                    outcomes |= await self._send_group([letter], by, why)
                return outcomes
            (letter,) = group
            topic = replay_topic(self._settings, letter.place.topic)
            size_bytes = record_bytes(letter.key, letter.value, letter.headers)
            return {letter.place: too_large(topic, size_bytes, self._limits.get(topic))}
        return {
            letter.place: Outcome(REPLAYED, place=place) for letter, place in zip(group, places, strict=True)
        }


async def prepare_replay(
    settings: Settings, reader: DeadLetterReader, letter: DeadLetter, limits: Mapping[str, int]
) -> DeadLetter | Outcome:
    """Return the letter with its whole record, or the known reason why it cannot be replayed."""
    whole = await reader.with_whole_record(letter)
    if whole is None:
        return origin_gone(letter.place)
    return check_size(settings, whole, limits) or whole


def check_size(settings: Settings, letter: DeadLetter, limits: Mapping[str, int]) -> Outcome | None:
    """Return the outcome of a whole letter that is too large to be replayed, None if it fits.

    The size is that of key, value and headers; a batch's overhead is left to the broker.
    """
    topic = replay_topic(settings, letter.place.topic)
    size_bytes = record_bytes(letter.key, letter.value, replay_headers(letter, "", ""))
    limit_bytes = min(limits.get(topic, CLIENT_BYTES_MAX), CLIENT_BYTES_MAX)
    return too_large(topic, size_bytes, limit_bytes) if size_bytes > limit_bytes else None


async def size_limits(settings: Settings, sources: Iterable[str]) -> Mapping[str, int]:
    """Return `max.message.bytes` of the topics that these sources are replayed to, where it may be read.

    BrokerAwayError if the broker does not answer.
    """
    names = sorted({replay_topic(settings, source) for source in sources})
    if not names:
        return {}
    try:
        async with admin_client(settings) as admin:
            configs = await topic_configs(admin, names)
    except BrokerUnavailableError as error:
        raise BrokerAwayError(str(error)) from error
    limits = {name: config.get("max.message.bytes") for name, config in configs.items()}
    return {name: int(limit) for name, limit in limits.items() if limit is not None}
