"""Whose line is it: the log that gets a line, from what its snapshots say (contracts.md 1).

A line goes to a user's log when a snapshot names the user outright, else to the log of one
attribution id, whose account knows to whom the id is bound: so binding late, claiming and binding
anew need no table that every worker would have to hold.
"""

from __future__ import annotations

import re

from msgspec import Struct

from .facts import ATTRIBUTION_FIELDS, USER_ID_PATTERN, Attribution
from .order_line import LineState, Said

NO_VALUE_FIELD = "none"
USER_ID = re.compile(USER_ID_PATTERN)


class Owner(Struct, frozen=True, gc=False):
    """The log key that a line belongs to and which member named it."""

    key: str
    by: str


def is_attribution_id(key: str) -> bool:
    """Whether a log key is an attribution id; user ids never hold a colon."""
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


def newest_values(said: list[Said]) -> dict[str, str]:
    """Return each member's newest value."""
    values: dict[str, str] = {}
    for group in said:
        for name in Attribution.__struct_fields__:
            value = getattr(group.by, name)
            if value is not None and name not in values:
                values[name] = value
    return values


def owner_of(state: LineState, platform: str, user_id_fields: dict[str, tuple[str, ...]]) -> Owner:
    """Return the log that the line belongs to: a user outright, else one attribution id."""
    said = state.said_unknown if state.only_unknown else state.said
    for group in said:
        if group.by.user_id is not None:
            return Owner(group.by.user_id, "user_id")
    values = newest_values(said)
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
