"""Do state and source belong together? Asked at every takeover, refused when going on would be wrong."""

from __future__ import annotations

from .failures import StateLostError
from .stage import Stage
from .store import Watermark


def check_source(
    stage: Stage,
    partition: int,
    partitions: int,
    watermark: Watermark | None,
    offsets: tuple[int, int, int | None],
) -> None:
    """Compare the watermark with the source's (log start, end, committed); StateLostError if they part.

    Input beyond the watermark cut away, a source that ends before it, another topic's watermark, or a
    group that is ahead of the state: each of them means that something was lost, and a fold that went
    on would be wrong without a sign (engine.md 2, "where to start").
    """
    source = stage.source
    where = f"{source}/{partition}"
    if watermark is not None and (watermark.topic != source or watermark.partitions != partitions):
        raise StateLostError(
            f"the state of {stage.name}/{partition} was made from {watermark.topic} with "
            f"{watermark.partitions} partitions, not from {source} with {partitions}: "
            "use a new REBATE_APP_ID to build it anew"
        )
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
