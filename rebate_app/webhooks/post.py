"""One attempt to deliver: a signed POST, and what its answer means.

Law: 2xx is delivered; no answer, 5xx, 408 and 429 are tried again; all else, redirects too, is refused.
Nothing of the answer is followed, decoded, or read beyond a bound; nothing here raises but for a bug.
"""

from __future__ import annotations

import contextlib
import time
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from types import TracebackType
from typing import Self

import aiohttp
from msgspec import Struct
from yarl import URL

from rebate_app.settings import Settings

from .addresses import AddressRefusedError, checked_connector, require_allowed
from .deliveries import DELIVERED, REFUSED, RETRY
from .signing import headers_of

CONNECT_S = 3.0
ANSWER_BYTES_MAX = 64 * 1_024
RETRY_AFTER_S_MAX = 600.0
TRIED_AGAIN = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})
#: Codes beside `status-NNN`: what an attempt without an answer died of.
TIMEOUT, CONNECT, ADDRESS_REFUSED = "timeout", "connect", "address-refused"


class Answered(Struct, frozen=True):
    """How an attempt ended: `outcome` of queues, `code` for people and metrics, `status` 0 without any."""

    outcome: str
    code: str
    seconds: float
    status: int = 0
    body: bytes = b""
    retry_after_s: float = 0.0
    detail: str = ""


class Poster:
    """Posts to the one URL. `async with`, or `close` at the end; made when it is first used."""

    def __init__(self, settings: Settings) -> None:
        self._url = URL(settings.webhook_url, encoded=True)
        self._secrets = settings.webhook_secrets
        self._allow_private = settings.webhook_allow_private
        self._connections_max = settings.webhook_concurrency
        total = settings.webhook_timeout
        self._timeout = aiohttp.ClientTimeout(total=total, sock_connect=min(CONNECT_S, total))
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def post(self, body: bytes, attempt: int) -> Answered:
        """Send the bytes once; return how that ended."""
        began = time.monotonic()
        headers = headers_of(body, self._secrets, int(time.time()), attempt)
        try:
            self._check_literal()
            async with self._open().post(
                self._url, data=body, headers=headers, allow_redirects=False
            ) as response:
                said = await _read_bounded(response)
                return _meaning(response, said, time.monotonic() - began)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            code = _code(error)
            said_of = str(error) or type(error).__name__
            return Answered(RETRY, code, time.monotonic() - began, detail=said_of)

    def _check_literal(self) -> None:
        """Refuse an address in the URL itself, which no resolver is asked about."""
        if not self._allow_private:
            with contextlib.suppress(ValueError):  # a name: the resolver looks at its addresses
                require_allowed(self._url.host or "")

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=checked_connector(
                    allow_private=self._allow_private, connections_max=self._connections_max
                ),
                timeout=self._timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                headers={"User-Agent": "taoke-rebate-webhook"},
            )
        return self._session


async def _read_bounded(response: aiohttp.ClientResponse) -> bytes:
    """Read the answer up to the bound; the status decides, whatever becomes of the rest."""
    said = b""
    try:
        while len(said) < ANSWER_BYTES_MAX:
            some = await response.content.read(ANSWER_BYTES_MAX - len(said))
            if not some:
                return said
            said += some
    except (aiohttp.ClientError, OSError):
        pass
    response.close()  # what is left of it is not read, so the connection is of no use any more
    return said


def _meaning(response: aiohttp.ClientResponse, said: bytes, seconds: float) -> Answered:
    status = response.status
    code = f"status-{status}"
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return Answered(DELIVERED, code, seconds, status, said)
    if status in TRIED_AGAIN or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        wait_s = retry_after(response.headers.get("Retry-After", ""), time.time())
        return Answered(RETRY, code, seconds, status, said, wait_s)
    return Answered(REFUSED, code, seconds, status, said)


def retry_after(text: str, now: float) -> float:
    """Return for how many seconds the receiver wants peace: seconds or a date, bounded; 0 without."""
    try:
        wait_s = float(text) if text.strip().isdigit() else parsedate_to_datetime(text).timestamp() - now
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return max(0.0, min(wait_s, RETRY_AFTER_S_MAX))


def _code(error: BaseException) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, AddressRefusedError):
            return ADDRESS_REFUSED
        cause = cause.__cause__ or cause.__context__
    return TIMEOUT if isinstance(error, TimeoutError) else CONNECT
