"""Topics whose messages are chunks: decoding hands the chunk through (design.md 4)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import faust
from faust.types import Message


class LaneTopic(faust.Topic):
    """A stage's source topic; undecodable records are sorted out one by one by the agent."""

    def _compile_decode(self) -> Callable[..., Awaitable[Any]]:
        create_event = self._create_event

        async def decode(message: Message, *, propagate: bool = False) -> Any:
            del propagate
            return create_event(None, message.value, None, message)

        return decode

    async def maybe_declare(self) -> None:
        """Declare nothing: topics are created and verified by our own admin."""


def lane_topic(app: Any, names: Sequence[str], partitions: int) -> LaneTopic:
    """Return topics of chunks, without Faust's acknowledgements: the lane keeps positions itself."""
    return LaneTopic(
        app, topics=list(names), partitions=partitions, acks=False, value_type=None, key_type=None
    )
