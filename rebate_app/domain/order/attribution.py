"""Attribution: the account that a line goes to, from its snapshots (docs/spec/facts.md#attribution).

A line goes to a user when a snapshot names the user outright, else to the account of one attribution id,
which knows to whom the id is bound. So late bindings, claims and re-binding need no table that every worker
holds. The result is a function of the line's state alone.
"""

from __future__ import annotations

import re

from msgspec import Struct

from ..facts import ATTRIBUTION_FIELDS, USER_ID_PATTERN, Attribution
from .line import KeyedAttribution, LineState

NO_VALUE_FIELD = "none"
USER_ID = re.compile(USER_ID_PATTERN)


class Owner(Struct, frozen=True, gc=False):
    """The account that a line goes to (its key in the user log), and the member that decided it."""

    key: str
    by: str


def is_attribution_id(key: str) -> bool:
    """Whether a log key is an attribution id; no user id contains a colon."""
    return ":" in key


def parse_user_id_fields(text: str) -> dict[str, tuple[str, ...]]:
    """Return platform → members that hold user ids, from `platform:member,…`; ValueError names the fault."""
    fields: dict[str, tuple[str, ...]] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        platform, colon, member = part.partition(":")
        if not colon or member not in ATTRIBUTION_FIELDS or not re.fullmatch(r"[a-z0-9]{1,16}", platform):
            raise ValueError(
                f"{part!r} is not platform:member with a member of {', '.join(ATTRIBUTION_FIELDS)}"
            )
        fields[platform] = (*fields.get(platform, ()), member)
    return fields


def newest_values(attributions: list[KeyedAttribution]) -> dict[str, str]:
    """Return each member's newest value."""
    values: dict[str, str] = {}
    for keyed in attributions:
        for name in Attribution.__struct_fields__:
            value = getattr(keyed.attribution, name)
            if value is not None and name not in values:
                values[name] = value
    return values


def owner_of(state: LineState, platform: str, user_id_fields: dict[str, tuple[str, ...]]) -> Owner:
    """Return the account that the line goes to: a user who is named outright, else an attribution id."""
    attributions = state.unknown_attributions if state.only_unknown else state.attributions
    for keyed in attributions:
        if keyed.attribution.user_id is not None:
            return Owner(keyed.attribution.user_id, "user_id")
    values = newest_values(attributions)
    for member in user_id_fields.get(platform, ()):
        value = values.get(member)
        if value is not None and USER_ID.fullmatch(value):
            return Owner(value, member)
    for member in ATTRIBUTION_FIELDS:
        if member in values:
            return Owner(f"{platform}:{member}:{values[member]}", member)
    return Owner(f"{platform}:{NO_VALUE_FIELD}", NO_VALUE_FIELD)


def deciding_claim(state: LineState) -> str | None:
    """Return the user of the earliest claim, of equals the smaller id; it decides for unbound ids only."""
    return state.claims[0][1] if state.claims else None
