"""Events as JSON: the committed schema is that of the code, and ids name exactly one event."""

from __future__ import annotations

from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from msgspec.json import decode

from rebate_app.domain.account.events import EventCause as LineCause
from rebate_app.domain.account.events import LineEvent
from rebate_app.wire import events
from rebate_app.wire.events import NoEventError, decode_event, encode_dead_letter, encode_line
from rebate_app.wire.events_page import page
from rebate_app.wire.failure_headers import Place
from tests.domain.event_lines import lived

CHECKOUT = Path(__file__).parents[2]


class TestSchema:
    """docs/schemas/rebate-event-1.json is the contract."""

    def test_it_is_fresh(self) -> None:
        """Else `python -m rebate_app.wire.events_page > docs/schemas/rebate-event-1.json`."""
        assert (CHECKOUT / "docs/schemas/rebate-event-1.json").read_text(encoding="utf-8") == page()

    def test_it_is_a_schema_and_refuses_what_is_none(self) -> None:
        """JSON Schema 2020-12 by its own rules; a foreign kind and a missing member do not fit it."""
        schema = events.event_schema()
        Draft202012Validator.check_schema(schema)
        valid = Draft202012Validator(schema).is_valid
        event = decode(encode_dead_letter(Place("t", 0, 1), None, 0, "undecodable"))
        assert valid(event)
        assert not valid(event | {"kind": "balance.guessed"})
        assert not valid({name: event[name] for name in event if name != "event_id"})

    def test_emitted_events_fit_it(self) -> None:
        """Every event of a random feed."""
        valid = Draft202012Validator(events.event_schema()).is_valid
        values = [record.value for log in lived(3, days=3).stream.events.values() for record in log]
        assert values
        assert [value for value in values if not valid(decode(value or b""))] == []


class TestIds:
    """An id follows from what identifies the event, and from nothing else."""

    def test_a_dead_letter_is_named_by_its_place(self) -> None:
        """Whatever the reason and the moment; another place is another event."""
        one = encode_dead_letter(Place("t", 0, 1), b"u1", 0, "undecodable")
        other = encode_dead_letter(Place("t", 0, 1), b"u1", 5, "internal-error")
        third = encode_dead_letter(Place("t", 1, 1), b"u1", 0, "undecodable")
        ids = [decode_event(value).event_id for value in (one, other, third)]
        assert ids[0] == ids[1] != ids[2]

    def test_it_is_the_same_for_ever(self) -> None:
        """Receivers keep ids for longer than a version of ours lasts."""
        cause = LineCause("u1", "jd:1", 1_785_000_000_000_000, ">", 7, -1, "snapshot-paid")
        event = decode_event(encode_line(LineEvent("line.attributed", cause, by="user_id")))
        assert event.event_id == "ce4477ab4bcbe2e11c55c37bba1c7238"


class TestDeadLetters:
    """The event of a dead letter has no part of the record's value."""

    @pytest.mark.parametrize(
        ("key", "user_id"),
        [(b"u1", "u1"), (None, None), (b"jd:1", None), (b"\xff", None), (b"", None)],
    )
    def test_the_user_is_the_key_if_it_can_be_one(self, key: bytes | None, user_id: str | None) -> None:
        """An order line, an attribution id, garbage and no key at all are nobody."""
        event = decode_event(encode_dead_letter(Place("order_topic", 3, 41), key, 0, "undecodable"))
        assert isinstance(event, events.DeadLetterOpened)
        assert (event.user_id, event.id, event.at) == (
            user_id,
            "order_topic/3/41",
            "1970-01-01T08:00:00+08:00",
        )


class TestReading:
    """What is no event is refused by the schema."""

    @pytest.mark.parametrize("value", [None, b"", b"{", b"\xff", b'{"kind":"balance.guessed"}', b"[]"])
    def test_no_event(self, value: bytes | None) -> None:
        """Of whatever kind the nonsense is."""
        with pytest.raises(NoEventError):
            decode_event(value)
