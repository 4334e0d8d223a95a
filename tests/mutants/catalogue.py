"""The mutations: what is replaced where, and the tests that have to notice it.

They are the ways of going wrong that the argument of ADR 2 excludes. Each text occurs once in its file,
which a test checks, so that a change of the engine cannot leave a mutation without effect.
"""

from __future__ import annotations

from msgspec import Struct

TASK, PRODUCERS = "rebate_app/streams/task/task.py", "rebate_app/streams/transaction/producers.py"
RESTORE, MANAGER = "rebate_app/streams/state/restore.py", "rebate_app/streams/task/manager.py"
CLIENTS, SUPERVISION = "rebate_app/streams/kafka/aiokafka_clients.py", "rebate_app/streams/supervision.py"
GUARD, REROUTING = "rebate_app/streams/failures/guard.py", "rebate_app/streams/failures/rerouting.py"
TRANSACTIONS, PACKING = (
    "rebate_app/streams/transaction/transactional_producer.py",
    "rebate_app/streams/state/packing.py",
)
TAKEOVER, RESTORING = "tests/streams/test_takeover.py", "tests/streams/state/test_restore.py"


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
START_POSITION = """        self.position = max(self.next_offset, begin)
        self._buffer.reset(self.position)
"""
WATERMARK_FIRST = """        transaction.changes[WATERMARK_KEY] = encode_watermark(
            Watermark(
                records[-1].offset,
                self.stage.source,
                self._environment.settings.partitions,
                self._identity.topic_id,
                cluster=self._identity.cluster,
            )
        )
"""
VISIBLE = '        self._fault("committed")\n'

MUTATIONS = (
    Mutation(
        "no initialising before restore",
        (
            Change(TASK, FENCE_FIRST, ""),
            Change(TASK, START_POSITION, FENCE_FIRST + START_POSITION),
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
                "                await producer.begin_transaction()\n",
                "                if producer._sender.sender_task is None:\n"
                "                    await producer.start()\n"
                "                await producer.begin_transaction()\n",
            ),
        ),
        f"{TAKEOVER}::TestFence",
    ),
    Mutation(
        "a random transactional id",
        (Change(PRODUCERS, 'f"{transactional_id}-{number}"', 'f"{transactional_id}-{number}-{id(self)}"'),),
        f"{TAKEOVER}::TestFence",
    ),
    Mutation(
        "watermark outside the transaction",
        (
            Change(TASK, WATERMARK_FIRST, ""),
            Change(
                TASK,
                VISIBLE,
                WATERMARK_FIRST
                + "        last = await self._producers.commit([], self.stage.changelog, self.partition, {\n"
                + "            WATERMARK_KEY: transaction.changes[WATERMARK_KEY]})\n"
                + VISIBLE,
            ),
        ),
        f"{TAKEOVER}::TestTransaction::test_each_transaction_is_whole",
    ),
    Mutation(
        "seek to committed",
        (
            Change(
                TASK,
                "        check_source(self.stage, self.partition, count, "
                "self.store.watermark, offsets, identity)\n",
                "        self.position = self.next_offset if committed is None else committed\n",
            ),
            Change(
                TASK,
                START_POSITION,
                "        self._buffer.reset(self.position)\n",
            ),
            Change(TASK, "        first = self.next_offset\n", "        first = self.position\n"),
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
                'return FencedError(f"another worker has taken {where} over")',
                'return OSError("once more")',
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
        (Change(TASK, "if again and not self._environment.lease_holds():", "if False:"),),
        f"{TAKEOVER}::TestTwoOwners::test_who_lost_the_lease_does_not_begin_again_at_the_fence",
    ),
    Mutation(
        "a client's cancellation taken for ours",
        (Change(CLIENTS, "return task is not None and task.cancelling() > 0", "return task is not None"),),
        "tests/streams/kafka/test_client_border.py::TestTranslated",
    ),
    Mutation(
        "a client whose stop fails keeps its connections",
        (Change(CLIENTS, "            transport.abort()", "            transport.is_closing()"),),
        "tests/streams/kafka/test_client_border.py::TestStop",
    ),
    Mutation(
        "a task that is cancelled by nobody ends in silence",
        (Change(SUPERVISION, "        fatal(TaskEndedError(name, error))\n", ""),),
        "tests/streams/test_supervision.py::TestSupervise",
    ),
    Mutation(
        "nobody watches a partition that is being opened",
        (
            Change(
                MANAGER,
                "elif task.is_opening and stalled_seconds > OPENING_STUCK_SECONDS_MAX:",
                "elif False:",
            ),
        ),
        "tests/streams/test_clocks.py::TestWatchdog",
    ),
    Mutation(
        "a task that was stopped runs without the fence",
        (Change(TASK, "        if state not in TRANSITIONS[self._state]:\n", "        if False:\n"),),
        "tests/streams/test_task_states.py",
    ),
    Mutation(
        "producers that have expired taken for fenced ones",
        (Change(PRODUCERS, "EXPIRED = (InvalidProducerIdMapping, UnknownProducerId)", "EXPIRED = ()"),),
        "tests/streams/test_idle_producers.py",
    ),
    Mutation(
        "a header name that is not UTF-8 stops its partition",
        (
            Change(
                "rebate_app/streams/kafka/header_names.py",
                "        except (UnicodeDecodeError, CorruptRecordException) as error:\n",
                "        except CorruptRecordException as error:\n",
            ),
        ),
        "tests/streams/kafka/test_header_names.py::TestReading::test_every_record_arrives_once_and_in_order",
    ),
    Mutation(
        "a misplaced record is folded where it stands",
        (Change(GUARD, "        if self._rerouter.is_misplaced(record) and", "        if False and"),),
        "tests/audit/test_rerouting.py::test_balances_are_the_oracles_and_the_audit_is_clean",
    ),
    Mutation(
        "a copy at which a limit stops the partition counts as folded",
        (
            Change(
                GUARD,
                "            self._take(record)\n            self._rerouter.note(origin)\n",
                "            self._rerouter.note(origin)\n            self._take(record)\n",
            ),
        ),
        "tests/streams/failures/test_rerouting.py::TestCopies::test_a_limit_does_not_turn_a_copy_into_a_repeat",
    ),
    Mutation(
        "copies of an app that began late hide what came before",
        (Change(REROUTING, "        if self._since:\n", "        if False:\n"),),
        "tests/audit/test_rerouting.py::test_records_that_the_version_before_has_folded",
    ),
    Mutation(
        "the next transaction keeps the epoch",
        (Change(TRANSACTIONS, "        self._pid_and_epoch = PidAndEpoch(producer_id, epoch)\n", ""),),
        "tests/streams/test_transactional_producer.py::TestCommits",
    ),
    Mutation(
        "a fence whose code aiokafka does not know is an unknown outcome",
        (Change(TRANSACTIONS, "if code == FENCED_CODE else code", "if code < 0 else code"),),
        "tests/streams/test_transactional_producer.py::TestAnswers",
    ),
    Mutation(
        "a packed value over a newer one",
        (Change(PACKING, "if records.get(key) is value:", "if key in records:"),),
        "tests/streams/state/test_packing.py::TestMemoryStore",
    ),
)
