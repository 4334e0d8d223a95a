"""The formats of retry records, dead letters and progress markers."""

from __future__ import annotations

import pytest

from rebate_app.webhooks.retry_records import (
    DeliveryState,
    ProgressMarker,
    Undelivered,
    dead_letter_record,
    progress_record,
    read_retry_record,
    retry_record,
)
from rebate_app.wire.failure_headers import Place, texts_of
from tests.topology_driver import LogRecord
from tests.webhooks.model import APP, EVENTS, event


def record(offset: int, value: bytes = b"{}") -> LogRecord:
    """Return a record at that offset."""
    return LogRecord(EVENTS, 0, offset, 0, b"k", value)


class TestFormats:
    """What is written is what is read."""

    def written(self, out: object) -> LogRecord:
        """Return an outgoing record as it stands in a log."""
        return LogRecord(out.topic, 0, 3, out.timestamp_ms, out.key, out.value, out.headers)  # type: ignore[attr-defined]

    def test_a_copy_says_all_that_is_known(self) -> None:
        """Origin, attempts, moments and the last error survive a rebalance."""
        body, state = event()
        copy = self.written(retry_record(body, state, "retry-1m", APP, 99))
        assert read_retry_record(copy, APP) == state
        assert read_retry_record(copy, "another") is None

    def test_a_mark_and_a_replay(self) -> None:
        """A mark names what is done; a copy without an origin is an event by itself."""
        assert read_retry_record(
            self.written(progress_record(ProgressMarker(b"u", 7), "retry", 0, APP, 1)), APP
        ) == ProgressMarker(b"u", 7)
        again = LogRecord("retry", 0, 3, 50, b"u", b"{}", [("rebate-webhook-app", APP.encode())])
        assert read_retry_record(again, APP) == DeliveryState(Place("retry", 0, 3), 50)

    @pytest.mark.parametrize(
        "headers",
        [
            [("rebate-webhook-origin", b"nowhere")],
            [("rebate-webhook-origin", b"t/0/1"), ("rebate-webhook-attempt", b"x")],
            [("rebate-webhook-through", b"x")],
        ],
    )
    def test_what_nobody_knows_is_passed_over(self, headers: list[tuple[str, bytes]]) -> None:
        """A copy that cannot be read stops nothing."""
        mine = [("rebate-webhook-app", APP.encode()), *headers]
        assert read_retry_record(LogRecord("retry", 0, 3, 50, b"u", b"{}", mine), APP) is None
        assert read_retry_record(LogRecord("retry", 0, 3, 50, None, None, mine), APP) is None

    def test_a_dead_letter_is_one_as_all_others(self) -> None:
        """It names where the event stands, and of a replay where its first failure was."""
        body, state = event()
        why = Undelivered("webhook-refused", "app", "1", "w")
        texts = texts_of(dead_letter_record(body, state, why, "dlt", 9).headers)
        assert texts["rebate-error-reason"] == "webhook-refused"
        assert (texts["rebate-error-topic"], texts["rebate-error-offset"]) == (EVENTS, "7")
        assert texts["theirs"] == "1"
        assert "rebate-error-origin" not in texts
        replayed = type(body)(body.key, body.value, (("rebate-replay-of", b"events/0/1"),))
        again = texts_of(dead_letter_record(replayed, state, why, "dlt", 9).headers)
        assert again["rebate-error-origin"] == "events/0/1"
