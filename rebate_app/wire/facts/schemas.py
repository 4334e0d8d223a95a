"""The JSON Schemas (2020-12) of facts, made of the types that decode them (docs/spec/facts.md#schemas).

`python -m rebate_app.wire.facts.schemas docs/schemas` writes one file for each schema. Tests prove them
fresh, and that a schema accepts exactly the facts that the decoder accepts, apart from what the page lists.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct
from msgspec.json import schema_components

from rebate_app.domain.facts import REPRICE_LINES_MAX, Attribution

from ..audit_trail import trail_schema
from .money_schemas import MONEY_TYPES, REFERENCE_OF_PAID, RESOLUTIONS
from .order import ORDER_TYPES
from .order_check import ORDER_SCHEMA, PRICED_STATUSES, SETTLED, USER_SCHEMA
from .text_types import (
    DEFINITIONS,
    AttributionIdText,
    LevelIdText,
    MomentText,
    OrderLineText,
    ReasonText,
    UserIdText,
)

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]

_AMOUNT: Schema = {"type": "integer"}
_TEXT: Schema = {"type": "string"}


_Shown = Annotated[Any, Meta(description="who sent it, for display; the API sets it, and it decides nothing")]


class _UserFact(Struct, tag_field="kind", kw_only=True):
    schema: Literal["user-fact/1"]
    actor: _Shown = None
    request_id: _Shown = None


class _Profile(_UserFact, tag="user.profile"):
    """A user's whole profile from effective_at on, by default from the record's timestamp on."""

    user_id: UserIdText
    level: LevelIdText
    inviter_id: UserIdText | None = None
    effective_at: MomentText | None = None


class _Bind(_UserFact, tag="attribution.bind"):
    """An attribution id belongs to a user from here on; null unbinds. The last one in the log holds."""

    attribution_id: AttributionIdText
    user_id: UserIdText | None = None


class _Reprice(_UserFact, tag="account.reprice"):
    """Choose rules, level and inviters of the user's own lines anew; paid_from counts, paid_to does not."""

    user_id: UserIdText
    reason: ReasonText
    lines: Annotated[list[OrderLineText], Meta(min_length=1, max_length=REPRICE_LINES_MAX)] | None = None
    paid_from: MomentText | None = None
    paid_to: MomentText | None = None
    released: bool | None = None


def order_event_schema() -> Schema:
    """Return the schema of the value of a record on `order_topic`."""
    schema = _schema_of(ORDER_TYPES, ORDER_SCHEMA, "A fact on order_topic; null is absent")
    kinds = schema["$defs"]
    kinds["Snapshot"]["allOf"] = _needs_of_a_snapshot()
    kinds["Attribution"] |= {
        "properties": {name: _attribution_member(name) for name in Attribution.__struct_fields__},
        "description": 'Whose line it is; "" and "0" are no values',
    }
    return schema


def user_fact_schema() -> Schema:
    """Return the schema of the value of a record that others may send to `rebate-user-log`."""
    types = _Profile | _Bind | _Reprice | MONEY_TYPES
    schema = _schema_of(types, USER_SCHEMA, "A fact on rebate-user-log; null is absent")
    for name in RESOLUTIONS:
        schema["$defs"][name]["allOf"] = [REFERENCE_OF_PAID]
    return schema


SCHEMAS = {
    "order-event-1": order_event_schema,
    "user-fact-1": user_fact_schema,
    "audit-trail-1": trail_schema,
}


def page(name: str) -> str:
    """Return a schema as it is committed."""
    return json.dumps(SCHEMAS[name](), indent=2) + "\n"


def write_pages(folder: Path) -> None:
    """Write all schemas into the folder."""
    for name in SCHEMAS:
        (folder / f"{name}.json").write_text(page(name), encoding="utf-8")


def _schema_of(types: Any, schema_name: str, title: str) -> Schema:
    """Return the schema of a union of fact types with all definitions that it refers to."""
    (union,), components = schema_components([types], ref_template="#/$defs/{name}")
    schema: Schema = _renamed({**union, "$defs": components})
    definitions = schema.pop("$defs")
    text = json.dumps(definitions)
    used = {name: each for name, each in DEFINITIONS.items() if f'"#/$defs/{name}"' in text}
    if "Attribution" in definitions:
        used |= {name: DEFINITIONS[name] for name in ("UserId", "AttributionValue")}
    return {
        "$schema": DIALECT,
        "$id": f"urn:taoke-rebate:{schema_name.replace('/', ':')}",
        "title": title,
        **schema,
        "$defs": definitions | used,
    }


def _renamed(value: Any) -> Any:
    """Return a part of a schema with the names of our classes as a reader knows them."""
    if isinstance(value, dict):
        return {_public(name): _renamed(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_renamed(member) for member in value]
    return _public(value) if isinstance(value, str) else value


def _public(name: str) -> str:
    """Return the name of a class, or a reference to it, without the prefixes of private types."""
    head, slash, last = name.rpartition("#/$defs/")
    if name.startswith("_") or (slash and last.startswith("_")):
        return head + slash + last.removeprefix("_").removeprefix("Wire")
    return name


def _needs_of_a_snapshot() -> list[Schema]:
    """Return what a snapshot needs because of its status or its dates (docs/spec/facts.md#order-facts)."""
    priced = {"properties": {"status": {"enum": sorted(PRICED_STATUSES)}}}
    dated = {"not": {"type": "null"}}
    settles = [
        {"properties": {"status": {"const": SETTLED}}},
        {"required": ["times"], "properties": {"times": _with("expected_settle", dated)}},
    ]
    return [
        {
            "if": priced,
            "then": {
                "required": ["amounts", "times"],
                "properties": {"amounts": _with("est_commission", _AMOUNT), "times": _with("paid", _TEXT)},
            },
        },
        {
            "if": {"anyOf": settles},
            "then": {
                "required": ["amounts"],
                "properties": {"amounts": _with("settled_commission", _AMOUNT)},
            },
        },
    ]


def _with(member: str, schema: Schema) -> Schema:
    """Return the schema of an object that has the member."""
    return {"type": "object", "required": [member], "properties": {member: schema}}


def _attribution_member(name: str) -> Schema:
    """Return the schema of a member of `attribution`; "0" is within the other texts."""
    text = "UserId" if name == "user_id" else "AttributionValue"
    return {"anyOf": [{"$ref": f"#/$defs/{text}"}, {"const": ""}, {"type": "null"}], "default": None}


if __name__ == "__main__":
    write_pages(Path(sys.argv[1]))
