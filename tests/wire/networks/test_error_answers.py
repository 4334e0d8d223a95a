"""An answer without rows is either an empty page or an error.

See docs/spec/networks.md#rows, docs/spec/sources.md#jobs.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from rebate_app.wire.networks.file_reader import read_facts
from tests.wire.networks.test_pages import jd_page, jd_result, pdd_page, taobao_page
from tests.wire.samples import NOW_US, codes, jd_row, pdd_row, read_text, refund_row, taobao_row

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Document = dict[str, Any]
ORDERS, REFUNDS = "tbk_order_details_get_response", "tbk_order_refund_get_response"


def taobao_data(name: str, rows: str) -> Callable[..., Document]:
    """Return a maker of answers of taobao that carry the error where the rows would be."""
    return lambda **error: {name: {"data": {"has_next": False, rows: {}, **error}, "request_id": "r"}}


def taobao_result(**error: Any) -> Document:
    """Return an answer with refunds that carries the error inside of its result."""
    return {REFUNDS: {"data": {"has_next": False, "result": {"publisher_refund_order_dto": None, **error}}}}


def jd_inner(*, as_text: bool) -> Callable[..., Document]:
    """Return a maker of answers of JD that carry the error inside of `queryResult`."""

    def make(**error: Any) -> Document:
        result = {"code": 200, "hasMore": False, "data": [], **error}
        return jd_page(json.dumps(result) if as_text else result, "response" if as_text else "responce")

    return make


def pdd_envelope(name: str) -> Callable[..., Document]:
    """Return a maker of answers of PDD that carry the error beside an empty list."""
    return lambda **error: {name: {"order_list": [], "total_count": 0, "request_id": "r", **error}}


#: Every envelope, without rows, as a maker that takes the members of an error.
ENVELOPES: list[tuple[str, Callable[..., Document]]] = [
    ("taobao", lambda **error: {ORDERS: {"data": {"has_next": False, "results": {}}, **error}}),
    ("taobao", taobao_data(ORDERS, "results")),
    ("taobao", lambda **error: {REFUNDS: {"data": {"has_next": False, "result": {}}, **error}}),
    ("taobao", taobao_data(REFUNDS, "result")),
    ("taobao", taobao_result),
    ("jd", jd_inner(as_text=True)),
    ("jd", jd_inner(as_text=False)),
    ("pdd", pdd_envelope("order_list_get_response")),
    ("pdd", pdd_envelope("order_list_increment_get_response")),
]
#: Members of an error with what the refusal has to quote.
ERRORS: list[tuple[Document, list[str]]] = [
    ({"success": False, "msg": "限流"}, ["限流"]),
    ({"success": "false", "msg": "busy"}, ["busy"]),
    ({"success": 0, "message": "fail"}, ["fail"]),
    ({"code": 500, "msg": "fail"}, ["500", "fail"]),
    ({"code": "403", "message": "no right"}, ["403", "no right"]),
    ({"result_code": 500, "result_msg": "fail"}, ["500", "fail"]),
    ({"biz_error_code": 101, "biz_error_desc": "开始时间不能为空"}, ["101", "开始时间不能为空"]),
    ({"result_code": 200, "biz_error_code": "102", "biz_error_desc": "x"}, ["102", "x"]),
    ({"error_response": {"code": 7, "msg": "limit", "sub_code": "isv.x"}}, ["7", "limit", "isv.x"]),
    ({"error_code": 50001, "error_msg": "down"}, ["50001", "down"]),
]


def refusal(folder: Path, network: str, document: Any) -> str:
    """Return the detail of the one refusal of a file, which has to be a network error."""
    (read,) = read_text(folder, network, json.dumps(document))
    assert (read.row, read.document, codes(read.faults)) == (1, None, ["network-error"])
    return read.faults[0].detail


@pytest.mark.parametrize(("network", "envelope"), ENVELOPES)
class TestEnvelopes:
    """Every envelope."""

    def test_empty_page(self, tmp_path: Path, network: str, envelope: Any) -> None:
        """Without an error each of them is an empty page, also with the codes of success."""
        for success in ({}, {"success": True, "biz_error_code": 0}, {"result_code": 200, "error_code": "0"}):
            assert read_text(tmp_path, network, json.dumps(envelope(**success))) == []

    @pytest.mark.parametrize(("error", "quoted"), ERRORS)
    def test_error(
        self, tmp_path: Path, network: str, envelope: Any, error: Document, quoted: list[str]
    ) -> None:
        """The same page with an error in it is one refusal with the network's own code and message."""
        detail = refusal(tmp_path, network, envelope(**error))
        assert [text for text in quoted if text not in detail] == []

    def test_error_beside_good_answers(self, tmp_path: Path, network: str, envelope: Any) -> None:
        """Of several answers in one file each is judged by itself."""
        answers = [envelope(), envelope(success=False), envelope()]
        (read,) = read_text(tmp_path, network, "\n".join(map(json.dumps, answers)))
        assert (read.row, codes(read.faults)) == (2, ["network-error"])


class TestErrorsWithRows:
    """An answer that reports an error and has rows all the same."""

    @pytest.mark.parametrize(
        ("network", "document"),
        [
            ("taobao", taobao_page(taobao_row(), success=False)),
            ("taobao", {"code": 500, "msg": "fail", "data": [refund_row()]}),
            ("taobao", {REFUNDS: {"result_code": 500, "data": {"result": [refund_row()]}}}),
            ("jd", jd_page(jd_result(jd_row(), code=500))),
            ("jd", jd_page(jd_result(jd_row(), success=False))),
            (
                "jd",
                {"jd_union_open_order_row_query_responce": {"code": "1", "queryResult": jd_result(jd_row())}},
            ),
            ("pdd", {"order_list_get_response": {"success": False, "order_list": [pdd_row()]}}),
        ],
    )
    def test_refused(self, tmp_path: Path, network: str, document: Document) -> None:
        """Half an answer is no answer: the whole of it is one refusal."""
        refusal(tmp_path, network, document)

    @pytest.mark.parametrize("network", ["taobao", "jd", "pdd"])
    @pytest.mark.parametrize("error", [{"success": False, "msg": "限流"}, {"code": 500, "msg": "限流"}])
    def test_without_an_envelope(self, tmp_path: Path, network: str, error: Document) -> None:
        """A gateway's own error, in no envelope of the network, is quoted too."""
        assert "限流" in refusal(tmp_path, network, error)


class TestNoRows:
    """Answers without rows that do not say that there are none."""

    @pytest.mark.parametrize(
        ("network", "document"),
        [
            *(("taobao", {name: {}}) for name in (ORDERS, REFUNDS)),
            *(("taobao", {name: None}) for name in (ORDERS, REFUNDS)),
            ("taobao", {ORDERS: {"data": {}}}),
            ("taobao", {ORDERS: {"data": {"has_next": False}}}),
            ("taobao", {ORDERS: {"data": {"has_next": False, "results": None}}}),
            ("taobao", {ORDERS: {"data": {"has_next": False, "results": []}}}),
            ("taobao", {ORDERS: {"data": {"has_next": False, "result": {}}}}),
            ("taobao", {ORDERS: {"data": {"results": {}}}}),
            ("taobao", taobao_page(has_next=True)),
            ("taobao", taobao_page(has_next="perhaps")),
            ("taobao", taobao_page(results={"publisher_order_dto": "x"})),
            ("taobao", taobao_page(results={"other_dto": [{"x": 1}]})),
            ("taobao", {REFUNDS: {"data": {"has_next": False}}}),
            ("taobao", {REFUNDS: {"data": {"has_next": True, "result": {}}}}),
            ("jd", jd_page({"code": 200})),
            ("jd", jd_page({"code": 200, "data": []})),
            ("jd", jd_page({"code": 200, "hasMore": True, "data": []})),
            ("jd", jd_page({"code": 200, "hasMore": False, "data": {}})),
            ("jd", jd_page({"code": 200, "hasMore": False, "data": "x"})),
            ("jd", jd_page({"hasMore": False, "data": []})),
            ("jd", {"jd_union_open_order_row_query_responce": {}}),
            ("jd", {"jd_union_open_order_row_query_responce": {"code": "0"}}),
            ("pdd", {"order_list_get_response": {}}),
            ("pdd", {"order_list_get_response": None}),
            ("pdd", {"order_list_get_response": {"order_list": None, "total_count": 0}}),
            ("pdd", {"order_list_get_response": {"order_list": {}}}),
            ("pdd", {"order_list_get_response": {"total_count": 0, "request_id": "r"}}),
            ("pdd", {"order_list_increment_get_response": {"order_list": "x"}}),
            ("pdd", {"order_detail_response": {}}),
            ("pdd", {"order_detail_response": {"request_id": "r"}}),
        ],
    )
    def test_refused(self, tmp_path: Path, network: str, document: Document) -> None:
        """Each is one refusal, since an empty page moves a window on."""
        refusal(tmp_path, network, document)

    @pytest.mark.parametrize(
        ("network", "document"),
        [
            ("taobao", {"tbk_item_info_get_response": {"results": []}}),
            ("jd", {"jd_union_open_goods_query_responce": {"queryResult": "{}"}}),
            ("pdd", {"order_list_range_get_response": {"order_list": []}}),
        ],
    )
    def test_other_methods(self, tmp_path: Path, network: str, document: Document) -> None:
        """The answer of another method is refused, not overlooked."""
        (read,) = read_text(tmp_path, network, json.dumps(document))
        assert read.document is None


class TestDetail:
    """PDD's answer about one order."""

    def test_row(self, tmp_path: Path) -> None:
        """Its envelope is the row, and names the placement `pid`."""
        row = pdd_row(p_id=..., pid="3_4", request_id="r", return_status=0)
        (read,) = read_text(tmp_path, "pdd", json.dumps({"order_detail_response": row}))
        assert read.document is not None
        assert read.document["attribution"] == {"custom_uid": "10086", "pid": "3_4"}

    def test_error(self, tmp_path: Path) -> None:
        """An error in it is an error."""
        assert "50001" in refusal(tmp_path, "pdd", {"order_detail_response": {"error_code": 50001}})


def warnings_of(folder: Path, network: str, text: str) -> list[str]:
    """Return the codes of what is warned about in a file."""
    path = folder / "file.json"
    path.write_text(text)
    found: list[str] = []
    list(read_facts(path, network, NOW_US, warn=lambda warning: found.append(warning.code)))
    return found


class TestWarnings:
    """Files that are imported and are not all that there is."""

    @pytest.mark.parametrize("network", ["taobao", "jd", "pdd", "canonical"])
    @pytest.mark.parametrize("text", ["", "\n \n", "[]", "[[], []]"])
    def test_empty(self, tmp_path: Path, network: str, text: str) -> None:
        """A file without rows and answers is warned about: a download may have failed."""
        assert warnings_of(tmp_path, network, text) == ["empty-file"]

    @pytest.mark.parametrize(
        ("network", "page"),
        [
            ("taobao", taobao_page(taobao_row(), has_next=True)),
            ("taobao", taobao_page(taobao_row(), has_next="true")),
            ("taobao", {REFUNDS: {"data": {"has_next": True, "result": [refund_row()]}}}),
            ("jd", jd_page(jd_result(jd_row(), hasMore=True))),
            ("jd", jd_page(json.dumps(jd_result(jd_row(), hasMore="true")))),
            ("taobao", {REFUNDS: {"data": {"total_count": 2, "result": [refund_row()]}}}),
            ("pdd", {"order_list_get_response": {"order_list": [pdd_row()], "total_count": 2}}),
            ("pdd", {"order_list_get_response": {"order_list": [], "total_count": "3"}}),
        ],
    )
    def test_more_pages(self, tmp_path: Path, network: str, page: Document) -> None:
        """The last page announces more, and they are not in the file."""
        assert warnings_of(tmp_path, network, json.dumps(page)) == ["more-pages"]

    @pytest.mark.parametrize(
        ("network", "pages"),
        [
            ("taobao", [taobao_page(taobao_row(), has_next=True), taobao_page(taobao_row())]),
            ("taobao", [taobao_page()]),
            ("taobao", [taobao_page(taobao_row(), total_count=120)]),
            ("jd", [jd_page(jd_result(jd_row(), hasMore=True)), jd_page(jd_result(jd_row()))]),
            ("jd", [jd_page(jd_result())]),
            ("pdd", [{"order_list_get_response": {"order_list": [pdd_row()], "total_count": 2}}] * 2),
            ("pdd", [pdd_page()]),
            ("pdd", [{"order_list_get_response": {"order_list": [pdd_row()], "total_count": "many"}}]),
            ("taobao", [taobao_row()]),
            ("jd", [{"error_response": {"code": 1}}]),
        ],
    )
    def test_nothing_odd(self, tmp_path: Path, network: str, pages: list[Document]) -> None:
        """A file whose last page is the last, an empty window, rows, and what is refused anyway."""
        assert warnings_of(tmp_path, network, json.dumps(pages)) == []
        assert warnings_of(tmp_path, network, "\n".join(map(json.dumps, pages))) == []

    @pytest.mark.parametrize(
        "sizes",
        [
            [(2, 2), (1, 2)],
            [(3, 3), (1, 2)],
            [(1, 3), (2, 9)],
        ],
    )
    def test_the_count_begins_again(self, tmp_path: Path, sizes: list[tuple[int, int]]) -> None:
        """Rows of an earlier query do not count: a total that was reached, or that changes, ends it."""
        pages = [
            {"order_list_get_response": {"order_list": [pdd_row()] * rows, "total_count": total}}
            for rows, total in sizes
        ]
        assert warnings_of(tmp_path, "pdd", json.dumps(pages)) == ["more-pages"]

    def test_the_last_page_decides(self, tmp_path: Path) -> None:
        """Pages in the wrong order end with one that announces more."""
        pages = [taobao_page(taobao_row()), taobao_page(taobao_row(), has_next=True)]
        assert warnings_of(tmp_path, "taobao", json.dumps(pages)) == ["more-pages"]
