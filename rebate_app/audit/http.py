"""Asks a worker over HTTP. Separate, since only this module of the audit knows an HTTP client."""

from __future__ import annotations

from typing import Any, Self
from urllib.parse import quote

import aiohttp
from msgspec import MsgspecError
from msgspec.json import Decoder
from yarl import URL

from .balances import ASKED_AT_ONCE_MAX, Said

ASK_SECONDS_MAX = 10.0
_decode = Decoder().decode


class HttpWorkers:
    """Implements Workers: any worker answers for any user, so one address is enough."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open the pool of connections."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=ASKED_AT_ONCE_MAX),
            timeout=aiohttp.ClientTimeout(total=ASK_SECONDS_MAX),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        if self._session is not None:
            await self._session.close()

    async def alive(self) -> bool:
        """Whether a worker lives at the address."""
        return (await self._get("/livez")).status != 0

    async def balance(self, user_id: str) -> Said:
        """Return what is answered now."""
        return await self._get(f"/v1/users/{quote(user_id, safe='')}/balance")

    async def _get(self, path: str) -> Said:
        if self._session is None:
            raise RuntimeError("not open")
        try:
            async with self._session.get(URL(self._url + path, encoded=True)) as response:
                return Said(response.status, _document(await response.read()))
        except (aiohttp.ClientError, TimeoutError, OSError):
            return Said(0, None)


def _document(raw: bytes) -> Any:
    try:
        return _decode(raw)
    except (MsgspecError, UnicodeDecodeError, RecursionError):
        return None
