"""docs/how-to/add-a-reason-code.md, followed: its toy code is found, answered and documented."""

from __future__ import annotations

from pathlib import Path

from tests.docs.how_to import follow, run

SCRIPT = """
import asyncio
from rebate_app.domain.reasons import reason_of
from rebate_app.failures_page import page
from rebate_app.wire.facts.user import check_profile

profile = {"user_id": "u1", "level": "_vip", "inviter_id": None}
(fault,) = check_profile(profile, levels=None)
assert (fault.code, fault.member) == ("reserved-level", "level")
assert not isinstance(check_profile(profile | {"level": "vip"}, levels=None), list)
assert reason_of("reserved-level").failure == "border"
assert "| `reserved-level` |" in page()
"""


def test_the_page_leads_to_a_reason_code(tmp_path: Path) -> None:
    """The code, its row and the check are three files."""
    assert follow("add-a-reason-code.md", tmp_path) == {
        "rebate_app/domain/faults.py",
        "rebate_app/domain/reasons.py",
        "rebate_app/wire/facts/user.py",
    }
    run(SCRIPT, tmp_path)
