"""Patterns of well-formed ids: users, order lines, attribution values and attribution ids.

User ids are 1-128 of `A-Za-z0-9._@-`; an attribution value is 1-128 characters without space and
control; `""` and `"0"` are no values; an attribution id is `platform:field:value` or `platform:none`
(docs/spec/facts.md#values).
"""

from __future__ import annotations

import re
from urllib.parse import quote

from rebate_app.domain.facts import (
    ATTRIBUTION_FIELDS,
    LINE_ID_PATTERN,
    PLATFORM_PATTERN,
    SUIT_ID_PATTERN,
    USER_ID_PATTERN,
)

USER_ID_RULE = "a user id, 1-128 of A-Za-z0-9._@- and neither . nor .."
VALUE_RULE = "1-128 characters without space and control"
LEVEL_RULE = "1-64 characters without control"
#: Texts of networks for no value.
NO_VALUES = frozenset({"", "0"})
VALUE_CHARACTERS_MAX = 128
LEVEL_CHARACTERS_MAX = 64
#: Clients resolve them in URLs. At the borders they are no user ids; on the topics they are.
DOT_IDS = frozenset({".", ".."})

#: White space of any script, control characters, and halves of surrogate pairs that are no characters.
_VALUE = rf"[^\s\x00-\x1f\x7f-\x9f\ud800-\udfff]{{1,{VALUE_CHARACTERS_MAX}}}"

match_platform = re.compile(PLATFORM_PATTERN).fullmatch
match_line_id = re.compile(LINE_ID_PATTERN).fullmatch
match_line = re.compile(f"{PLATFORM_PATTERN}:{LINE_ID_PATTERN}").fullmatch
match_suit_id = re.compile(SUIT_ID_PATTERN).fullmatch
match_user_id = re.compile(USER_ID_PATTERN).fullmatch
match_value = re.compile(_VALUE).fullmatch
#: A level is a name from a rule file; it is compared, never interpreted.
match_level = re.compile(rf"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{{1,{LEVEL_CHARACTERS_MAX}}}").fullmatch
match_attribution_id = re.compile(
    f"(?:{PLATFORM_PATTERN}):(?:none|(?:{'|'.join(ATTRIBUTION_FIELDS)}):{_VALUE})"
).fullmatch


def match_border_user_id(text: str) -> re.Match[str] | None:
    """Return the match of a user id that HTTP, commands and adapters take: well-formed, no `.` or `..`."""
    return None if text in DOT_IDS else match_user_id(text)


def user_id_ok(text: str) -> bool:
    """Return whether the text is a well-formed user id."""
    return match_user_id(text) is not None


def attribution_id_ok(text: str) -> bool:
    """Return whether the text is `platform:field:value` with a known field, or `platform:none`."""
    return match_attribution_id(text) is not None


def path_segment(text: str) -> str:
    """Return an id as a segment of a URL's path, percent-encoded; `.` and `..` too, which clients resolve.

    The URL must reach the HTTP client as encoded already.
    """
    return text.replace(".", "%2E") if text in DOT_IDS else quote(text, safe="")
