"""docs/how-to/add-a-rule.md, followed: its edits add a cap per line to the rule files."""

from __future__ import annotations

from pathlib import Path

from rebate_app.wire.rules.parsing import parse_rules
from tests.docs.edits import copy_of_the_code, edit, run

FILES_MAX = 3
RULES = """
schema = "rebate-rules/1"
version = "capped"
effective_from = 2026-01-01T00:00:00+08:00
[money]
max_share_fen = {cap}
[[level]]
id = "basic"
share_bps = {{ default = 5000 }}
"""
PRICE = """
    from rebate_app.domain.order.value import SETTLED_PHASE, LineValue
    from rebate_app.domain.pricing.allocation import buyer_amounts
    from rebate_app.wire.rules.parsing import parse_rules

    value = LineValue(SETTLED_PHASE, "settled", 0, 3000, 2000, 900, None, 0, 9)
    for text in ({texts}):
        rule = parse_rules(text, "f")
        if isinstance(rule, list):
            print(rule)
        else:
            amounts = buyer_amounts(rule, value, 5_000)
            print(amounts.settled, amounts.held)
"""


def test_the_key_is_unknown_before() -> None:
    """A key that nothing reads is refused."""
    assert parse_rules(RULES.format(cap=600), "f") == ["f: money.max_share_fen: unknown key"]


def test_following_the_page_adds_a_cap_per_line(tmp_path: Path) -> None:
    """A file with the key caps shares, one without prices as before, a wrong value is refused."""
    folder = copy_of_the_code(tmp_path)
    assert len(edit(folder, "add-a-rule.md")) <= FILES_MAX
    capped, wrong = RULES.format(cap=600), RULES.format(cap=-1)
    without = capped.replace("max_share_fen = 600\n", "")
    output = run(folder, PRICE.format(texts=", ".join(map(repr, (capped, without, wrong)))))
    assert output.splitlines() == [
        "450 150",  # of 900 half, and the cap of 600 for 2,000
        "450 550",
        "['f: money.max_share_fen: has to be an integer from 0 to 1000000000, not -1']",
    ]
