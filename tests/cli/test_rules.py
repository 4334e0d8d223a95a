"""`rebate rules check`: files alone, with each other and with the folder; nothing is sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from rebate_app.cli.rules_actions import compare
from rebate_app.cli.rules_commands import rules
from rebate_app.domain.pricing.rules import RuleVersion
from rebate_app.wire.rules.parsing import parse_rules
from tests.domain.histories import rules_text


def check(monkeypatch: pytest.MonkeyPatch, folder: Path, *texts: str) -> tuple[int, dict[str, Any]]:
    """Write the files apart from the folder and check them; return exit code and report."""
    monkeypatch.setenv("REBATE_RULES", str(folder / "rules"))
    monkeypatch.setenv("REBATE_DATADIR", str(folder / "data"))
    paths = []
    for number, text in enumerate(texts):
        path = folder / f"{number}.toml"
        path.write_text(text, encoding="utf-8")
        paths.append(str(path))
    result = CliRunner().invoke(rules, ["check", *paths, "--json"])
    return result.exit_code, json.loads(result.stdout)


class TestCheck:
    """Exit 0 if all can be published, 1 with every problem."""

    def test_files_that_belong_together(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Whatever their order; a moment that is past is a warning."""
        texts = [rules_text("v1b", "2026-01-01", 2, 1, replaces="v1"), rules_text("v1", "2026-01-01", 1, 1)]
        code, report = check(monkeypatch, tmp_path, *texts)
        assert (code, report["problems"]) == (0, [])
        assert [item["version"] for item in report["items"]] == ["v1", "v1b"]
        assert all("effective_from is past" in item["warnings"][0] for item in report["items"])

    def test_the_folder_counts(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """A correction of a version that is there, and one that conflicts with it."""
        (tmp_path / "rules").mkdir()
        (tmp_path / "rules" / "v1.toml").write_text(rules_text("v1", "2026-01-01", 1, 1), encoding="utf-8")
        assert check(monkeypatch, tmp_path, rules_text("v1b", "2026-01-01", 2, 1, replaces="v1"))[0] == 0
        code, report = check(monkeypatch, tmp_path, rules_text("v2", "2026-01-01", 2, 1))
        assert code == 1
        assert report["problems"] == [
            "0.toml: effective_from is the same as in 'v1', and there is no replaces"
        ]

    def test_platforms_without_adapter(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """A misspelt platform is refused where the file is named, also if it is one of the folder."""
        text = rules_text("v1", "2026-01-01", 1, 1).replace("default = 1 ", "default = 1, taoboa = 2 ")
        problem = "0.toml: level[1].share_bps.taoboa: unknown key; did you mean taobao?"
        code, report = check(monkeypatch, tmp_path, text)
        assert (code, report["problems"]) == (1, [problem])
        (tmp_path / "rules").mkdir()
        (tmp_path / "rules" / "v1.toml").write_text(text, encoding="utf-8")
        code, report = check(monkeypatch, tmp_path, text)
        assert (code, report["problems"]) == (1, [problem])
        right = rules_text("v1b", "2026-01-01", 2, 1, replaces="v1")
        code, report = check(monkeypatch, tmp_path, right)
        assert (code, report["problems"]) == (0, []), "one that is published already can be corrected"

    def test_every_problem_of_every_file(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Not only the first."""
        code, report = check(monkeypatch, tmp_path, "x = ", rules_text("v1", "2026-01-01", 99_999, 1))
        assert code == 1
        assert {problem.partition(":")[0] for problem in report["problems"]} == {"0.toml", "1.toml"}


def test_two_versions_side_by_side() -> None:
    """Every figure of both; what one lacks is a dash."""
    one, two = (
        parse_rules(rules_text("a", "2026-01-01", 1, 2), "a"),
        parse_rules(
            rules_text("b", "2026-02-01", 3, 2).replace("{ default = 3 }", "{ default = 3, jd = 4 }"), "b"
        ),
    )
    assert isinstance(one, RuleVersion)
    assert isinstance(two, RuleVersion)
    rows = {what: (first, second) for what, first, second in compare(one, two)}
    assert rows["share_bps basic default"] == ("1", "3")
    assert rows["share_bps basic jd"] == ("-", "4")
    assert rows["inviter bps 1 basic"] == ("2", "2")


WITHDRAW = """
[withdraw]
channels = ["bank", "alipay"]
days_of_month = [5, 25]
review_first = false
approvals_over = [{ fen = 200000, approvals = 2 }]
"""


def test_withdrawals_side_by_side() -> None:
    """A version without the section has a dash for each of its figures."""
    one = parse_rules(rules_text("a", "2026-01-01", 1, 2), "a")
    two = parse_rules(rules_text("b", "2026-02-01", 1, 2) + WITHDRAW, "b")
    assert isinstance(one, RuleVersion)
    assert isinstance(two, RuleVersion)
    rows = {what: (first, second) for what, first, second in compare(one, two)}
    assert rows["withdraw channels"] == ("-", "bank alipay")
    assert rows["withdraw days_of_month"] == ("-", "5 to 25")
    assert rows["withdraw review_first"] == ("-", "False")
    assert rows["withdraw approvals over 200000"] == ("-", "2")


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ("[withdraw]", "withdraw.channels: is needed"),
        ("withdraw = 1", "withdraw: has to be a table"),
        ('[withdraw]\nchannels = ["a b"]', "withdraw.channels: has to be a list"),
        ('[withdraw]\nchannels = ["a", "a"]', "withdraw.channels: has to be a list"),
        ('[withdraw]\nchannels = "bank"', "withdraw.channels: has to be a list"),
        ("[withdraw]\nchannels = []\ndays_of_month = [25, 5]", "withdraw.days_of_month: has to be the first"),
        ("[withdraw]\nchannels = []\ndays_of_month = [1]", "withdraw.days_of_month: has to be the first"),
        ("[withdraw]\nchannels = []\nreview_first = 1", "withdraw.review_first: has to be true or false"),
        ("[withdraw]\nchannels = []\napprovals = 3", "withdraw.approvals: has to be an integer from 1 to 2"),
        ("[withdraw]\nchannels = []\nmin_fen = 9\nmax_fen = 8", "withdraw.min_fen: is more than max_fen"),
        ("[withdraw]\nchannels = []\nfee_bp = 1", "withdraw.fee_bp: unknown key; did you mean fee_bps?"),
        ("[withdraw]\nchannels = []\n[[withdraw.approvals_over]]\nfen = 1", "approvals: is needed"),
    ],
)
def test_problems_of_the_section(section: str, problem: str) -> None:
    """Each is named by its key."""
    text = rules_text("a", "2026-01-01", 1, 2)
    whole = f"{section}\n{text}" if section.startswith("withdraw") else f"{text}\n{section}"
    found = parse_rules(whole, "a.toml")
    assert isinstance(found, list)
    assert [each for each in found if problem in each], found


def test_an_empty_list_of_channels_is_a_section() -> None:
    """Then no channel is allowed."""
    found = parse_rules(rules_text("a", "2026-01-01", 1, 2) + "\n[withdraw]\nchannels = []", "a.toml")
    assert isinstance(found, RuleVersion)
    assert found.withdraw is not None
    assert found.withdraw.channels == ()
