"""Find the rows in what a network answered: envelopes, arrays of answers, arrays of rows, rows.

Law: every row is found exactly once and in reading order, an answer that reports an error is one
refusal with the network's own words, and nothing that looks like an answer is skipped in silence
(contracts.md 8). It is separate from the adapters because envelopes change with gateways, rows with
networks.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from rebate_app.domain.faults import NETWORK_ERROR, UNDECODABLE, Fault

from ..json_values import parse_network
from ..members import shown
from .taobao import is_refund

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Found = dict[str, Any] | Fault

ERROR_ENVELOPE = "error_response"
TAOBAO_ROWS = "publisher_order_dto"
JD_ENVELOPES = ("jd_union_open_order_row_query_responce", "jd_union_open_order_row_query_response")
PDD_ENVELOPES = ("order_list_get_response", "order_list_increment_get_response")
JD_SUCCESS = (200, "200")

_TAOBAO_ENVELOPE = re.compile(r"(?:taobao_)?tbk_\w+_response")
_ERROR_CODES = ("code", "error_code", "errorCode")
_ERROR_MESSAGES = ("msg", "error_msg", "zh_desc", "en_desc", "message", "errorMessage")
_ERROR_DETAILS = ("sub_code", "sub_msg")
ERROR_CHARACTERS_MAX = 500


def taobao_rows(document: Any) -> Iterator[Found]:
    """Find order rows and refund rows, the latter however deep in an answer."""
    return _each(document, _taobao_answer)


def jd_rows(document: Any) -> Iterator[Found]:
    """Find the rows of JD's answers, whose result is JSON text inside the JSON, or an object."""
    return _each(document, _jd_answer)


def pdd_rows(document: Any) -> Iterator[Found]:
    """Find the rows of PDD's answers."""
    return _each(document, _pdd_answer)


def plain_rows(document: Any) -> Iterator[Found]:
    """Find rows that have no envelope."""
    return _each(document, lambda answer: iter([answer]))


def network_error(envelope: Any) -> Fault:
    """Return the refusal of an answer that reports an error, with the network's own code and message."""
    fields = envelope if isinstance(envelope, dict) else {"msg": envelope}
    code = next((fields[name] for name in _ERROR_CODES if fields.get(name) is not None), "no code")
    message = next((fields[name] for name in _ERROR_MESSAGES if fields.get(name)), "no message")
    details = [_said(fields[name]) for name in _ERROR_DETAILS if fields.get(name)]
    tail = f" ({': '.join(details)})" if details else ""
    return Fault(NETWORK_ERROR, "", f"{_said(code)}: {_said(message)}{tail}")


def _each(document: Any, unwrap: Callable[[dict[str, Any]], Iterator[Found]]) -> Iterator[Found]:
    """Take a document apart: arrays hold answers or rows, an object is one of them."""
    if isinstance(document, list):
        for element in document:
            yield from _each(element, unwrap)
    elif isinstance(document, dict):
        yield from (
            [network_error(document[ERROR_ENVELOPE])] if ERROR_ENVELOPE in document else unwrap(document)
        )
    else:
        yield _no_row(document)


def _rows(value: Any) -> Iterator[Found]:
    """Take rows out of where an answer keeps them: an array, a single object, or nothing."""
    if value is None:
        return
    for row in value if isinstance(value, list) else [value]:
        yield row if isinstance(row, dict) else _no_row(row)


def _no_row(value: Any) -> Fault:
    """Return the refusal of a value that should have been a row."""
    return Fault(UNDECODABLE, "", f"a row is a JSON object, and this is {shown(value)}")


def _said(value: Any) -> str:
    """Return what a network said as text that can be printed anywhere."""
    text = value if isinstance(value, str) else shown(value)
    return text[:ERROR_CHARACTERS_MAX].encode("utf-8", "replace").decode()


def _taobao_answer(answer: dict[str, Any]) -> Iterator[Found]:
    """Find the rows of one answer of taobao; an object without any is a row, unless it is an envelope."""
    found = list(_taobao_search(answer))
    if found:
        yield from found
        return
    envelopes = [value for name, value in answer.items() if _TAOBAO_ENVELOPE.fullmatch(name)]
    if not envelopes:
        yield answer
    for envelope in envelopes:
        if not isinstance(envelope, dict):
            yield _no_row(envelope)
        elif any(envelope.get(name) is not None for name in _ERROR_CODES):
            yield network_error(envelope)
        elif _holds_array(envelope):
            yield Fault(UNDECODABLE, "", "an answer of taobao with an array, and no row in it that is known")


def _holds_array(value: Any) -> bool:
    """Return whether an answer carries anything that might be rows."""
    if isinstance(value, dict):
        return any(_holds_array(member) for member in value.values())
    return isinstance(value, list) and bool(value)


def _taobao_search(value: Any) -> Iterator[Found]:
    """Search depth first for rows: what has a line's id, and all its neighbours in an array."""
    if isinstance(value, list):
        if any(_is_taobao_row(element) for element in value):
            yield from _rows(value)
        else:
            for element in value:
                yield from _taobao_search(element)
    elif isinstance(value, dict):
        if _is_taobao_row(value):
            yield value
        elif ERROR_ENVELOPE in value:
            yield network_error(value[ERROR_ENVELOPE])
        else:
            for name, member in value.items():
                yield from _rows(member) if name == TAOBAO_ROWS else _taobao_search(member)


def _is_taobao_row(value: Any) -> bool:
    """Return whether a value is an order row or a refund row by its id."""
    return isinstance(value, dict) and ("trade_id" in value or is_refund(value))


def _jd_answer(answer: dict[str, Any]) -> Iterator[Found]:
    """Find the rows of one answer of JD, or the answer itself if it is a row."""
    envelopes = [answer[name] for name in JD_ENVELOPES if name in answer]
    for envelope in envelopes:
        if not isinstance(envelope, dict):
            yield _no_row(envelope)
        elif envelope.get("queryResult") is None:
            yield network_error(envelope)
        else:
            yield from _jd_result(envelope["queryResult"])
    if not envelopes:
        yield answer


def _jd_result(result: Any) -> Iterator[Found]:
    """Find the rows of JD's `queryResult`."""
    if isinstance(result, str):
        try:
            result = parse_network(result)
        except ValueError as error:
            yield Fault(UNDECODABLE, "queryResult", str(error))
            return
    if not isinstance(result, dict):
        yield _no_row(result)
    elif result.get("code") not in JD_SUCCESS:
        yield network_error(result)
    else:
        yield from _rows(result.get("data"))


def _pdd_answer(answer: dict[str, Any]) -> Iterator[Found]:
    """Find the rows of one answer of PDD, or the answer itself if it is a row."""
    envelopes = [answer[name] for name in PDD_ENVELOPES if name in answer]
    for envelope in envelopes:
        if not isinstance(envelope, dict):
            yield _no_row(envelope)
        elif envelope.get("order_list") is None and envelope.get("error_code") is not None:
            yield network_error(envelope)
        else:
            yield from _rows(envelope.get("order_list"))
    if not envelopes:
        yield answer
