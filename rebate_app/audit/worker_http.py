"""Requests balances from a worker over HTTP; a worker that does not answer has status 0."""

from __future__ import annotations

from typing import Any, Self

import aiohttp
from msgspec import MsgspecError
from msgspec.json import Decoder
from yarl import URL

from rebate_app.http_transport import bearer_headers, client_ssl
from rebate_app.settings import Settings
from rebate_app.wire.facts.identifiers import path_segment

from .balance_check import CONCURRENT_REQUESTS_MAX, WorkerAnswer

REQUEST_SECONDS_MAX = 10.0
_decode = Decoder().decode


class HttpWorkers:
    """Implements Workers: any worker answers for any user, so one address is enough."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.url.rstrip("/")
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open the connection pool."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONCURRENT_REQUESTS_MAX, ssl=client_ssl(self._settings)),
            headers=bearer_headers(self._settings),
            timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS_MAX),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        if self._session is not None:
            await self._session.close()

    async def alive(self) -> bool:
        """Return whether a worker answers at the address."""
        return (await self._get("/livez")).status != 0

    async def balance(self, user_id: str) -> WorkerAnswer:
        """Return the user's balance as it is answered now."""
        return await self._get(f"/v1/users/{path_segment(user_id)}/balance")

    async def _get(self, path: str) -> WorkerAnswer:
        if self._session is None:
            raise RuntimeError("not open")
        try:
            async with self._session.get(URL(self._url + path, encoded=True)) as response:
                return WorkerAnswer(response.status, _document(await response.read()))
        except (aiohttp.ClientError, TimeoutError, OSError):
            return WorkerAnswer(0, None)


def _document(raw: bytes) -> Any:
    try:
        return _decode(raw)
    except (MsgspecError, UnicodeDecodeError, RecursionError):
        return None
