"""Calls to a payment service: bounded in time and size, no redirects, cookies or proxy of the environment.

A call either yields an answer or says why there is none. A POST is never repeated here, since only the caller
knows whether the number may be sent again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import aiohttp
from msgspec import Struct
from yarl import URL

from .port import CONNECT, TIMEOUT

ANSWER_BYTES_MAX = 256 * 1_024
CONNECTIONS_MAX = 16


class HttpAnswer(Struct, frozen=True):
    """Status, headers (case-insensitive) and body, as they came."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class NoAnswerError(Exception):
    """There is no answer; `code` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Transport:
    """HTTP to one payment service; connects at first use."""

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._session: aiohttp.ClientSession | None = None

    async def call(self, method: str, url: URL, body: bytes, headers: Mapping[str, str]) -> HttpAnswer:
        """Send once; NoAnswerError."""
        try:
            async with self._open().request(
                method, url, data=body or None, headers=dict(headers), allow_redirects=False
            ) as response:
                content = await _read_bounded(response)
                return HttpAnswer(response.status, response.headers.copy(), content)
        except TimeoutError as error:
            raise NoAnswerError(TIMEOUT) from error
        except (aiohttp.ClientError, OSError, ValueError, asyncio.IncompleteReadError) as error:
            raise NoAnswerError(CONNECT) from error

    async def close(self) -> None:
        """Close the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX),
                timeout=self._timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                headers={"User-Agent": "taoke-rebate-payouts", "Accept": "application/json"},
            )
        return self._session


async def _read_bounded(response: aiohttp.ClientResponse) -> bytes:
    """Return the whole body; ClientPayloadError for one that is larger than any answer."""
    content = b""
    while len(content) <= ANSWER_BYTES_MAX:
        part = await response.content.read(ANSWER_BYTES_MAX + 1 - len(content))
        if not part:
            return content
        content += part
    response.close()
    raise aiohttp.ClientPayloadError("the answer is too large")
