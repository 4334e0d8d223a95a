"""A message that is lost, doubled or invented is found, named and counted; so is a dead letter."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from rebate_app.audit.event_check import EventCheck
from rebate_app.audit.findings import Findings, Report
from rebate_app.audit.message_check import MessageCheck
from rebate_app.audit.scope import AuditScope
from rebate_app.domain.account.attribution_account import MOVES_MAX
from rebate_app.domain.messages import BonusTarget, Cursor, LineTarget, Message
from rebate_app.streams.failures.dead_letter import parked_copy
from rebate_app.streams.transaction.collector import OutgoingRecord
from rebate_app.wire.internal import encode_message, is_internal
from tests.audit.list_logs import ListLogs, ListWorkers, audit, only
from tests.audit.worlds import AT_US
from tests.domain.world import World
from tests.topology_driver import APP, TOPICS, LogRecord


def internal_log(world: World) -> tuple[int, list[LogRecord]]:
    """Return a partition of the user log and the messages in it."""
    log = world.stream.log(TOPICS.user_log, 1)
    return 1, [r for r in log if is_internal(r.value) and b'"line":{' in (r.value or b"")]


class TestMessages:
    """Neither lost, nor twice, nor invented."""

    def test_a_lost_message(self) -> None:
        """A message that the fold sends and that is missing is found, even if the tables fit the log."""
        world = processed_without_its_first_message()
        finding = only(audit(ListLogs(world.stream)))
        assert finding.kind == "lost-message"
        assert "follows from order_topic/" in finding.summary
        assert ":" in finding.key

    def test_a_doubled_message(self, world: World) -> None:
        """A message that is in its log twice is found, though it changes no account."""
        stream = world.stream
        partition, messages = internal_log(world)
        log = stream.log(TOPICS.user_log, partition)
        log.append(replace(messages[0], offset=len(log)))
        stream.run()
        finding = only(audit(ListLogs(stream), ListWorkers(stream, AT_US)))
        assert (finding.kind, finding.offset) == ("doubled-message", len(log) - 1)
        assert finding.key == (messages[0].key or b"").decode()

    @pytest.mark.parametrize("beyond", [False, True], ids=["before the cut", "from nowhere"])
    @pytest.mark.parametrize("kind", ["line", "forwarded", "bonus"])
    def test_an_invented_message(self, world: World, kind: str, beyond: bool) -> None:
        """A target that no fact causes is found, in whose name it may be sent."""
        version = 10_000 if beyond else 1
        message: Message
        if kind == "bonus":
            message = BonusTarget("u9", "taobao:L1", ("u8",), version, 1, None)
        else:
            source = "taobao:pid:x" if kind == "forwarded" else ""
            message = LineTarget("u9", "taobao:L1", source, version, 1, None)
        finding = only(audited_with(world, message))
        assert (finding.kind, finding.key) == ("invented-message", "u9")
        assert finding.table["version"] == version

    def test_an_invented_message_that_waits(self, world: World) -> None:
        """It is found before it is processed."""
        finding = only(audited_with(world, LineTarget("u9", "taobao:L1", "", 1, 1, None), run=False))
        assert finding.kind == "invented-message"

    @pytest.mark.parametrize(
        "message",
        [
            BonusTarget("u9", "taobao:L1", (), 1, 1, None),
            Cursor("taobao:pid:x", 1, MOVES_MAX),
            Cursor("taobao:pid:x", 1, 2 * MOVES_MAX),
            Cursor("taobao:pid:x", 1, 7),
        ],
        ids=["without a sender", "cursor", "cursor without the one before", "cursor of no page"],
    )
    def test_a_message_without_a_possible_cause(self, world: World, message: Message) -> None:
        """A bonus from nobody, and a cursor that follows from nothing, are invented."""
        assert "invented-message" in [
            finding.kind for finding in audited_with(world, message, run=False).items
        ]

    def test_a_message_at_another_time(self, world: World) -> None:
        """A message with another timestamp is another message: the ledger would have another moment."""
        partition, messages = internal_log(world)
        number = messages[0].offset
        logs = ListLogs(world.stream)
        logs.edits[TOPICS.user_log, partition] = lambda log: [
            replace(r, timestamp=r.timestamp + 1) if r.offset == number else r for r in log
        ]
        kinds = {finding.kind for finding in audit(logs).items}
        assert {"lost-message", "invented-message"} <= kinds

    def test_another_apps_messages_are_left_alone(self, world: World) -> None:
        """Several apps may share a log."""
        key, value = encode_message(LineTarget("u9", "taobao:L1", "", 1, 1, None), "others")
        world.stream.send(TOPICS.user_log, key, value, AT_US)
        world.stream.run()
        assert audit(ListLogs(world.stream)).items == []


class TestDeadLetters:
    """A record that cannot be used is dead-lettered exactly once."""

    def test_a_lost_one(self, world: World) -> None:
        """A refused record without a dead letter is found."""
        lost = world.stream.dead_letters.pop()
        finding = only(audit(ListLogs(world.stream)))
        assert (finding.kind, finding.where) == ("lost-message", f"{lost.topic}/{lost.partition}")

    def test_a_doubled_one(self, world: World) -> None:
        """Dead-lettered twice is found."""
        world.stream.dead_letters.append(world.stream.dead_letters[0])
        assert only(audit(ListLogs(world.stream))).kind == "doubled-message"

    def test_an_invented_one(self, world: World) -> None:
        """A fact that counts and is dead-lettered all the same is found."""
        letter = world.stream.dead_letters[0]
        headers = tuple(
            (name, b"0" if name == "rebate-error-offset" else text) for name, text in letter.headers
        )
        world.stream.dead_letters.append(replace(letter, headers=headers, key=b"taobao:L0"))
        assert only(audit(ListLogs(world.stream))).kind == "invented-message"

    def test_one_that_comes_after_the_cut(self, world: World) -> None:
        """Its cause is not folded yet, so there is no finding."""
        letter = world.stream.dead_letters[0]
        source = TOPICS.orders if letter.topic == TOPICS.order_lines.dead_letter else TOPICS.user_log
        offset = len(world.stream.log(source, letter.partition or 0))
        world.stream.send(source, letter.key or b"", b"{", AT_US)
        headers = tuple(
            (name, str(offset).encode() if name == "rebate-error-offset" else text)
            for name, text in letter.headers
        )
        world.stream.dead_letters.append(replace(letter, headers=headers))
        assert letter.partition == world.stream.partition_of(letter.key or b"")
        report = audit(ListLogs(world.stream))
        assert (report.items, report.after_cut) == ([], 1)

    def test_other_records_there_are_left_alone(self, world: World) -> None:
        """A topic of dead letters may hold what others put there."""
        world.stream.dead_letters.append(OutgoingRecord(TOPICS.order_lines.dead_letter, b"k", b"v", 0, (), 0))
        assert audit(ListLogs(world.stream)).items == []

    def test_another_app_has_dead_lettered_the_same(self, world: World) -> None:
        """Each app of a prefix writes a letter of its own, which is equal but for the app that it names."""
        stream = world.stream
        stream.dead_letters += [by_app(letter, b"others") for letter in stream.dead_letters]
        assert len({letter.topic for letter in stream.dead_letters}) == 2
        assert audit(ListLogs(stream)).items == []

    def test_another_apps_letter_does_not_stand_for_ours(self, world: World) -> None:
        """What this app lacks it lacks, whoever else has it."""
        world.stream.dead_letters[0] = by_app(world.stream.dead_letters[0], b"others")
        assert only(audit(ListLogs(world.stream))).kind == "lost-message"

    def test_ours_twice_beside_another_apps(self, world: World) -> None:
        """Another app's letters hide nothing."""
        letter = world.stream.dead_letters[0]
        world.stream.dead_letters[:0] = [by_app(letter, b"others"), letter]
        assert only(audit(ListLogs(world.stream))).kind == "doubled-message"


class TestParkedRecords:
    """The copies of what waits are on one topic, whichever app they wait in."""

    def parked(self, world: World, apps: tuple[bytes | None, ...]) -> list[str]:
        """Return what an audit finds of one copy that is sent, while these apps have written theirs."""
        stream, topic = world.stream, TOPICS.accounts.parked
        scope = AuditScope(
            APP,
            TOPICS.orders,
            TOPICS.user_log,
            {},
            {TOPICS.user_log: topic},
            TOPICS.rules,
            TOPICS.decisions,
            stream.partitions,
            TOPICS.events,
            0,
        )
        record = LogRecord(TOPICS.user_log, 1, 3, 5, b"u1", b"v", [("own", b"x")])
        logs, findings = ListLogs(stream), Findings()
        messages = MessageCheck(scope, logs, findings, EventCheck(scope, logs, findings))
        messages.sender((TOPICS.user_log, 1))(parked_copy(record, topic, APP), 3)
        stream.failure_records += [by_app(parked_copy(record, topic, ""), app) for app in apps]
        asyncio.run(messages.compare({}))
        return [finding.kind for finding in findings.items]

    @pytest.mark.parametrize(
        "apps",
        [
            (APP.encode(), b"others"),
            (b"others", APP.encode(), b"more"),
            (None,),
            (None, None),
            (None, APP.encode()),
            (APP.encode(), None, None),
        ],
        ids=["both", "three", "an older version", "both of it", "one of it", "both of it, and ours"],
    )
    def test_ours_is_there_once(self, world: World, apps: tuple[bytes | None, ...]) -> None:
        """Copies of other apps are left out; an older version's name no app, and may be anybody's."""
        assert self.parked(world, apps) == []

    @pytest.mark.parametrize(
        ("apps", "finding"),
        [
            ((b"others",), "lost-message"),
            ((APP.encode(), APP.encode()), "doubled-message"),
            ((None, APP.encode(), APP.encode()), "doubled-message"),
        ],
    )
    def test_lost_and_doubled(self, world: World, apps: tuple[bytes | None, ...], finding: str) -> None:
        """Ours is found missing, and twice, whatever others have written."""
        assert self.parked(world, apps) == [finding]

    def test_a_copy_names_the_app_of_its_fold(self) -> None:
        """Whatever the record itself claims."""
        claimed = [("rebate-error-app", b"others"), ("rebate-parked-from", b"x/1/1"), ("own", b"x")]
        copy = parked_copy(LogRecord("t", 1, 3, 5, b"u1", b"v", claimed), "parked", APP)
        assert list(copy.headers) == [
            ("own", b"x"),
            ("rebate-parked-from", b"t/1/3"),
            ("rebate-error-app", APP.encode()),
        ]


def by_app(record: OutgoingRecord, app: bytes | None) -> OutgoingRecord:
    """Return a dead letter or copy as that app writes it; None: as one that names none."""
    kept = [header for header in record.headers if header[0] != "rebate-error-app"]
    return replace(record, headers=(*kept, *([] if app is None else [("rebate-error-app", app)])))


class TestOtherTopics:
    """What stages send to topics that the audit does not know has to be there all the same."""

    @pytest.mark.parametrize("sent", [True, False])
    def test_a_message_to_another_topic(self, world: World, sent: bool) -> None:
        """It must be there once; records of other programs are ignored."""
        logs, findings = ListLogs(world.stream), Findings()
        scope = AuditScope(
            APP,
            TOPICS.orders,
            TOPICS.user_log,
            {},
            {},
            TOPICS.rules,
            TOPICS.decisions,
            world.stream.partitions,
            TOPICS.events,
            0,
        )
        messages = MessageCheck(scope, logs, findings, EventCheck(scope, logs, findings))
        messages.sender((TOPICS.orders, 0))(OutgoingRecord("others", b"u1", b"v", 5, (), 2), 3)
        log = world.stream.log("others", 2)
        log.append(LogRecord("others", 2, 0, 5, b"u1", b"of others"))
        if sent:
            log.append(LogRecord("others", 2, 1, 5, b"u1", b"v"))
        asyncio.run(messages.compare({}))
        assert [finding.kind for finding in findings.items] == ([] if sent else ["lost-message"])


class TestRegistry:
    """How user ids are read is on record."""

    def test_a_lost_setting(self, world: World) -> None:
        """Without its record a changed setting would pass unnoticed."""
        logs = ListLogs(world.stream)
        logs.edits[TOPICS.rules, 0] = lambda log: [r for r in log if r.key != b"user_id_fields"]
        report = audit(logs)
        assert report.differences > 0
        assert {finding.kind for finding in report.items} == {"lost-message"}


def processed_without_its_first_message() -> World:
    """Return a world whose first message from stage 1 never arrived; all the rest is right without it."""
    from tests.audit.worlds import send_feed

    world = send_feed(8)
    stream = world.stream
    deliver = stream._deliver
    dropped: list[OutgoingRecord] = []

    def drop_one(outgoing: OutgoingRecord) -> None:
        if not dropped and outgoing.topic == TOPICS.user_log:
            dropped.append(outgoing)
        else:
            deliver(outgoing)

    stream._deliver = drop_one  # type: ignore[method-assign]
    stream.run()
    assert dropped
    return world


def audited_with(world: World, message: Message, *, run: bool = True) -> Report:
    """Send a message in the app's name and audit; with `run` it is taken in before."""
    key, value = encode_message(message, APP)
    world.stream.send(TOPICS.user_log, key, value, AT_US)
    if run:
        world.stream.run()
    return audit(ListLogs(world.stream), ListWorkers(world.stream, AT_US) if run else None)
