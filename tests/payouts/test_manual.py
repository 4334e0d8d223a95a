"""Payouts by hand, on the product's own fold: exports at once, and results of rows (attack 11)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence

import pytest

from rebate_app.domain.money_out import states
from rebate_app.domain.money_out.facts import PayoutAttempt, PayoutResult
from rebate_app.domain.money_out.withdrawal import Withdrawal
from rebate_app.payouts.channels.channel_file import ChannelSpec
from rebate_app.payouts.channels.manual import ManualChannel
from rebate_app.payouts.manual_payouts import ManualPayouts, ResultRow
from rebate_app.payouts.ports import Payee, Standing
from rebate_app.wire.moments import DAY_US, SECOND_US

from .world import USER, Log

pytestmark = pytest.mark.asyncio
SPEC = ChannelSpec("bank", "manual", "", 10, 10, 420, 1, ManualChannel("bank"))


class Table:
    """The partition, its log and its payees."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.dies_after: int | None = None
        self.folds_late = False

    def in_state(self, state: str) -> Iterator[tuple[str, Withdrawal]]:
        """Yield the withdrawals of a state."""
        return ((USER, each) for each in list(self.log.withdrawals.values()) if each.state == state)

    def withdrawal(self, user_id: str, withdrawal_id: str) -> Withdrawal | None:
        """Return one."""
        return self.log.withdrawals.get(withdrawal_id)

    def standing(self, user_id: str) -> Standing:
        """Return the user's standing."""
        return Standing(self.log.blocked, parked=False, available=self.log.available)

    def find(self, user_id: str, payee_id: str) -> Payee | None:
        """Return a payee."""
        return Payee("bank", "6222", "李四")

    async def append(self, fact: PayoutAttempt | PayoutResult) -> None:
        """Write a fact, later folded."""
        if self.dies_after == 0:
            raise OSError("died")
        if self.dies_after is not None:
            self.dies_after -= 1
        await asyncio.sleep(0)
        if self.folds_late:
            asyncio.get_running_loop().call_later(0.1, self.log.fold, fact)
        else:
            self.log.fold(fact)


def made(count: int) -> tuple[Table, ManualPayouts]:
    """Return a partition with approved withdrawals of the bank."""
    log = Log()
    for number in range(count):
        log.request(f"w{number}", channel="bank")
    table = Table(log)
    return table, ManualPayouts(table, table, table)  # type: ignore[arg-type] # implements all three


def numbers(rows: Sequence[object]) -> set[str]:
    """Return the payout numbers of rows."""
    return {row.payout_no for row in rows}  # type: ignore[attr-defined]


class TestExports:
    """Attack 11."""

    async def test_two_at_once_share_no_row(self) -> None:
        """The first attempt in the log counts."""
        _, manual = made(20)
        one, other = await asyncio.gather(
            manual.export(SPEC, "x1", is_open=True), manual.export(SPEC, "x2", is_open=True)
        )
        assert numbers(one).isdisjoint(numbers(other))
        assert len(one) + len(other) == 20

    async def test_a_crash_in_the_middle_and_the_same_again(self) -> None:
        """Nothing is lost, nothing doubled."""
        table, manual = made(5)
        table.dies_after = 2
        with pytest.raises(OSError, match="died"):
            await manual.export(SPEC, "x1", is_open=True)
        table.dies_after = None
        rows = await manual.export(SPEC, "x1", is_open=True)
        assert len(rows) == 5
        assert await manual.export(SPEC, "x1", is_open=True) == rows
        assert manual.exports("bank") == {"x1": 5}

    async def test_closed_writes_nothing(self) -> None:
        """Rows of before are given again."""
        table, manual = made(2)
        assert await manual.export(SPEC, "x1", is_open=False) == []
        table.log.blocked = True
        assert await manual.export(SPEC, "x1", is_open=True) == []


class TestResults:
    """What a row leads to."""

    async def test_each_verdict(self) -> None:
        """Checked first, then written; the same again changes nothing."""
        table, manual = made(4)
        rows = await manual.export(SPEC, "x1", is_open=True)
        table.log.request("new", channel="bank")
        given = [
            ResultRow(1, rows[0].payout_no, "paid", 995, "r1", ""),
            ResultRow(2, rows[1].payout_no, "failed", 995, "", "closed"),
            ResultRow(3, rows[2].payout_no, "paid", 996, "", ""),
            ResultRow(4, rows[3].payout_no, "pending", 995, "", ""),
            ResultRow(5, "nobody", "paid", 995, "", ""),
            ResultRow(6, table.log.withdrawals["new"].payout_no, "paid", 995, "", ""),
            ResultRow(7, rows[3].payout_no, "returned", 995, "", ""),
        ]
        wanted = {1: "", 2: "", 3: "amount", 4: "status", 6: "not-exported", 7: ""}
        assert {each.row: each.verdict for each in manual.check(["bank"], given)} == wanted
        assert {each.row: each.verdict for each in await manual.take(["bank"], given)} == wanted
        again = {each.row: each.verdict for each in await manual.take(["bank"], given[:2])}
        assert again == {1: "unchanged", 2: "unchanged"}
        late = [ResultRow(1, rows[1].payout_no, "returned", 995, "", "")]
        assert [each.verdict for each in await manual.take(["bank"], late)] == ["wrong-state"]
        found = [each.state for each in table.log.withdrawals.values()]
        assert found[:2] == [states.PAID, states.FAILED]
        assert found[3] == states.RETURNED

    async def test_channels(self) -> None:
        """A row finds its payout in the channels that are asked for, and in no other one."""
        table, manual = made(1)
        (row,) = await manual.export(SPEC, "x1", is_open=True)
        given = [ResultRow(1, row.payout_no, "paid", 995, "r1", "")]
        assert manual.check(["cash"], given) == await manual.take(["cash"], given) == []
        assert [each.verdict for each in await manual.take(["cash", "bank"], given)] == [""]
        assert table.log.withdrawals["w0"].state == states.PAID

    async def test_the_moment_of_the_file(self) -> None:
        """The result is of then, if that is between the second of the first attempt and now."""
        table, manual = made(1)
        (row,) = await manual.export(SPEC, "x1", is_open=True)
        attempt = table.log.withdrawals["w0"].attempts[0]
        attempt.at -= 5 * DAY_US
        begun, now = attempt.at // SECOND_US * SECOND_US, time.time_ns() // 1_000
        moments = {
            begun: begun,
            begun + DAY_US + 1: begun + DAY_US,
            begun - 1: None,
            now + DAY_US: None,
            None: None,
        }
        for number, (at, expected) in enumerate(moments.items()):
            given = [ResultRow(1, row.payout_no, "paid", 995, f"r{number}", "", at)]
            assert [each.verdict for each in await manual.take(["bank"], given)] == [""]
            result = table.log.withdrawals["w0"].result
            assert result is not None
            assert result.at == expected or (
                expected is None and now // 1_000 * 1_000 <= result.at < now + DAY_US // 2
            )

    async def test_an_older_moment_is_waited_for_until_it_is_folded(self) -> None:
        """The result before it is a younger one."""
        table, manual = made(1)
        (row,) = await manual.export(SPEC, "x1", is_open=True)
        table.log.withdrawals["w0"].attempts[0].at -= 5 * DAY_US
        await manual.take(["bank"], [ResultRow(1, row.payout_no, "paid", 995, "r1", "")])
        table.folds_late = True
        at = time.time_ns() // 1_000 - DAY_US
        await manual.take(["bank"], [ResultRow(1, row.payout_no, "returned", 995, "r1", "", at)])
        assert table.log.withdrawals["w0"].state == states.RETURNED
