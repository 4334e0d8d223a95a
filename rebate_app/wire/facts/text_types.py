"""Texts in facts as annotated types, and their definitions in the JSON Schemas of facts.

An annotation only names the definition: msgspec does not check it, so the typed decode costs what it did. The
checks themselves are in identifiers.py and ..moments; `tests/wire/facts/test_fact_schemas.py` proves that
definitions and checks agree (docs/spec/facts.md#schemas).

Regular expressions here are in the subset that ECMA 262, Python and RE2 read alike: no class of white space,
whose content differs, and beyond U+00FF characters instead of escapes.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from rebate_app.domain.facts import (
    ATTRIBUTION_FIELDS,
    LINE_ID_PATTERN,
    PLATFORM_PATTERN,
    REPRICE_REASON_CHARACTERS_MAX,
    SUIT_ID_PATTERN,
    USER_ID_PATTERN,
)
from rebate_app.domain.money_out.facts import (
    ACTOR_CHARACTERS_MAX,
    MEMO_CHARACTERS_MAX,
    OWN_ID_PATTERN,
    REF_CHARACTERS_MAX,
)
from rebate_app.domain.money_out.facts import REASON_CHARACTERS_MAX as SHORT_REASON_MAX

from .identifiers import (
    DOT_IDS,
    LEVEL_CHARACTERS_MAX,
    LEVEL_RULE,
    USER_ID_RULE,
    VALUE_CHARACTERS_MAX,
    VALUE_RULE,
)

#: U+0000 to U+001F and U+007F to U+009F.
_CONTROLS = r"\x00-\x1f\x7f-\x9f"
#: The controls, and all that Unicode counts as white space.
_BLANKS = r"\x00-\x20\x7f-\xa0" "\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_VALUE = f"[^{_BLANKS}]{{1,{VALUE_CHARACTERS_MAX}}}"
_LEVEL = f"[^{_CONTROLS}]{{1,{LEVEL_CHARACTERS_MAX}}}"
_ATTRIBUTION_ID = f"{PLATFORM_PATTERN}:(?:none|(?:{'|'.join(ATTRIBUTION_FIELDS)}):{_VALUE})"

#: 0001 to 9999.
_YEAR = "(?:000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})"
_LEAP = "(?:0[48]|[2468][048]|[13579][26])"
_LEAP_YEAR = f"(?:[0-9]{{2}}{_LEAP}|{_LEAP}00)"
_MONTHS = (
    "(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])",
    "(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)",
    "02-(?:0[1-9]|1[0-9]|2[0-8])",
)
_DATE = f"(?:{_YEAR}-(?:{'|'.join(_MONTHS)})|{_LEAP_YEAR}-02-29)"
_TIME = "[Tt](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]+)?"
_OFFSET = "(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"

#: `$` also matches before a last line break in some engines; none of our texts has one.
_NO_LINE_BREAK = {"pattern": "\n"}
_NO_DOTS = {"enum": sorted(DOT_IDS)}


def _text(pattern: str, description: str, *never: dict[str, Any]) -> dict[str, Any]:
    """Return the definition of a text that matches the whole pattern and none of the schemas of `never`."""
    excluded = [_NO_LINE_BREAK, *never]
    return {
        "type": "string",
        "pattern": f"^{pattern}$",
        "not": excluded[0] if len(excluded) == 1 else {"anyOf": excluded},
        "description": description,
    }


#: The definitions by name, as `$defs` of the schemas have them.
DEFINITIONS: dict[str, dict[str, Any]] = {
    "Platform": _text(PLATFORM_PATTERN, "1-16 of a-z0-9; taobao, jd, pdd, or any other"),
    "LineId": _text(LINE_ID_PATTERN, "1-64 of A-Za-z0-9._-"),
    "OrderLine": _text(f"{PLATFORM_PATTERN}:{LINE_ID_PATTERN}", "platform:order_line_id"),
    "SuitId": _text(SUIT_ID_PATTERN, "1-64 of A-Za-z0-9._-, unique within the line"),
    "UserId": _text(USER_ID_PATTERN, USER_ID_RULE, _NO_DOTS),
    "AttributionValue": _text(_VALUE, VALUE_RULE, _NO_DOTS),
    "AttributionId": _text(_ATTRIBUTION_ID, "platform:field:value, or platform:none"),
    "OrderNumber": _text(f"[^{_BLANKS}]{{1,64}}", "1-64 characters without space and control"),
    "LevelId": _text(_LEVEL, f"a level of the rule files, {LEVEL_RULE}"),
    "Reason": _text(f"[^{_CONTROLS}]{{1,{REPRICE_REASON_CHARACTERS_MAX}}}", "why, for people"),
    "Moment": _text(f"{_DATE}{_TIME}{_OFFSET}", "RFC 3339 with offset, compared as an instant"),
    "Day": _text(_DATE, "YYYY-MM-DD, a day in Asia/Shanghai"),
}


DEFINITIONS |= {
    "OwnId": _text(OWN_ID_PATTERN, "1-64 of A-Za-z0-9._-"),
    "ShortReason": _text(f"[^{_CONTROLS}]{{1,{SHORT_REASON_MAX}}}", "why, for people"),
    "Memo": _text(f"[^{_CONTROLS}]{{0,{MEMO_CHARACTERS_MAX}}}", "seen by everybody"),
    "Ref": _text(f"[^{_CONTROLS}]{{0,{REF_CHARACTERS_MAX}}}", "what it refers to elsewhere"),
    "Name": _text(f"[^{_CONTROLS}]{{1,{REF_CHARACTERS_MAX}}}", "1-128 characters without control"),
    "Actor": _text(f"[^{_CONTROLS}]{{1,{ACTOR_CHARACTERS_MAX}}}", "who sends it; it decides who may approve"),
    "AsOf": {
        "anyOf": [DEFINITIONS["Moment"], DEFINITIONS["Day"]],
        "description": "the moment of the figures, or the beginning of a day in Shanghai",
    },
}


def _refers(name: str) -> Meta:
    return Meta(extra_json_schema={"$ref": f"#/$defs/{name}"})


PlatformText = Annotated[str, _refers("Platform")]
LineIdText = Annotated[str, _refers("LineId")]
OrderLineText = Annotated[str, _refers("OrderLine")]
ReasonText = Annotated[str, _refers("Reason")]
SuitIdText = Annotated[str, _refers("SuitId")]
UserIdText = Annotated[str, _refers("UserId")]
AttributionIdText = Annotated[str, _refers("AttributionId")]
LevelIdText = Annotated[str, _refers("LevelId")]
MomentText = Annotated[str, _refers("Moment")]
DayText = Annotated[str, _refers("Day")]
OwnIdText = Annotated[str, _refers("OwnId")]
ShortReasonText = Annotated[str, _refers("ShortReason")]
MemoText = Annotated[str, _refers("Memo")]
RefText = Annotated[str, _refers("Ref")]
NameText = Annotated[str, _refers("Name")]
ActorText = Annotated[str, _refers("Actor")]
AsOfText = Annotated[str, _refers("AsOf")]
