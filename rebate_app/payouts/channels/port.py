"""The port of a payment channel: what every kind of payment service is reduced to.

A channel sends a payout, asks what became of one, and verifies callbacks. Whatever the service answers
becomes one of `OUTCOMES`; nothing raises for what a service or the network does, and no free text of a
service passes. The payout number is the idempotency key of all of them (docs/payouts.md#outcomes).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from msgspec import Struct

from rebate_app.domain.money_out.answers import (
    CHANNEL_REF,
    FAILED,
    MISMATCH,
    NEEDS_USER,
    NEEDS_USER_URL,
    NOT_FOUND,
    OUTCOMES,
    PAID,
    PAYER,
    PENDING,
    RETURNED,
    UNCLEAR,
    ChannelAnswer,
)
from rebate_app.domain.money_out.facts import CHANNEL_REF_PATTERN

from .confirm_url import bounded_url

__all__ = [
    "FAILED",
    "MISMATCH",
    "NEEDS_USER",
    "NOT_FOUND",
    "OUTCOMES",
    "PAID",
    "PAYER",
    "PENDING",
    "RETURNED",
    "UNCLEAR",
    "ChannelAnswer",
    "NotificationRefusedError",
    "PaymentChannel",
    "PayoutOrder",
    "answer_of",
    "bounded_code",
    "bounded_package",
    "bounded_ref",
    "identity_of",
    "named_number",
    "unclear",
]

#: Codes of our own for unclear answers.
TIMEOUT, CONNECT, SIGNATURE, NOT_UNDERSTOOD, NOT_SENT = (
    "timeout",
    "connect",
    "signature",
    "not-understood",
    "not-sent",
)
OTHER_CODE: Final = "other"

#: The form of our own numbers, and so of those in a callback that can be about one.
_match_number = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII).fullmatch
_match_word = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII).fullmatch
_match_ref = re.compile(CHANNEL_REF_PATTERN, re.ASCII).fullmatch
_match_package = re.compile(r"[\x21-\x7e]{1,2048}", re.ASCII).fullmatch


class PayoutOrder(Struct, frozen=True):
    """What is to be paid: `amount` (net) in fen, `account` and `name` of the payee in clear."""

    payout_no: str
    amount: int
    account: str = ""
    name: str = ""
    user_id: str = ""
    withdrawal_id: str = ""
    memo: str = ""


class NotificationRefusedError(Exception):
    """A callback is not signed as the service signs. Nothing else refuses one."""


class PaymentChannel(Protocol):
    """One channel of the file REBATE_CHANNELS. `identity`: who is asked to pay (`channel_identity`)."""

    @property
    def identity(self) -> str:
        """Return the hash of kind, address and merchant."""
        ...

    @property
    def is_automatic(self) -> bool:
        """Whether the service can be called; people carry out the payouts of the others."""
        ...

    async def send(self, order: PayoutOrder, signed_at_seconds: int) -> ChannelAnswer:
        """Ask the service to pay; `signed_at_seconds`: the moment of the attempt, Unix time."""
        ...

    async def query(self, order: PayoutOrder) -> ChannelAnswer:
        """Ask the service what became of the number; `account` and `name` are not needed."""
        ...

    def verify_notification(
        self, path: str, headers: Mapping[str, str], body: bytes, now_seconds: int
    ) -> str | None:
        """Return the payout number that a signed callback is about; NotificationRefusedError.

        None for one that names no number, or cannot be understood behind its signature: the service is who
        it says, so it is told that its callback came, whatever that says.

        `path`: the target of the POST as received; `headers`: case-insensitive.
        """
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


def identity_of(kind: str, url: str, merchant: str) -> str:
    """Return the `channel_identity`: who has to be asked about the numbers that were sent there."""
    return hashlib.sha256(f"{kind}\n{url}\n{merchant}".encode()).hexdigest()[:32]


def unclear(code: str) -> ChannelAnswer:
    """Return an unclear outcome."""
    return ChannelAnswer(UNCLEAR, code)


def bounded_code(text: object) -> str | None:
    """Return a code of the service if it has the form of one, `other` for any other text, None for none."""
    if text is None or text == "":
        return None
    return text if isinstance(text, str) and _match_word(text) else OTHER_CODE


def named_number(text: object) -> str | None:
    """Return the payout number that a callback names, None if it is no text of that form."""
    return text if isinstance(text, str) and _match_number(text) else None


def bounded_ref(text: object) -> str | None:
    """Return the service's reference if it is 1-64 visible ASCII characters without spaces, else None."""
    return text if isinstance(text, str) and _match_ref(text) else None


def bounded_package(text: object) -> str | None:
    """Return what an app needs to open a confirmation, if it is printable ASCII without spaces, else None."""
    return text if isinstance(text, str) and _match_package(text) else None


def answer_of(
    outcome: str,
    code: object,
    ref: object,
    url: object = None,
    bounded: Callable[[object], str | None] = bounded_url,
) -> ChannelAnswer:
    """Return an outcome with what the service gave beside it, as far as it has a form that can be kept.

    `dropped` names what it gave and is not kept. `bounded` takes where the user confirms.
    """
    kept_ref, kept_url = bounded_ref(ref), bounded(url)
    given = ((CHANNEL_REF, ref, kept_ref), (NEEDS_USER_URL, url, kept_url))
    dropped = tuple(name for name, value, kept in given if value not in (None, "") and kept is None)
    return ChannelAnswer(outcome, bounded_code(code), kept_ref, kept_url, dropped)
