"""docs/asyncapi.json: fresh, valid AsyncAPI 3.0, and true of the records that a random feed brings about."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson
import pytest

from rebate_app.webhooks.retry_records import DeliveryState, Event, Undelivered, dead_letter_record
from rebate_app.wire import failure_headers as names
from rebate_app.wire.asyncapi import SCHEMAS, asyncapi_document, page
from rebate_app.wire.audit_trail import TrailRecord, encode_trail
from rebate_app.wire.dead_letter_schema import ALWAYS, SOMETIMES
from rebate_app.wire.failure_headers import Header, Place, texts_of
from tests.domain.event_lines import PARTITIONS, lived
from tests.domain.world import NOW_US
from tests.topology_driver import TOPICS, TopologyDriver
from tests.web.facts import rules

CHECKOUT = Path(__file__).parents[2]
COMMITTED = CHECKOUT / "docs" / "asyncapi.json"
#: schemas/3.0.0 of asyncapi/spec-json-schemas (Apache-2.0), without titles and descriptions.
META_SCHEMA = CHECKOUT / "tests" / "fixtures" / "asyncapi-3.0.0.json"


@cache
def validator(name: str) -> Any:
    """Return the validator of a schema of the document."""
    document = asyncapi_document()
    reference = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    return jsonschema_rs.Draft202012Validator(reference)


def check_headers(headers: tuple[Header, ...] | list[Header]) -> dict[str, str]:
    """Assert that the headers are those of a dead letter, and that each of ours is described."""
    texts = texts_of(headers)
    assert [error.message for error in validator("dead-letter-headers").iter_errors(texts)] == []
    assert {name for name in texts if name.startswith(names.ERROR_PREFIX)} <= (ALWAYS | SOMETIMES).keys()
    return texts


class TestDocument:
    """The document itself."""

    def test_it_is_fresh(self) -> None:
        """The committed file is that of the types."""
        assert COMMITTED.read_text(encoding="utf-8") == page(), "run: make docs"

    def test_it_is_valid(self) -> None:
        """By the JSON Schema of AsyncAPI 3.0 itself."""
        meta = jsonschema_rs.Draft7Validator(json.loads(META_SCHEMA.read_text(encoding="utf-8")))
        assert [f"{list(e.instance_path)}: {e.message}" for e in meta.iter_errors(asyncapi_document())] == []
        broken = asyncapi_document() | {"channels": {"orders": {"adress": "order_topic"}}}
        assert not meta.is_valid(broken)

    def test_every_reference_leads_somewhere(self) -> None:
        """No schema refers to what is not there."""
        document = asyncapi_document()
        for reference in _references(document):
            part: Any = document
            for name in reference.removeprefix("#/").split("/"):
                part = part[name]

    def test_topics_are_those_of_the_table(self) -> None:
        """Addresses are names of topics without the prefix."""
        addresses = {channel["address"] for channel in asyncapi_document()["channels"].values()}
        assert addresses == {
            "order_topic",
            "rebate-user-log",
            "rebate-events",
            "rebate-audit-trail",
            "order_topic-dlt",
            "rebate-user-log-dlt",
            "rebate-events-dlt",
        }


class TestRecords:
    """Records as they lie in the logs."""

    def test_facts_and_events_of_a_random_feed(self) -> None:
        """Every fact that was folded and every event that came of it fits its schema."""
        stream = lived(5, days=3).stream
        checked = dict.fromkeys(SCHEMAS, 0)
        topics = {"order-event": TOPICS.orders, "user-fact": TOPICS.user_log, "rebate-event": TOPICS.events}
        for name, topic in topics.items():
            for partition in range(PARTITIONS):
                log = stream.events[partition] if topic == TOPICS.events else stream.log(topic, partition)
                for record in log:
                    value = orjson.loads(record.value or b"")
                    if value["schema"] == f"{name}/1":  # the user log has messages of our own too
                        assert validator(name).is_valid(value), value
                        checked[name] += 1
        assert min(checked[name] for name in topics) > 0, checked

    @pytest.mark.parametrize("via", ["http", "cli"])
    def test_records_of_the_trail(self, via: Any) -> None:
        """With and without a request, and a summary."""
        record = TrailRecord(
            at="2026-02-01T00:00:00+08:00",
            actor="key:crm",
            via=via,
            request_id=None,
            remote="127.0.0.1",
            action="profile.put",
            subject="u1",
            status=202,
            reason=None,
            body_hmac=None,
        )
        value = orjson.loads(encode_trail(record)[1])
        assert validator("audit-trail").is_valid(value)
        assert validator("audit-trail").is_valid(value | {"requests": 3, "facts": 40})
        assert not validator("audit-trail").is_valid({name: value[name] for name in value if name != "actor"})

    def test_dead_letters_of_events(self) -> None:
        """An event that the webhook's receiver did not take has the same headers."""
        state = DeliveryState(Place("rebate-events", 0, 7), 5, 2, 3, "status-410")
        why = Undelivered("webhook-refused", "app", "1", "http://worker:6066")
        letter = dead_letter_record(Event(b"u1", b"{}"), state, why, "rebate-events-dlt", 9)
        assert check_headers(letter.headers)[names.REASON] == "webhook-refused"

    def test_dead_letters_of_records_that_cannot_be_used(self) -> None:
        """Bytes, JSON of another kind, a bad member, and one that is too large to keep whole."""
        stream = TopologyDriver(PARTITIONS, rules())
        values = [b"\xff", b"{}", b'{"schema":"order-event/1","kind":"order.claim"}', b"x" * 1_500_000]
        for value in values:
            stream.send(TOPICS.orders, b"taobao:1", value, NOW_US)
            stream.send(TOPICS.user_log, b"u1", value, NOW_US)
        stream.run()
        assert len(stream.dead_letters) == 2 * len(values)
        reasons = {check_headers(letter.headers)[names.REASON] for letter in stream.dead_letters}
        assert len(reasons) > 2
        missing = {name: "x" for name in ALWAYS if name != names.REASON}
        assert not validator("dead-letter-headers").is_valid(missing)


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        found = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return found + [each for member in value.values() for each in _references(member)]
    if isinstance(value, list):
        return [each for member in value for each in _references(member)]
    return []
