"""docs/asyncapi.json (AsyncAPI 3.0): the topics that others read and write, made of the schemas of records.

`python -m rebate_app.wire.asyncapi docs/asyncapi.json` writes it; tests prove it fresh and valid, and
hold real records against its schemas. Names of topics are without REBATE_TOPIC_PREFIX.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from .audit_trail import trail_schema
from .dead_letter_schema import dead_letter_headers_schema
from .events import event_schema
from .facts.schemas import order_event_schema, user_fact_schema
from .stages import ORDERS, USER_LOG
from .topics import Topics

Schema = dict[str, Any]

PREFIX: Final = "#/components/schemas/"
_DEFINITIONS: Final = "#/$defs/"
#: Of values.
SCHEMAS: Final = {
    "order-event": order_event_schema,
    "user-fact": user_fact_schema,
    "rebate-event": event_schema,
    "audit-trail": trail_schema,
}
HEADERS_SCHEMA: Final = "dead-letter-headers"

ABOUT: Final = """\
Topics of the rebate system on Apache Kafka. Producers choose the partition of a key as Kafka's own clients do
(librdkafka: partitioner=murmur2_random); consumers read with isolation.level=read_committed. The HTTP API is
described in openapi.json.
"""


def asyncapi_document() -> dict[str, Any]:
    """Return the document."""
    topics = Topics.named("", "taoke-rebate")
    channels = {
        "orders": _channel(topics.orders, ORDERS.source_about, "order-event"),
        "user-log": _channel(topics.user_log, USER_LOG.source_about, "user-fact"),
        "events": _channel(topics.events, "what changed, for other systems", "rebate-event"),
        "audit-trail": _channel(topics.audit_trail, "who did what", "audit-trail"),
        **{
            f"dead-letters-of-{name}": _channel(topic, about, "dead-letter")
            for name, topic, about in (
                ("orders", topics.order_lines.dead_letter, ORDERS.dead_letter_about),
                ("user-log", topics.accounts.dead_letter, USER_LOG.dead_letter_about),
                ("events", topics.events_dlt, "events that the webhook's receiver did not take"),
            )
        },
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Taoke rebates: topics",
            "version": "1",
            "description": ABOUT,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": {
            f"{'receive' if name in ('orders', 'user-log') else 'send'}-{name}": {
                "action": "receive" if name in ("orders", "user-log") else "send",
                "channel": {"$ref": f"#/channels/{name}"},
            }
            for name in channels
        },
        "components": {"messages": _messages(), "schemas": _schemas()},
    }


def _channel(topic: str, about: str, message: str) -> dict[str, Any]:
    return {
        "address": topic,
        "description": about,
        "messages": {message: {"$ref": f"#/components/messages/{message}"}},
    }


def _messages() -> dict[str, Any]:
    keys = {
        "order-event": "platform:order_line_id",
        "user-fact": "the user id, or the attribution id",
        "rebate-event": "the user id",
        "audit-trail": "the actor",
    }
    messages: dict[str, Any] = {
        name: {
            "name": name,
            "payload": {"$ref": PREFIX + name},
            "bindings": {"kafka": {"key": {"type": "string", "description": key}}},
        }
        for name, key in keys.items()
    }
    for name in ("order-event", "rebate-event"):
        messages[name]["headers"] = {"$ref": f"{PREFIX}{name}-headers"}
    messages["dead-letter"] = {
        "name": "dead-letter",
        "summary": "a record that failed, key and value as they came, and why in headers",
        "contentType": "application/octet-stream",
        "headers": {"$ref": PREFIX + HEADERS_SCHEMA},
        "payload": {"description": "whatever bytes the failed record has"},
    }
    return messages


def _schemas() -> dict[str, Schema]:
    schemas: dict[str, Schema] = {
        HEADERS_SCHEMA: dead_letter_headers_schema(),
        "order-event-headers": _texts(
            {
                "rebate-actor": "who sent the fact over HTTP or by command, for display",
                "rebate-request-id": "X-Request-Id of the answer",
                "rebate-rerouted-from": "partition/offset, of a copy in the partition of its key",
            }
        ),
        "rebate-event-headers": _texts({"rebate-app": "the app that sent it"}),
    }
    for name, make in SCHEMAS.items():
        schema = make()
        definitions = schema.pop("$defs", {})
        for member in ("$schema", "$id"):
            schema.pop(member, None)
        schemas[name] = _relocated(schema, name)
        schemas |= {
            f"{name}.{each}": _relocated(definition, name) for each, definition in definitions.items()
        }
    return dict(sorted(schemas.items()))


def _texts(members: Mapping[str, str]) -> Schema:
    properties = {name: {"type": "string", "description": about} for name, about in members.items()}
    return {"type": "object", "properties": properties}


def _relocated(value: Any, name: str) -> Any:
    """Return a part of a schema whose references lead to the components of the document."""
    if isinstance(value, list):
        return [_relocated(member, name) for member in value]
    if isinstance(value, str) and value.startswith(_DEFINITIONS):
        return f"{PREFIX}{name}.{value.removeprefix(_DEFINITIONS)}"
    if not isinstance(value, Mapping):
        return value
    relocated = {member: _relocated(each, name) for member, each in value.items()}
    if isinstance(relocated.get("discriminator"), dict):  # OpenAPI's; AsyncAPI has the member's name alone
        relocated["discriminator"] = relocated["discriminator"]["propertyName"]
    return relocated


def page() -> str:
    """Return the document as it is committed."""
    return json.dumps(asyncapi_document(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
