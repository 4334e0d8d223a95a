"""Where the rows are in what a network answers (docs/spec/networks.md#envelopes)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.wire.samples import codes, jd_row, pdd_row, read_text, refund_row, taobao_row

if TYPE_CHECKING:
    from pathlib import Path


def taobao_page(*rows: Any, **data: Any) -> dict[str, Any]:
    """Return an answer with order rows."""
    results = {"publisher_order_dto": list(rows)}
    return {"tbk_order_details_get_response": {"data": {"has_next": False, "results": results, **data}}}


def jd_page(result: Any, spelling: str = "responce") -> dict[str, Any]:
    """Return an answer of JD."""
    return {f"jd_union_open_order_row_query_{spelling}": {"code": "0", "queryResult": result}}


def jd_result(*rows: Any, **members: Any) -> dict[str, Any]:
    """Return JD's query result."""
    return {"code": 200, "message": "success", "hasMore": False, "data": list(rows), **members}


def pdd_page(*rows: Any, increment: bool = True) -> dict[str, Any]:
    """Return an answer of PDD."""
    name = "order_list_increment_get_response" if increment else "order_list_get_response"
    return {name: {"order_list": list(rows), "total_count": len(rows)}}


def outcome(folder: Path, network: str, document: Any, *, indent: int | None = None) -> list[tuple[int, Any]]:
    """Return, per row, its number and its line id or its reason codes, for a file that is one document."""
    reads = read_text(folder, network, json.dumps(document, indent=indent))
    return [
        (read.row, read.document["order_line_id"] if read.document else codes(read.faults)) for read in reads
    ]


class TestEveryForm:
    """One answer, several, rows, in an array or one a line: all networks alike."""

    @pytest.mark.parametrize(
        ("network", "page", "rows"),
        [
            ("taobao", taobao_page, [taobao_row(trade_id=str(n)) for n in (1, 2, 3)]),
            (
                "jd",
                lambda *rows: jd_page(json.dumps(jd_result(*rows))),
                [jd_row(id=str(n)) for n in (1, 2, 3)],
            ),
            ("pdd", pdd_page, [pdd_row(order_sn=str(n)) for n in (1, 2, 3)]),
        ],
    )
    def test_forms(self, tmp_path: Path, network: str, page: Any, rows: list[dict[str, Any]]) -> None:
        """The rows are the same in every form, numbered by row, or by line where a line is a document."""
        by_row = [(1, "1"), (2, "2"), (3, "3")]
        for indent in (None, 2):
            assert outcome(tmp_path, network, page(*rows), indent=indent) == by_row
            assert outcome(tmp_path, network, [page(rows[0]), page(*rows[1:])], indent=indent) == by_row
            assert outcome(tmp_path, network, rows, indent=indent) == by_row
            assert outcome(tmp_path, network, rows[0], indent=indent) == by_row[:1]
        lines = "\n".join(json.dumps(row) for row in rows)
        reads = read_text(tmp_path, network, lines)
        assert [read.row for read in reads if read.document] == [1, 2, 3]
        lines = "\n".join(json.dumps(page(row, row)) for row in rows)
        reads = read_text(tmp_path, network, lines)
        assert [read.row for read in reads if read.document] == [1, 1, 2, 2, 3, 3]

    @pytest.mark.parametrize(
        ("network", "document"),
        [
            ("taobao", taobao_page()),
            ("taobao", {"tbk_order_details_get_response": {"data": {"has_next": False, "results": {}}}}),
            ("taobao", taobao_page(results={"publisher_order_dto": None})),
            ("taobao", taobao_page(results={}, has_next="false")),
            ("taobao", {"tbk_order_refund_get_response": {"data": {"has_next": False, "result": {}}}}),
            (
                "taobao",
                {"tbk_order_refund_get_response": {"result": {"has_next": False, "result_code": 200}}},
            ),
            ("jd", jd_page(jd_result())),
            ("jd", jd_page(jd_result(data=None))),
            ("jd", jd_page({"code": 200, "hasMore": False})),
            ("pdd", pdd_page()),
            ("pdd", {"order_list_get_response": {"order_list": [], "total_count": 0}}),
            ("taobao", []),
            ("jd", [[], []]),
        ],
    )
    def test_no_rows(self, tmp_path: Path, network: str, document: Any) -> None:
        """An empty page is no row and no refusal."""
        assert outcome(tmp_path, network, document) == []

    @pytest.mark.parametrize("network", ["taobao", "jd", "pdd", "canonical"])
    def test_no_objects(self, tmp_path: Path, network: str) -> None:
        """What is no object is refused at its place."""
        assert outcome(tmp_path, network, [5, "x", None, [True]]) == [
            (number, ["undecodable"]) for number in (1, 2, 3, 4)
        ]

    def test_refused_row(self, tmp_path: Path) -> None:
        """A refused row does not hold up its neighbours."""
        page = pdd_page(pdd_row(order_sn="1"), pdd_row(promotion_amount="x"), 7, pdd_row(order_sn="4"))
        assert outcome(tmp_path, "pdd", page) == [
            (1, "1"),
            (2, ["invalid-amounts.est_commission"]),
            (3, ["undecodable"]),
            (4, "4"),
        ]

    @pytest.mark.parametrize("network", ["taobao", "jd", "pdd"])
    def test_foreign_answers(self, tmp_path: Path, network: str) -> None:
        """An answer of another network is refused, never read as an empty page."""
        pages = {
            "taobao": taobao_page(taobao_row()),
            "jd": jd_page(jd_result(jd_row())),
            "pdd": pdd_page(pdd_row()),
        }
        for other, page in pages.items():
            if other != network:
                ((row, verdict),) = outcome(tmp_path, network, page)
                assert (row, verdict) == (1, ["undecodable"])


class TestTaobao:
    """Envelopes of taobao."""

    def test_single_object(self, tmp_path: Path) -> None:
        """A page with one order may hold an object instead of an array."""
        page = {
            "tbk_order_details_get_response": {"data": {"results": {"publisher_order_dto": taobao_row()}}}
        }
        assert outcome(tmp_path, "taobao", page) == [(1, "3901000000000000011")]

    @pytest.mark.parametrize("depth", [0, 1, 5, 30])
    def test_refunds_however_deep(self, tmp_path: Path, depth: int) -> None:
        """Refund rows are found however deep they lie, single or in an array."""
        for rows in ([refund_row(), refund_row()], refund_row()):
            document: Any = {"tbk_order_refund_get_response": rows}
            for level in range(depth):
                document = {"result": document} if level % 2 else {"data": [document], "total": 2}
            found = outcome(tmp_path, "taobao", document)
            assert found == [(n, "3901000000000000011") for n in range(1, 3 if isinstance(rows, list) else 2)]

    def test_neighbours_of_refunds(self, tmp_path: Path) -> None:
        """A broken row among refund rows is refused, not overlooked."""
        document = {"x": {"rows": [refund_row(), {"tb_trade_parent_id": "1"}, 5, refund_row()]}}
        found = outcome(tmp_path, "taobao", document)
        assert [row for row, _ in found] == [1, 2, 3, 4]
        assert found[2][1] == ["undecodable"]
        assert "missing-order_line_id" in found[1][1]

    def test_rows_without_ids(self, tmp_path: Path) -> None:
        """A row of the order array without an id is refused, not overlooked."""
        ((row, verdict),) = outcome(tmp_path, "taobao", taobao_page(taobao_row(trade_id=...)))
        assert (row, verdict) == (1, ["missing-order_line_id"])

    @pytest.mark.parametrize(
        "envelope",
        [
            {"tbk_order_details_get_response": 5},
            {"tbk_order_details_get_response": None},
            {"tbk_order_details_get_response": {}},
            {"tbk_order_details_get_response": "x"},
            {"tbk_order_details_get_response": {"data": {"results": {"other_dto": [{"x": 1}]}}}},
            {"tbk_order_details_get_response": {"data": {"results": {"publisher_order_dto": "x"}}}},
            {"tbk_order_details_get_response": [[1]]},
        ],
    )
    def test_odd_answers(self, tmp_path: Path, envelope: Any) -> None:
        """An answer in which nothing is understood is refused, never read as empty."""
        assert outcome(tmp_path, "taobao", envelope) == [(1, ["network-error"])]


class TestJd:
    """Envelopes of JD."""

    @pytest.mark.parametrize("spelling", ["responce", "response"])
    def test_spellings(self, tmp_path: Path, spelling: str) -> None:
        """Both spellings are read, with the result as text or as an object, one row or several."""
        result = jd_result(jd_row())
        for value in (result, json.dumps(result), {**result, "code": "200"}, {**result, "data": jd_row()}):
            assert outcome(tmp_path, "jd", jd_page(value, spelling)) == [(1, "JDROW000000001")]

    def test_numbers_inside_of_text(self, tmp_path: Path) -> None:
        """Ids and amounts in the inner text are as exact as outside."""
        inner = json.dumps(jd_result(jd_row(id=2**63 + 5))).replace("12.56", "0.29")
        (read,) = read_text(tmp_path, "jd", json.dumps(jd_page(inner)))
        assert read.document is not None
        assert read.document["order_line_id"] == str(2**63 + 5)
        assert read.document["amounts"]["est_commission"] == 29

    @pytest.mark.parametrize("result", ["{", "", "5", "[]", 5, [], True, "\ud800", "[" * 10_000])
    def test_odd_results(self, tmp_path: Path, result: Any) -> None:
        """A result that is no object is refused."""
        assert outcome(tmp_path, "jd", jd_page(result)) == [(1, ["network-error"])]
        assert outcome(tmp_path, "jd", {"jd_union_open_order_row_query_responce": result}) == [
            (1, ["network-error"])
        ]


class TestErrors:
    """Answers that report an error inside of an HTTP 200."""

    @pytest.mark.parametrize(
        ("network", "answer", "detail"),
        [
            (
                "taobao",
                {
                    "error_response": {
                        "code": 27,
                        "msg": "Invalid session",
                        "sub_code": "isv.x",
                        "sub_msg": "过期",
                    }
                },
                "27: Invalid session (isv.x: 过期)",
            ),
            (
                "taobao",
                {"tbk_order_details_get_response": {"code": 15, "msg": "Remote service error"}},
                "15: Remote service error",
            ),
            ("taobao", {"x_response": {"error_response": {"code": 7, "msg": "limit"}}}, "7: limit"),
            ("jd", jd_page({"code": 403, "message": "无访问权限"}), "403: 无访问权限"),
            ("jd", jd_page(json.dumps({"code": 500, "message": "fail"})), "500: fail"),
            ("jd", jd_page({"message": "fail", "data": [jd_row()]}), "no code: fail"),
            ("jd", jd_page(None), "0: queryResult has to be an object, and is None"),
            (
                "jd",
                {"error_response": {"code": "19", "zh_desc": "token过期", "en_desc": "x"}},
                "19: token过期",
            ),
            (
                "pdd",
                {
                    "error_response": {
                        "error_code": 10019,
                        "error_msg": "access_token已过期",
                        "sub_code": None,
                    }
                },
                "10019: access_token已过期",
            ),
            ("pdd", {"order_list_get_response": {"error_code": 50001, "error_msg": "x"}}, "50001: x"),
            ("pdd", {"error_response": "down"}, "no code: down"),
            ("jd", {"error_response": None}, "no code: no message"),
            ("pdd", {"error_response": {"error_code": {"a": 1}, "error_msg": ["x"]}}, "an object: a list"),
            ("pdd", {"error_response": {"error_code": 1, "error_msg": "\ud800"}}, "1: ?"),
        ],
    )
    def test_own_words(self, tmp_path: Path, network: str, answer: Any, detail: str) -> None:
        """An error envelope is one refusal, with the network's own code and message."""
        (read,) = read_text(tmp_path, network, json.dumps(answer))
        (fault,) = read.faults
        assert (read.row, read.document, fault.code, fault.member) == (1, None, "network-error", "")
        assert fault.detail == detail

    def test_neighbours(self, tmp_path: Path) -> None:
        """An error among answers is one refusal, and the others are read."""
        pages = [
            pdd_page(pdd_row(order_sn="1")),
            {"error_response": {"error_code": 1}},
            pdd_page(pdd_row(order_sn="3")),
        ]
        assert outcome(tmp_path, "pdd", pages) == [(1, "1"), (2, ["network-error"]), (3, "3")]

    def test_odd_envelope(self, tmp_path: Path) -> None:
        """An envelope of PDD that is no object is refused."""
        assert outcome(tmp_path, "pdd", {"order_list_get_response": [1]}) == [(1, ["network-error"])]
        assert outcome(tmp_path, "pdd", {"order_list_get_response": {"order_list": "x"}}) == [
            (1, ["network-error"])
        ]


class TestDepth:
    """Answers that are nested deeper than any network nests them."""

    @pytest.mark.parametrize("network", ["taobao", "jd", "pdd", "canonical"])
    def test_every_depth(self, tmp_path: Path, network: str) -> None:
        """At every depth, up to where nobody can follow, there is an answer and no exception."""
        for depth in range(100, 1_100, 50):
            for opening, closing in (("[", "]"), ('{"a":', "}")):
                nested = opening * depth + "5" + closing * depth
                for text in (nested, f'{{"tbk_x_response":{nested}}}'):
                    reads = read_text(tmp_path, network, text)
                    assert [read.faults[0].code for read in reads if read.document is None] or not reads
                    assert reads or (network == "taobao" and "response" in text and "a" in nested)


#: One good answer of each network.
ANSWERS = {
    "taobao": taobao_page(taobao_row()),
    "jd": jd_page(jd_result(jd_row())),
    "pdd": pdd_page(pdd_row()),
}


class TestAnotherNetwork:
    """Answers that were imported under the wrong name."""

    @pytest.mark.parametrize("network", ANSWERS)
    @pytest.mark.parametrize("other", ANSWERS)
    def test_the_refusal_names_the_network(self, tmp_path: Path, network: str, other: str) -> None:
        """One refusal an answer, with the name to import it by."""
        reads = read_text(tmp_path, network, json.dumps([ANSWERS[other], ANSWERS[other]]))
        if network == other:
            assert [read.faults for read in reads] == [[], []]
            return
        assert [codes(read.faults) for read in reads] == [["undecodable"], ["undecodable"]]
        assert reads[0].faults[0].detail.endswith(f"but one of {other}: import the file as {other}")
