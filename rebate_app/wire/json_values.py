"""JSON text as values, without loss: for the reference path of facts, for files and for answers of networks.

What RFC 8259 does not allow is refused with ValueError (NaN, a byte order mark, text that is not UTF-8). An
integer never becomes a float.
"""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from typing import Any, NoReturn

#: Deeper values are refused, so that the verdict never depends on how deep our own call stack is.
NESTING_MAX = 400
#: A row has to be read, written and shown with what is left of our own call stack.
LEVELS_CUT = 200
#: What Python converts to int by itself; a longer one is kept as Decimal, which no rule takes.
INTEGER_DIGITS_MAX = 4_300

_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_TOKEN = re.compile(rf"{_STRING.pattern}|[\[\]{{}}]", re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")


def parse_strict(value: bytes) -> Any:
    """Return the value of RFC 8259 JSON text; numbers with a point are floats, integers are exact.

    ValueError if it is not UTF-8, not JSON, or nested deeper than `NESTING_MAX`.
    """
    text = _decoded(value)
    if not is_shallow(value) and _is_deep(text):
        raise ValueError(f"the value is nested deeper than {NESTING_MAX}")
    return _parse(text, _STRICT)


def parse_network(value: bytes | str) -> Any:
    """Return the value of a network's JSON; a number with a point is the Decimal of its shortest text.

    The shortest text is that of the double the network computed with (docs/spec/networks.md#amounts). NaN and
    Infinity, which some writers emit, become Decimals that no amount accepts, so that they cost
    their own row only. ValueError as in `parse_strict`, but how deep is too deep depends on the
    machine: pages are large, no fact keeps their nesting, and counting it would take longest.
    """
    return _parse(value if isinstance(value, str) else _decoded(value), _NETWORK)


def parse_network_cut(value: bytes | str) -> Any:
    """Return the value of a network's JSON with null in place of what is nested deeper than `LEVELS_CUT`.

    For an answer that `parse_network` cannot read; ValueError as there.
    """
    text = value if isinstance(value, str) else _decoded(value)
    kept, depth, begin = [], 0, 0
    for token in _TOKEN.finditer(text):
        if token[0] in "[{":
            depth += 1
            if depth == LEVELS_CUT + 1:
                kept += [text[begin : token.start()], "null"]
        elif token[0] in "]}":
            depth -= 1
            if depth == LEVELS_CUT:
                begin = token.end()
    if depth > LEVELS_CUT:
        raise ValueError("the value is not JSON: it ends within")
    return _parse("".join([*kept, text[begin:]]), _NETWORK)


def is_shallow(value: bytes) -> bool:
    """Return whether a text surely is within `NESTING_MAX`, by length or brackets; no means unsure."""
    return len(value) <= 2 * NESTING_MAX or value.count(b"{") + value.count(b"[") <= NESTING_MAX


def encode_any(document: Any, *, sort_keys: bool = False) -> bytes:
    """Return the compact JSON of a value that orjson refuses; what JSON cannot express becomes null.

    Lone surrogates stay escapes, integers stay integers of any size, Decimals become their text.
    """
    text = json.dumps(
        _json_safe(document), separators=(",", ":"), allow_nan=False, default=str, sort_keys=sort_keys
    )
    return text.encode("ascii")


def without_depth(value: Any, depth: int) -> Any:
    """Return a value whose arrays and objects within `depth` others are replaced by null."""
    if not isinstance(value, dict | list):
        return value
    if depth == 0:
        return None
    if isinstance(value, dict):
        return {name: without_depth(member, depth - 1) for name, member in value.items()}
    return [without_depth(element, depth - 1) for element in value]


def _decoded(value: bytes) -> str:
    """Return the text of UTF-8 bytes, or raise ValueError with a sentence."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise ValueError("the value is not UTF-8") from None


def _is_deep(text: str) -> bool:
    """Return whether arrays and objects, leaving strings aside, are nested deeper than `NESTING_MAX`."""
    depth = 0
    for bracket in _BRACKET.finditer(_STRING.sub("", text)):
        depth += 1 if bracket[0] in "[{" else -1
        if depth > NESTING_MAX:
            return True
    return False


def _parse(text: str, decoder: json.JSONDecoder) -> Any:
    """Return the value of a JSON text, or raise ValueError."""
    try:
        return decoder.decode(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"the value is not JSON: {error}") from None
    except RecursionError:
        raise ValueError("the value is nested too deep") from None


def _integer(text: str) -> int | Decimal:
    """Return an exact int, or a Decimal when the text is too long for one."""
    return int(text) if len(text) <= INTEGER_DIGITS_MAX else Decimal(text)


def _shortest(text: str) -> Decimal:
    """Return the Decimal of the shortest text that reads back as the same double."""
    return Decimal(repr(float(text)))


def _refuse_constant(text: str) -> NoReturn:
    """Refuse NaN and the infinities, which are no JSON."""
    raise ValueError(f"the value is not JSON: {text} is no number")


def _json_safe(value: Any) -> Any:
    """Return the value with every number that JSON cannot express replaced by None."""
    # Loops and not comprehensions: those would need two frames of the call stack for each level.
    if isinstance(value, dict):
        members = {}
        for name, member in value.items():
            members[name] = _json_safe(member)
        return members
    if isinstance(value, list):
        elements = []
        for element in value:
            elements.append(_json_safe(element))  # noqa: PERF401 - see above
        return elements
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


_STRICT = json.JSONDecoder(parse_int=_integer, parse_constant=_refuse_constant)
_NETWORK = json.JSONDecoder(parse_float=_shortest, parse_int=_integer, parse_constant=Decimal)
