"""The clients: what they send, and what they make of every answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rebate_app.sources.apis.api import (
    ApiProblem,
    ErrorClass,
    JobSpec,
    OddRow,
    Query,
    RowPage,
    beijing_text,
    is_window_too_long,
    load_api,
    read_answer,
)
from rebate_app.sources.apis.jd import METHOD as JD_METHOD
from rebate_app.sources.apis.pdd import METHOD as PDD_METHOD
from rebate_app.sources.apis.pdd import METHOD_OF_ALL
from rebate_app.sources.apis.taobao import ORDERS, REFUNDS
from rebate_app.sources.configuration import AccountConfiguration, AppConfiguration
from rebate_app.sources.signing import signature
from rebate_app.sources.window import WindowProgress, WindowRead
from rebate_app.wire.moments import SECOND_US, parse_moment
from rebate_app.wire.networks.canonical import ADAPTER as CANONICAL_ADAPTER

START = parse_moment("2026-01-10T03:00:00+08:00") // SECOND_US
QUERY = Query(START, START + 1_200)
JOBS = {
    "taobao": JobSpec("orders-1", ORDERS, 1),
    "jd": JobSpec("rows", JD_METHOD),
    "pdd": JobSpec("increment", PDD_METHOD),
}


def app(network: str, **more: Any) -> AppConfiguration:
    """Return an app of a network."""
    return AppConfiguration("app", network, "https://x", "10000001", "tbsecret", **more)


def answer(
    network: str, document: Any, job: JobSpec | None = None, query: Query = QUERY
) -> RowPage | ApiProblem:
    """Return what an answer means."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return read_answer(load_api(network), job or JOBS[network], query, 200, body)


def problem(network: str, document: Any, **more: Any) -> ApiProblem:
    """Return the problem of an answer."""
    found = answer(network, document, **more)
    assert isinstance(found, ApiProblem)
    return found


def top(code: Any, sub_code: str = "", text: str = "") -> dict[str, Any]:
    """Return an error of TOP."""
    return {"error_response": {"code": code, "msg": "m", "sub_code": sub_code, "sub_msg": text}}


def jd(code: Any, **more: Any) -> dict[str, Any]:
    """Return an answer of JD's query."""
    inner = json.dumps({"code": code, "message": "m", **more})
    return {"jd_union_open_order_row_query_responce": {"code": "0", "queryResult": inner}}


def pdd(code: int, text: str = "m") -> dict[str, Any]:
    """Return an error of PDD."""
    return {"error_response": {"error_code": code, "error_msg": text}}


def rows_answer(network: str, rows: Any) -> dict[str, Any]:
    """Return a good answer with rows."""
    if network == "jd":
        return jd(200, hasMore=False, data=rows)
    if network == "pdd":
        return {"order_list_get_response": {"order_list": rows, "total_count": 3}}
    data = {"has_next": False, "page_no": 1, "results": {"publisher_order_dto": rows}}
    return {"tbk_order_details_get_response": {"data": data}}


class TestOddElements:
    """An element of the list of rows that is no row costs itself, and no neighbour."""

    @pytest.mark.parametrize("network", ["taobao", "jd", "pdd"])
    @pytest.mark.parametrize("odd", [None, 1, "x", [], [{}], True])
    def test_it_stands_beside_its_neighbours(self, network: str, odd: Any) -> None:
        """And counts as a row, so that a page that states its total is whole."""
        good = {"trade_id": "1", "tk_status": "12", "id": "1", "validCode": 16, "order_sn": "1"}
        good |= {"order_status": 1}
        page = answer(network, rows_answer(network, [good, odd, good]))
        assert isinstance(page, RowPage)
        assert page.rows == [good, {}, good]
        assert isinstance(page.rows[1], OddRow)
        assert page.rows[1].fault.value == odd
        reading = WindowRead(load_api(network), (START, START + 60), "hot", backward=network == "pdd")
        assert reading.take(page) is WindowProgress.COMPLETE
        alone = answer(network, rows_answer(network, [odd]))
        assert isinstance(alone, RowPage)

    @pytest.mark.parametrize("network", ["taobao", "jd", "pdd"])
    @pytest.mark.parametrize("depth", [300, 2_000, 200_000])
    def test_a_member_that_is_nested_deep_costs_no_row(self, network: str, depth: int) -> None:
        """It is cut where the machine cannot read it; a text with brackets is a text."""
        row = {"trade_id": "1", "tk_status": "12", "id": "1", "validCode": 16, "order_sn": "1"}
        row |= {"order_status": 1, "title": '[[{"' * 300, "deep": "here"}
        deep = "[" * depth + "]" * depth
        inner = json.dumps({"code": 200, "message": "m", "hasMore": False, "data": [row, row]})
        inner = inner.replace('"here"', deep, 1)
        body = json.dumps(rows_answer(network, [row, row])).replace('"here"', deep, 1)
        if network == "jd":
            envelope = {"code": "0", "queryResult": inner}
            body = json.dumps({"jd_union_open_order_row_query_responce": envelope})
        page = answer(network, body.encode())
        assert isinstance(page, RowPage)
        assert [each["title"] for each in page.rows] == [row["title"]] * 2
        assert page.rows[1] == row

    @pytest.mark.parametrize("network", ["taobao", "jd", "pdd"])
    def test_cut_nesting_is_no_answer(self, network: str) -> None:
        """Nor is one whose brackets do not match."""
        for body in (b"[" * 2_000, b'{"a":' * 2_000 + b"}" * 1_999, b'{"a":[' * 1_000 + b"}]" * 1_000):
            assert problem(network, body).error is ErrorClass.RETRY

    @pytest.mark.parametrize("network", ["taobao", "jd", "pdd"])
    def test_a_message_can_be_shown(self, network: str) -> None:
        """Whatever the network writes."""
        odd = {"code": "999", "error_code": 999, "error_msg": "\ud83d", "zh_desc": "\ud83d", "msg": "\ud83d"}
        found = problem(network, {"error_response": odd})
        assert (found.message.encode(), found.is_known) == (b"?", False)

    @pytest.mark.parametrize("network", ["taobao", "jd", "pdd"])
    @pytest.mark.parametrize("rows", ["x", 1, True])
    def test_a_list_that_is_none_is_an_error_as_a_whole(self, network: str, rows: Any) -> None:
        """Nothing is known about its rows."""
        assert problem(network, rows_answer(network, rows)).error is ErrorClass.RETRY


class TestForms:
    """What is sent."""

    def test_taobao_orders_are_those_of_the_vector(self) -> None:
        """By update time, signed as the vector of this call (C3)."""
        form = load_api("taobao").form(
            app("taobao"), AccountConfiguration("a", "app"), JOBS["taobao"], QUERY, START + 1_500
        )
        assert form["sign"] == "C62D0DA5A261985CE1933C1A9873E1D7"
        assert "position_index" not in form

    def test_taobao_pages_go_on_with_the_index_of_the_last(self) -> None:
        """From page 2 on, verbatim, and forward."""
        query = Query(START, START + 1_200, 2, "17_A|18_B")
        for job in (JOBS["taobao"], JobSpec("refunds", REFUNDS)):
            form = load_api("taobao").form(app("taobao"), AccountConfiguration("a", "app"), job, query, START)
            option = form.get("publisher_refund_order_query_option")
            sent = json.loads(option) if option else form
            assert (sent["position_index"], str(sent["jump_type"])) == ("17_A|18_B", "1")

    def test_taobao_by_settlement(self) -> None:
        """Orders only; disputes are always read by update time."""
        query = Query(START, START + 1_200, by_settlement=True)
        form = load_api("taobao").form(
            app("taobao", sign_method="hmac-sha256"),
            AccountConfiguration("a", "app", session="s"),
            JOBS["taobao"],
            query,
            START,
        )
        assert (form["query_type"], form["session"], len(form["sign"])) == ("3", "s", 64)

    def test_jd(self) -> None:
        """At most 200 rows a page; the optional members only where they are configured."""
        account = AccountConfiguration("a", "app", child_union_id="7", key="k")
        form = load_api("jd").form(app("jd"), account, JOBS["jd"], QUERY, START)
        request = json.loads(form["360buy_param_json"])["orderReq"]
        assert (request["type"], request["pageSize"], request["childUnionId"], request["key"]) == (
            3,
            200,
            "7",
            "k",
        )
        plain = load_api("jd").form(app("jd"), AccountConfiguration("a", "app"), JOBS["jd"], QUERY, START)
        assert set(json.loads(plain["360buy_param_json"])["orderReq"]) == {
            *("pageIndex", "pageSize", "type", "startTime", "endTime", "fields")
        }
        assert form["sign"] == signature(form, "tbsecret")

    def test_pdd(self) -> None:
        """The total is always asked for, but in the call over all accounts, which has none."""
        api = load_api("pdd")
        one, every = AccountConfiguration("a", "app"), AccountConfiguration("a", "app", session="t")
        assert api.form(app("pdd"), one, api.jobs(one)[0], QUERY, START)["return_count"] == "true"
        form = api.form(app("pdd"), every, api.jobs(every)[0], QUERY, START)
        assert (form["type"], form["access_token"], "return_count" in form) == (METHOD_OF_ALL, "t", False)
        assert api.is_backward(one)
        assert not api.is_backward(every)

    def test_jobs(self) -> None:
        """By the names that are seen from outside."""
        account = AccountConfiguration("a", "app", scenes=(1, 3))
        assert [job.name for job in load_api("taobao").jobs(account)] == ["orders-1", "orders-3", "refunds"]
        assert [job.name for job in load_api("jd").jobs(account)] == ["rows"]
        assert [job.name for job in load_api("pdd").jobs(account)] == ["increment"]

    def test_times_are_of_beijing(self) -> None:
        """Whatever the time zone of the machine."""
        assert beijing_text(START) == "2026-01-10 03:00:00"

    def test_a_network_that_is_not_fetched(self) -> None:
        """It has no client."""
        with pytest.raises(KeyError):
            load_api("canonical")


STOP, RETRY, WAIT = ErrorClass.STOP, ErrorClass.RETRY, ErrorClass.WAIT
HALVE, TOMORROW = ErrorClass.HALVE, ErrorClass.TOMORROW


class TestClasses:
    """Each error in its class, and whom it stops."""

    @pytest.mark.parametrize(
        ("code", "sub_code", "text", "error", "reach"),
        [
            (7, "accesscontrol.limited-by-app-access-count", "", TOMORROW, "job"),
            (7, "accesscontrol.limited-by-api-access-count", "", WAIT, "job"),
            (7, "accesscontrol.limited-by-app-api-access-count", "", WAIT, "job"),
            (7, "accesscontrol.limited-by-dynamic-access-count", "", WAIT, "job"),
            (15, "isp.top-remote-connection-timeout", "", RETRY, "job"),
            (15, "isp.remote-service-error", "", RETRY, "job"),
            (9, "", "", RETRY, "job"),
            (10, "", "", RETRY, "job"),
            (13, "", "", RETRY, "job"),
            (11, "isv.permission-api-package-limit", "", STOP, "account"),
            (11, "isv.permission-ip-whitelist-limit", "", STOP, "account"),
            (12, "", "", STOP, "account"),
            (25, "isv.invalid-signature", "", STOP, "app"),
            (29, "", "", STOP, "app"),
            (26, "", "", STOP, "account"),
            (27, "isv.invalid-session", "", STOP, "account"),
            (40, "", "", STOP, "job"),
            (41, "isv.invalid-parameter", "page_size", STOP, "job"),
            (15, "isv.invalid-parameter", "adzone", STOP, "job"),
            (15, "isv.param-error", "查询时间跨度过长", HALVE, "job"),
            (15, "isv.param-error", "The interval of start_time and end_time exceeds 3 hours", HALVE, "job"),
            (15, "isv.param-error", "end_time is too late", STOP, "job"),
            (15, "isv.invalid-parameter", "start_time 只能查询90天内的订单", STOP, "job"),
            (41, "isv.invalid-parameter", "page_size out of range", STOP, "job"),
            (40, "isv.missing-parameter", "Missing Required Arguments:start_time", STOP, "job"),
            (15, "isv.remote-timeout", "The remote service did not answer within its time", RETRY, "job"),
            (31, "", "", RETRY, "job"),
            (999, "", "", RETRY, "job"),
        ],
    )
    def test_taobao(self, code: int, sub_code: str, text: str, error: ErrorClass, reach: str) -> None:
        """TOP's codes, as numbers and as text."""
        for each in (code, str(code)):
            found = problem("taobao", top(each, sub_code, text))
            assert (found.error, found.reach) == (error, reach)
            assert found.is_length == (error is HALVE)

    def test_taobao_says_how_long_a_limit_lasts(self) -> None:
        """In words."""
        text = "This ban will last for 17 more seconds"
        found = problem("taobao", top(7, "accesscontrol.limited-by-api-access-count", text))
        assert found.wait_seconds == 17

    @pytest.mark.parametrize(
        ("code", "error", "reach"),
        [
            ("2", WAIT, "job"),
            ("12", STOP, "app"),
            ("11", STOP, "app"),
            ("19", STOP, "account"),
            ("21", STOP, "app"),
            ("24", STOP, "account"),
            ("10001", STOP, "job"),
            ("8", RETRY, "job"),
            ("", RETRY, "job"),
        ],
    )
    def test_jd_gateway(self, code: str, error: ErrorClass, reach: str) -> None:
        """Errors around the answer, in both forms."""
        for fields in ({"code": code, "zh_desc": "z", "en_desc": "e"}, {"code": code, "errorMessage": "m"}):
            found = problem("jd", {"error_response": fields})
            assert (found.error, found.reach) == (error, reach)

    @pytest.mark.parametrize(
        ("code", "error", "reach"),
        [
            (429, WAIT, "job"),
            (500, RETRY, "job"),
            (2002500, RETRY, "job"),
            (2001609, RETRY, "job"),
            (2002401, STOP, "account"),
            (403, STOP, "account"),
            (2002452, HALVE, "job"),
            (2002453, HALVE, "job"),
            (400, STOP, "job"),
            (2002400, STOP, "job"),
            (123, RETRY, "job"),
        ],
    )
    def test_jd_query(self, code: int, error: ErrorClass, reach: str) -> None:
        """Errors within a good answer."""
        found = problem("jd", jd(code))
        assert (found.error, found.reach, found.is_known) == (error, reach, code != 123)
        assert found.is_length == (code == 2002453)

    @pytest.mark.parametrize(
        ("code", "error", "reach"),
        [
            (52101, WAIT, "job"),
            (70031, WAIT, "job"),
            (50000, RETRY, "job"),
            (52002, RETRY, "job"),
            (52102, RETRY, "job"),
            (70033, RETRY, "job"),
            (20004, STOP, "app"),
            (20005, STOP, "account"),
            (10019, STOP, "account"),
            (60001, STOP, "account"),
            (70036, TOMORROW, "app"),
            (11111, RETRY, "job"),
        ],
    )
    def test_pdd(self, code: int, error: ErrorClass, reach: str) -> None:
        """PDD's codes."""
        found = problem("pdd", pdd(code))
        assert (found.error, found.reach) == (error, reach)
        assert found.is_maintenance == (code in (52102, 52103, 70033))
        assert problem("pdd", pdd(10001, "时间跨度不能超过24小时")).error is HALVE
        for text in ("business service timeout", "time out of range", "timestamp exceeds 10 minutes"):
            found = problem("pdd", pdd(51001, text))
            assert (found.error, found.is_known, found.is_length) == (RETRY, False, False)

    @pytest.mark.parametrize(
        ("text", "is_too_long"),
        [
            ("大促期间查询时间跨度不能超过20分钟", True),
            ("开始时间与结束时间之差不能超过3小时", True),
            ("日期范围太大", True),
            ("start_time and end_time must be within 3 hours", True),
            ("time interval should be less than 24 hours", True),
            ("query time range too long", True),
            ("接口调用时间过长", False),
            ("调用间隔不能小于1秒", False),
            ("too many requests in this time, at most 5 per second", False),
            ("page_no exceeds the range", False),
            ("timeout exceeded", False),
        ],
    )
    def test_what_says_that_a_window_is_too_long(self, text: str, *, is_too_long: bool) -> None:
        """A span of time, and that it is too long; neither alone."""
        assert is_window_too_long(text) is is_too_long

    @pytest.mark.parametrize("network", JOBS)
    def test_http_and_what_is_not_understood(self, network: str) -> None:
        """Server errors, limits, and bodies that are no answer."""
        api, job = load_api(network), JOBS[network]
        for status, body, error in (
            (502, b"<html>", RETRY),
            (429, b"", WAIT),
            (404, b"not here", RETRY),
            (200, b"", RETRY),
            (200, b"[]", RETRY),
            (200, b'{"a": {"b": ', RETRY),
            (200, b"{}", RETRY),
            (200, b'{"error_response": "away"}', RETRY),
        ):
            found = read_answer(api, job, QUERY, status, body)
            assert isinstance(found, ApiProblem), (status, body)
            assert found.error is error
        for status, wait_seconds, error in (
            (429, 8, WAIT),
            (503, 8, WAIT),
            (503, None, RETRY),
            (502, 8, RETRY),
        ):
            found = read_answer(api, job, QUERY, status, b"", wait_seconds)
            assert isinstance(found, ApiProblem)
            assert found.error is error
            assert found.wait_seconds == (8 if error is WAIT else None)


def taobao_page(member: str = "results", **data: Any) -> dict[str, Any]:
    """Return an answer of TOP's order call."""
    fields = {"has_next": False, "page_no": 1, "position_index": "i", member: {}, **data}
    name = "tbk_order_refund_get_response" if member == "result" else "tbk_order_details_get_response"
    return {name: {"data": fields}}


class TestPages:
    """Rows, and what no rows look like."""

    def test_taobao(self) -> None:
        """One row may be an object; the index is kept for the next page."""
        found = answer(
            "taobao",
            taobao_page(results={"publisher_order_dto": {"trade_id": "1", "tk_status": 12}}, has_next=True),
        )
        assert found == RowPage([{"trade_id": "1", "tk_status": 12}], True, None, "i")
        assert answer("taobao", taobao_page()) == RowPage([], False, None, "i")
        refunds = JobSpec("refunds", REFUNDS)
        assert answer("taobao", taobao_page("result"), refunds) == RowPage([], False, None, "i")

    @pytest.mark.parametrize(
        "page",
        [
            taobao_page(results=None),
            taobao_page(has_next=True),
            taobao_page(has_next=None),
            taobao_page(page_no=2),
            taobao_page("result", result_code=500),
            taobao_page("result", biz_error_code=101),
        ],
    )
    def test_taobao_answers_without_rows_that_are_no_empty_page(self, page: dict[str, Any]) -> None:
        """Each is an error, and the watermark stays."""
        assert problem("taobao", page).error is RETRY

    def test_jd(self) -> None:
        """`data` is absent, null or [] on an empty page."""
        row = {"id": "1", "validCode": 16}
        assert answer("jd", jd(200, hasMore=True, data=[row])) == RowPage([row], True)
        empty_data: list[dict[str, Any]] = [{}, {"data": None}, {"data": []}]
        for data in empty_data:
            assert answer("jd", jd(200, hasMore=False, **data)) == RowPage([], False)
        assert problem("jd", jd(200, hasMore=True)).error is RETRY
        empty = {"jd_union_open_order_row_query_responce": {"code": "0", "queryResult": ""}}
        broken = {"jd_union_open_order_row_query_responce": {"code": "0", "queryResult": "{"}}
        assert problem("jd", empty).error is RETRY
        assert problem("jd", broken).error is RETRY

    def test_a_code_counts_by_its_value(self) -> None:
        """Some writers of JSON have doubles only."""
        assert answer("jd", jd(200.0, hasMore=False, data=[])) == RowPage([], False)
        assert answer("taobao", taobao_page(page_no=1.0)) == RowPage([], False, None, "i")
        as_double, as_integer = (
            problem("pdd", {"error_response": {"error_code": code, "error_msg": "limit"}})
            for code in (70031.0, 70031)
        )
        assert as_double == as_integer

    def test_pdd(self) -> None:
        """The total says whether pages follow; without the total that was asked for it is an error."""
        rows = [{"order_sn": str(number)} for number in range(100)]
        page = {"order_list_get_response": {"order_list": rows, "total_count": 101}}
        assert answer("pdd", page) == RowPage(rows, True, 101)
        empty = {"order_list_get_response": {"order_list": [], "total_count": 0}}
        assert answer("pdd", empty) == RowPage([], False, 0)
        assert problem("pdd", {"order_list_get_response": {"order_list": []}}).code == "broken"
        every = JobSpec("increment", METHOD_OF_ALL)
        assert answer("pdd", {"order_list_get_response": {"order_list": rows}}, every) == RowPage(rows, True)

    def test_versions(self) -> None:
        """Id and modification time of each kind of row."""
        version_of = load_api("taobao").version_of
        assert version_of({"trade_id": 1, "modified_time": "t"}) == ("1", "t")
        assert version_of({"refund_suit_id": "9", "tb_trade_id": 1, "modified_time": "t"}) == ("1/9", "t")
        assert load_api("jd").version_of({"id": "a", "modifyTime": "t"}) == ("a", "t")
        assert load_api("pdd").version_of({"order_sn": "b", "order_modify_at": 5}) == ("b", "5")

    def test_facts_are_no_network(self) -> None:
        """The adapter of canonical facts has no envelope, and no client."""
        assert CANONICAL_ADAPTER.is_canonical
