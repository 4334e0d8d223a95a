"""Topics whose messages are batches, which decoding passes through (docs/spec/architecture.md#batches)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import faust
from faust.types import Message


class BatchTopic(faust.Topic):
    """A stage's source topic; the stage decodes records one by one."""

    def _compile_decode(self) -> Callable[..., Awaitable[Any]]:
        create_event = self._create_event

        async def decode(message: Message, *, propagate: bool = False) -> Any:
            del propagate
            return create_event(None, message.value, None, message)

        return decode

    async def maybe_declare(self) -> None:
        """Declare nothing: `kafka.admin` creates and verifies topics."""


def batch_topic(app: Any, names: Sequence[str], partitions: int) -> BatchTopic:
    """Return topics of batches, without Faust's acknowledgements: the engine keeps positions itself."""
    return BatchTopic(
        app, topics=list(names), partitions=partitions, acks=False, value_type=None, key_type=None
    )
