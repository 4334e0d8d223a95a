"""The mutations: what is replaced where, and the tests that have to notice it.

They are the ways of going wrong that the argument of ADR 2 excludes. Each text occurs once in its file,
which a test checks, so that a change of the lane cannot leave a mutation without effect.
"""

from __future__ import annotations

from msgspec import Struct

PARTITION, PRODUCERS = "rebate_app/lane/partition.py", "rebate_app/lane/producers.py"
RESTORE = "rebate_app/lane/restore.py"
TAKEOVER, RESTORING = "tests/lane/test_takeover.py", "tests/store/test_restore.py"


class Change(Struct, frozen=True):
    """A piece of a file, and what stands there instead."""

    file: str
    old: str
    new: str


class Mutation(Struct, frozen=True):
    """One way of going wrong; `caught_by` is what pytest is given."""

    name: str
    changes: tuple[Change, ...]
    caught_by: str


FENCE_FIRST = """        await self._producers.fence(self._fault)
        self._fault("fenced")
"""
START_POSITION = "        self.position = self.next_offset\n        self._buffer.reset(self.position)\n"
WATERMARK_FIRST = """        overlay.changes[WATERMARK_KEY] = encode_watermark(
            Watermark(records[-1].offset, self.stage.source, self._environment.settings.partitions)
        )
"""
VISIBLE = '        self._fault("committed")\n'

MUTATIONS = (
    Mutation(
        "no initialising before restore",
        (
            Change(PARTITION, FENCE_FIRST, ""),
            Change(PARTITION, START_POSITION, FENCE_FIRST + START_POSITION),
        ),
        f"{TAKEOVER}::TestFence::test_what_an_older_owner_left_open_is_aborted_before_restoring",
    ),
    Mutation(
        "only one of two ids",
        (
            Change(
                PRODUCERS,
                "initialise(producer)) for producer in self._producers]",
                "initialise(producer)) for producer in self._producers[:1]]",
            ),
            Change(
                PRODUCERS,
                "            await producer.begin_transaction()\n",
                "            if producer._sender.sender_task is None:\n"
                "                await producer.start()\n"
                "            await producer.begin_transaction()\n",
            ),
        ),
        f"{TAKEOVER}::TestFence",
    ),
    Mutation(
        "a random transactional id",
        (Change(PRODUCERS, 'f"{transactional_id}-{turn}"', 'f"{transactional_id}-{turn}-{id(self)}"'),),
        f"{TAKEOVER}::TestFence",
    ),
    Mutation(
        "watermark outside the transaction",
        (
            Change(PARTITION, WATERMARK_FIRST, ""),
            Change(
                PARTITION,
                VISIBLE,
                WATERMARK_FIRST
                + "        last = await self._producers.commit([], self.stage.changelog, self.partition, {\n"
                + "            WATERMARK_KEY: overlay.changes[WATERMARK_KEY]})\n"
                + VISIBLE,
            ),
        ),
        f"{TAKEOVER}::TestTransaction::test_each_transaction_is_whole",
    ),
    Mutation(
        "seek to committed",
        (
            Change(
                PARTITION,
                "        check_source(self.stage, self.partition, count, self.store.watermark, offsets)\n",
                "        self.position = self.next_offset if offsets[2] is None else offsets[2]\n",
            ),
            Change(PARTITION, START_POSITION, "        self._buffer.reset(self.position)\n"),
            Change(PARTITION, "        first = self.next_offset\n", "        first = self.position\n"),
        ),
        f"{TAKEOVER}::TestWhereToStart",
    ),
    Mutation(
        "an unawaited send",
        (Change(PRODUCERS, "await asyncio.gather(*map(asyncio.shield, sent))", "[await sent[-1]]"),),
        f"{TAKEOVER}::TestTransaction::test_a_send_that_fails_takes_everything_with_it",
    ),
    Mutation(
        "re-init on ProducerFenced",
        (
            Change(
                PRODUCERS,
                'raise FencedError(f"another worker has taken {changelog}/{partition} over") from error',
                'raise OSError("once more") from error',
            ),
        ),
        f"{TAKEOVER}::TestTwoOwners::test_the_older_one_gives_up_and_does_not_come_back",
    ),
    Mutation(
        "restore read_uncommitted",
        (Change(RESTORE, 'isolation_level="read_committed"', 'isolation_level="read_uncommitted"'),),
        f"{RESTORING}::TestEnd::test_of_a_log_that_closes_with_markers",
    ),
    Mutation(
        "begin again at the fence without the lease",
        (Change(PARTITION, "if again and not self._environment.lease_holds():", "if False:"),),
        f"{TAKEOVER}::TestTwoOwners::test_who_lost_the_lease_does_not_begin_again_at_the_fence",
    ),
)
