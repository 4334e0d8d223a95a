"""Which worker answers at a URL: `GET /internal/identity`, answered in every state of the worker.

An address may lead nowhere, to another worker or to another program; only the random id of the process, which
it announces to its group, shows that a URL is the worker's own. The id is no
secret and needs no credentials: a signature is made for one URL, and the question is whose URL it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import aiohttp
import msgspec
from msgspec import Struct

from .peer_client import PeerClient, UnreachableError

IDENTITY_PATH: Final = "/internal/identity"
OK: Final = 200

#: `itself`: the process that was meant, or any worker where none was named. `another`: another worker.
#: `stranger`: another program. `silent`: it accepts connections and does not answer, as a frozen process.
ReachOutcome = Literal["itself", "another", "stranger", "silent", "unreachable"]


class Identity(Struct, frozen=True):
    """The body of the answer: the id of the process, and whether it is ready."""

    instance: str
    ready: bool = False


class Found(Struct, frozen=True):
    """What answers at a URL; `detail` describes a failure in words."""

    outcome: ReachOutcome
    detail: str = ""
    ready: bool = False
    instance: str = ""


async def identify(peers: PeerClient, url: str, headers: Mapping[str, str], instance: str = "") -> Found:
    """Return what answers at a URL within the time-out of a peer request; `instance`: who was meant."""
    try:
        response = await peers.get(url, IDENTITY_PATH, headers, timeout_seconds=peers.rpc_timeout_seconds)
    except UnreachableError as error:
        if _is_silent(error.__cause__):
            return Found("silent", f"nothing answers within {peers.rpc_timeout_seconds:g} s")
        return Found("unreachable", str(error.__cause__) or type(error.__cause__).__name__)
    if response.status != OK:
        return Found("stranger", f"the answer is {response.status}, not that of a worker of this version")
    try:
        found = msgspec.json.decode(response.body, type=Identity)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Found("stranger", "the answer is not that of a worker")
    if instance not in ("", found.instance):
        return Found("another", "another worker answers", found.ready, found.instance)
    return Found("itself", ready=found.ready, instance=found.instance)


def _is_silent(cause: BaseException | None) -> bool:
    return isinstance(cause, TimeoutError) and not isinstance(cause, aiohttp.ConnectionTimeoutError)
