"""PDD (多多进宝): orders by update time, from the last page to the first (docs/spec/sources.md#jobs).

With an access token the orders of all authorised accounts are read; that call states no total, so its pages
go forward. Facts about the API: docs/spec/sources.md#pdd-api.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rebate_app.wire.networks.pages import total_count
from rebate_app.wire.networks.pdd import ADAPTER

from ..signing import signed
from .api import (
    ApiClient,
    ApiProblem,
    Document,
    ErrorClass,
    JobSpec,
    Query,
    RowPage,
    broken,
    code_of,
    is_window_too_long,
    rows_of,
    text_of,
    unknown,
)

if TYPE_CHECKING:
    from rebate_app.wire.networks.adapter import Row

    from ..configuration import AccountConfiguration, AppConfiguration

METHOD = "pdd.ddk.order.list.increment.get"
METHOD_OF_ALL = "pdd.ddk.all.order.list.increment.get"
ENVELOPES = ("order_list_get_response", "order_list_increment_get_response")
PAGE_ROWS = 100

CODES: dict[str, tuple[ErrorClass, Any]] = {
    **dict.fromkeys(("52101", "70031"), (ErrorClass.WAIT, "job")),
    **dict.fromkeys(("50000", "50001", "50002", "52001", "52002"), (ErrorClass.RETRY, "job")),
    **dict.fromkeys(("52102", "52103", "70033"), (ErrorClass.RETRY, "job")),
    "20004": (ErrorClass.STOP, "app"),
    **dict.fromkeys(
        ("20005", "20031", "10019", "70032", "70034", "70035", "60001"), (ErrorClass.STOP, "account")
    ),
    "70036": (ErrorClass.TOMORROW, "app"),
}
MAINTENANCE = ("52102", "52103", "70033")


def jobs(account: AccountConfiguration) -> list[JobSpec]:
    """Return the only job."""
    return [JobSpec("increment", METHOD_OF_ALL if account.session else METHOD)]


def form(
    app: AppConfiguration, account: AccountConfiguration, job: JobSpec, query: Query, now: int
) -> dict[str, str]:
    """Return the signed parameters of one page."""
    parameters = {
        "type": job.method,
        "client_id": app.app_key,
        "access_token": account.session,
        "timestamp": str(now),
        "data_type": "JSON",
        "version": "V1",
        "start_update_time": str(query.start),
        "end_update_time": str(query.end),
        "page": str(query.page),
        "page_size": str(PAGE_ROWS),
    }
    if job.method == METHOD:
        parameters["return_count"] = "true"
    return signed(parameters, app.secret)


def read(job: JobSpec, document: Document, _query: Query) -> RowPage | ApiProblem:
    """Return the rows of an answer, or its problem."""
    envelope = document.get("error_response")
    if envelope is not None:
        return _problem(envelope if isinstance(envelope, dict) else {})
    found = rows_of(ADAPTER, document)
    if isinstance(found, ApiProblem):
        return found
    rows, _ = found
    if job.method == METHOD_OF_ALL:
        return RowPage(rows, more=len(rows) >= PAGE_ROWS)
    envelopes: list[Document] = [value for value in map(document.get, ENVELOPES) if isinstance(value, dict)]
    total = total_count(envelopes[0]) if envelopes else None
    if total is None:
        return broken("the answer states no total_count, which was asked for")
    return RowPage(rows, more=max(total, len(rows)) > PAGE_ROWS, total=total)


def _problem(fields: Document) -> ApiProblem:
    code = code_of(fields.get("error_code"))
    texts = [text_of(fields.get(name)) for name in ("error_msg", "sub_msg")]
    message = ": ".join(text for text in texts if text)
    if code in CODES:
        error, reach = CODES[code]
        return ApiProblem(error, code, message, reach=reach, is_maintenance=code in MAINTENANCE)
    if is_window_too_long(message):
        return ApiProblem(ErrorClass.HALVE, code, message, is_length=True)
    return unknown(code or "no-code", message)


def version_of(row: Row) -> tuple[str, str]:
    """Return id and modification time of a row."""
    return text_of(row.get("order_sn")), text_of(row.get("order_modify_at"))


API = ApiClient(
    url="https://gw-api.pinduoduo.com/api/router",
    limit_seconds=86_400,
    page_rows=PAGE_ROWS,
    pages_max=10_000,
    jobs=jobs,
    form=form,
    read=read,
    version_of=version_of,
    is_backward=lambda account: not account.session,
)
