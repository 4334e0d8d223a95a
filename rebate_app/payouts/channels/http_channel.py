"""Kind `http`: the platform's own payment service (docs/payouts.md#http).

Both directions are signed with one shared secret: `X-Rebate-Timestamp` (Unix seconds) and
`X-Rebate-Signature: v1=` hex HMAC-SHA256 over `timestamp.METHOD.path.body`. An answer is signed with the
method and path of its request, and a signature that is more than 300 s off is refused.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

from msgspec import DecodeError, Struct, ValidationError
from msgspec.json import Decoder, Encoder
from yarl import URL

from .port import (
    FAILED,
    MISMATCH,
    NEEDS_USER,
    NOT_FOUND,
    NOT_UNDERSTOOD,
    PAID,
    PAYER,
    PENDING,
    RETURNED,
    SIGNATURE,
    ChannelAnswer,
    NotificationRefusedError,
    PayoutOrder,
    answer_of,
    identity_of,
    named_number,
    unclear,
)
from .transport import HttpAnswer, NoAnswerError, Transport

KIND: Final = "http"
TIMESTAMP_HEADER: Final = "X-Rebate-Timestamp"
SIGNATURE_HEADER: Final = "X-Rebate-Signature"
OFF_SECONDS_MAX: Final = 300
VERSION: Final = "v1="
CURRENCY: Final = "CNY"

DONE: Final = frozenset({HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.ACCEPTED})
REFUSED: Final = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY})
PAYER_SIDE: Final = frozenset(
    {HTTPStatus.PAYMENT_REQUIRED, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
)
SEND_STATES: Final = frozenset({PAID, FAILED, PENDING, NEEDS_USER})
QUERY_STATES: Final = SEND_STATES | {RETURNED}

_match_seconds = re.compile(r"[0-9]{1,12}", re.ASCII).fullmatch


class _Payee(Struct, frozen=True):
    account: str
    name: str


class _Request(Struct, frozen=True):
    payout_no: str
    amount: int
    currency: str
    payee: _Payee
    user_id: str
    withdrawal_id: str
    memo: str


class AnswerBody(Struct, frozen=True):
    """What the service answers; `message` is not even read."""

    status: str | None = None
    payout_no: str | None = None
    amount: int | None = None
    code: Any = None
    channel_ref: Any = None
    needs_user_url: Any = None


class _Named(Struct, frozen=True):
    payout_no: Any = None


_encode = Encoder().encode
_decode = Decoder(AnswerBody).decode
_decode_named = Decoder(_Named).decode
BAD_JSON = (DecodeError, ValidationError, UnicodeDecodeError, RecursionError)


def signature(secret: bytes, timestamp: str, method: str, path: str, body: bytes) -> str:
    """Return the value of X-Rebate-Signature."""
    signed = f"{timestamp}.{method}.{path}.".encode() + body
    return VERSION + hmac.new(secret, signed, hashlib.sha256).hexdigest()


def is_signed(
    secret: bytes, headers: Mapping[str, str], signed: tuple[str, str, bytes], now_seconds: int
) -> bool:
    """Whether the headers sign (method, path, body), at most 300 s off."""
    timestamp = headers.get(TIMESTAMP_HEADER, "")
    if not _match_seconds(timestamp) or abs(int(timestamp) - now_seconds) > OFF_SECONDS_MAX:
        return False
    given = headers.get(SIGNATURE_HEADER, "").encode(errors="replace")
    return hmac.compare_digest(given, signature(secret, timestamp, *signed).encode())


class HttpChannel:
    """A payment service behind `{url}/payouts`."""

    is_automatic = True

    def __init__(
        self,
        url: str,
        secret: bytes,
        timeout_seconds: float,
        clock_seconds: Callable[[], int] = lambda: int(time.time()),
    ) -> None:
        self.identity = identity_of(KIND, url, "")
        self._base = url.rstrip("/") + "/payouts"
        self._secret = secret
        self._clock_seconds = clock_seconds
        self._transport = Transport(timeout_seconds)

    async def send(self, order: PayoutOrder, signed_at_seconds: int) -> ChannelAnswer:
        """POST the payout, signed with the moment of its attempt."""
        body = _encode(
            _Request(
                order.payout_no,
                order.amount,
                CURRENCY,
                _Payee(order.account, order.name),
                order.user_id,
                order.withdrawal_id,
                order.memo,
            )
        )
        url = URL(self._base, encoded=True)
        return await self._call("POST", url, body, order, signed_at_seconds)

    async def query(self, order: PayoutOrder) -> ChannelAnswer:
        """GET the payout."""
        url = URL(f"{self._base}/{order.payout_no}", encoded=True)
        return await self._call("GET", url, b"", order, self._clock_seconds())

    def verify_notification(
        self, path: str, headers: Mapping[str, str], body: bytes, now_seconds: int
    ) -> str | None:
        """Return the number that a signed callback names, whatever else is in its body."""
        if not is_signed(self._secret, headers, ("POST", path, body), now_seconds):
            raise NotificationRefusedError("the signature does not verify")
        try:
            return named_number(_decode_named(body).payout_no)
        except BAD_JSON:
            return None

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    async def _call(
        self, method: str, url: URL, body: bytes, order: PayoutOrder, at_seconds: int
    ) -> ChannelAnswer:
        timestamp = str(at_seconds)
        headers = {
            TIMESTAMP_HEADER: timestamp,
            SIGNATURE_HEADER: signature(self._secret, timestamp, method, url.raw_path, body),
        }
        if body:
            headers["Content-Type"] = "application/json"
        try:
            answer = await self._transport.call(method, url, body, headers)
        except NoAnswerError as error:
            return unclear(error.code)
        signed = (method, url.raw_path, answer.body)
        if not is_signed(self._secret, answer.headers, signed, self._clock_seconds()):
            return unclear(SIGNATURE)
        document = _read(answer.body)
        if document is None:
            return unclear(NOT_UNDERSTOOD)
        return (
            _send_answer(answer, document, order)
            if method == "POST"
            else _query_answer(answer, document, order)
        )


def _read(body: bytes) -> AnswerBody | None:
    try:
        return _decode(body)
    except BAD_JSON:
        return None


def _send_answer(answer: HttpAnswer, body: AnswerBody, order: PayoutOrder) -> ChannelAnswer:
    if _contradicts(body, order):
        return _answer(MISMATCH, body)
    if answer.status in DONE and body.status in SEND_STATES and _names(body, order):
        return _answer(body.status, body)
    if answer.status in REFUSED and body.status == FAILED:
        return _answer(FAILED, body)
    if answer.status in PAYER_SIDE and body.status == PAYER:
        return _answer(PAYER, body)
    return unclear(NOT_UNDERSTOOD)


def _query_answer(answer: HttpAnswer, body: AnswerBody, order: PayoutOrder) -> ChannelAnswer:
    if _contradicts(body, order):
        return _answer(MISMATCH, body)
    if answer.status == HTTPStatus.OK and body.status in QUERY_STATES and _names(body, order):
        return _answer(body.status, body)
    if answer.status == HTTPStatus.NOT_FOUND and body.status == NOT_FOUND:
        return _answer(NOT_FOUND, body)
    return unclear(NOT_UNDERSTOOD)


def _contradicts(body: AnswerBody, order: PayoutOrder) -> bool:
    """Whether the answer speaks of another number or amount."""
    other_number = body.payout_no is not None and body.payout_no != order.payout_no
    return other_number or (body.amount is not None and body.amount != order.amount)


def _names(body: AnswerBody, order: PayoutOrder) -> bool:
    """Whether the answer says which payout it is about: one that does not proves nothing."""
    return body.payout_no == order.payout_no and body.amount == order.amount


def _answer(outcome: str, body: AnswerBody) -> ChannelAnswer:
    url = body.needs_user_url if outcome == NEEDS_USER else None
    return answer_of(outcome, body.code, body.channel_ref, url)
