"""Taobao (TOP): orders of every scene and refunds, by update time (docs/spec/sources.md#jobs).

Pages go forward with `position_index`. Facts about the API: docs/spec/sources.md#taobao-api.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson

from rebate_app.wire.networks.taobao import ADAPTER

from ..signing import signed
from .api import (
    ApiClient,
    ApiProblem,
    Document,
    ErrorClass,
    JobSpec,
    Query,
    RowPage,
    beijing_text,
    code_of,
    is_window_too_long,
    rows_of,
    text_of,
    unknown,
)

if TYPE_CHECKING:
    from rebate_app.wire.networks.adapter import Row

    from ..configuration import AccountConfiguration, AppConfiguration

ORDERS = "taobao.tbk.order.details.get"
REFUNDS = "taobao.tbk.order.refund.get"
BY_UPDATE, BY_SETTLEMENT = 4, 3
REFUND_BY_UPDATE = 5
ANY_MEMBER = 4
ALL_ORDERS = 1
NEXT_PAGE = 1
PAGE_ROWS = 100

LIMITED = 7
DAY_IS_USED_UP = "limited-by-app-access-count"
REMOTE_FAILS = ("9", "10", "13")
SIGNATURE = ("24", "25", "28", "29")
PERMISSION = ("11", "12", "26", "27")
ARGUMENTS = ("21", "22", "23", "40", "41")
_BAN = re.compile(r"(\d+) more seconds?")
_TIMED_OUT = re.compile(r"time-?out|\bremote-service-", re.IGNORECASE)


def jobs(account: AccountConfiguration) -> list[JobSpec]:
    """Return a job for each scene, and one for refunds."""
    orders = [JobSpec(f"orders-{scene}", ORDERS, scene, settles_monthly=True) for scene in account.scenes]
    return [*orders, JobSpec("refunds", REFUNDS)]


def form(
    app: AppConfiguration, account: AccountConfiguration, job: JobSpec, query: Query, now: int
) -> dict[str, str]:
    """Return the signed parameters of one page."""
    common = {
        "method": job.method,
        "app_key": app.app_key,
        "session": account.session,
        "timestamp": beijing_text(now),
        "format": "json",
        "v": "2.0",
        "sign_method": app.sign_method,
    }
    own = _order_parameters(job, query) if job.method == ORDERS else _refund_parameters(query)
    return signed({**common, **own}, app.secret, app.sign_method)


def _order_parameters(job: JobSpec, query: Query) -> dict[str, str]:
    parameters = {
        "query_type": str(BY_SETTLEMENT if query.by_settlement else BY_UPDATE),
        "order_scene": str(job.scene),
        "start_time": beijing_text(query.start),
        "end_time": beijing_text(query.end),
        "page_no": str(query.page),
        "page_size": str(PAGE_ROWS),
    }
    if query.page > 1:
        parameters |= {"position_index": query.cursor, "jump_type": str(NEXT_PAGE)}
    return parameters


def _refund_parameters(query: Query) -> dict[str, str]:
    option: dict[str, Any] = {
        "query_type": REFUND_BY_UPDATE,
        "start_time": beijing_text(query.start),
        "end_time": beijing_text(query.end),
        "page_no": query.page,
        "page_size": PAGE_ROWS,
        "order_scene": ALL_ORDERS,
        "member_type": ANY_MEMBER,
    }
    if query.page > 1:
        option |= {"position_index": query.cursor, "jump_type": NEXT_PAGE}
    return {"publisher_refund_order_query_option": orjson.dumps(option).decode()}


def read(_job: JobSpec, document: Document, query: Query) -> RowPage | ApiProblem:
    """Return the rows of an answer, or its problem."""
    envelope = document.get("error_response")
    if envelope is not None:
        return problem_of(envelope if isinstance(envelope, dict) else {"msg": envelope})
    found = rows_of(ADAPTER, document)
    if isinstance(found, ApiProblem):
        return found
    rows, page = found
    data = _data(document)
    page_no = data.get("page_no")
    if page_no is not None and code_of(page_no) != str(query.page):
        return unknown("other-page", f"page {query.page} was asked for, and page {page_no} came")
    return RowPage(rows, page.more, None, text_of(data.get("position_index")))


def _data(document: Document) -> Document:
    """Return the object of an answer that describes its page."""
    envelope = next((value for value in document.values() if isinstance(value, dict)), {})
    data = envelope.get("data", envelope)
    result = data if isinstance(data, dict) else {}
    inner = result.get("result")
    return {**result, **(inner if isinstance(inner, dict) and "has_next" in inner else {})}


def problem_of(envelope: Document) -> ApiProblem:
    """Return the class of an `error_response`."""
    code, sub_code = code_of(envelope.get("code")), text_of(envelope.get("sub_code"))
    texts = [text_of(envelope.get(name)) for name in ("msg", "sub_msg")]
    message = ": ".join(text for text in texts if text)
    named = f"{code} {sub_code}".strip()
    if code == str(LIMITED):
        return _limit(named, sub_code, message)
    if sub_code.startswith("isp.") or code in REMOTE_FAILS or _TIMED_OUT.search(sub_code):
        return ApiProblem(ErrorClass.RETRY, named, message)
    if code in SIGNATURE:
        return ApiProblem(ErrorClass.STOP, named, message, reach="app")
    if code in PERMISSION or sub_code.startswith("isv.permission"):
        return ApiProblem(ErrorClass.STOP, named, message, reach="account")
    if sub_code.startswith("isv.") or code in ARGUMENTS:
        if is_window_too_long(message):
            return ApiProblem(ErrorClass.HALVE, named, message, is_length=True)
        return ApiProblem(ErrorClass.STOP, named, message)
    return unknown(named, message)


def _limit(named: str, sub_code: str, message: str) -> ApiProblem:
    """Return the problem of a limit: the app's day is used up, or calls come too fast."""
    if sub_code.endswith(DAY_IS_USED_UP):
        return ApiProblem(ErrorClass.TOMORROW, named, message)
    ban = _BAN.search(message)
    return ApiProblem(ErrorClass.WAIT, named, message, wait_seconds=None if ban is None else int(ban[1]))


def version_of(row: Row) -> tuple[str, str]:
    """Return id and modification time: of a refund its suit within its line."""
    if "refund_suit_id" in row:
        return f"{row.get('tb_trade_id')}/{row.get('refund_suit_id')}", text_of(row.get("modified_time"))
    return text_of(row.get("trade_id")), text_of(row.get("modified_time"))


API = ApiClient(
    url="https://gw.api.taobao.com/router/rest",
    limit_seconds=3 * 3_600,
    page_rows=PAGE_ROWS,
    pages_max=100,
    jobs=jobs,
    form=form,
    read=read,
    version_of=version_of,
    has_sign_methods=True,
)
