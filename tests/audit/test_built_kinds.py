"""Totals and indexes in an audit: compared like every record, and left out while a scan builds them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.json import decode, encode

from rebate_app.streams.state import build
from tables.kinds import is_order_line
from tests.audit.list_logs import ListLogs, audit, only
from tests.audit.worlds import processed
from tests.domain.world import World
from tests.tables.test_totals import age
from tests.topology_driver import ACCOUNTS, LINES, TOPICS

Change = Callable[[bytes], bytes | None]


def a_record(world: World, stage: str, prefix: bytes) -> tuple[int, bytes, bytes]:
    """Return partition, key and value of some record of a kind."""
    return next(
        (partition, key, value)
        for (name, partition), store in world.stream.stores.items()
        if name == stage
        for key, value in store.items()
        if key.startswith(prefix)
    )


def one_more_closed(value: bytes) -> bytes:
    """Return totals with a closed line more."""
    members = decode(value)
    members[4] += 1
    return encode(members)


@pytest.mark.parametrize(
    ("stage", "prefix", "change", "kind"),
    [
        (ACCOUNTS, b"T now", one_more_closed, "changed-record"),
        (ACCOUNTS, b"T d", lambda _: None, "missing-record"),
        (ACCOUNTS, b"I ", lambda _: None, "missing-record"),
        (LINES, b"O ", lambda _: None, "missing-record"),
    ],
)
def test_a_wrong_one_is_found(stage: str, prefix: bytes, change: Change, kind: str) -> None:
    """Whatever of them is damaged or lost."""
    world = processed(3)
    if stage == LINES:
        _send_order_number(world)
    partition, key, value = a_record(world, stage, prefix)
    logs = ListLogs(world.stream)
    topic = TOPICS.accounts.changelog if stage == ACCOUNTS else TOPICS.order_lines.changelog
    logs.damage[topic, partition] = {key: change(value)}
    finding = only(audit(logs))
    assert (finding.kind, finding.key) == (kind, key.decode())


def _send_order_number(world: World) -> None:
    document = {
        "schema": "order-event/1",
        "kind": "order.snapshot",
        "platform": "jd",
        "order_line_id": "numbered",
        "parent_order_id": "1",
        "order_id": "2",
        "seq": {"modified_at": "2026-01-02T00:00:00+08:00"},
        "status": "created",
        "currency": "CNY",
    }
    world.take([document])


def test_what_is_being_built_is_left_out_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """From no record to the last but one there is no difference; then everything is compared."""
    monkeypatch.setattr(build, "VISITS_MAX", 15)
    world = processed(3)
    age(world.stream)
    seen = []
    while True:
        report = audit(ListLogs(world.stream))
        assert (report.differences, report.items) == (0, [])
        seen.append(len(report.building))
        if not sum(world.stream.build_step(*place) for place in world.stream.stores):
            break
    assert seen[0] == 3 * world.stream.partitions
    assert (seen[-1], sorted(seen, reverse=True)) == (0, seen)


def test_an_older_line_is_not_found_under_its_order_id() -> None:
    """The version before did not keep that member, so a scan cannot index it: no difference."""
    world = processed(3)
    _send_order_number(world)
    partition = world.stream.partition_of("jd:numbered")
    store = world.stream.stores[LINES, partition]
    value = store.get(b"jd:numbered")
    assert value is not None
    older = value.replace(rb",\"order_id\":\"2\"", b"")
    assert older != value
    assert is_order_line(b"jd:numbered")
    store.apply({b"jd:numbered": older}, store.position)
    age(world.stream)
    while sum(world.stream.build_step(*place) for place in world.stream.stores):
        pass
    assert store.get(b"O 1 jd:numbered") is not None
    assert store.get(b"O 2 jd:numbered") is None
    report = audit(ListLogs(world.stream))
    assert (report.differences, report.building) == (0, [])
