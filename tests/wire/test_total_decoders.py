"""Every decoder of what Kafka brings is total: a value or its one named error, whatever the bytes are.

DECODERS is the table of them, by the module that reads the records. A module that reads from Kafka and is not
in the table fails `test_every_reader_is_in_the_table`.
"""

from __future__ import annotations

import ast
import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.json import encode

from rebate_app.dead_letters.dead_letter import decode_dead_letter, full_document
from rebate_app.domain.faults import RefusedError
from rebate_app.payouts.activation import readable_turn
from rebate_app.payouts.payees.book import PayeeBook
from rebate_app.payouts.payees.cipher import PayeeCipher, parse_payee_keys
from rebate_app.sources.cursors import CursorTopic
from rebate_app.streams.errors import UnreadableRecordError, UnreadableStateError
from rebate_app.streams.failures import record_kinds as parking
from rebate_app.streams.kafka.rule_versions import PublishedRules
from rebate_app.streams.kafka.used_rules import Registry
from rebate_app.streams.state.changelog import ChangelogRecords, watermark_fault
from rebate_app.streams.state.store import WATERMARK_KEY, decode_watermark
from rebate_app.webhooks.delivery import Plan
from rebate_app.webhooks.queues import Queues
from rebate_app.webhooks.retry_records import (
    APP,
    ATTEMPTS,
    EVENT_AT,
    FIRST_AT,
    ORIGIN,
    THROUGH,
    decode_retry_record,
)
from rebate_app.webhooks.switch import decode_switch
from rebate_app.wire import failure_headers as names
from rebate_app.wire.active_app import decode_active
from rebate_app.wire.audit_trail import decode_trail
from rebate_app.wire.channel_states import decode_state
from rebate_app.wire.commit_metadata import CommitMetadata, decode_metadata
from rebate_app.wire.control import decode_control
from rebate_app.wire.decisions import decode_decision
from rebate_app.wire.events import NoEventError, decode_event
from rebate_app.wire.facts.order import decode_order
from rebate_app.wire.facts.owner import (
    decode_owner_fact,
    is_ours,
    is_owner_fact,
    payout_author,
    waits_behind_its_user,
)
from rebate_app.wire.facts.user import decode_user
from rebate_app.wire.internal import ForeignMessageError, app_of, decode_message, is_foreign
from rebate_app.wire.resumptions import Resumption, decode_resumption, encode_resumption
from rebate_app.wire.rules.published import decode_published
from rebate_app.wire.unreadable import BadRecord, UnreadableValueError
from rebate_app.wire.used_rules import decode_event_epoch, decode_registry
from tables import accounts, order_lines
from tests.source_trees import tree_of
from tests.topology_driver import LogRecord

CHECKOUT = Path(__file__).parents[2]
DEEP = 100_000
ME = "me"

Decode = Callable[[bytes | None, bytes | None, list[tuple[str, bytes | None]]], object]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
#: Members that our records have, so that drawn documents come near to real ones.
NAMES = (
    *("schema", "app", "format", "kind", "offset", "topic", "partitions", "topic_id", "since_ms", "from"),
    *("paused", "by", "at", "why", "u", "decision", "place", "release", "skip", "line", "bonus", "cursor"),
    *("event_id", "user_id", "platform", "order_line_id"),
)
MEMBERS = st.dictionaries(
    st.sampled_from(NAMES),
    JSON | st.sampled_from(["rebate-internal/1", "control.release", ME, 1, 2, 10**18, 10**40, "replayed"]),
    max_size=8,
)
CIPHER = PayeeCipher(parse_payee_keys("a:" + base64.b64encode(b"k" * 32).decode()), b"i" * 32)


def opened(value: bytes | None, key: bytes | None, _: Any) -> Any:
    """Read the payees of a partition that has this record."""
    sealed = {key or b"": value or b"", b"u1 9f2c4e6a8b0d1f35": value or b""}
    book = PayeeBook("payees", 0, CIPHER, sealed.items(), write_nothing)
    user_id = (key or b"").decode("utf-8", "replace").partition(" ")[0]
    return book.list("u1"), book.list(user_id)


async def write_nothing(_: Any) -> None:
    """Write no record."""


def as_json(document: Any) -> bytes:
    """Return JSON with everything that Python's writer can say: NaN and lone surrogates too."""
    import json

    return json.dumps(document).encode()


VALUES = st.none() | st.binary(max_size=60) | st.one_of(JSON, MEMBERS).map(as_json)
KEYS = (
    st.none()
    | st.binary(max_size=40)
    | st.sampled_from(
        [b"", WATERMARK_KEY, b"version r1", b"user_id_fields", b"first-start a", b"webhooks me", b"t/0/1"]
    )
)
HEADER_NAMES = st.sampled_from(
    [
        APP,
        ORIGIN,
        ATTEMPTS,
        FIRST_AT,
        EVENT_AT,
        THROUGH,
        names.TOPIC,
        names.PARTITION,
        names.OFFSET,
        names.ATTEMPT,
    ]
) | st.text(max_size=6)
HEADER_VALUES = st.sampled_from(
    [None, b"", ME.encode(), b"t", b"t/0/1", b"0", b"-1", b"9" * 30, b"9" * 5_000, "²".encode(), b"1_0"]
) | st.binary(max_size=12)
HEADERS = st.lists(st.tuples(HEADER_NAMES, HEADER_VALUES), max_size=8)

#: A copy that can be read, with a header whose value is null.
COPY: list[tuple[str, bytes | None]] = [
    *[(APP, ME.encode()), (ORIGIN, b"events/0/1"), (ATTEMPTS, b"0"), (FIRST_AT, b"1"), ("theirs", None)]
]

ATTACKS = [
    None,
    b"",
    b"\xff",
    b"null",
    b"[]",
    b'"' + b"\\ud800" + b'"',
    b"[" * DEEP,
    b'{"x":' * DEEP,
    b'{"format":2,"offset":1,"topic":"t","partitions":4}',
    b'{"offset":' + b"9" * 5_000 + b',"topic":"t","partitions":4}',
    b'{"u":1e999}',
    b'{"schema":"rebate-internal/1","app":"me","format":9,"kind":"line"}',
    b'{"schema":"owner-fact/1","app":"me","format":9,"kind":"rules.activated"}',
    b'{"schema":"owner-fact/1","app":"me","format":1,"kind":"withdrawal.decided"}',
    b'{"schema":"owner-fact/1","kind":"payouts.activated","app":"me","topic_id":"","format":9,"turn":"","at":0}',
    b'{"app":"me","topic_id":1,"at":"","by":""}',
    b'{"schema":"rebate-rule-version/1","version":"v","content":"x = [","hash":"","by":"","at":""}',
    b'{"schema":"rebate-rule-version/1","version":"v","content":"[[level]]","hash":"","by":"","at":""}',
]


def record(value: bytes | None, key: bytes | None, headers: list[tuple[str, bytes | None]]) -> LogRecord:
    """Return the record as a reader sees it."""
    return LogRecord("t", 0, 7, 1_000, key, value, headers)  # type: ignore[arg-type]


def restored(value: bytes | None, key: bytes | None, _: object) -> None:
    """Take a changelog record as restoring does."""
    changelog = ChangelogRecords(TopicPartition("t", 0))
    changelog.take([record(value, key, [])])
    changelog.refuse_unreadable()


def registered(value: bytes | None, key: bytes | None, _: object) -> None:
    """Take a record of the registry as workers do."""
    skipped: list[BadRecord] = []
    registry = Registry("t", skipped.append)
    registry.take(record(value, key, []))
    registry.values()
    assert all(str(bad).startswith("the record at t/0/7 cannot be read: ") for bad in skipped)


def published(value: bytes | None, key: bytes | None, _: object) -> None:
    """Take a record of the published rule versions as workers do."""
    rules = PublishedRules("t")
    rules.take(record(value, key, []))
    assert rules.catalogue.versions == []


def waiting(value: bytes | None, key: bytes | None, headers: list[tuple[str, bytes | None]]) -> None:
    """Take a copy of a retry topic as a partition's webhooks do, and everything that follows from it."""
    queues = Queues(Plan("events", ("t",), ME, 1_000), lambda: 5_000)
    queues.restore(record(value, key, headers))
    queues.begin(0)
    queues.take(record(value, key, headers))
    queues.take_actions()


def shown(value: bytes | None, key: bytes | None, headers: list[tuple[str, bytes | None]]) -> None:
    """Show a dead letter."""
    full_document(decode_dead_letter(record(value, key, headers), "t"), None)


def table_records(value: bytes | None, key: bytes | None, _: object) -> None:
    """Decode a record of every table, each as a kind of its own."""
    kinds = [
        kind
        for module in (accounts, order_lines, parking)
        for kind in vars(module).values()
        if type(kind).__name__ == "RecordKind"
    ]
    assert len(kinds) > 10
    for kind in kinds:
        try:
            kind.decode(value or b"", key or b"")
        except UnreadableStateError:
            continue


RESUMED = f"resume {ME} t/0".encode()
#: Module that reads → its decoders, each with the errors that it may raise.
DECODERS: dict[str, list[tuple[Decode, tuple[type[Exception], ...]]]] = {
    "rebate_app/streams/kafka/control_topic.py": [],  # decodes as registry, decisions and switch do
    "rebate_app/streams/kafka/resumptions.py": [
        (lambda value, key, _: decode_resumption(ME, key, value), (UnreadableValueError,))
    ],
    "rebate_app/streams/kafka/used_rules.py": [
        (registered, (UnreadableRecordError,)),
        (lambda value, key, _: decode_registry(key, value), (UnreadableValueError,)),
        (lambda value, *_: decode_event_epoch(value), (UnreadableValueError,)),
    ],
    "rebate_app/streams/state/restore.py": [
        (restored, (UnreadableRecordError,)),
        (lambda value, *_: decode_watermark(value), (UnreadableValueError,)),
        (table_records, ()),
    ],
    "rebate_app/streams/state/standby.py": [
        (
            lambda value, key, headers: watermark_fault(TopicPartition("t", 0), record(value, key, headers)),
            (),
        ),
    ],
    "rebate_app/streams/state/changelog.py": [],  # looks for a key, decodes nothing
    "rebate_app/streams/faust/batch_fetcher.py": [
        (lambda value, key, _: decode_order(value, key, 0), (RefusedError,)),
        (lambda value, key, _: decode_user(value, key, 0), (RefusedError,)),
        (lambda value, *_: decode_message(value or b"", ME), (ForeignMessageError,)),
        (lambda value, *_: (app_of(value or b""), is_foreign(value, ME)), ()),
        (lambda value, *_: decode_control(value or b""), ()),
        (lambda value, *_: is_owner_fact(value), ()),
        (lambda value, key, _: decode_owner_fact(value, key, ME), (UnreadableValueError,)),
        (lambda value, key, _: (waits_behind_its_user(value, key), is_ours(value, ME)), ()),
    ],
    "rebate_app/dead_letters/reader.py": [
        (shown, (UnreadableValueError,)),
        (lambda value, key, _: decode_decision(key, value), (UnreadableValueError,)),
    ],
    "rebate_app/audit_trail/reader.py": [(lambda value, *_: decode_trail(value), (UnreadableValueError,))],
    "rebate_app/webhooks/switch.py": [(lambda value, *_: decode_switch(value), (UnreadableValueError,))],
    "rebate_app/webhooks/backlog.py": [
        (waiting, ()),
        (lambda *parts: decode_retry_record(record(*parts), ME), (UnreadableValueError,)),
    ],
    "rebate_app/cli/kafka_view.py": [
        (
            lambda value, *_: decode_metadata((value or b"").decode("utf-8", "replace")),
            (UnreadableValueError,),
        ),
    ],
    "rebate_app/streams/kafka/rule_versions.py": [
        (published, ()),
        (lambda value, key, _: decode_published(key, value), (UnreadableValueError,)),
    ],
    "rebate_app/payouts/activation.py": [
        (lambda value, key, _: readable_turn(key, value), ()),
        (lambda value, *_: readable_turn(b"payouts.activated:0", value), ()),
    ],
    "rebate_app/streams/kafka/active_app.py": [
        (lambda value, key, _: decode_active(key, value), (UnreadableValueError,)),
        (lambda value, *_: decode_active(b"active", value), (UnreadableValueError,)),
        (lambda value, *_: payout_author(value), ()),
    ],
    "rebate_app/payouts/channel_states.py": [
        (lambda value, key, _: decode_state(key, value), (UnreadableValueError,)),
        (lambda value, *_: decode_state(b"bank", value), (UnreadableValueError,)),
    ],
    "rebate_app/payouts/payees/reader.py": [(opened, ())],
    "rebate_app/sources/cursors.py": [
        (lambda value, key, _: CursorTopic("t")._decoded(key, value), (UnreadableValueError,)),
        (lambda value, *_: CursorTopic("t")._decoded(b"mm-1/rows", value), (UnreadableValueError,)),
        (lambda value, *_: CursorTopic("t")._decoded(b"mm-1", value), (UnreadableValueError,)),
    ],
    "rebate_app/cli/webhooks_actions.py": [],  # looks at timestamps
    "rebate_app/audit/kafka_logs.py": [(lambda value, *_: decode_event(value), (NoEventError,))],
    "rebate_app/doctor/partition_checks.py": [],  # compares keys, partitions and headers with total readers
    "rebate_app/doctor/record_checks.py": [],  # decodes as registry, reader and restore do
}
TABLE = [(module, number) for module, decoders in DECODERS.items() for number in range(len(decoders))]


@pytest.mark.parametrize(("module", "number"), TABLE)
class TestTotal:
    """No bytes make a decoder raise anything but its own error."""

    @given(value=VALUES, key=KEYS, headers=HEADERS)
    @example(value=None, key=None, headers=[])
    @example(value=b"{}", key=b"u", headers=COPY)
    def test_drawn(
        self,
        module: str,
        number: int,
        value: bytes | None,
        key: bytes | None,
        headers: list[tuple[str, bytes | None]],
    ) -> None:
        """Arbitrary bytes, JSON of other shapes, and headers."""
        self.decode(module, number, value, key, headers)

    @pytest.mark.parametrize("value", ATTACKS, ids=range(len(ATTACKS)))
    def test_known(self, module: str, number: int, value: bytes | None) -> None:
        """Null, no JSON, no UTF-8, deep nesting, huge numbers, unknown formats; under every known key."""
        headers: list[tuple[str, bytes | None]] = [(APP, ME.encode()), (ORIGIN, value), (ATTEMPTS, value)]
        for key in (None, b"", WATERMARK_KEY, b"version r1", b"first-start a", b"t/0/1", RESUMED, b"\xff"):
            self.decode(module, number, value, key, headers)

    @staticmethod
    def decode(module: str, number: int, *parts: Any) -> None:
        """Decode, and take the errors that the table allows."""
        decode, allowed = DECODERS[module][number]
        try:
            decode(*parts)
        except allowed:
            return


def modules_that_read() -> Iterator[str]:
    """Yield every module in which records come out of aiokafka."""
    for folder in ("rebate_app", "agents", "tables"):
        for path in (CHECKOUT / folder).rglob("*.py"):
            for node in ast.walk(tree_of(path)):
                imported = {alias.name for alias in node.names} if isinstance(node, ast.ImportFrom) else set()
                if imported & {"fetch", "unpacking_error", "SpanReader", "ControlTopic"}:
                    yield str(path.relative_to(CHECKOUT))


def test_every_reader_is_in_the_table() -> None:
    """A new reader brings its decoders, or is listed as one that decodes nothing."""
    assert set(modules_that_read()) == set(DECODERS)


def test_records_leave_aiokafka_in_one_place() -> None:
    """No module but `streams/kafka/log_reader.py` asks a consumer for records."""
    readers = {
        str(path.relative_to(CHECKOUT))
        for folder in ("rebate_app", "agents", "tables")
        for path in (CHECKOUT / folder).rglob("*.py")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("getmany", "getone")
    }
    assert readers == {"rebate_app/streams/kafka/log_reader.py"}


def test_what_is_written_is_read() -> None:
    """The decoders take what the encoders make: a table of refusals alone would pass everything."""
    mark = encode({"offset": 3, "topic": "t", "partitions": 4, "topic_id": "", "format": 1})
    assert decode_watermark(mark).offset == 3
    assert decode_registry(b"version r1", b"0" * 64) == ("version r1", "0" * 64)
    assert decode_registry(b"version r1", None) == ("version r1", None)
    resumption = Resumption(7, "ann", "2026-01-01T00:00:00Z")
    assert decode_resumption(ME, *encode_resumption(ME, "t", 3, resumption)) == (("t", 3), resumption)
    assert decode_resumption(ME, RESUMED, None) == (("t", 0), None)
    assert decode_metadata('{"u":7}') == CommitMetadata(7)
