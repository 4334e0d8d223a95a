"""The agent `webhooks`: events go to whoever the platform wants to tell (docs/webhooks.md).

It reads rebate-events and the retry topics outside the lane's transactions: what is done is acknowledged by
the group's offsets, after it was delivered or its copy stands in the next topic.
"""

from __future__ import annotations

NAME = "webhooks"
