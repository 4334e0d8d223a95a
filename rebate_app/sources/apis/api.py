"""What a client of a network consists of, and the values that go in and out of it.

A client turns a query for one page into a signed form, and the body of an answer into rows or a `Problem` of
one of the five classes of docs/spec/sources.md#error-classes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from msgspec import Struct

from rebate_app.domain.faults import Fault
from rebate_app.networks import NETWORKS
from rebate_app.wire.json_values import parse_network, parse_network_cut
from rebate_app.wire.moments import SECOND_US, format_moment
from rebate_app.wire.networks.adapter import Adapter, PageEnd, Row
from rebate_app.wire.networks.integers import integer_of
from rebate_app.wire.networks.pages import NotARow

if TYPE_CHECKING:
    from ..configuration import AccountConfiguration, AppConfiguration

LOOK_BACK_SECONDS = 90 * 86_400
HTTP_TOO_MANY = 429
HTTP_ERROR_MIN = 400
HTTP_SERVER_ERROR_MIN = 500
HTTP_UNAVAILABLE = 503
MESSAGE_CHARACTERS_MAX = 300

Document = dict[str, Any]


class ErrorClass(StrEnum):
    """What to do about an error answer (docs/spec/sources.md#error-classes)."""

    RETRY = "retry"
    WAIT = "wait"
    TOMORROW = "tomorrow"
    HALVE = "halve"
    STOP = "stop"


Reach = Literal["job", "account", "app"]


class ApiProblem(Struct, frozen=True):
    """An answer that is no page of rows.

    `reach`: what a stop stops. `wait_seconds`: how long the network says a rate limit lasts.
    `is_maintenance`: the network has switched the call off. `is_known`: the code is in the client's table.
    `is_length`: the window is too long, whatever it holds.
    """

    error: ErrorClass
    code: str
    message: str
    reach: Reach = "job"
    wait_seconds: int | None = None
    is_maintenance: bool = False
    is_known: bool = True
    is_length: bool = False


class JobSpec(Struct, frozen=True):
    """One job of an account: its name, the API's method, and the scene of taobao's orders.

    `settles_monthly`: the last month is read again by settlement time, too.
    """

    name: str
    method: str
    scene: int = 0
    settles_monthly: bool = False


class Query(Struct, frozen=True):
    """One page of the rows of a window [start, end], in Unix seconds of the network.

    `cursor`: what the page before it said. `by_settlement`: rows that settled in the window instead of rows
    that changed in it.
    """

    start: int
    end: int
    page: int = 1
    cursor: str = ""
    by_settlement: bool = False


class OddRow(dict[str, Any]):
    """What stands in the place of a row and is no object, as a row without members that is refused."""

    def __init__(self, fault: NotARow) -> None:
        super().__init__()
        self.fault = fault


class RowPage(Struct, frozen=True):
    """The rows of one page; `more`: further pages follow; `total`: rows on all pages, None if not stated."""

    rows: list[Row]
    more: bool
    total: int | None = None
    cursor: str = ""


class ApiClient(NamedTuple):
    """A client. `is_backward`: pages are read from the last to the first, as the total says.

    `form(app, account, job, query, now)` returns the signed parameters; `read(job, document, asked)` what an
    answer means, where `query` is what was asked for; `version_of(row)` id and modification time of a row.
    """

    url: str
    limit_seconds: int
    page_rows: int
    pages_max: int
    jobs: Callable[[AccountConfiguration], list[JobSpec]]
    form: Callable[[AppConfiguration, AccountConfiguration, JobSpec, Query, int], dict[str, str]]
    read: Callable[[JobSpec, Document, Query], RowPage | ApiProblem]
    version_of: Callable[[Row], tuple[str, str]]
    is_backward: Callable[[AccountConfiguration], bool] = lambda _account: False
    has_sign_methods: bool = False


def load_api(network: str) -> ApiClient:
    """Return the client of a network; KeyError for one that is not fetched."""
    name = NETWORKS[network].api
    if not name:
        raise KeyError(network)
    api: ApiClient = import_module(name).API
    return api


def read_answer(
    api: ApiClient, job: JobSpec, query: Query, status: int, body: bytes, wait_seconds: int | None = None
) -> RowPage | ApiProblem:
    """Return what an HTTP answer means; what is not understood is an error, never an empty page.

    `wait_seconds`: what its header `Retry-After` says.
    """
    if status == HTTP_TOO_MANY or (status == HTTP_UNAVAILABLE and wait_seconds is not None):
        message = "too many requests" if status == HTTP_TOO_MANY else "the network's server asks to wait"
        return ApiProblem(ErrorClass.WAIT, f"http-{status}", message, wait_seconds=wait_seconds)
    if status >= HTTP_SERVER_ERROR_MIN:
        return ApiProblem(ErrorClass.RETRY, f"http-{status}", "the network's server failed")
    document = parse_answer(body)
    if isinstance(document, dict):
        return api.read(job, document, query)
    if status >= HTTP_ERROR_MIN:
        return unknown(f"http-{status}", "the answer is no JSON")
    return broken("the answer is no JSON")


def parse_answer(text: bytes | str) -> Any:
    """Return the value of an answer's JSON, None for what is none.

    Where it is nested deeper than the machine can read, the depth of a row is not allowed to cost the page.
    """
    for parse in (parse_network, parse_network_cut):
        try:
            return parse(text)
        except (ValueError, RecursionError):
            continue
    return None


def broken(detail: str) -> ApiProblem:
    """Return the problem of an answer that cannot be understood."""
    return ApiProblem(ErrorClass.RETRY, "broken", detail[:MESSAGE_CHARACTERS_MAX])


def unknown(code: str, message: str) -> ApiProblem:
    """Return the problem of a code that no table has."""
    return ApiProblem(ErrorClass.RETRY, code, message[:MESSAGE_CHARACTERS_MAX], is_known=False)


def rows_of(adapter: Adapter, document: Document) -> tuple[list[Row], PageEnd] | ApiProblem:
    """Return rows and end of a good answer, by the rules of imported answers.

    An element that is no row is one `OddRow`; everything else that is wrong is the whole answer's.
    """
    rows: list[Row] = []
    page: PageEnd | None = None
    for item in adapter.answer_rows(document):
        if isinstance(item, NotARow):
            rows.append(OddRow(item))
        elif isinstance(item, Fault):
            return ApiProblem(
                ErrorClass.RETRY, item.code, item.detail[:MESSAGE_CHARACTERS_MAX], is_known=False
            )
        elif isinstance(item, PageEnd):
            page = item
        else:
            rows.append(item)
    return broken("the answer is no page of rows") if page is None else (rows, page)


_SPAN = re.compile(
    r"跨度|(时间|日期)(间隔|区间|范围|段|差|相差|之差)|时间.{0,12}(间隔|相差|之差)"
    r"|开始.{0,20}结束|结束.{0,20}开始|\bstart.{0,20}\bend|\bend.{0,20}\bstart"
    r"|\b(time|date|query|start|end)\b.{0,40}\b(span|interval|range|period|window|gap|difference)s?\b"
    r"|\b(span|interval|range|period|window|gap|difference)s?\b.{0,40}\b(times?|dates?|hours?|days?|minutes?)\b",
    re.IGNORECASE,
)
_TOO_LONG = re.compile(
    r"超过|超出|超长|大于|过长|过大|太长|太大|最多|最大|最长|以内|之内"
    r"|exceed|too (long|large|big|wide)|(long|great|larg|bigg|wid)er than|more than|at most|maximum"
    r"|(must|should|has to|have to) be (less|shorter|smaller) than|within",
    re.IGNORECASE,
)


def is_window_too_long(text: str) -> bool:
    """Return whether the text of an error says plainly that a span of time is too long.

    Words like `time` alone stand in errors of every kind: a time-out, a missing `start_time`.
    """
    return _SPAN.search(text) is not None and _TOO_LONG.search(text) is not None


def beijing_text(seconds: int) -> str:
    """Return Unix seconds as the networks write them: `yyyy-MM-dd HH:mm:ss` in Beijing time."""
    return format_moment(seconds * SECOND_US)[:19].replace("T", " ")


def code_of(value: Any) -> str:
    """Return a code as text, "" for none: a number by its value, since 200.0 is 200."""
    number = integer_of(value)
    return text_of(value) if number is None else str(number)


def text_of(value: Any) -> str:
    """Return a code, id or message as text that can be shown, "" for none.

    Half a surrogate pair becomes a question mark; what is nested too deep to be shown is none.
    """
    try:
        text = "" if value is None else str(value)
    except RecursionError:
        return ""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
