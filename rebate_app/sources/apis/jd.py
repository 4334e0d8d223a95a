"""JD Union: order rows by update time, pages forward (docs/spec/sources.md#jobs).

Facts about the API: docs/spec/sources.md#jd-api.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from rebate_app.wire.networks.jd import ADAPTER

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
    parse_answer,
    rows_of,
    text_of,
    unknown,
)

if TYPE_CHECKING:
    from rebate_app.wire.networks.adapter import Row

    from ..configuration import AccountConfiguration, AppConfiguration

METHOD = "jd.union.open.order.row.query"
BY_UPDATE = 3
PAGE_ROWS = 200
FIELDS = "goodsInfo,categoryInfo"
OK = "200"

#: Codes of the gateway, around the answer.
OUTER: dict[str, tuple[ErrorClass, str]] = {
    "2": (ErrorClass.WAIT, "job"),
    **dict.fromkeys(("4", "5", "14", "15", "10001"), (ErrorClass.STOP, "job")),
    **dict.fromkeys(("11", "12", "20", "21"), (ErrorClass.STOP, "app")),
    **dict.fromkeys(("18", "19", "24"), (ErrorClass.STOP, "account")),
}
#: Codes of the query, within `queryResult`.
INNER: dict[str, tuple[ErrorClass, str]] = {
    "429": (ErrorClass.WAIT, "job"),
    **dict.fromkeys(("500", "2002500", "2002408", "2001609"), (ErrorClass.RETRY, "job")),
    **dict.fromkeys(("403", "408", "601", "2002401", "2002403"), (ErrorClass.STOP, "account")),
    **dict.fromkeys(("2002452", "2002453"), (ErrorClass.HALVE, "job")),
    **dict.fromkeys(("202", "400", "401", "2002400", "2002499"), (ErrorClass.STOP, "job")),
}
TOO_LONG = "2002453"


def jobs(_account: AccountConfiguration) -> list[JobSpec]:
    """Return the only job."""
    return [JobSpec("rows", METHOD)]


def form(
    app: AppConfiguration, account: AccountConfiguration, job: JobSpec, query: Query, now: int
) -> dict[str, str]:
    """Return the signed parameters of one page."""
    request: dict[str, Any] = {
        "pageIndex": query.page,
        "pageSize": PAGE_ROWS,
        "type": BY_UPDATE,
        "startTime": beijing_text(query.start),
        "endTime": beijing_text(query.end),
        "fields": FIELDS,
    }
    if account.child_union_id:
        request["childUnionId"] = account.child_union_id
    if account.key:
        request["key"] = account.key
    parameters = {
        "method": job.method,
        "app_key": app.app_key,
        "access_token": account.session,
        "timestamp": beijing_text(now),
        "v": "1.0",
        "format": "json",
        "sign_method": "md5",
        "360buy_param_json": orjson.dumps({"orderReq": request}).decode(),
    }
    return signed(parameters, app.secret)


def read(_job: JobSpec, document: Document, _query: Query) -> RowPage | ApiProblem:
    """Return the rows of an answer, or its problem."""
    envelope = document.get("error_response")
    if envelope is not None:
        return _problem(envelope if isinstance(envelope, dict) else {}, OUTER)
    document = {name: _with_result(envelope) for name, envelope in document.items()}
    result = _result(document)
    code = code_of(result.get("code"))
    if code and code != OK:
        return _problem(result, INNER)
    found = rows_of(ADAPTER, document)
    if isinstance(found, ApiProblem):
        return found
    rows, page = found
    return RowPage(rows, page.more)


def _with_result(envelope: Any) -> Any:
    """Return an envelope with its inner answer as a value where that is JSON text, else as it is."""
    if not isinstance(envelope, dict) or not isinstance(envelope.get("queryResult"), str):
        return envelope
    result = parse_answer(envelope["queryResult"])
    return envelope if result is None else {**envelope, "queryResult": result}


def _result(document: Document) -> Document:
    """Return the inner answer, {} where there is none."""
    envelope = next((value for value in document.values() if isinstance(value, dict)), {})
    result = envelope.get("queryResult")
    return result if isinstance(result, dict) else {}


def _problem(fields: Document, table: dict[str, tuple[ErrorClass, Any]]) -> ApiProblem:
    code = code_of(fields.get("code"))
    names = ("zh_desc", "en_desc", "errorMessage", "message", "errorSolution")
    message = next((text_of(fields[name]) for name in names if fields.get(name)), "")
    if code not in table:
        return unknown(code or "no-code", message)
    error, reach = table[code]
    return ApiProblem(error, code, message, reach=reach, is_length=code == TOO_LONG)


def version_of(row: Row) -> tuple[str, str]:
    """Return id and modification time of a row."""
    return text_of(row.get("id")), text_of(row.get("modifyTime"))


API = ApiClient(
    url="https://api.jd.com/routerjson",
    limit_seconds=3_600,
    page_rows=PAGE_ROWS,
    pages_max=10_000 // PAGE_ROWS,
    jobs=jobs,
    form=form,
    read=read,
    version_of=version_of,
)
