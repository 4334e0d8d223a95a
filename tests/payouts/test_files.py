"""Files of payouts: what people and services bring, and how a bill is compared."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import ClientSession

from examples.simulators.payouts.book import THEN_RETURNED, Book, Fault
from rebate_app.payouts.files import (
    AMOUNT,
    DUPLICATE,
    PAID_HERE,
    PAID_THERE,
    RETURNED_HERE,
    RETURNED_THERE,
    BadFileError,
    BillRow,
    Ours,
    bill_rows,
    compare,
    export_file,
    result_rows,
)

from .services import AUTOMATIC, remote

ROW = {"payout_no": "0" * 32, "amount": 995, "account": "=cmd()", "name": "张三", "memo": "-1"}


class TestExport:
    """What people who pay get."""

    def test_utf8_with_a_mark_and_no_formulas(self) -> None:
        """Ids as text, amounts in yuan."""
        text = export_file([ROW])
        assert text.startswith("\ufeffpayout_no,amount_yuan,account,name,memo\r\n")
        assert f"{'0' * 32},9.95,'=cmd(),张三,'-1\r\n" in text


class TestResults:
    """What they bring back."""

    def test_columns_by_name(self) -> None:
        """In any order; further columns are ignored."""
        text = "\ufeffstatus,payout_no,amount_yuan,channel_ref,x\npaid,'abc,9.95,r1,y\nfailed,d,1,,\n"
        assert result_rows(text.encode()) == [
            {"payout_no": "abc", "status": "paid", "amount": 995, "channel_ref": "r1", "code": None},
            {"payout_no": "d", "status": "failed", "amount": 100, "channel_ref": None, "code": None},
        ]

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            (b"\xff", "not UTF-8"),
            (b"", "no column payout_no"),
            (b"payout_no,status,amount_yuan\n3.9E+17,paid,1\n", "row 1: a spreadsheet has changed"),
            (b"payout_no,status,amount_yuan\na,paid,1.005\n", "row 1: amount_yuan"),
        ],
    )
    def test_unusable_files(self, content: bytes, problem: str) -> None:
        """The row is named."""
        with pytest.raises(BadFileError, match=problem):
            result_rows(content)


HEAD = "payout_no,amount_yuan,status,channel_ref,at\n"


class TestBill:
    """What the service says of the day."""

    def test_read(self) -> None:
        """Moments with an offset."""
        (row,) = bill_rows((HEAD + "a,9.95,paid,r,1970-01-01T08:00:01+08:00\n").encode())
        assert row == BillRow("a", 995, "paid", 1_000_000)

    @pytest.mark.parametrize("line", ["a,1,paid,r,yesterday", "a,1,pending,r,1970-01-01T08:00:01+08:00"])
    def test_unusable_rows(self, line: str) -> None:
        """Each is named."""
        with pytest.raises(BadFileError, match="row 1"):
            bill_rows((HEAD + line).encode())

    def test_every_kind_of_difference(self) -> None:
        """From the first moment of the bill to the last."""
        bill = [
            BillRow("same", 100, "paid", 10),
            BillRow("there", 100, "paid", 11),
            BillRow("unpaid", 100, "paid", 12),
            BillRow("amount", 101, "paid", 13),
            BillRow("twice", 100, "paid", 14),
            BillRow("twice", 100, "paid", 15),
            BillRow("back", 100, "paid", 16),
            BillRow("back", 100, "returned", 17),
            BillRow("both", 100, "paid", 17),
            BillRow("both", 100, "returned", 18),
            BillRow("here-back", 100, "paid", 20),
        ]
        ours = [
            Ours("same", 100, "paid", 10),
            Ours("unpaid", 100, "sending", None),
            Ours("amount", 100, "paid", 13),
            Ours("twice", 100, "paid", 14),
            Ours("back", 100, "paid", 16),
            Ours("both", 100, "returned", 17),
            Ours("here-back", 100, "returned", 20),
            Ours("here", 100, "paid", 15),
            Ours("outside", 100, "paid", 99),
        ]
        found = {(each.kind, each.payout_no) for each in compare(bill, ours)}
        assert found == {
            (PAID_THERE, "there"),
            (PAID_THERE, "unpaid"),
            (AMOUNT, "amount"),
            (DUPLICATE, "twice"),
            (RETURNED_THERE, "back"),
            (RETURNED_HERE, "here-back"),
            (PAID_HERE, "here"),
        }

    def test_an_empty_bill(self) -> None:
        """Compares nothing."""
        assert compare([], [Ours("a", 1, "paid", 1)]) == []


DIFFERENCES = {
    "missing": PAID_HERE,
    "extra": PAID_THERE,
    "amount": AMOUNT,
    "twice": DUPLICATE,
    "returned": RETURNED_THERE,
    "not-returned": RETURNED_HERE,
}


class TestSimulatedBill:
    """The bill of a simulated service, over HTTP, against what it really paid."""

    @staticmethod
    def _paid(book: Book) -> list[Ours]:
        """Pay five numbers, one of which comes back, and return them as our withdrawals."""
        for number in "abcde":
            fault = Fault(THEN_RETURNED, seconds=0) if number == "c" else None
            book.accept(number * 32, 995, "", fault)
            book.advance(60)
        book.accept("f" * 32, 995, "", Fault("failed"))
        return [
            Ours(number, amount, status, int(at * 1_000_000)) for number, amount, status, _, at in book.bill()
        ]

    @pytest.mark.asyncio
    @pytest.mark.parametrize("kind", AUTOMATIC)
    async def test_nothing_differs(self, kind: str, keys: Path) -> None:
        """What failed is not in it, and the bill of another day is empty."""
        async with remote(kind, keys) as service, ClientSession() as session:
            ours, bill = self._paid(service.book), service.url.with_path("/control/bill")
            text = await (await session.get(bill)).text()
            other = await (await session.get(bill.with_query(day="1999-12-31"))).text()
        rows = bill_rows(text.encode())
        assert [row.status for row in rows] == ["paid", "paid", "returned", "paid", "paid"]
        assert compare(rows, ours) == []
        assert bill_rows(other.encode()) == []

    @pytest.mark.parametrize("name", DIFFERENCES)
    def test_each_difference_is_named(self, name: str) -> None:
        """With the number that differs, and no other."""
        book = Book()
        ours = self._paid(book)
        number = {"extra": "9", "not-returned": "c"}.get(name, "b") * 32
        book.bill_differs[number] = name
        (found,) = compare(bill_rows(book.bill_file().encode()), ours)
        assert (found.kind, found.payout_no) == (DIFFERENCES[name], number)
