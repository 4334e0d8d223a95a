"""Make one attempt to deliver an event: a signed POST, and the outcome of its response.

2xx is delivered; no response, 5xx, 408 and 429 are tried again; everything else, redirects included, is
refused. Redirects are not followed, bodies not decoded and read up to a bound. Failures are results, not
exceptions.
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

from rebate_app.http_urls import origin
from rebate_app.settings import Settings

from .addresses import AddressRefusedError, checked_connector, require_allowed
from .delivery import DELIVERED, REFUSED, RETRY
from .signing import headers_of

CONNECT_SECONDS_MAX = 3.0
RESPONSE_BYTES_MAX = 64 * 1_024
RETRY_AFTER_SECONDS_MAX = 600.0
RETRIED_STATUSES = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})
#: Codes beside `status-NNN`: why an attempt has no response.
TIMEOUT, CONNECT, ADDRESS_REFUSED = "timeout", "connect", "address-refused"


class AttemptResult(Struct, frozen=True):
    """The result of an attempt; `code` is for logs and metrics, `status` 0 without a response."""

    outcome: str
    code: str
    seconds: float
    status: int = 0
    body: bytes = b""
    retry_after_seconds: float = 0.0
    detail: str = ""


class Poster:
    """Posts to the webhook URL; connects at first use. `async with`, or `close` at the end."""

    def __init__(self, settings: Settings) -> None:
        self._url = URL(settings.webhook_url, encoded=True)
        self._secrets = settings.webhook_secrets
        self._allow_private = settings.webhook_allow_private
        self._connections_max = settings.webhook_concurrency
        total = settings.webhook_timeout
        self._timeout = aiohttp.ClientTimeout(total=total, sock_connect=min(CONNECT_SECONDS_MAX, total))
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

    async def post(self, body: bytes, attempt: int) -> AttemptResult:
        """Send the bytes once; return the result."""
        began = time.monotonic()
        headers = headers_of(body, self._secrets, int(time.time()), attempt)
        try:
            self._check_literal()
            async with self._open().post(
                self._url, data=body, headers=headers, allow_redirects=False
            ) as response:
                content = await _read_bounded(response)
                return _result_of(response, content, time.monotonic() - began)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            code = _code(error)
            return AttemptResult(RETRY, code, time.monotonic() - began, detail=self._detail(error))

    def _detail(self, error: BaseException) -> str:
        """Return the error's text without the URL, whose path and query may be secret."""
        text = str(error) or type(error).__name__
        return text.replace(str(self._url), origin(str(self._url)))

    def _check_literal(self) -> None:
        """Refuse an address in the URL itself, which aiohttp does not resolve."""
        if not self._allow_private:
            with contextlib.suppress(ValueError):  # a name: the resolver checks its addresses
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
    """Read the response up to the bound; the status decides, even if reading fails."""
    content = b""
    try:
        while len(content) < RESPONSE_BYTES_MAX:
            part = await response.content.read(RESPONSE_BYTES_MAX - len(content))
            if not part:
                return content
            content += part
    except (aiohttp.ClientError, OSError):
        pass
    response.close()  # the rest is not read, so the connection cannot be used again
    return content


def _result_of(response: aiohttp.ClientResponse, content: bytes, seconds: float) -> AttemptResult:
    status = response.status
    code = f"status-{status}"
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return AttemptResult(DELIVERED, code, seconds, status, content)
    if status in RETRIED_STATUSES or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        wait_seconds = retry_after(response.headers.get("Retry-After", ""), time.time())
        return AttemptResult(RETRY, code, seconds, status, content, wait_seconds)
    return AttemptResult(REFUSED, code, seconds, status, content)


def retry_after(text: str, now: float) -> float:
    """Return the seconds of a Retry-After header (seconds or a date), bounded; 0 without one."""
    try:
        wait_seconds = (
            float(text) if text.strip().isdigit() else parsedate_to_datetime(text).timestamp() - now
        )
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return max(0.0, min(wait_seconds, RETRY_AFTER_SECONDS_MAX))


def _code(error: BaseException) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, AddressRefusedError):
            return ADDRESS_REFUSED
        cause = cause.__cause__ or cause.__context__
    return TIMEOUT if isinstance(error, TimeoutError) else CONNECT
