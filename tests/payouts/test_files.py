"""Files of payouts: what people and services bring, and how a bill is compared."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pytest
from aiohttp import ClientSession

from examples.simulators.payouts.book import SHANGHAI, THEN_RETURNED, Book, Fault
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
    ignored_rows,
    read_results,
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


RESULTS = "payout_no,status,amount_yuan,channel_ref,code,at\n"


class TestResults:
    """What they bring back."""

    def test_columns_by_name(self) -> None:
        """In any order; further columns are ignored."""
        text = "\ufeffstatus,payout_no,amount_yuan,channel_ref,x\npaid,'abc,9.95,SIM/1:2,y\nfailed,d,1,,\n"
        found = read_results(text.encode())
        one: dict[str, object] = {
            "payout_no": "abc",
            "status": "paid",
            "amount": 995,
            "channel_ref": "SIM/1:2",
        }
        other: dict[str, object] = {"payout_no": "d", "status": "failed", "amount": 100, "channel_ref": None}
        more = {"code": None, "at": None}
        assert found.rows == [(1, one | more), (2, other | more)]
        assert found.refused == []

    @pytest.mark.parametrize("at", ["2026-11-28T02:00:00Z", "9999-12-31T23:59:59Z"])
    def test_the_moment_of_the_file_is_kept(self, at: str) -> None:
        """As the file has it."""
        found = read_results(f"{RESULTS}a,paid,1,r,,{at}\n".encode())
        assert found.rows[0][1]["at"] == at

    @pytest.mark.parametrize(
        ("line", "column"),
        [
            ("a,paid,abc,r,,", "amount_yuan"),
            ("a,paid,1.005,r,,", "amount_yuan"),
            ("a,paid,-1.00,r,,", "amount_yuan"),
            ("a,paid,10000000.01,r,,", "amount_yuan"),
            ("a,paid,1,a b,,", "channel_ref"),
            ("a,paid,1,号,,", "channel_ref"),
            ("a,paid,1,r1,a/b,", "code"),
            ("a,paid,1," + "r" * 65 + ",,", "channel_ref"),
            ("a,failed,1,,号,", "code"),
            ("a,paid,1,r,,yesterday", "at"),
            ("a,paid,1,r,,2026-11-28T10:00:00", "at"),
            ("3.9E+17,paid,1,r,,", "payout_no"),
            (",paid,1,r,,", "payout_no"),
            ("a,,1,r,,", "status"),
            ("a", "status"),
        ],
    )
    def test_a_bad_row_is_refused_by_itself(self, line: str, column: str) -> None:
        """With its place and the column; the rows beside it are read."""
        found = read_results(f"{RESULTS}b,paid,1,,,\n{line}\nc,paid,10000000,,,\n".encode())
        assert found.refused == [{"row": 2, "code": f"invalid-{column}"}]
        assert [(row, members["payout_no"]) for row, members in found.rows] == [(1, "b"), (3, "c")]

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            (b"\xff", "not UTF-8"),
            (b"", "no column payout_no"),
            (b"payout_no,status,amount\na,paid,1\n", "no column amount_yuan"),
            (RESULTS.encode() + b"a" * 200_000, "no CSV"),
        ],
    )
    def test_files_of_another_kind(self, content: bytes, problem: str) -> None:
        """Say what they lack."""
        with pytest.raises(BadFileError, match=problem):
            read_results(content)


HEAD = "payout_no,amount_yuan,status,channel_ref,at\n"


class TestBill:
    """What the service says of the day."""

    def test_read(self) -> None:
        """Moments with an offset."""
        (row,) = bill_rows((HEAD + "a,9.95,paid,r,1970-01-01T08:00:01+08:00\n").encode())
        assert row == BillRow("a", 995, "paid", 1_000_000)

    @pytest.mark.parametrize(
        "line",
        [
            "a,1,paid,r,yesterday",
            "a,1.005,paid,r,1970-01-01T08:00:01+08:00",
            "3.9E+17,1,paid,r,1970-01-01T08:00:01+08:00",
        ],
    )
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
            Ours("same", 100, 10),
            Ours("unpaid", 100),
            Ours("amount", 100, 13),
            Ours("twice", 100, 14),
            Ours("back", 100, 16),
            Ours("both", 100, 17, 17),
            Ours("here-back", 100, 20, 20),
            Ours("here", 100, 15),
            Ours("outside", 100, 99),
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
        assert compare([], [Ours("a", 1, 1, 1)]) == []


class TestMoments:
    """Payments and returns count where they took place, not where the withdrawal last changed."""

    FIRST = (BillRow("a", 100, "paid", 10), BillRow("b", 100, "paid", 20))
    SECOND = (BillRow("c", 100, "paid", 30), BillRow("d", 100, "paid", 40))
    OURS = (Ours("b", 100, 20), Ours("c", 100, 30), Ours("d", 100, 40))

    def kinds(self, bill: Sequence[BillRow], own: Ours) -> list[str]:
        """Return what differs about one of our withdrawals."""
        return [each.kind for each in compare(bill, [own, *self.OURS]) if each.payout_no == own.payout_no]

    def test_a_return_after_the_bill_is_not_in_it(self) -> None:
        """The bill of its payment says paid, that of its own period says returned."""
        own = Ours("a", 100, 10, 35)
        assert self.kinds(self.FIRST, own) == []
        assert self.kinds((*self.SECOND, BillRow("a", 100, "returned", 35)), own) == []
        assert self.kinds(self.SECOND, own) == [RETURNED_HERE]

    @pytest.mark.parametrize("at", [10, 15, 20])
    def test_a_return_up_to_the_last_moment_is(self, at: int) -> None:
        """Also one that came after the payment's own row."""
        assert self.kinds(self.FIRST, Ours("a", 100, 10, at)) == [RETURNED_HERE]

    def test_a_return_there_alone(self) -> None:
        """Whenever it was paid here."""
        bill = (*self.SECOND, BillRow("a", 100, "returned", 35))
        assert self.kinds(bill, Ours("a", 100, 10)) == [RETURNED_THERE]
        assert self.kinds(bill, Ours("a", 100)) == [PAID_THERE]

    def test_a_payment_is_sought_in_its_own_period(self) -> None:
        """And in no other one."""
        own = Ours("e", 100, 20)
        assert self.kinds(self.FIRST, own) == [PAID_HERE]
        assert self.kinds(self.SECOND, own) == []

    def test_paid_and_returned_in_a_bill_that_has_neither(self) -> None:
        """Is one difference."""
        assert self.kinds(self.FIRST, Ours("e", 100, 15, 16)) == [PAID_HERE]

    def test_a_returned_row_has_an_amount_and_a_double_too(self) -> None:
        """As a paid one has."""
        bill = (*self.FIRST, *[BillRow("a", 99, "returned", 20)] * 2)
        assert self.kinds(bill, Ours("a", 100, 10, 20)) == [DUPLICATE, AMOUNT]


class TestOtherStatuses:
    """Rows that are neither paid nor returned."""

    def test_are_read_and_counted(self) -> None:
        """Whatever the word is."""
        lines = [
            f"{n},1,{word},r,1970-01-01T08:00:01+08:00" for n, word in enumerate(("failed", "PAID", "x", "x"))
        ]
        bill = bill_rows((HEAD + "\n".join(lines)).encode())
        assert ignored_rows(bill) == {"failed": 1, "x": 2}

    @pytest.mark.parametrize("status", ["failed", "closed", "", "pending", "needs-user"])
    def test_are_not_paid_there(self, status: str) -> None:
        """So what is paid here is a difference, and what is not is none."""
        bill = [BillRow("a", 100, status, 10)]
        assert [each.kind for each in compare(bill, [Ours("a", 100, 10)])] == [PAID_HERE]
        assert compare(bill, [Ours("a", 100)]) == compare(bill, []) == []

    @pytest.mark.parametrize(
        ("status", "kinds"), [("failed", [PAID_HERE]), ("pending", []), ("needs-user", [])]
    )
    def test_what_is_under_way_there_may_be_paid_after_the_bill(self, status: str, kinds: list[str]) -> None:
        """What failed may not."""
        found = compare([BillRow("a", 100, status, 10)], [Ours("a", 100, 11)])
        assert [each.kind for each in found] == kinds

    def test_a_row_that_is_paid_decides(self) -> None:
        """The steps before it say nothing."""
        bill = [BillRow("a", 100, "pending", 10), BillRow("a", 100, "paid", 11)]
        assert compare(bill, [Ours("a", 100, 11)]) == []


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
        ours = []
        for number, amount, status, _, at in book.bill():
            at_us = int(at * 1_000_000)
            ours.append(Ours(number, amount, at_us, at_us if status == "returned" else None))
        return ours

    @pytest.mark.asyncio
    @pytest.mark.parametrize("kind", AUTOMATIC)
    async def test_nothing_differs(self, kind: str, keys: Path) -> None:
        """What failed is not in it, and the bill of another day is empty."""
        async with remote(kind, keys) as service, ClientSession() as session:
            ours, bill = self._paid(service.book), service.url.with_path("/control/bill")
            text = await (await session.get(bill)).text()
            other = await (await session.get(bill.with_query(day="1999-12-31"))).text()
        rows = bill_rows(text.encode())
        assert [row.status for row in rows] == ["paid", "paid", "paid", "returned", "paid", "paid"]
        assert compare(rows, ours) == []
        assert bill_rows(other.encode()) == []

    def test_a_return_is_in_the_bill_of_its_own_day(self) -> None:
        """And the payment in that of the day before."""
        book = Book()
        book.accept("a" * 32, 995, "", Fault(THEN_RETURNED, seconds=86_400))
        paid_at = book.now()
        book.advance(86_400)
        days = [datetime.fromtimestamp(paid_at + n * 86_400, SHANGHAI).date().isoformat() for n in (0, 1)]
        bills = [bill_rows(book.bill_file(day).encode()) for day in days]
        assert [[row.status for row in bill] for bill in bills] == [["paid"], ["returned"]]
        own = Ours("a" * 32, 995, bills[0][0].at, bills[1][0].at)
        assert [compare(bill, [own]) for bill in bills] == [[], []]

    @pytest.mark.parametrize("name", DIFFERENCES)
    def test_each_difference_is_named(self, name: str) -> None:
        """With the number that differs, and no other."""
        book = Book()
        ours = self._paid(book)
        number = {"extra": "9", "not-returned": "c"}.get(name, "b") * 32
        book.bill_differs[number] = name
        (found,) = compare(bill_rows(book.bill_file().encode()), ours)
        assert (found.kind, found.payout_no) == (DIFFERENCES[name], number)
