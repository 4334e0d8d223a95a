"""Every planted fault is found, named and counted; a fault that nobody planted is not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.json import encode
from msgspec.structs import replace

from rebate_app.audit.balances import Said
from rebate_app.audit.findings import FINDING_KINDS, Finding, Findings, Report
from rebate_app.audit.messages import Messages, Names
from rebate_app.domain.balance import balance_on
from rebate_app.domain.calendar import day_of
from rebate_app.domain.ledger import Entry
from rebate_app.domain.messages import BonusTarget, Cursor, LineTarget, Message
from rebate_app.domain.suspense import MOVES_MAX
from rebate_app.lane.outbox import Outgoing
from rebate_app.lane.store import WATERMARK_KEY, Watermark, encode_watermark
from rebate_app.wire.internal import encode_message, is_internal
from tables.accounts import HEAD, LINE
from tables.order_lines import LINE as ORDER_LINE
from tests.domain.world import World
from tests.list_lane import ACCOUNTS, APP, LINES, TOPICS, LogRecord

from .list_logs import ListLogs, ListWorkers, audit
from .worlds import AT_US, processed

Records = list[LogRecord]


@pytest.fixture
def world() -> World:
    """Return a world at rest in which nothing is wrong yet."""
    return processed(7)


def user_of(world: World) -> tuple[str, int]:
    """Return somebody with a line, and the partition."""
    user_id = next(user for user, _ in world.contributions())
    return user_id, world.lane.partition_of(user_id)


def only(report: Report) -> Finding:
    """Return the one difference that there is."""
    assert report.differences == 1, report.items
    return report.items[0]


class TestRecords:
    """The two sets of records are compared byte by byte."""

    def test_a_changed_head(self, world: World) -> None:
        """One fen more in somebody's head is found, and shown on both sides."""
        user_id, partition = user_of(world)
        logs = ListLogs(world.lane)
        key, head = HEAD.key(user_id), world.head(user_id)
        head.estimated += 1
        logs.damage[TOPICS.accounts_changelog, partition] = {key: encode(head)}
        finding = only(audit(logs))
        assert (finding.kind, finding.where, finding.key) == (
            "changed-record",
            f"accounts/{partition}",
            f"h {user_id}",
        )
        assert finding.table["estimated"] == finding.fold["estimated"] + 1

    def test_a_missing_record(self, world: World) -> None:
        """A line that the table has lost is found."""
        user_id, record = world.contributions()[0]
        partition = world.lane.partition_of(user_id)
        logs = ListLogs(world.lane)
        logs.damage[TOPICS.accounts_changelog, partition] = {LINE.key(user_id, record.line): None}
        finding = only(audit(logs))
        assert (finding.kind, finding.key) == ("missing-record", f"l {user_id} {record.line}")
        assert finding.table is None
        assert finding.fold["line"] == record.line

    def test_an_extra_record(self, world: World) -> None:
        """A ledger entry that no fact makes is found."""
        user_id, partition = user_of(world)
        entry = encode(Entry(0, None, "taobao:L1", "buyer", "settle", 0, 1, 0, "", ""))
        logs = ListLogs(world.lane)
        logs.damage[TOPICS.accounts_changelog, partition] = {f"e {user_id} 99999".encode(): entry}
        finding = only(audit(logs))
        assert (finding.kind, finding.key) == ("extra-record", f"e {user_id} 99999")
        assert (finding.table["settled"], finding.fold) == (1, None)

    def test_a_changed_line(self, world: World) -> None:
        """An order line of stage 1 that is not what its facts say is found."""
        partition, store = next((p, s) for (name, p), s in world.lane.stores.items() if name == LINES)
        key, _ = max(store.items())
        changed = ORDER_LINE.read(store, key)
        assert changed is not None
        changed.sent_offset += 1
        logs = ListLogs(world.lane)
        logs.damage[TOPICS.lines_changelog, partition] = {key: encode(changed)}
        finding = only(audit(logs))
        assert (finding.kind, finding.where) == ("changed-record", f"order_lines/{partition}")
        assert finding.table["sent_offset"] == finding.fold["sent_offset"] + 1

    def test_a_record_of_garbage(self, world: World) -> None:
        """What cannot be decoded is shown as it is."""
        user_id, partition = user_of(world)
        logs = ListLogs(world.lane)
        logs.damage[TOPICS.accounts_changelog, partition] = {
            HEAD.key(user_id): b"{\xff",
            b"what is this": b"x",
        }
        report = audit(logs)
        assert [finding.table for finding in report.items] == ["{\\xff", "x"]

    def test_all_are_counted_and_some_listed(self, world: World) -> None:
        """The list is limited, the count is not."""
        logs = ListLogs(world.lane)
        logs.damage[TOPICS.accounts_changelog, 0] = {f"e nobody {n}".encode(): b"[]" for n in range(50)}
        report = audit(logs, limit=3)
        assert (report.differences, len(report.items)) == (50, 3)
        assert audit(logs, limit=0).differences == 50


class TestWatermarks:
    """A table whose watermark does not belong to its source cannot be compared, and that is said."""

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            (lambda mark: encode_watermark(replace(mark, offset=99_999)), "holds up to 99999"),
            (lambda mark: encode_watermark(replace(mark, partitions=9)), "with 9 partitions"),
            (lambda mark: encode_watermark(replace(mark, topic="another")), "made from another"),
            (lambda _mark: b"what", "cannot be read"),
        ],
    )
    def test_a_watermark_of_something_else(
        self, world: World, change: Callable[[Watermark], bytes], says: str
    ) -> None:
        """Beyond the end of its source, of another topic, of another number of partitions, or damaged."""
        mark = world.lane.stores[ACCOUNTS, 1].watermark
        assert mark is not None
        logs = ListLogs(world.lane)
        logs.damage[TOPICS.accounts_changelog, 1] = {WATERMARK_KEY: change(mark)}
        found = [finding for finding in audit(logs).items if finding.kind == "wrong-watermark"]
        assert [finding.where for finding in found] == ["accounts/1"]
        assert says in found[0].says

    def test_an_older_watermark_than_its_records(self, world: World) -> None:
        """State without its position is state that the facts up to there do not make."""
        mark = world.lane.stores[ACCOUNTS, 1].watermark
        assert mark is not None
        logs = ListLogs(world.lane)
        logs.damage[TOPICS.accounts_changelog, 1] = {WATERMARK_KEY: encode_watermark(replace(mark, offset=3))}
        assert audit(logs).differences > 0


def internal_log(world: World) -> tuple[int, list[LogRecord]]:
    """Return a partition of the user log and the messages in it."""
    log = world.lane.log(TOPICS.user_log, 1)
    return 1, [r for r in log if is_internal(r.value) and b'"line":{' in (r.value or b"")]


class TestMessages:
    """Neither lost, nor twice, nor invented."""

    def test_a_lost_message(self) -> None:
        """A message that the fold sends and nobody received is found, though the tables fit the log."""
        world = processed_without_its_first_message()
        finding = only(audit(ListLogs(world.lane)))
        assert finding.kind == "lost-message"
        assert "follows from order_topic/" in finding.says
        assert ":" in finding.key

    def test_a_doubled_message(self, world: World) -> None:
        """A message that stands in its log twice is found, though it changes no account."""
        lane = world.lane
        partition, messages = internal_log(world)
        log = lane.log(TOPICS.user_log, partition)
        log.append(replace(messages[0], offset=len(log)))
        lane.run()
        finding = only(audit(ListLogs(lane), ListWorkers(lane, AT_US)))
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
        """It is found before anybody has taken it in."""
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
        """A message with another timestamp is another message: the ledger would say another moment."""
        partition, messages = internal_log(world)
        number = messages[0].offset
        logs = ListLogs(world.lane)
        logs.edits[TOPICS.user_log, partition] = lambda log: [
            replace(r, timestamp=r.timestamp + 1) if r.offset == number else r for r in log
        ]
        kinds = {finding.kind for finding in audit(logs).items}
        assert {"lost-message", "invented-message"} <= kinds

    def test_another_apps_messages_are_nobodys_business(self, world: World) -> None:
        """Several apps may share a log."""
        key, value = encode_message(LineTarget("u9", "taobao:L1", "", 1, 1, None), "others")
        world.lane.send(TOPICS.user_log, key, value, AT_US)
        world.lane.run()
        assert audit(ListLogs(world.lane)).items == []


class TestDeadLetters:
    """A record that cannot be used is dead-lettered exactly once."""

    def test_a_lost_one(self, world: World) -> None:
        """What was refused and not kept is found."""
        lost = world.lane.dead_letters.pop()
        finding = only(audit(ListLogs(world.lane)))
        assert (finding.kind, finding.where) == ("lost-message", f"{lost.topic}/{lost.partition}")

    def test_a_doubled_one(self, world: World) -> None:
        """Dead-lettered twice is found."""
        world.lane.dead_letters.append(world.lane.dead_letters[0])
        assert only(audit(ListLogs(world.lane))).kind == "doubled-message"

    def test_an_invented_one(self, world: World) -> None:
        """A fact that counts and is dead-lettered all the same is found."""
        letter = world.lane.dead_letters[0]
        headers = tuple(
            (name, b"0" if name == "rebate-error-offset" else text) for name, text in letter.headers
        )
        world.lane.dead_letters.append(replace(letter, headers=headers, key=b"taobao:L0"))
        assert only(audit(ListLogs(world.lane))).kind == "invented-message"

    def test_one_that_comes_after_the_cut(self, world: World) -> None:
        """Its cause is not folded yet, so nothing is said."""
        letter = world.lane.dead_letters[0]
        source = TOPICS.orders if letter.topic == TOPICS.orders_dlt else TOPICS.user_log
        offset = len(world.lane.log(source, letter.partition or 0))
        world.lane.send(source, letter.key or b"", b"{", AT_US)
        headers = tuple(
            (name, str(offset).encode() if name == "rebate-error-offset" else text)
            for name, text in letter.headers
        )
        world.lane.dead_letters.append(replace(letter, headers=headers))
        assert letter.partition == world.lane.partition_of(letter.key or b"")
        report = audit(ListLogs(world.lane))
        assert (report.items, report.after_cut) == ([], 1)

    def test_other_records_there_are_nobodys_business(self, world: World) -> None:
        """A topic of dead letters may hold what others put there."""
        world.lane.dead_letters.append(Outgoing(TOPICS.orders_dlt, b"k", b"v", 0, (), 0))
        assert audit(ListLogs(world.lane)).items == []


class TestOtherTopics:
    """What stages send to topics that the audit does not know has to be there all the same."""

    @pytest.mark.parametrize("sent", [True, False])
    def test_a_message_to_another_topic(self, world: World, sent: bool) -> None:
        """Once, and nothing is said about what others put there."""
        logs, findings = ListLogs(world.lane), Findings()
        names = Names(
            APP,
            TOPICS.orders,
            TOPICS.user_log,
            {},
            {},
            TOPICS.rules,
            TOPICS.decisions,
            world.lane.partitions,
            TOPICS.events,
            0,
        )
        messages = Messages(names, logs, findings)
        messages.sender((TOPICS.orders, 0))(Outgoing("others", b"u1", b"v", 5, (), 2), 3)
        log = world.lane.log("others", 2)
        log.append(LogRecord("others", 2, 0, 5, b"u1", b"of others"))
        if sent:
            log.append(LogRecord("others", 2, 1, 5, b"u1", b"v"))
        asyncio.run(messages.compare({}))
        assert [finding.kind for finding in findings.items] == ([] if sent else ["lost-message"])


class TestCatalogue:
    """The kinds of differences are one table."""

    def test_the_documentation_names_every_kind(self) -> None:
        """docs/audit.md says what each of them means."""
        text = (Path(__file__).parents[2] / "docs" / "audit.md").read_text(encoding="utf-8")
        for kind, about in FINDING_KINDS.items():
            assert f"| `{kind}` | {about} |" in text


class TestRegistry:
    """The rule versions that were used are on record."""

    def test_a_lost_version(self, world: World) -> None:
        """Without its record a changed rule file would pass unnoticed."""
        logs = ListLogs(world.lane)
        logs.edits[TOPICS.rules, 0] = lambda log: [
            r for r in log if not (r.key or b"").startswith(b"version")
        ]
        report = audit(logs)
        assert report.differences > 0
        assert {finding.kind for finding in report.items} == {"lost-message"}


class TestLogsWithoutABeginning:
    """What retention has cut cannot be audited from the beginning, and that is a difference."""

    @pytest.mark.parametrize("topic", [TOPICS.orders, TOPICS.user_log, TOPICS.orders_dlt])
    def test_a_log_that_begins_later(self, world: World, topic: str) -> None:
        """One difference, and no others that only follow from it."""
        logs = ListLogs(world.lane)
        logs.begins[topic, 1] = 5
        finding = only(audit(logs))
        assert (finding.kind, finding.where) == ("unauditable", f"{topic}/1")
        assert "cannot be audited from the beginning" in finding.says


class TestBugs:
    """A fold that fails is a finding, not an end of the audit."""

    def test_a_record_on_which_the_fold_fails(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """The record is named; the other partitions are audited."""

        def fail(*_: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr("agents.accounts.fold_profile", fail)
        report = audit(ListLogs(world.lane))
        assert {finding.kind for finding in report.items} == {"fold-failed"}
        assert "ZeroDivisionError" in report.items[0].says
        assert report.lines


class TestBalances:
    """What workers answer is right, or a difference."""

    @pytest.mark.parametrize(
        ("member", "value"),
        [
            ("available", 12_345),
            ("maturing", []),
            ("lines", {"open": 9}),
            ("currency", "EUR"),
            ("debt", None),
        ],
    )
    def test_a_wrong_member(self, world: World, member: str, value: object) -> None:
        """Any member that is not what the fold makes is named."""
        day = day_of(AT_US)
        user_id = next(user for user in world.users() if balance_on(world.head(user), day).maturing)
        workers = ListWorkers(world.lane, AT_US)
        workers.answers[user_id] = lambda body: Said(200, body | {member: value})
        finding = only(audit(ListLogs(world.lane), workers))
        assert (finding.kind, finding.key) == ("wrong-balance", user_id)
        assert finding.says.endswith(f"wrong {member}")

    @pytest.mark.parametrize(
        "answer",
        [
            Said(404, None),
            Said(500, {"code": "internal"}),
            Said(200, {}),
            Said(200, {"version": "1"}),
            Said(200, []),
        ],
    )
    def test_no_answer_that_could_be_right(self, world: World, answer: Said) -> None:
        """An error of HTTP, or a document that is no balance."""
        user_id, _ = user_of(world)
        workers = ListWorkers(world.lane, AT_US)
        workers.answers[user_id] = lambda _body: answer
        assert only(audit(ListLogs(world.lane), workers)).kind == "wrong-balance"

    @pytest.mark.parametrize("at", [None, "yesterday"])
    def test_a_balance_of_no_moment(self, world: World, at: str | None) -> None:
        """An answer that does not say for which moment it holds."""
        user_id, _ = user_of(world)
        workers = ListWorkers(world.lane, AT_US)
        workers.answers[user_id] = lambda body: Said(200, body | {"at": at})
        assert only(audit(ListLogs(world.lane), workers)).kind == "wrong-balance"

    def test_nobody_who_may_answer(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """503 and silence are no wrong balances; who was not answered is counted."""
        monkeypatch.setattr("rebate_app.audit.balances.BEHIND_WAIT_S", 0)
        first, second = world.users()[:2]
        workers = ListWorkers(world.lane, AT_US)
        workers.answers[first] = lambda _body: Said(503, {"code": "not-ready"})
        workers.answers[second] = lambda _body: Said(0, None)
        report = audit(ListLogs(world.lane), workers)
        assert (report.differences, report.not_comparable) == (0, 2)


def processed_without_its_first_message() -> World:
    """Return a world whose first message from stage 1 never arrived; all the rest is right without it."""
    from .worlds import send_feed

    world = send_feed(8)
    lane = world.lane
    deliver = lane._deliver
    dropped: list[Outgoing] = []

    def drop_one(outgoing: Outgoing) -> None:
        if not dropped and outgoing.topic == TOPICS.user_log:
            dropped.append(outgoing)
        else:
            deliver(outgoing)

    lane._deliver = drop_one  # type: ignore[method-assign]
    lane.run()
    assert dropped
    return world


def audited_with(world: World, message: Message, *, run: bool = True) -> Report:
    """Send a message in the app's name and audit; with `run` it is taken in before."""
    key, value = encode_message(message, APP)
    world.lane.send(TOPICS.user_log, key, value, AT_US)
    if run:
        world.lane.run()
    return audit(ListLogs(world.lane), ListWorkers(world.lane, AT_US) if run else None)
