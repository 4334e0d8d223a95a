"""Whose a line is: the user whom its facts name, or the attribution id that it waits under.

See docs/spec/facts.md#attribution.

It reads snapshots, claims and the last bindings, and never an amount.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tests.oracle.line_state import LineFacts, version
from tests.oracle.moments import instant

MEMBERS = ("user_id", "special_id", "sub_union_id", "custom_uid", "relation_id", "pid")
ID_MEMBERS = MEMBERS[1:]  # in the order in which they are asked
NO_VALUES = (None, "", "0")
_USER_ID = re.compile(r"[A-Za-z0-9._@-]{1,128}")


@dataclass(frozen=True)
class Owner:
    """The owner of a line: `by` says what decided; `attribution_id` is None where the facts name the user."""

    user_id: str | None
    attribution_id: str | None
    by: str | None  # user_id, sub_union_id, custom_uid, binding, claim or None


def parse_user_id_fields(setting: str) -> list[tuple[str, str]]:
    """Split the value of `REBATE_USER_ID_FIELDS` into pairs of platform and member."""
    pairs = [part.strip().split(":", 1) for part in setting.split(",") if part.strip()]
    return [(platform, member) for platform, member in pairs]


def newest_values(facts: LineFacts) -> dict[str, str]:
    """Return for each member of `attribution` its newest value over all snapshots that count."""
    values: dict[str, str] = {}
    for member in MEMBERS:
        found = []
        for snapshot in facts.counted_snapshots():
            value = (snapshot.get("attribution") or {}).get(member)
            if value not in NO_VALUES:
                found.append((version(snapshot), value.encode("utf-8")))
        if found:
            values[member] = max(found)[1].decode("utf-8")
    return values


def owner_of(
    facts: LineFacts, bindings: Mapping[str, str | None], user_id_fields: list[tuple[str, str]]
) -> Owner:
    """Return whose this line is under the last bindings."""
    values = newest_values(facts)
    if "user_id" in values:
        return Owner(values["user_id"], None, "user_id")
    for platform, member in user_id_fields:
        if platform == facts.platform and _USER_ID.fullmatch(values.get(member, "")):
            return Owner(values[member], None, member)
    attribution_id = f"{facts.platform}:none"
    for member in ID_MEMBERS:
        if member in values:
            attribution_id = f"{facts.platform}:{member}:{values[member]}"
            break
    bound_to = bindings.get(attribution_id)
    if bound_to is not None:
        return Owner(bound_to, attribution_id, "binding")
    claims = [(instant(claim["claimed_at"]), claim["user_id"]) for claim in facts.claims]
    if claims:
        return Owner(min(claims)[1], attribution_id, "claim")
    return Owner(None, attribution_id, None)
