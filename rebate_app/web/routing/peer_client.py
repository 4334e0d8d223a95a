"""HTTP client to the other workers: one pool of connections, with time-outs.

A request to another worker carries `Rebate-Forwarded`, so the receiver never sends it on and no two workers
can wait for each other in a circle; with a cluster secret it is signed, each attempt anew. Time-outs are in
seconds; every failure is an UnreachableError.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from typing import Final

import aiohttp
from msgspec import Struct
from yarl import URL

from rebate_app.auth.peer_signature import PeerRequest, sign
from rebate_app.secret_ring import SecretRing

from ..auth.access import Caller, encode_caller
from ..auth.authenticator import CALLER_HEADER, FORWARDED_HEADER, SIGNATURE_HEADER

CONNECT_TIMEOUT_SECONDS: Final = 0.5
FORWARD_TIMEOUT_SECONDS: Final = 5.0
RPC_TIMEOUT_SECONDS: Final = 1.0
KEEPALIVE_SECONDS: Final = 30
CONNECTIONS_MAX: Final = 128
CONNECTIONS_PER_WORKER_MAX: Final = 32
RESPONSE_BYTES_MAX: Final = 16 * 1_048_576
PIECE_BYTES: Final = 1 << 16

#: Meant for one connection, or set anew by our own server.
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
    """The worker that may answer cannot be reached, or its answer cannot be read."""


class PeerResponse(Struct, frozen=True):
    """The response of another worker."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Attempt(Struct, frozen=True):
    """A request to another worker, on behalf of a caller or, with None, of this worker itself."""

    method: str
    url: str
    target: str
    headers: Mapping[str, str]
    body: bytes | None
    caller: Caller | None


class PeerSecurity(Struct, frozen=True):
    """How requests to other workers are signed and encrypted. `clock` returns µs since 1970.

    `ring` None: they are not signed. `tls` None: the system's authorities decide.
    """

    ring: SecretRing | None
    clock: Callable[[], int]
    tls: ssl.SSLContext | None = None


class PeerClient:
    """Requests to the other workers; connections are opened at the first request, in its event loop."""

    def __init__(
        self,
        own_url: str,
        security: PeerSecurity | None = None,
        *,
        forward_timeout_seconds: float = FORWARD_TIMEOUT_SECONDS,
        rpc_timeout_seconds: float = RPC_TIMEOUT_SECONDS,
    ) -> None:
        self.forward_timeout_seconds = forward_timeout_seconds
        self.rpc_timeout_seconds = rpc_timeout_seconds
        self._own_url = own_url
        self._security = security
        self._session: aiohttp.ClientSession | None = None

    async def get(
        self,
        url: str,
        target: str,
        headers: Mapping[str, str],
        caller: Caller | None = None,
        timeout_seconds: float | None = None,
    ) -> PeerResponse:
        """Pass a read on for a caller, path and query as they came; UnreachableError.

        `timeout_seconds` None: that of a read that is forwarded.
        """
        seconds = self.forward_timeout_seconds if timeout_seconds is None else timeout_seconds
        return await self._request(_Attempt("GET", url, target, headers, None, caller), seconds)

    async def post(
        self, url: str, target: str, headers: Mapping[str, str], body: bytes, timeout_seconds: float
    ) -> PeerResponse:
        """Send an internal request, which changes nothing; UnreachableError."""
        seconds = min(timeout_seconds, self.rpc_timeout_seconds)
        return await self._request(_Attempt("POST", url, target, headers, body, None), seconds)

    async def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _request(self, attempt: _Attempt, timeout_seconds: float) -> PeerResponse:
        within = aiohttp.ClientTimeout(total=timeout_seconds, sock_connect=CONNECT_TIMEOUT_SECONDS)
        try:
            try:
                return await self._request_once(attempt, within)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                # A pooled connection that the other side has closed meanwhile; reads may be repeated.
                return await self._request_once(attempt, within)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            reason = str(error) or type(error).__name__
            raise UnreachableError(f"the worker that owns it cannot be reached: {reason}") from error

    def _headers(self, attempt: _Attempt) -> dict[str, str]:
        """Return the headers of one attempt, signed anew: a signature is accepted once."""
        headers = {**attempt.headers, FORWARDED_HEADER: self._own_url}
        security = self._security
        if security is None or security.ring is None:
            return headers
        caller = encode_caller(attempt.caller)
        request = PeerRequest(
            attempt.url, attempt.method, attempt.target, attempt.body or b"", caller, self._own_url
        )
        headers[CALLER_HEADER] = caller
        headers[SIGNATURE_HEADER] = sign(security.ring, request, security.clock())
        return headers

    async def _request_once(self, attempt: _Attempt, within: aiohttp.ClientTimeout) -> PeerResponse:
        async with self._open_session().request(
            attempt.method,
            URL(attempt.url + attempt.target, encoded=True),
            headers=self._headers(attempt),
            data=attempt.body,
            timeout=within,
            allow_redirects=False,
        ) as response:
            received = bytearray()
            async for piece in response.content.iter_chunked(PIECE_BYTES):
                received += piece
                if len(received) > RESPONSE_BYTES_MAX:
                    raise aiohttp.ClientError("the answer is too large")
            kept = {name: text for name, text in response.headers.items() if name.lower() not in _HOP_HEADERS}
            return PeerResponse(response.status, kept, bytes(received))

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            tls = None if self._security is None else self._security.tls
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    ssl=True if tls is None else tls,
                    limit=CONNECTIONS_MAX,
                    limit_per_host=CONNECTIONS_PER_WORKER_MAX,
                    keepalive_timeout=KEEPALIVE_SECONDS,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
            )
        return self._session
