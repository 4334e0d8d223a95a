"""Dry runs of dead letters: the owner of the line or account folds the record and writes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from rebate_app.dead_letters.dead_letter import DeadLetter
from rebate_app.dead_letters.outcomes import AWAY, DELIVERY, DryRunOutcome, Outcome
from rebate_app.dead_letters.replayer import prepare_replay
from rebate_app.dead_letters.service import DeadLetterService
from rebate_app.streams.kafka.records import KafkaRecord

from ..context import RequestContext
from ..problems import not_ready
from ..routing.forwarding import ACCOUNTS, LINES
from ..routing.peer_client import UnreachableError
from ..routing.peer_rpc import PartitionRequest, PeerRpc
from ..routing.ports import Local

#: Whole records that are held at once; each may have tens of megabytes.
AT_ONCE_MAX = 4


class DryRunRequest(PartitionRequest, frozen=True):
    """What this record would change."""

    record: KafkaRecord


def answer_dry_run(context: RequestContext, local: Local, request: DryRunRequest) -> DryRunOutcome:
    """Fold the record over committed records; nothing is written."""
    if context.dry_run is None:
        raise not_ready("this worker cannot fold dry runs")
    return context.dry_run(local.topic, local.store, request.record)


DRY_RUN_LINE = PeerRpc("rehearse-line", LINES, DryRunRequest, DryRunOutcome, answer_dry_run)
DRY_RUN_ACCOUNT = PeerRpc("rehearse-account", ACCOUNTS, DryRunRequest, DryRunOutcome, answer_dry_run)


async def dry_run_all(
    context: RequestContext,
    service: DeadLetterService,
    letters: list[DeadLetter],
    request_id: str,
    limits: Mapping[str, int],
) -> list[DryRunOutcome]:
    """Return the outcome for each letter's record, as if it were replayed now; nothing is sent.

    `limits`: what the topics take (`sizes.size_limits`), empty to leave sizes unchecked.
    """
    gate = asyncio.Semaphore(AT_ONCE_MAX)

    async def run_one(letter: DeadLetter) -> DryRunOutcome:
        async with gate:
            judged = await prepare_replay(service.settings, service.reader, letter, limits)
            if isinstance(judged, Outcome):
                return DryRunOutcome(judged.outcome, judged.outcome, judged.detail)
            return await run_at_owner(judged)

    async def run_at_owner(letter: DeadLetter) -> DryRunOutcome:
        place = letter.place
        if place.topic == context.topics.events:
            return DryRunOutcome(DELIVERY)
        rpc = DRY_RUN_LINE if place.topic == context.topics.orders else DRY_RUN_ACCOUNT
        timestamp = letter.replayed_at(context.clock() // 1_000)
        # Replayed records come after all others, so the offset is beyond the log's end.
        record = KafkaRecord(place.topic, place.partition, 1 << 62, timestamp, letter.key, letter.value)
        try:
            return await rpc.call(context, DryRunRequest(place.partition, record), request_id)
        except UnreachableError as error:
            return DryRunOutcome(AWAY, detail=str(error))

    return list(await asyncio.gather(*map(run_one, letters)))
