"""The agent `webhooks` delivers events to the platform's own URL (docs/webhooks.md).

It reads rebate-events and the retry topics outside the engine's transactions: what is done is acknowledged by
the group's offsets, after it was delivered or its copy stands in the next topic.
"""

from __future__ import annotations

NAME = "webhooks"
