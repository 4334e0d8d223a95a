"""Kind `manual`: people carry the payouts out, from an exported file (docs/payouts.md#manual).

There is nobody to call: asking is never clear, and what became of a payout comes from an imported file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .port import (
    NOT_SENT,
    ChannelAnswer,
    NotificationRefusedError,
    PayoutOrder,
    identity_of,
    unclear,
)

KIND: Final = "manual"


class ManualChannel:
    """Payouts by hand, `identity` by the channel's name."""

    is_automatic = False

    def __init__(self, name: str) -> None:
        self.identity = identity_of(KIND, "", name)

    async def send(self, order: PayoutOrder, signed_at_seconds: int) -> ChannelAnswer:
        """Send nothing."""
        del order, signed_at_seconds
        return unclear(NOT_SENT)

    async def query(self, order: PayoutOrder) -> ChannelAnswer:
        """Ask nobody."""
        del order
        return unclear(NOT_SENT)

    def verify_notification(
        self, path: str, headers: Mapping[str, str], body: bytes, now_seconds: int
    ) -> str | None:
        """Refuse: people send no callbacks."""
        del path, headers, body, now_seconds
        raise NotificationRefusedError("a manual channel has no callbacks")

    async def close(self) -> None:
        """Do nothing."""
