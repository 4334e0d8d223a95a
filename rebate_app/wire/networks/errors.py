"""Error answers of the networks: HTTP 200 with an error inside (docs/spec/networks.md#rows).

An answer that reports an error anywhere outside its rows is one `network-error` with the network's own code
and message, even when it has rows besides. It is never an empty page.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from rebate_app.domain.faults import NETWORK_ERROR, Fault

from ..facts.members import quoted
from .integers import integer_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

ERROR_ENVELOPE = "error_response"
ERROR_CHARACTERS_MAX = 500

OK_CODE = 200
NO_ERROR_CODE = 0
#: The values of `code` and `result_code` that mean success.
OK_CODES = frozenset({OK_CODE})
OK_OR_ZERO_CODES = frozenset({OK_CODE, NO_ERROR_CODE})

_RESULT_CODES = ("code", "result_code")
_ZERO_CODES = ("biz_error_code", "error_code", "errorCode")
_MAIN_CODES = ("code", "error_code", "errorCode", "result_code")
_ERROR_MEMBER = "error"
_MAIN_MESSAGES = (
    *("msg", "error_msg", "zh_desc", "en_desc", "message", "errorMessage", "result_msg"),
    _ERROR_MEMBER,
)
_DETAIL_CODES = ("sub_code", "biz_error_code")
_DETAIL_MESSAGES = ("sub_msg", "biz_error_desc")
#: Members that an answer without rows has only if it reports an error.
_ERROR_TEXTS = ("sub_code", "error_msg", "errorMessage", "zh_desc", "en_desc", *_DETAIL_MESSAGES)
_SUCCESS_TEXTS = frozenset({"success", "ok"})
_TRUE_TEXTS = frozenset({"true", "1"})
_FALSE_TEXTS = frozenset({"false", "0"})


def envelope_levels(value: Any, is_row: Callable[[Any], bool]) -> Iterator[dict[str, Any]]:
    """Return the objects of an answer that are no rows and not within rows, each before its members."""
    if isinstance(value, list):
        for element in value:
            yield from envelope_levels(element, is_row)
    elif isinstance(value, dict) and not is_row(value):
        yield value
        for member in value.values():
            yield from envelope_levels(member, is_row)


def error_of(
    levels: Iterable[dict[str, Any]], ok_codes: frozenset[int], *, without_rows: bool = False
) -> Fault | None:
    """Return the refusal of an answer whose envelope reports an error, None for a good one.

    `levels` are the objects of the envelope from the outside in, without the rows. `ok_codes` are the
    values of `code` and `result_code` that mean success. `without_rows`: the answer has no rows, so that a
    `sub_code` or an error message is an error by itself.
    """
    reporting, others = [], []
    for level in levels:
        if level.get(ERROR_ENVELOPE) is not None:
            return network_error(level[ERROR_ENVELOPE])
        is_error = _reports_error(level, ok_codes) or (without_rows and _has_error_text(level))
        if is_error:
            reporting.append(level)
        else:
            others.append(_without_success(level))
    return error_report([*reversed(reporting), *reversed(others)]) if reporting else None


def network_error(envelope: Any, message: str = "no message") -> Fault:
    """Return the refusal of an answer with the network's own code and message.

    `message` stands in where the network gives none.
    """
    return error_report([envelope if isinstance(envelope, dict) else {"msg": envelope}], message)


def error_report(levels: list[dict[str, Any]], message: str = "no message") -> Fault:
    """Return the same for several objects: each of code and message is that of the first object with one."""
    code, text = _first_code(levels, _MAIN_CODES), _first_text(levels, _MAIN_MESSAGES)
    details = [_first_code(levels, _DETAIL_CODES), _first_text(levels, _DETAIL_MESSAGES)]
    if code is None and text is None and any(details):
        (code, text), details = details, []
    tail = ": ".join(printable(each) for each in details if each)
    head = f"{'no code' if code is None else printable(code)}: {message if text is None else printable(text)}"
    return Fault(NETWORK_ERROR, "", f"{head} ({tail})" if tail else head)


def printable(value: Any) -> str:
    """Return a network's text so that it can be printed anywhere."""
    text = value if isinstance(value, str) else quoted(value)
    return text[:ERROR_CHARACTERS_MAX].encode("utf-8", "replace").decode()


def flag(value: Any) -> bool | None:
    """Return a truth value that a network writes as JSON, text or number, None for anything else."""
    if isinstance(value, bool):
        return value
    integer = integer_of(value)
    text = str(integer) if integer is not None else value.lower() if isinstance(value, str) else ""
    return True if text in _TRUE_TEXTS else False if text in _FALSE_TEXTS else None


def code_in(value: Any, codes: frozenset[int]) -> bool:
    """Return whether a code, a number or its text, is one of these."""
    if isinstance(value, str):
        return integer_of(value.strip()) in codes
    return isinstance(value, int | Decimal) and value in codes


def _reports_error(level: dict[str, Any], ok_codes: frozenset[int]) -> bool:
    """Return whether one object of an envelope reports an error."""
    success = level.get("success")
    return (
        (not _is_absent(success) and flag(success) is not True)
        or _is_error_member(level.get(_ERROR_MEMBER))
        or any(_is_outside(level.get(name), ok_codes) for name in _RESULT_CODES)
        or any(_is_outside(level.get(name), frozenset({NO_ERROR_CODE})) for name in _ZERO_CODES)
    )


def _is_error_member(value: Any) -> bool:
    """Return whether the value of `error` reports one: not empty, not false, no object with a good code."""
    if isinstance(value, dict):
        return bool(value) and not any(code_in(value.get(name), OK_OR_ZERO_CODES) for name in _MAIN_CODES)
    return bool(value) and flag(value) is not False and not _is_success_text(value)


def _has_error_text(level: dict[str, Any]) -> bool:
    """Return whether an object has a member that only errors have."""
    return any(
        level.get(name) and not code_in(level[name], OK_OR_ZERO_CODES) and not _is_success_text(level[name])
        for name in _ERROR_TEXTS
    )


def _without_success(level: dict[str, Any]) -> dict[str, Any]:
    """Return an object without the codes and messages of success, which do not describe an error."""
    return {
        name: value
        for name, value in level.items()
        if not _is_success_text(value) and not (name in _MAIN_CODES and code_in(value, OK_OR_ZERO_CODES))
    }


def _is_success_text(value: Any) -> bool:
    return isinstance(value, str) and value.strip().lower() in _SUCCESS_TEXTS


def _is_absent(value: Any) -> bool:
    return value is None or value == ""


def _is_outside(value: Any, codes: frozenset[int]) -> bool:
    """Return whether a code is present and none of these."""
    return not _is_absent(value) and not code_in(value, codes)


def _first_text(levels: list[dict[str, Any]], names: tuple[str, ...]) -> Any:
    """Return the first message that does not mean success, else the first one, None for none."""
    texts = [
        level[name]
        for level in levels
        for name in names
        if level.get(name) and (name != _ERROR_MEMBER or isinstance(level[name], str))
    ]
    return next((text for text in texts if not _is_success_text(text)), texts[0] if texts else None)


def _first_code(levels: list[dict[str, Any]], names: tuple[str, ...]) -> Any:
    """Return the first code that is no success, else the first one that is present."""
    codes = [level[name] for level in levels for name in names if not _is_absent(level.get(name))]
    return next((code for code in codes if not code_in(code, OK_OR_ZERO_CODES)), codes[0] if codes else None)
