"""Errors at every level of an answer: beside the envelope, within it and around the rows.

See docs/spec/networks.md#envelopes.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.wire.networks.test_error_answers import ENVELOPES, ORDERS, REFUNDS, Document, refusal
from tests.wire.networks.test_pages import jd_page, jd_result, pdd_page, taobao_page
from tests.wire.samples import jd_row, pdd_row, read_text, refund_row, taobao_row

if TYPE_CHECKING:
    from pathlib import Path

#: Answers with a row.
PAGES = {
    "taobao": taobao_page(taobao_row()),
    "jd": jd_page(json.dumps(jd_result(jd_row()))),
    "pdd": pdd_page(pdd_row()),
}
SIGNS: list[tuple[Document, str]] = [
    ({"success": False, "error_code": 70031, "error_msg": "limit"}, "70031: limit"),
    ({"code": 500, "msg": "fail"}, "500: fail"),
    ({"code": "500", "success": False, "message": "fail"}, "500: fail"),
    ({"result_code": 500, "result_msg": "fail"}, "500: fail"),
    ({"biz_error_code": 101, "biz_error_desc": "no"}, "no"),
    ({"error": "down"}, "down"),
    ({"error": {"code": 7, "message": "limit"}}, "7: limit"),
    ({"error": {"reason": "limit"}}, "no code"),
    ({"error": True, "msg": "fail"}, "fail"),
]
#: Errors only where there are no rows.
WEAK_SIGNS: list[Document] = [
    {"sub_code": "isv.limit"},
    {"error_msg": "limit"},
    {"errorMessage": "limit"},
    {"sub_msg": "limit"},
    {"biz_error_desc": "limit"},
]
GOOD: list[Document] = [
    {"success": True, "code": 200, "error": None},
    {"error": "", "sub_code": "", "error_msg": None},
    {"error": False, "error_code": 0, "error_msg": "success"},
    {"error": {}, "biz_error_code": "0"},
    {"error": {"code": 200, "msg": "ok"}},
    {"error_response": None},
]


def around(page: Document, members: Document) -> Document:
    """Return an answer with members beside its envelope."""
    return {**members, **page}


def inside(network: str, members: Document) -> Document:
    """Return an answer with a row and with an object beside the rows that has these members."""
    if network == "taobao":
        return taobao_page(taobao_row(), status=members)
    if network == "jd":
        return jd_page(json.dumps(jd_result(jd_row(), status=members)))
    return {"order_list_get_response": {"order_list": [pdd_row()], "status": members}}


@pytest.mark.parametrize("network", PAGES)
class TestLevels:
    """Objects outside of the rows."""

    @pytest.mark.parametrize(("members", "quoted"), SIGNS)
    def test_error(self, tmp_path: Path, network: str, members: Document, quoted: str) -> None:
        """An error beside the envelope or in an object within it is one refusal that quotes it."""
        assert quoted in refusal(tmp_path, network, around(PAGES[network], members))
        assert quoted in refusal(tmp_path, network, inside(network, members))

    @pytest.mark.parametrize("members", GOOD)
    def test_good(self, tmp_path: Path, network: str, members: Document) -> None:
        """Members that mean success refuse nothing."""
        for document in (around(PAGES[network], members), inside(network, members)):
            (read,) = read_text(tmp_path, network, json.dumps(document))
            assert read.document is not None

    @pytest.mark.parametrize("members", WEAK_SIGNS)
    def test_rows_beside_a_message(self, tmp_path: Path, network: str, members: Document) -> None:
        """A message beside rows refuses nothing."""
        (read,) = read_text(tmp_path, network, json.dumps(around(PAGES[network], members)))
        assert read.document is not None

    def test_rows_are_no_levels(self, tmp_path: Path, network: str) -> None:
        """A row's own members are no error of the answer."""
        rows: dict[str, Any] = {
            "taobao": taobao_page(taobao_row(code=500, error="x")),
            "jd": jd_page(jd_result(jd_row(code=500, error="x"))),
            "pdd": pdd_page(pdd_row(code=500, error="x")),
        }
        (read,) = read_text(tmp_path, network, json.dumps(rows[network]))
        assert read.document is not None

    def test_no_row(self, tmp_path: Path, network: str) -> None:
        """An error without an envelope is no row, although it has an id."""
        line = {"taobao": "trade_id", "jd": "id", "pdd": "order_sn"}[network]
        for document in (
            {line: "1", "code": 500, "success": False, "msg": "fail"},
            {line: "1", "error": "fail"},
        ):
            assert "fail" in refusal(tmp_path, network, document)


@pytest.mark.parametrize(("network", "envelope"), ENVELOPES)
class TestNoRows:
    """Empty pages with signs of an error."""

    @pytest.mark.parametrize(("members", "quoted"), SIGNS)
    def test_outermost(
        self, tmp_path: Path, network: str, envelope: Any, members: Document, quoted: str
    ) -> None:
        """An error beside the envelope of an empty page is no empty page."""
        assert quoted in refusal(tmp_path, network, around(envelope(), members))

    @pytest.mark.parametrize("members", WEAK_SIGNS)
    def test_messages(self, tmp_path: Path, network: str, envelope: Any, members: Document) -> None:
        """A `sub_code` or an error message without rows is an error, outside and inside."""
        (value,) = members.values()
        for document in (envelope(**members), around(envelope(), members)):
            assert value in refusal(tmp_path, network, document)

    @pytest.mark.parametrize("members", GOOD)
    def test_good(self, tmp_path: Path, network: str, envelope: Any, members: Document) -> None:
        """Members that mean success leave an empty page."""
        assert read_text(tmp_path, network, json.dumps(around(envelope(), members))) == []


class TestMessages:
    """The code and the message of a refusal."""

    @pytest.mark.parametrize(
        ("network", "document", "detail"),
        [
            ("pdd", {"success": False, **pdd_page()}, "no code: no message"),
            ("pdd", {"msg": "limit", "order_list_get_response": {}}, "no code: limit"),
            ("pdd", {"msg": "limit", "order_list_get_response": None}, "no code: limit"),
            ("pdd", {"msg": "limit", "order_detail_response": {}}, "no code: limit"),
            ("jd", {"message": "limit", "jd_union_open_order_row_query_responce": {}}, "no code: limit"),
            (
                "pdd",
                {"success": False, "order_list_get_response": {"error_code": 7, "error_msg": "limit"}},
                "7: limit",
            ),
            ("pdd", {"code": 500, "order_list_get_response": {"error_msg": "limit"}}, "500: limit"),
            ("jd", {"code": "500", **jd_page({"code": 403, "message": "no right"})}, "403: no right"),
            (
                "jd",
                {"code": "500", **jd_page(json.dumps({"code": 200, "message": "success"}))},
                "500: no message",
            ),
            ("jd", {"code": "0", **jd_page({"code": 0, "message": "fail"})}, "0: fail"),
            (
                "taobao",
                {"success": False, ORDERS: {"data": {"sub_code": "isv.x", "sub_msg": "y"}}},
                "isv.x: y",
            ),
            ("taobao", {REFUNDS: {"result_code": 500, "data": {"result_msg": "limit"}}}, "500: limit"),
        ],
    )
    def test_merged(self, tmp_path: Path, network: str, document: Document, detail: str) -> None:
        """They come from the levels that have them, the inner ones first."""
        assert refusal(tmp_path, network, document) == detail


class TestNullEnvelopes:
    """Envelopes that are null."""

    @pytest.mark.parametrize(
        ("network", "document"),
        [
            ("taobao", {REFUNDS: None, **PAGES["taobao"]}),
            ("jd", {"jd_union_open_order_row_query_response": None, **PAGES["jd"]}),
            ("pdd", {"order_list_get_response": None, "order_detail_response": None, **PAGES["pdd"]}),
            ("pdd", {ORDERS: None, **PAGES["pdd"]}),
            ("taobao", {"success": True, "error_response": None, "data": [refund_row()]}),
        ],
    )
    def test_absent(self, tmp_path: Path, network: str, document: Document) -> None:
        """One beside a good one is absent."""
        (read,) = read_text(tmp_path, network, json.dumps(document))
        assert read.document is not None

    def test_empty_page(self, tmp_path: Path) -> None:
        """An empty page of orders beside a null envelope of refunds is judged as one of orders."""
        document = {REFUNDS: None, **taobao_page(results={})}
        assert read_text(tmp_path, "taobao", json.dumps(document)) == []


class TestDetail:
    """PDD's `order_detail_response` has one row."""

    @pytest.mark.parametrize(
        "envelope",
        [{"order_list": []}, {"order_list": [], "total_count": 0}, {"order_list": [pdd_row()] * 2}],
    )
    def test_not_one(self, tmp_path: Path, envelope: Document) -> None:
        """No row and several rows are an error."""
        refusal(tmp_path, "pdd", {"order_detail_response": envelope})

    def test_one(self, tmp_path: Path) -> None:
        """The row may be in a list."""
        (read,) = read_text(
            tmp_path, "pdd", json.dumps({"order_detail_response": {"order_list": [pdd_row()]}})
        )
        assert read.document is not None


class TestResults:
    """Shapes of the results of taobao."""

    @pytest.mark.parametrize(
        "results",
        [
            *("limit", 5, {"x": ["y"]}, {"x": [0]}, {"x": {"y": [[]]}}, {"n": 0, "x_dto": [{"y": 1}]}),
            *({"code": 500}, {"x": 0, "y": {"sub_code": "isv.limit"}}, {"error_msg": "limit"}),
            *({"publisher_order_dto": 5}, {"publisher_order_dto": "limit", "x": 0}),
        ],
    )
    def test_content(self, tmp_path: Path, results: object) -> None:
        """A list that is not understood, an error, and what is no object is an error."""
        refusal(tmp_path, "taobao", taobao_page(results=results))
        refusal(tmp_path, "taobao", {REFUNDS: {"data": {"has_next": False, "result": results}}})
        both = {"has_next": False, "results": {}, "result": results}
        refusal(tmp_path, "taobao", {REFUNDS: {"data": both}})

    @pytest.mark.parametrize(
        "results",
        [
            *({}, {"x": None}, {"x": []}, {"x": ""}, {"x": {"y": []}}, {"page_no": 1, "total_count": 0}),
            *({"total_results": 0}, {"x": 5}, {"x": 0.0}, {"x": False}, {"x": "y"}, {"x": {"y": "z"}}),
            *({"publisher_order_dto": ""}, {"publisher_order_dto": None}, {"code": 200, "msg": "ok"}),
        ],
    )
    def test_empty(self, tmp_path: Path, results: object) -> None:
        """Results with no list in them are an empty page, of orders and of disputes."""
        for document in (
            taobao_page(results=results),
            {REFUNDS: {"data": {"has_next": False, "result": results}}},
        ):
            assert read_text(tmp_path, "taobao", json.dumps(document)) == []
