"""What a well-formed id is: users, order lines, attribution values and attribution ids.

Law: user ids are 1-128 of `A-Za-z0-9._@-`; an attribution value is 1-128 characters without space and
control; `""` and `"0"` are no values; an attribution id is `platform:field:value` or `platform:none`
(contracts.md 1). It is separate because facts, paths of the web server and files all ask it.
"""

from __future__ import annotations

import re

from rebate_app.domain.facts import (
    ATTRIBUTION_FIELDS,
    LINE_ID_PATTERN,
    PLATFORM_PATTERN,
    SUIT_ID_PATTERN,
    USER_ID_PATTERN,
)

USER_ID_SAYS = "a user id, 1-128 of A-Za-z0-9._@-"
VALUE_SAYS = "1-128 characters without space and control"
#: Texts by which a network says that a member has no value.
NO_VALUES = frozenset({"", "0"})
VALUE_CHARACTERS_MAX = 128

#: White space of any script, control characters, and halves of surrogate pairs that are no characters.
_VALUE = r"[^\s\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,128}"

match_platform = re.compile(PLATFORM_PATTERN).fullmatch
match_line_id = re.compile(LINE_ID_PATTERN).fullmatch
match_line = re.compile(f"{PLATFORM_PATTERN}:{LINE_ID_PATTERN}").fullmatch
match_suit_id = re.compile(SUIT_ID_PATTERN).fullmatch
match_user_id = re.compile(USER_ID_PATTERN).fullmatch
match_value = re.compile(_VALUE).fullmatch
match_attribution_id = re.compile(
    f"(?:{PLATFORM_PATTERN}):(?:none|(?:{'|'.join(ATTRIBUTION_FIELDS)}):{_VALUE})"
).fullmatch


def user_id_ok(text: str) -> bool:
    """Return whether the text is a well-formed user id."""
    return match_user_id(text) is not None


def attribution_id_ok(text: str) -> bool:
    """Return whether the text is `platform:field:value` with a known field, or `platform:none`."""
    return match_attribution_id(text) is not None
