"""Questions to a worker over HTTP, as a command asks them.

Law: an answer that is no answer becomes one sentence and an honest exit code: 69 nobody there, 75 not
ready yet, 2 the question was wrong, 70 the worker failed. Separate from the commands that print.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode

import aiohttp
import orjson

from rebate_app.settings import EXIT_SOFTWARE, EXIT_TRY_AGAIN, EXIT_UNAVAILABLE, EXIT_USAGE

from .exits import CommandError

ANSWER_SECONDS_MAX = 15.0
PAGE_ITEMS = 200
#: How many questions are open at once; answers come in the order of the questions all the same.
OPEN_MAX = 8
_CODES = {400: EXIT_USAGE, 404: EXIT_USAGE, 422: EXIT_USAGE, 503: EXIT_TRY_AGAIN, 429: EXIT_TRY_AGAIN}


class WorkerClient:
    """Asks the worker at a URL. Use it as `async with`."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS_MAX))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def get(self, path: str, **query: str | None) -> dict[str, Any]:
        """Return the JSON object at a path; CommandError says what else came."""
        given = {name: value for name, value in query.items() if value is not None}
        return await self._asked("GET", f"{self._url}{path}" + (f"?{urlencode(given)}" if given else ""))

    async def _asked(self, method: str, url: str, body: bytes | None = None) -> dict[str, Any]:
        said = {} if body is None else {"data": body, "headers": {"Content-Type": "application/json"}}
        try:
            async with self._session.request(method, url, **said) as response:  # type: ignore[arg-type]
                answer = await response.read()
                status = response.status
        except TimeoutError as error:
            raise CommandError(
                f"The worker at {self._url} gave no answer within {ANSWER_SECONDS_MAX:g} s.", EXIT_TRY_AGAIN
            ) from error
        except aiohttp.ClientConnectorError as error:
            raise CommandError(f"No worker answers at {self._url} (REBATE_URL).", EXIT_UNAVAILABLE) from error
        except (aiohttp.ClientError, ValueError, OSError) as error:
            raise CommandError(
                f"No worker answers at {self._url} (REBATE_URL): {error}.", EXIT_UNAVAILABLE
            ) from error
        return _answer(self._url, status, answer)

    async def post(self, path: str, document: Any) -> dict[str, Any]:
        """Return what is answered to a document; CommandError says what else came."""
        return await self._asked("POST", f"{self._url}{path}", orjson.dumps(document))

    async def parked_keys(self) -> list[dict[str, Any]]:
        """Return the parked keys of both sources."""
        return [item async for page in self._pages("/v1/parked-keys") for item in page]

    async def balances(self, users: Sequence[str], at: str | None) -> AsyncIterator[dict[str, Any]]:
        """Yield the balance of each user, in order."""
        for begin in range(0, len(users), OPEN_MAX):
            some = users[begin : begin + OPEN_MAX]
            paths = [f"/v1/users/{quote(user, safe='')}/balance" for user in some]
            for body in await asyncio.gather(*(self.get(path, at=at) for path in paths)):
                yield body

    async def users(self) -> AsyncIterator[list[str]]:
        """Yield the ids of all users, a page at a time."""
        async for page in self._pages("/v1/users"):
            yield [item["user_id"] for item in page]

    async def suspense(self) -> list[dict[str, Any]]:
        """Return the attribution ids that belong to nobody, with their lines and net."""
        return [item async for page in self._pages("/v1/attributions", unbound="true") for item in page]

    async def _pages(self, path: str, **query: str) -> AsyncIterator[list[dict[str, Any]]]:
        cursor: str | None = None
        while True:
            body = await self.get(path, limit=str(PAGE_ITEMS), cursor=cursor, **query)
            yield body["items"]
            cursor = body.get("next_cursor")
            if cursor is None:
                return


def _answer(url: str, status: int, body: bytes) -> dict[str, Any]:
    """Return the object that a worker said, or raise what else it said in words."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None
    if status == HTTPStatus.OK and isinstance(document, dict):
        return document
    problem = document if isinstance(document, dict) else {}
    says = problem.get("detail") or problem.get("title") or f"status {status}"
    code = f" ({problem['code']})" if "code" in problem else ""
    raise CommandError(f"The worker at {url} says: {says}{code}", _CODES.get(status, EXIT_SOFTWARE))
