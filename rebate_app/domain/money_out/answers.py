"""What a payment service's answer is reduced to, whatever the kind of service.

Source: docs/payouts.md#rules.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

#: The service states it, with a valid signature.
PAID: Final = "paid"
FAILED: Final = "failed"
PAYER: Final = "payer"
PENDING: Final = "pending"
NEEDS_USER: Final = "needs-user"
RETURNED: Final = "returned"
#: It does not know the number.
NOT_FOUND: Final = "not-found"
#: It speaks of another amount or another number: nothing that it states may be booked.
MISMATCH: Final = "lies"
#: Anything else: no answer, one that is not understood, or one whose signature does not verify.
UNCLEAR: Final = "unclear"
OUTCOMES: Final = (PAID, FAILED, PAYER, PENDING, NEEDS_USER, RETURNED, NOT_FOUND, MISMATCH, UNCLEAR)

#: A callback is about a number that is asked about, or any other or none; or nobody can say, or it is forged.
KNOWN_NUMBER: Final = "known"
UNKNOWN_NUMBER: Final = "unknown"
REFUSED_CALLBACK: Final = "refused"
CALLBACK_OUTCOMES: Final = (KNOWN_NUMBER, UNKNOWN_NUMBER, UNCLEAR, REFUSED_CALLBACK)


#: What a service may give beside an outcome, and is left out where its form cannot be kept.
CHANNEL_REF: Final = "channel_ref"
NEEDS_USER_URL: Final = "needs_user_url"
DROPPED: Final = (CHANNEL_REF, NEEDS_USER_URL)


class ChannelAnswer(Struct, frozen=True):
    """One outcome; `code`, `channel_ref` and `needs_user_url` are of bounded form, or absent.

    `dropped`: those of DROPPED that the service gave in a form that is not kept.
    """

    outcome: str
    code: str | None = None
    channel_ref: str | None = None
    needs_user_url: str | None = None
    dropped: tuple[str, ...] = ()
