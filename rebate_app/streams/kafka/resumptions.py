"""The resumptions of one app's halted partitions, as the topic of operators' decisions has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from rebate_app.wire.resumptions import Resumption, decode_resumption
from rebate_app.wire.unreadable import BadRecord, Skip, ignore_skipped

from .control_topic import ControlTopic

__all__ = ["Resumption", "Resumptions"]


class Resumptions:
    """What was read so far; `follow` reads on. `skip` is set before, for records that cannot be read."""

    def __init__(self, topic: str, scope: str) -> None:
        self.skip: Skip = ignore_skipped
        self._topic: ControlTopic[tuple[str, int], Resumption] = ControlTopic(
            topic, partial(decode_resumption, scope), self._skip
        )

    def _skip(self, bad: BadRecord) -> None:
        self.skip(bad)

    def of(self, topic: str, partition: int) -> Resumption | None:
        """Return the resumption of a partition that holds, None without one."""
        return self._topic.entries.get((topic, partition))

    def through(self, topic: str, partition: int) -> int:
        """Return the offset up to which limits do not halt a partition, -1 without a resumption."""
        resumption = self.of(topic, partition)
        return -1 if resumption is None else resumption.through

    async def follow(self, options: Mapping[str, Any], changed: Callable[[], None]) -> None:
        """Call `changed` once the topic is read, and after each change, until cancelled.

        KafkaError, OSError: call it again later.
        """
        await self._topic.follow(options, changed)
