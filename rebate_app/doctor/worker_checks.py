"""Checks of the workers over HTTP: which answer, which are idle, whose clock differs.

Clock differences are in seconds, positive where a worker's clock is ahead.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp

from rebate_app.http_transport import bearer_headers, client_ssl
from rebate_app.settings import load_settings

from .check_spec import CheckSpec, Context, failure, warning
from .result import CheckResult, fail, ok, shortened_list, warn

ANSWER_SECONDS_MAX = 5.0
CLOCK_DIFFERENCE_SECONDS_MAX = 5.0
#: A Date header has whole seconds.
DATE_RESOLUTION_SECONDS = 1.0
OK = 200


async def check_workers(url: str, *, expected: bool) -> tuple[list[CheckResult], list[dict[str, Any]] | None]:
    """Request the list of workers from the one at the URL; also return its items, None without a list.

    `expected`: the group has members, so a worker should answer.
    """
    try:
        async with _session() as session, session.get(f"{url.rstrip('/')}/v1/workers") as response:
            status, body = response.status, await response.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, ValueError, OSError) as error:
        text = f"no worker answers at {url}: {_reason(error)}"
        remedy = "set REBATE_URL to a worker" if expected else "start a worker, or set REBATE_URL"
        return [warn("workers", text, remedy)], None
    if status != OK or not isinstance(body, dict) or "items" not in body:
        text = f"{url} is no worker of ours (status {status})"
        return [fail("workers", text, "correct REBATE_URL")], None
    items: list[dict[str, Any]] = body["items"]
    return worker_results(items), items


def _session() -> aiohttp.ClientSession:
    settings = load_settings()
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=client_ssl(settings)),
        headers=bearer_headers(settings),
        timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS_MAX),
    )


def _reason(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        return str(error.os_error.strerror or error.os_error)
    return str(error) or type(error).__name__


def worker_results(items: list[dict[str, Any]]) -> list[CheckResult]:
    """Return the results for the list of workers."""
    results = []
    if not items:
        return [warn("workers", "one answers, but has not joined its group", "read its /readyz and its log")]
    dead = [item["url"] for item in items if not item["alive"]]
    if dead:
        remedy = "check REBATE_ADVERTISED_URL: each worker's must be reachable from all others"
        results.append(fail("workers", f"{shortened_list(dead)} own partitions and do not answer", remedy))
    late = [item["url"] for item in items if item["alive"] and not item["ready"]]
    if late:
        results.append(
            warn("workers", f"not ready: {shortened_list(late)}", "read /readyz: restoring takes its time")
        )
    idle = [item["url"] for item in items if not any(item["partitions"].values())]
    if idle:
        remedy = "stop them, or plan for more partitions"
        results.append(
            warn("workers", f"nothing to do for {shortened_list(idle)}: more workers than partitions", remedy)
        )
    return results or [ok("workers", f"{len(items)} answer and are ready")]


async def check_clocks(context: Context) -> list[CheckResult]:
    """Compare the clocks of the workers that are alive with ours."""
    if context.worker_items is None:
        return []
    urls = [item["url"] for item in context.worker_items if item["alive"]]
    async with _session() as session:
        ahead = await asyncio.gather(*(_clock_ahead_seconds(session, url) for url in urls))
    known = {url: seconds for url, seconds in zip(urls, ahead, strict=True) if seconds is not None}
    return [clock_result(known)]


def clock_result(ahead_seconds: Mapping[str, float]) -> CheckResult:
    """Compare the workers' clocks with ours: by URL, the seconds by which a clock is ahead."""
    wrong = [
        f"{url} ({ahead:+.0f} s)"
        for url, ahead in ahead_seconds.items()
        if abs(ahead) > CLOCK_DIFFERENCE_SECONDS_MAX
    ]
    if wrong:
        remedy = "let NTP set the clocks: release days and refused times depend on them"
        return warn("clocks", f"workers' clocks differ from this one: {shortened_list(wrong)}", remedy)
    return ok("clocks", f"{len(ahead_seconds)} workers' clocks agree with this one")


async def _clock_ahead_seconds(session: aiohttp.ClientSession, url: str) -> float | None:
    """Return by how many seconds at least a worker's clock is ahead of ours, None if unknown."""
    began = time.time()
    try:
        async with session.get(f"{url}/livez") as response:
            clock = parsedate_to_datetime(response.headers["Date"]).timestamp()
    except (aiohttp.ClientError, TimeoutError, KeyError, ValueError, OSError):
        return None
    ended = time.time()
    if clock > ended:
        return clock - ended
    return min(0.0, clock + DATE_RESOLUTION_SECONDS - began)


async def _workers(context: Context) -> list[CheckResult]:
    results, context.worker_items = await check_workers(
        context.settings.url, expected=context.group is not None and bool(context.group.members)
    )
    return results


CHECKS = (
    CheckSpec(
        "workers",
        "whether a worker answers at `REBATE_URL`, and whether all workers answer and are ready",
        "worker",
        (
            warning("no worker answers", "start one, or set `REBATE_URL` to one"),
            failure("something else answers", "correct `REBATE_URL`"),
            failure(
                "workers own partitions and do not answer",
                "check `REBATE_ADVERTISED_URL`: all workers must reach each other",
            ),
            warning("workers are not ready, or have not joined the group", "read their `/readyz` and log"),
            warning("workers are idle", "stop them, or plan for more partitions"),
        ),
        _workers,
    ),
    CheckSpec(
        "clocks",
        "the workers' clocks against this one",
        "worker",
        (
            warning(
                "a clock differs by more than 5 s",
                "let NTP set the clocks: release days and refused times depend on them",
            ),
        ),
        check_clocks,
    ),
)
