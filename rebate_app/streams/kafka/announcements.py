"""What workers announce to their consumer group, and which of two that cannot coexist has to end.

The announcement travels in the user data of the consumer protocol, beside Faust's own members: to the group's
leader with a join, from it to all members with the assignment, and to whoever describes the group. Two live
workers with one URL, or a URL of the machine itself in a group over several machines, would send half of all
requests to the wrong worker (docs/spec/running.md#addresses).
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec
from aiokafka.coordinator.protocol import ConsumerProtocol
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    NotCoordinatorForGroupError,
    for_code,
)
from msgspec import Struct

from rebate_app.http_urls import is_own_machine, same_address

from .aiokafka_clients import AIOKafkaAdminClient

#: The member of the user data that is ours.
MEMBER: Final = "rebate"
#: What is written by workers of one generation is not read by those of an earlier one; 1 announced nothing.
GENERATION: Final = 3
REMEDY: Final = (
    "give every worker a REBATE_ADVERTISED_URL (or REBATE_WEB_PORT) under which all others reach it"
)

#: For a coordinator that is being chosen or loads its groups.
COORDINATOR_SECONDS_MAX: Final = 15.0
COORDINATOR_AGAIN_SECONDS: Final = 0.2

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NETWORK_NAMESPACE = Path("/proc/self/ns/net")


class Announcement(Struct, frozen=True, omit_defaults=True):
    """One worker process: its URL, and the random id that it answers there.

    `started_ms`: when the process began, ms since 1970 by its own clock. `joined`: it has owned partitions
    before this join. `loopback`: the id of its loopback interface, "" where unknown. Of a worker of the first
    generation only the URL is known.
    """

    url: str
    instance: str = ""
    started_ms: int = 0
    joined: bool = False
    loopback: str = ""
    generation: int = 1


class GroupMember(Struct, frozen=True):
    """A member as the broker describes it; `announced` None for what is no worker of ours."""

    client_host: str
    announced: Announcement | None


class Group(Struct, frozen=True):
    """A consumer group; the members of one that rebalances announce nothing."""

    state: str
    members: tuple[GroupMember, ...] = ()

    @property
    def announced(self) -> tuple[Announcement, ...]:
        """Return the announcements of all members that made one."""
        return tuple(member.announced for member in self.members if member.announced is not None)


class _UserData(Struct):
    url: str
    rebate: dict[str, Any] = {}


_decode = msgspec.json.Decoder(_UserData).decode


def announced_in(user_data: bytes) -> Announcement | None:
    """Return the announcement in a join's user data, None for what is no worker of ours."""
    try:
        found = _decode(user_data)
        return announcement_of(found.rebate) if found.rebate else Announcement(found.url)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def announcement_of(document: Any) -> Announcement:
    """Return the announcement of a JSON object; msgspec.ValidationError."""
    return msgspec.convert(document, Announcement)


def conflict(own: Announcement, others: Iterable[Announcement]) -> str:
    """Return why a worker has to end because of what others announce, "" if it may go on."""
    return next((reason for other in others if (reason := conflict_with(own, other))), "")


def conflict_with(own: Announcement, other: Announcement) -> str:
    """Return why a worker has to end because of what another one announces, "" if it may go on.

    A worker does not go on beside another generation. Of two with one URL, and of two that name their own
    machines and are on different ones, the later goes. One that names its own machine goes in any case where
    another names a host.
    """
    if other.instance == own.instance:
        return ""
    if other.generation != own.generation:
        return (
            f"{other.url} is a worker of generation {other.generation} of this application, this one of "
            f"{own.generation}: stop all workers of the group, then start all"
        )
    try:
        same, own_machine = same_address(own.url, other.url), is_own_machine(own.url)
        others_machine = is_own_machine(other.url)
    except ValueError:  # of another version, since the settings refuse such a URL
        return ""
    if same and _is_later(own, other):
        return f"another worker of the group announces {other.url}, this one {own.url}: {REMEDY}"
    if own_machine and not others_machine:
        return (
            f"this worker announces {own.url}, which no other machine reaches, and another one {other.url}: "
            f"{REMEDY}"
        )
    if own_machine and _elsewhere(own, other) and _is_later(own, other):
        return (
            f"this worker announces {own.url}, and one on another machine {other.url}: neither reaches the "
            f"other; {REMEDY}"
        )
    return ""


def _is_later(own: Announcement, other: Announcement) -> bool:
    """Return whether a worker is the later of two: one that has owned partitions is never."""
    return (not own.joined, own.started_ms, own.instance) > (
        not other.joined,
        other.started_ms,
        other.instance,
    )


def _elsewhere(own: Announcement, other: Announcement) -> bool:
    """Return whether two workers are known not to share a loopback interface."""
    return own.loopback != other.loopback and "" not in (own.loopback, other.loopback)


@cache
def loopback_id() -> str:
    """Return the id of the loopback interface that this process has: of its boot and network namespace."""
    try:
        return f"{_BOOT_ID.read_text().strip()}-{_NETWORK_NAMESPACE.stat().st_ino}"
    except OSError:
        return f"{uuid.getnode():012x}"


async def describe_group(admin: AIOKafkaAdminClient, group: str) -> Group:
    """Return a group with what its members announce; empty also if the cluster has no coordinator yet.

    A coordinator that has just been chosen, as on a new cluster, is waited for.
    """
    deadline = time.monotonic() + COORDINATOR_SECONDS_MAX
    while True:
        try:
            return await _describe_once(admin, group)
        except (NotCoordinatorForGroupError, GroupLoadInProgressError):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(COORDINATOR_AGAIN_SECONDS)


async def _describe_once(admin: AIOKafkaAdminClient, group: str) -> Group:
    try:
        responses = await admin.describe_consumer_groups([group])
    except GroupCoordinatorNotAvailableError:
        return Group("Dead")
    for response in responses:
        for code, _name, state, _kind, _protocol, members, *_ in response.groups:
            if code:
                raise for_code(code)
            return Group(state, tuple(map(_member, members)))
    return Group("Dead")


def _member(described: Any) -> GroupMember:
    *_, client_host, metadata, _assignment = described
    try:
        user_data = ConsumerProtocol.METADATA.decode(metadata).user_data if metadata else b""
    except Exception:  # noqa: BLE001 - whatever another program sends to the group
        user_data = b""
    return GroupMember(client_host.lstrip("/"), announced_in(user_data or b""))
