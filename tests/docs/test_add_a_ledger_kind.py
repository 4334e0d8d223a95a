"""docs/how-to/add-a-ledger-kind.md, followed: its edits add a kind that moves money as a clawback does."""

from __future__ import annotations

from pathlib import Path

from rebate_app.domain.account.ledger import LEDGER_KINDS
from tests.docs.edits import copy_of_the_code, edit, run

FILES_MAX = 3
POST = """
    from rebate_app.domain.account.account import Head, Profiles
    from rebate_app.domain.account.account_fold import fold_fee, fold_target
    from rebate_app.domain.account.balance import balance_on
    from rebate_app.domain.account.events import PendingEvents, balance_event
    from rebate_app.domain.messages import LineTarget
    from rebate_app.domain.now import Now
    from rebate_app.domain.order.value import SETTLED_PHASE, LineValue
    from rebate_app.domain.pricing.rules import Level, RuleBook, RuleVersion
    from rebate_app.web.http_page import tables
    from rebate_app.wire.events import encode_balance


    class Account:
        def __init__(self):
            self._head, self.lines, self.ledger, self._profiles = Head(), {}, [], Profiles()

        def head(self):
            return self._head

        def upgrade_head(self):
            pass

        def line(self, line):
            return self.lines.get(line)

        def add_line(self, record):
            self.lines[record.line] = record

        def profiles(self):
            return self._profiles

        def move_share(self, record, before, after):
            pass

        def move_amounts(self, amounts):
            pass

        def repricings_under_way(self):
            return None

        def append(self, entry, number):
            assert number == len(self.ledger)
            self.ledger.append(entry)


    rules = RuleBook.of(RuleVersion("r", 0, (Level("basic", 5_000),)))
    account, pending = Account(), PendingEvents()
    for offset, net in enumerate((2_000, 1_800)):
        value = LineValue(SETTLED_PHASE, "settled", 0, net, net, net, None, 0, 9)
        target = LineTarget("u1", "taobao:1", "", offset, offset, value)
        fold_target("u1", account, target, Now(offset, 0), rules, pending)
    fold_fee("u1", account, 100, Now(2, 0), pending)
    for entry in account.ledger:
        print(entry.kind, entry.estimated, entry.settled, entry.held, entry.line or "-")
    print(balance_on(account.head(), 9).available)
    event = balance_event("u1", account.head(), pending.changes["u1"])
    print(event.before.confirmed, event.after.confirmed + event.after.available)
    print(b'"cause":{"kind":"fee"' in encode_balance(event))
    print("| `fee` | a fee is deducted from available money |" in tables())
"""


def test_the_kind_is_unknown_before() -> None:
    """The example of the page is no kind of this version."""
    assert "fee" not in LEDGER_KINDS


def test_following_the_page_adds_a_kind_of_its_own(tmp_path: Path) -> None:
    """A fee and a clawback of equal signs differ in ledger, event and docs; both are in the sums."""
    folder = copy_of_the_code(tmp_path)
    assert len(edit(folder, "add-a-ledger-kind.md")) <= FILES_MAX
    assert run(folder, POST).splitlines() == [
        "adjust 0 1000 0 taobao:1",
        "clawback 0 -100 0 taobao:1",
        "fee 0 -100 0 -",
        "800",
        "0 800",
        "True",
        "True",
    ]
