"""Checks at every takeover that state and source topic belong together."""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from ..errors import StateLostError
from ..state.store import Watermark
from .stage import Stage


class LogIdentity(NamedTuple):
    """Cluster and topic id of a source as it is now; "" where the broker has no topic ids."""

    cluster: str
    topic_id: str


def check_source(
    stage: Stage,
    partition: int,
    partitions: int,
    watermark: Watermark | None,
    offsets: tuple[int, int, int | None],
    identity: LogIdentity,
) -> None:
    """Compare the watermark with the source's identity and (log start, end, committed).

    StateLostError if they conflict: input deleted beyond the watermark, a source that ends before it, a
    watermark of another topic or cluster, or a group offset ahead of the state. Each means that something was
    lost, and continuing would silently give wrong balances (docs/spec/exactness.md#start-position).
    """
    source = stage.source
    where = f"{source}/{partition}"
    if watermark is not None and (watermark.topic != source or watermark.partitions != partitions):
        raise StateLostError(
            f"the state of {stage.name}/{partition} was made from {watermark.topic} with "
            f"{watermark.partitions} partitions, not from {source} with {partitions}"
        )
    if watermark is not None:
        check_identity(where, watermark, identity)
    begin, end, committed = offsets
    needed = 0 if watermark is None else watermark.offset + 1
    if begin > needed:
        raise StateLostError(f"{where} begins at {begin}, {needed} is needed: input was lost")
    if end < needed:
        raise StateLostError(f"{where} ends at {end}, the state holds up to {needed - 1}: it was re-created")
    if committed is not None and committed > needed:
        raise StateLostError(
            f"the group committed {committed} on {where}, the state holds up to {needed - 1}: state was lost"
        )


def check_identity(where: str, watermark: Watermark, identity: LogIdentity) -> None:
    """StateLostError if the watermark is of another cluster or topic id.

    A watermark of an earlier version, or of an old broker, has no ids to compare.
    """
    if watermark.cluster and watermark.cluster != identity.cluster:
        raise StateLostError(
            f"the cluster is {identity.cluster}, the state of {where} was made on cluster {watermark.cluster}"
        )
    if watermark.topic_id and identity.topic_id and watermark.topic_id != identity.topic_id:
        raise StateLostError(
            f"{where} was made anew: its topic id is {identity.topic_id}, not {watermark.topic_id}"
        )


def adopted(watermark: Watermark, identity: LogIdentity) -> Watermark | None:
    """Return the watermark with what it lacks of the identity, None if it lacks nothing."""
    whole = replace(
        watermark,
        cluster=watermark.cluster or identity.cluster,
        topic_id=watermark.topic_id or identity.topic_id,
    )
    return None if whole == watermark else whole
