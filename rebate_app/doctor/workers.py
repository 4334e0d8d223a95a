"""What the workers are asked: who answers, who has nothing to do, whose clock is wrong."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp

from .findings import Check, fail, ok, some, warn

ANSWER_SECONDS_MAX = 5.0
CLOCKS_DIFFER_S_MAX = 5.0
#: A Date header has whole seconds.
DATE_RESOLUTION_S = 1.0
OK = 200


async def check_workers(url: str, *, expected: bool) -> list[Check]:
    """Ask the worker at a URL about all of them, and each of them for its clock.

    `expected`: the group has members, so somebody should answer.
    """
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS_MAX)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        try:
            async with session.get(f"{url.rstrip('/')}/v1/workers") as response:
                status, body = response.status, await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError, OSError) as error:
            says = f"no worker answers at {url}: {_in_words(error)}"
            do = "set REBATE_URL to a worker" if expected else "start a worker, or set REBATE_URL"
            return [warn("workers", says, do)]
        if status != OK or not isinstance(body, dict) or "items" not in body:
            return [fail("workers", f"{url} is no worker of ours (status {status})", "correct REBATE_URL")]
        items: list[dict[str, Any]] = body["items"]
        return [*judge(items), await _check_clocks(session, items)]


def _in_words(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        return str(error.os_error.strerror or error.os_error)
    return str(error) or type(error).__name__


def judge(items: list[dict[str, Any]]) -> list[Check]:
    """Say what the list of workers shows."""
    told = []
    if not items:
        return [warn("workers", "one answers, but has not joined its group", "read its /readyz and its log")]
    dead = [item["url"] for item in items if not item["alive"]]
    if dead:
        do = "check REBATE_ADVERTISED_URL: each worker's must be reachable from all others"
        told.append(fail("workers", f"{some(dead)} own partitions and do not answer", do))
    late = [item["url"] for item in items if item["alive"] and not item["ready"]]
    if late:
        told.append(warn("workers", f"not ready: {some(late)}", "read /readyz: restoring takes its time"))
    idle = [item["url"] for item in items if not any(item["partitions"].values())]
    if idle:
        do = "stop them, or plan for more partitions"
        told.append(warn("workers", f"nothing to do for {some(idle)}: more workers than partitions", do))
    return told or [ok("workers", f"{len(items)} answer and are ready")]


async def _check_clocks(session: aiohttp.ClientSession, items: list[dict[str, Any]]) -> Check:
    urls = [item["url"] for item in items if item["alive"]]
    told = await asyncio.gather(*(_clock_ahead_s(session, url) for url in urls))
    return judge_clocks({url: ahead for url, ahead in zip(urls, told, strict=True) if ahead is not None})


def judge_clocks(ahead_s: Mapping[str, float]) -> Check:
    """Say whose clock differs from ours too much, in seconds by URL."""
    wrong = [f"{url} ({ahead:+.0f} s)" for url, ahead in ahead_s.items() if abs(ahead) > CLOCKS_DIFFER_S_MAX]
    if wrong:
        do = "let NTP set the clocks: release days and refused times depend on them"
        return warn("clocks", f"workers' clocks differ from this one: {some(wrong)}", do)
    return ok("clocks", f"{len(ahead_s)} workers' clocks agree with this one")


async def _clock_ahead_s(session: aiohttp.ClientSession, url: str) -> float | None:
    """Return by how much a worker's clock is ahead of ours at least, None when it cannot be told."""
    began = time.time()
    try:
        async with session.get(f"{url}/livez") as response:
            said = parsedate_to_datetime(response.headers["Date"]).timestamp()
    except (aiohttp.ClientError, TimeoutError, KeyError, ValueError, OSError):
        return None
    ended = time.time()
    if said > ended:
        return said - ended
    return min(0.0, said + DATE_RESOLUTION_S - began)
