"""The line to the other workers: one pool of connections, time-outs, and nothing is asked twice around.

Law: what one worker sends to another carries the guard header and is never sent on, so no two workers
can ask each other in a circle. It is separate so that only this module knows an HTTP client.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import aiohttp
from yarl import URL

CONNECT_TIMEOUT_S: Final = 0.5
FORWARD_TIMEOUT_S: Final = 5.0
ASK_TIMEOUT_S: Final = 1.0
CONNECTIONS_MAX: Final = 128
CONNECTIONS_PER_WORKER_MAX: Final = 32
ANSWER_BYTES_MAX: Final = 16 * 1_048_576

#: Meant for one connection, or said anew by our own server.
_HOP_HEADERS = frozenset(
    {
        "connection",
        "keep-alive",
        "transfer-encoding",
        "content-length",
        "date",
        "server",
        "upgrade",
        "trailer",
    }
)


class UnreachableError(Exception):
    """The worker that may answer cannot be asked, or does not say anything we understand."""


class Response:
    """What another worker answered."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


class Peers:
    """The other workers. The connections are opened when first needed, in the loop that needs them."""

    def __init__(
        self, forward_timeout_s: float = FORWARD_TIMEOUT_S, ask_timeout_s: float = ASK_TIMEOUT_S
    ) -> None:
        self.forward_timeout_s = forward_timeout_s
        self.ask_timeout_s = ask_timeout_s
        self._session: aiohttp.ClientSession | None = None

    async def get(self, url: str, target: str, headers: Mapping[str, str]) -> Response:
        """Pass a read on, path and query as they came; UnreachableError."""
        return await self._request("GET", url + target, headers, None, self.forward_timeout_s)

    async def ask(
        self, url: str, target: str, headers: Mapping[str, str], body: bytes, timeout_s: float
    ) -> Response:
        """Ask an internal question, which changes nothing; UnreachableError."""
        return await self._request("POST", url + target, headers, body, min(timeout_s, self.ask_timeout_s))

    async def close(self) -> None:
        """Close the connections; asking again opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _request(
        self, method: str, address: str, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> Response:
        within = aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_TIMEOUT_S)
        try:
            try:
                return await self._once(method, address, headers, body, within)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                # A pooled connection that the other side has closed meanwhile; reads may be repeated.
                return await self._once(method, address, headers, body, within)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            said = str(error) or type(error).__name__
            raise UnreachableError(f"the worker that owns it cannot be reached: {said}") from error

    async def _once(
        self,
        method: str,
        address: str,
        headers: Mapping[str, str],
        body: bytes | None,
        within: aiohttp.ClientTimeout,
    ) -> Response:
        async with self._pool().request(
            method,
            URL(address, encoded=True),
            headers=headers,
            data=body,
            timeout=within,
            allow_redirects=False,
        ) as response:
            answer = bytearray()
            async for piece in response.content.iter_chunked(1 << 16):
                answer += piece
                if len(answer) > ANSWER_BYTES_MAX:
                    raise aiohttp.ClientError("the answer is too large")
            kept = {name: text for name, text in response.headers.items() if name.lower() not in _HOP_HEADERS}
            return Response(response.status, kept, bytes(answer))

    def _pool(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=CONNECTIONS_MAX, limit_per_host=CONNECTIONS_PER_WORKER_MAX, keepalive_timeout=30
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
            )
        return self._session
