"""When a halt ends: by a resumption that reaches its record, and not twice by the same one."""

from __future__ import annotations

import pytest

from rebate_app.streams.kafka.resumptions import Resumptions
from rebate_app.streams.task.halt import DLQ_LIMIT, Halt
from rebate_app.wire.resumptions import Resumption, encode_resumption
from rebate_app.wire.unreadable import BadRecord
from tests.topology_driver import LogRecord

AT = "2026-01-01T00:00:00Z"
TOPIC = "rebate-dlq-decisions"


def resumption(through: int, at: str = AT) -> Resumption:
    """Return a resumption of that moment."""
    return Resumption(through, "ann", at)


class TestIsEndedBy:
    """A halt before offset 7."""

    @pytest.mark.parametrize(("through", "ended"), [(6, False), (7, True), (8, True)])
    def test_only_one_that_reaches_it(self, through: int, ended: bool) -> None:
        """A resumption of an earlier halt is none of this one."""
        assert Halt(DLQ_LIMIT, "", 7).is_ended_by(resumption(through)) is ended

    def test_without_one(self) -> None:
        """It stays halted."""
        assert not Halt(DLQ_LIMIT, "", 7).is_ended_by(None)

    def test_one_that_did_not_help_ends_nothing(self) -> None:
        """A stage that refuses the record for ever is not tried again and again; an operator may be."""
        halt = Halt(DLQ_LIMIT, "", 7, resumed_by=resumption(7))
        assert not halt.is_ended_by(resumption(7))
        assert halt.is_ended_by(resumption(7, "2026-01-02T00:00:00Z"))


class TestResumptions:
    """What the topic of decisions says about one app's partitions."""

    def test_the_last_one_holds_for_its_app_and_partition(self) -> None:
        """Others', dead letters' and webhooks' records are nothing to it; what cannot be read is skipped."""
        resumptions, skipped = Resumptions(TOPIC, "app"), list[BadRecord]()
        resumptions.skip = skipped.append
        rows = [
            encode_resumption("app", "orders", 3, resumption(7)),
            encode_resumption("app", "orders", 3, resumption(9)),
            encode_resumption("app-2", "orders", 3, resumption(11)),
            (b"orders/3/7", b'{"decision":"discarded","by":"ann","at":""}'),
            (b"webhooks app", b"{}"),
            (b"resume app orders", b"{}"),
            (b"resume app orders/3", b'{"through":-4,"by":"ann","at":""}'),
        ]
        for offset, (key, value) in enumerate(rows):
            resumptions._topic.take(LogRecord(TOPIC, 0, offset, 0, key, value))
        assert (resumptions.through("orders", 3), resumptions.through("orders", 4)) == (9, -1)
        assert [bad.place.offset for bad in skipped] == [5, 6]
        resumptions._topic.take(LogRecord(TOPIC, 0, 9, 0, b"resume app orders/3", None))
        assert resumptions.of("orders", 3) is None
