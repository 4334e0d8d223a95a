"""HTTP client of the commands to a worker.

Everything but a 200, 201 or 202 with a JSON object is a CommandError of one sentence and an exit code: 69 no
worker, 75 not ready or no answer in time, 2 invalid request, 70 the worker failed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

import aiohttp
import orjson
from yarl import URL

from rebate_app.http_transport import bearer_headers, client_ssl
from rebate_app.settings import (
    EXIT_FINDINGS,
    EXIT_SOFTWARE,
    EXIT_TRY_AGAIN,
    EXIT_UNAVAILABLE,
    EXIT_USAGE,
    load_settings,
)
from rebate_app.wire.facts.identifiers import path_segment

from .exits import CommandError

RESPONSE_SECONDS_MAX = 15.0
PAGE_ITEMS = 200
#: Most requests in flight; results come in the order of the requests.
REQUESTS_MAX = 8
#: Problems of a well-formed request about something that does not exist.
NOTHING_FOUND = ("unknown-line", "unknown-withdrawal", "unknown-adjustment", "unknown-opening")
_DONE = (HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.ACCEPTED)
_CODES = {
    400: EXIT_USAGE,
    401: EXIT_USAGE,
    403: EXIT_USAGE,
    404: EXIT_USAGE,
    409: EXIT_FINDINGS,
    422: EXIT_USAGE,
    503: EXIT_TRY_AGAIN,
    429: EXIT_TRY_AGAIN,
}


class WorkerClient:
    """Sends requests to the worker at a URL, with REBATE_TOKEN. Use it as `async with`."""

    def __init__(self, url: str, seconds_max: float = RESPONSE_SECONDS_MAX) -> None:
        self._url = url.rstrip("/")
        self._seconds_max = seconds_max

    async def __aenter__(self) -> Self:
        settings = load_settings()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=client_ssl(settings)),
            headers=bearer_headers(settings),
            timeout=aiohttp.ClientTimeout(total=self._seconds_max),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def get(self, path: str, **query: str | None) -> dict[str, Any]:
        """Return the JSON object at a path, or raise CommandError."""
        given = {name: value for name, value in query.items() if value is not None}
        return await self._request("GET", f"{self._url}{path}" + (f"?{urlencode(given)}" if given else ""))

    async def _request(self, method: str, url: str, body: bytes | None = None) -> dict[str, Any]:
        content = {} if body is None else {"data": body, "headers": {"Content-Type": "application/json"}}
        try:
            address = URL(url, encoded=True)  # a path part that is .. stays percent-encoded
            async with self._session.request(method, address, **content) as response:  # type: ignore[arg-type]
                answer = await response.read()
                status = response.status
        except TimeoutError as error:
            raise CommandError(
                f"The worker at {self._url} gave no answer within {self._seconds_max:g} s.", EXIT_TRY_AGAIN
            ) from error
        except aiohttp.ClientConnectorError as error:
            raise CommandError(f"No worker answers at {self._url} (REBATE_URL).", EXIT_UNAVAILABLE) from error
        except (aiohttp.ClientError, ValueError, OSError) as error:
            raise CommandError(
                f"No worker answers at {self._url} (REBATE_URL): {error}.", EXIT_UNAVAILABLE
            ) from error
        return _answer(self._url, status, answer)

    async def post(self, path: str, document: Any) -> dict[str, Any]:
        """Post a document; return the JSON object of the response, or raise CommandError."""
        return await self._request("POST", f"{self._url}{path}", orjson.dumps(document))

    async def parked_keys(self) -> list[dict[str, Any]]:
        """Return the parked keys of both sources."""
        return [item async for page in self._pages("/v1/parked-keys") for item in page]

    async def balances(self, users: Sequence[str], at: str | None) -> AsyncIterator[dict[str, Any]]:
        """Yield the balance of each user, in order."""
        for begin in range(0, len(users), REQUESTS_MAX):
            some = users[begin : begin + REQUESTS_MAX]
            paths = [f"/v1/users/{path_segment(user)}/balance" for user in some]
            for body in await asyncio.gather(*(self.get(path, at=at) for path in paths)):
                yield body

    async def users(self) -> AsyncIterator[list[str]]:
        """Yield the ids of all users, a page at a time."""
        async for page in self._pages("/v1/users"):
            yield [item["user_id"] for item in page]

    async def unbound_attributions(self) -> list[dict[str, Any]]:
        """Return the attribution ids that belong to nobody, with their lines and net."""
        return [item async for page in self._pages("/v1/attributions", unbound="true") for item in page]

    async def page(self, path: str, limit: int, cursor: str | None, **query: str | None) -> dict[str, Any]:
        """Return up to `limit` items of a list from the cursor on, and where it continues."""
        items: list[dict[str, Any]] = []
        while True:
            page_limit = str(min(limit - len(items), PAGE_ITEMS))
            body = await self.get(path, limit=page_limit, cursor=cursor, **query)
            items += body["items"]
            cursor = body["next_cursor"]
            if cursor is None or len(items) >= limit:
                return {"items": items, "next_cursor": cursor}

    async def _pages(self, path: str, **query: str) -> AsyncIterator[list[dict[str, Any]]]:
        cursor: str | None = None
        while True:
            body = await self.get(path, limit=str(PAGE_ITEMS), cursor=cursor, **query)
            yield body["items"]
            cursor = body.get("next_cursor")
            if cursor is None:
                return


def _answer(url: str, status: int, body: bytes) -> dict[str, Any]:
    """Return the JSON object of a response, or raise CommandError with the problem's detail."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None
    if status in _DONE and isinstance(document, dict):
        return document
    problem = document if isinstance(document, dict) else {}
    detail = problem.get("detail") or problem.get("title") or f"status {status}"
    if status == HTTPStatus.UNAUTHORIZED:
        detail = f"{detail}; commands use REBATE_TOKEN or REBATE_TOKEN_FILE"
    code = f" ({problem['code']})" if "code" in problem else ""
    exit_code = _CODES.get(status, EXIT_SOFTWARE)
    if problem.get("code") in NOTHING_FOUND:
        exit_code = EXIT_FINDINGS
    raise CommandError(f"The worker at {url} says: {detail}{code}", exit_code)
