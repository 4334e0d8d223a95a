"""What today's code would make of a dead letter's record, asked of whoever owns its line or account.

It is separate from the dead letters because it asks the owners, and they read the broker.
"""

from __future__ import annotations

import asyncio

from rebate_app.dead_letters.letters import Letter
from rebate_app.dead_letters.rehearsal import AWAY, DELIVERY, Rehearsal, Rehearsed

from .api import Desk
from .owners import ACCOUNTS, LINES, PartitionAsked, Question
from .peers import UnreachableError
from .ports import Local
from .problems import not_ready


class RehearsalAsked(PartitionAsked, frozen=True):
    """Ask what would become of this record."""

    record: Rehearsed


def tell_rehearsal(desk: Desk, local: Local, asked: RehearsalAsked) -> Rehearsal:
    """Fold the record over the committed records, and forget it."""
    if desk.rehearse is None:
        raise not_ready("this worker cannot rehearse")
    return desk.rehearse(local.topic, local.store, asked.record)


REHEARSE_LINE = Question("rehearse-line", LINES, RehearsalAsked, Rehearsal, tell_rehearsal)
REHEARSE_ACCOUNT = Question("rehearse-account", ACCOUNTS, RehearsalAsked, Rehearsal, tell_rehearsal)


async def rehearse_all(desk: Desk, letters: list[Letter], request_id: str) -> list[Rehearsal]:
    """Return the outcome for each letter's record, as if it were replayed now; nothing is sent."""

    async def one(letter: Letter) -> Rehearsal:
        place = letter.place
        if place.topic == desk.topics.events:
            return Rehearsal(DELIVERY)
        question = REHEARSE_LINE if place.topic == desk.topics.orders else REHEARSE_ACCOUNT
        timestamp = letter.replayed_at(desk.clock() // 1_000)
        # An offset beyond the log's end: what is sent again comes after everything that is there.
        record = Rehearsed(place.topic, place.partition, 1 << 62, timestamp, letter.key, letter.value)
        try:
            return await question.ask(desk, RehearsalAsked(place.partition, record), request_id)
        except UnreachableError as error:
            return Rehearsal(AWAY, detail=str(error))

    return list(await asyncio.gather(*map(one, letters)))
