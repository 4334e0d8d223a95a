"""Checks of the workers' URLs: whether two exclude each other, and whether every worker reaches every other.

The group has the URL and the random id of every worker; each worker is asked for what it finds at the URLs of
all others, since a URL may lead to its worker from here and elsewhere from there.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import combinations

import msgspec

from rebate_app.http_transport import bearer_headers, client_tls
from rebate_app.settings import Settings
from rebate_app.streams.kafka.announcements import REMEDY, Announcement, conflict_with
from rebate_app.web.routing.identity import Found, identify
from rebate_app.web.routing.peer_client import PeerClient, PeerSecurity, UnreachableError

from .check_spec import CheckSpec, Context, failure, warning
from .result import CheckResult, fail, ok, shortened_list, warn

REACH_PATH = "/v1/workers/reach"
OK = 200
URL_REMEDY = "correct its REBATE_ADVERTISED_URL, or the network between them"
FROZEN_REMEDY = "continue or restart that process; its partitions move after REBATE_SESSION_TIMEOUT"


class Pair(msgspec.Struct, frozen=True, rename={"origin": "from", "target": "to", "outcome": "answered"}):
    """What one worker finds at the URL of another, as `GET /v1/workers/reach` lists it."""

    origin: str
    target: str
    outcome: str
    detail: str = ""


class _ReachList(msgspec.Struct):
    items: list[Pair]


async def check_urls(context: Context) -> list[CheckResult]:
    """Check that no two workers of the group announce URLs that exclude each other."""
    return url_results(() if context.group is None else context.group.announced)


def url_results(announced: Sequence[Announcement]) -> list[CheckResult]:
    """Return a failure for each pair of workers whose URLs exclude each other."""
    results = [
        fail("urls", f"{one.url} and {other.url} cannot both be of one group", REMEDY)
        for one, other in combinations(announced, 2)
        if conflict_with(one, other) or conflict_with(other, one)
    ]
    if not announced:
        return []
    return results or [ok("urls", f"{len(announced)} workers announce a URL of their own")]


async def check_reach(context: Context) -> list[CheckResult]:
    """Check that every worker of the group answers, and reaches every other under its URL."""
    if context.group is None or not context.group.members:
        return []
    announced = context.group.announced
    if not announced:
        text = f"no worker announces its URL: the group is {context.group.state}"
        return [warn("reach", text, "run it again once the group has settled")]
    peers = PeerClient("", PeerSecurity(None, time.time_ns, client_tls(context.settings.web_ca)))
    try:
        direct = {each.url: await identify(peers, each.url, {}, each.instance) for each in announced}
        answering = [url for url, found in direct.items() if found.outcome == "itself"]
        pairs = await _pairs(peers, context.settings, [context.settings.url.rstrip("/"), *answering])
    finally:
        await peers.close()
    return reach_results(direct, pairs)


async def _pairs(peers: PeerClient, settings: Settings, urls: Sequence[str]) -> list[Pair] | None:
    """Return what workers find at each other's URLs, from the first worker that answers; None without one."""
    for url in urls:
        try:
            response = await peers.get(url, REACH_PATH, bearer_headers(settings))
            if response.status == OK:
                return msgspec.json.decode(response.body, type=_ReachList).items
        except (UnreachableError, msgspec.DecodeError, UnicodeDecodeError):
            continue
    return None


def reach_results(direct: Mapping[str, Found], pairs: Sequence[Pair] | None) -> list[CheckResult]:
    """Judge what answers from here (`direct`, by URL) and from worker to worker (None: nobody was asked)."""
    listed = [] if pairs is None else pairs
    reached = {pair.target for pair in listed if pair.outcome == "itself"}
    here = {url: found.outcome for url, found in direct.items() if url not in reached}
    silent = {url for url, outcome in here.items() if outcome == "silent"}
    silent |= {pair.target for pair in listed if pair.outcome == "silent"}
    wrong = [f"{url} leads to {_whom(outcome)}" for url, outcome in here.items() if _is_wrong(outcome)]
    failing = [
        f"{pair.origin} → {pair.target}: {_whom(pair.outcome, pair.detail)}"
        for pair in listed
        if pair.target not in silent
        and pair.origin not in silent
        and pair.outcome not in ("itself", "unknown")
    ]
    results = [
        fail("reach", f"{url} accepts connections and does not answer: frozen", FROZEN_REMEDY)
        for url in sorted(silent)
    ]
    if failing:
        results.append(fail("reach", f"requests are lost: {shortened_list(failing)}", URL_REMEDY))
    elif wrong:
        results.append(fail("reach", shortened_list(wrong), URL_REMEDY))
    if pairs is None and not results:
        text = "no worker could be asked whom it reaches"
        results.append(warn("reach", text, "set REBATE_URL to a worker that can be reached from here"))
    return results or [ok("reach", f"{len(direct)} workers reach each other, {len(listed)} pairs")]


def _is_wrong(outcome: str) -> bool:
    return outcome in ("another", "stranger")


def _whom(outcome: str, detail: str = "") -> str:
    if outcome == "another":
        return "another worker"
    return "something that is no worker of this version" if outcome == "stranger" else detail or outcome


CHECKS = (
    CheckSpec(
        "urls",
        "what the workers of the group announce as their URLs",
        "broker",
        (
            failure(
                "two announce one URL, or one announces a loopback URL and another a host",
                "a `REBATE_ADVERTISED_URL` for every worker under which all others reach it",
            ),
        ),
        check_urls,
    ),
    CheckSpec(
        "reach",
        "what every worker finds at the URL of every other, and what is found from here",
        "worker",
        (
            failure(
                "a URL leads nowhere, to another worker or to another program, so requests are lost",
                "correct that worker's `REBATE_ADVERTISED_URL`, or the network between them",
            ),
            failure(
                "a worker is in the group, accepts connections and does not answer: it is frozen",
                "continue or restart that process; its partitions move after `REBATE_SESSION_TIMEOUT`",
            ),
            warning("the group rebalances, or its workers are of an earlier version", "run it again then"),
            warning("no worker could be asked", "set `REBATE_URL` to a worker that can be reached from here"),
        ),
        check_reach,
    ),
)
