"""Calls of the networks over HTTP: a form in; status, `Date` and body out. A failure is an answer, too."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Protocol, Self

import aiohttp

from .account import Reply
from .network_clock import date_of

#: Longer answers are slower than the next attempt.
ANSWER_SECONDS_MAX = 20.0
BODY_BYTES_MAX = 64 * 2**20


class Gateway(Protocol):
    """Makes one call."""

    async def post(self, url: str, form: Mapping[str, str]) -> Reply:
        """Return the answer; one without a status if none came."""
        ...


class HttpGateway:
    """Calls with one pool of connections. Use it as `async with`. Redirects are not followed."""

    def __init__(self, seconds_max: float = ANSWER_SECONDS_MAX) -> None:
        self._timeout = aiohttp.ClientTimeout(total=seconds_max)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=self._timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def post(self, url: str, form: Mapping[str, str]) -> Reply:
        """Return the answer; one without a status if none came."""
        try:
            async with self._session.post(url, data=dict(form), allow_redirects=False) as response:
                date = date_of(response.headers.get("Date"))
                retry_after = response.headers.get("Retry-After", "")
                body = await response.content.read(BODY_BYTES_MAX + 1)
                while not response.content.at_eof() and len(body) <= BODY_BYTES_MAX:
                    body += await response.content.read(BODY_BYTES_MAX + 1 - len(body))
        except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as error:  # noqa: UP041 - says what it is
            return Reply(failure=f"no answer: {type(error).__name__}")
        if len(body) > BODY_BYTES_MAX:
            return Reply(failure=f"the answer is longer than {BODY_BYTES_MAX} bytes", date=date)
        return Reply(response.status, body, date, retry_after=retry_after)
