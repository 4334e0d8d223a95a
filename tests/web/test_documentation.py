"""docs/http.md describes every route and problem."""

from __future__ import annotations

from pathlib import Path

from rebate_app.domain.facts import PUNISH_RANK, REFUND_RANK, STATUS_RANK
from rebate_app.web.enumerations import LEDGER_REASONS, PUNISHMENTS
from rebate_app.web.http_page import MARK, main, tables
from rebate_app.web.problems import PROBLEMS
from rebate_app.web.routes.table import ROUTES
from rebate_app.web.routing.peer_rpc import INTERNAL_PATH

PAGE = Path(__file__).parents[2] / "docs" / "http.md"


def test_the_tables_are_fresh() -> None:
    """The generated part of the page is that of the code."""
    generated = PAGE.read_text(encoding="utf-8").partition(MARK)[2]
    assert generated == "\n" + tables(), "run: python -m rebate_app.web.http_page docs/http.md"


def test_writing_them_anew_leaves_the_rest_alone(tmp_path: Path) -> None:
    """What was written by hand stays; doing it twice changes nothing."""
    page = tmp_path / "http.md"
    page.write_text("by hand\n\n" + MARK + "stale", encoding="utf-8")
    for _ in range(2):
        main(str(page))
        assert page.read_text(encoding="utf-8") == "by hand\n\n" + MARK + "\n" + tables()


def test_every_resource_and_problem_is_listed() -> None:
    """Every path for clients and every problem code is on the page, with its status."""
    page = PAGE.read_text(encoding="utf-8")
    for route in ROUTES:
        assert (f"`{route.path}`" in page) == (not route.path.startswith(INTERNAL_PATH))
    for code, kind in PROBLEMS.items():
        assert f"| `{code}` | {kind.status} |" in page


def test_the_words_cover_what_the_facts_can_say() -> None:
    """Every status of every kind of fact is a reason of the ledger, and every punishment a status."""
    for kind, words in (("snapshot", STATUS_RANK), ("refund", REFUND_RANK), ("punish", PUNISH_RANK)):
        assert {f"{kind}-{word}" for word in words} <= LEDGER_REASONS.keys()
    assert PUNISHMENTS.keys() == PUNISH_RANK.keys()
