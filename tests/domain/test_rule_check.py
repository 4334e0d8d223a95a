"""Rule files: what is a version, what is not, and that every problem is reported at once.

See docs/spec/rules.md#checks.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path

import pytest

from rebate_app.domain.pricing.rules import Level, RuleBook, RuleVersion
from rebate_app.settings import ConfigurationError
from rebate_app.wire.rules.files import (
    RuleFilesError,
    check_publishable,
    load_rules,
    read_files,
    read_folder,
)
from rebate_app.wire.rules.parsing import parse_rules
from tests.domain.world import us

LEAST = """
schema = "rebate-rules/1"
version = "r1"
effective_from = 2026-01-01T00:00:00+08:00
[[level]]
id = "basic"
share_bps = { default = 6500 }
"""
FULL = """
schema = "rebate-rules/1"
version = "2026-01-r3"
effective_from = 2026-01-01T00:00:00.5-03:30
select_by = "paid_at"
pin = "first_paid_snapshot"
[money]
currency = "CNY"
base = "net_commission"
rounding = "floor"
min_net_commission_fen = 5
min_rebate_fen = 3
max_payout_bps = 8700
[[level]]
id = "basic"
share_bps = { default = 5000, taobao = 5000, jd = 4400 }
[[level]]
id = "vip"
share_bps = { default = 7000, pdd = 7500 }
[inviter]
max_levels = 2
base = "net_commission"
paid_by = "platform_cut"
[[inviter.level]]
depth = 1
bps = { basic = 600, vip = 800 }
[[inviter.level]]
depth = 2
bps = { basic = 300, vip = 400 }
"""


def version_of(text: str) -> RuleVersion:
    """Return the version that the text is."""
    version = parse_rules(text, "a.toml")
    assert isinstance(version, RuleVersion), version
    return version


def problems_of(text: str | bytes) -> list[str]:
    """Return what is wrong with the text."""
    problems = parse_rules(text, "a.toml")
    assert isinstance(problems, list), problems
    assert all(problem.startswith("a.toml: ") for problem in problems)
    return [problem.removeprefix("a.toml: ") for problem in problems]


class TestVersions:
    """What a file that is right says."""

    def test_the_least_file_has_the_defaults(self) -> None:
        """`[money]` has its defaults; without `[inviter]` only buyers get something.

        See docs/spec/rules.md#files.
        """
        version = version_of(LEAST)
        assert version.levels == (Level("basic", 6500),)
        assert (version.min_net_commission_fen, version.min_rebate_fen, version.max_payout_bps) == (
            2,
            1,
            9000,
        )
        assert (version.inviter_max_levels, version.inviter_bps) == (0, {})

    def test_every_member_is_read(self) -> None:
        """Each into its place; the moment as an instant."""
        version = version_of(FULL)
        assert version == RuleVersion(
            version="2026-01-r3",
            effective_from=us(datetime.fromisoformat("2026-01-01T03:30:00.5+00:00")),
            levels=(
                Level("basic", 5000, {"taobao": 5000, "jd": 4400}),
                Level("vip", 7000, {"pdd": 7500}),
            ),
            min_net_commission_fen=5,
            min_rebate_fen=3,
            max_payout_bps=8700,
            inviter_max_levels=2,
            inviter_bps={1: {"basic": 600, "vip": 800}, 2: {"basic": 300, "vip": 400}},
            content_hash=version.content_hash,
        )

    def test_the_hash_is_that_of_the_bytes(self) -> None:
        """A comment or a line end more is another file; text and its UTF-8 are the same."""
        hashes = [version_of(LEAST + more).content_hash for more in ("", "# later", "\n")]
        assert hashes[0] == hashlib.sha256(LEAST.encode()).hexdigest()
        assert len(set(hashes)) == 3
        assert parse_rules(LEAST.encode(), "a.toml") == parse_rules(LEAST, "a.toml")

    def test_shares_of_a_rebate_are_checked_as_such(self) -> None:
        """Of a buyer's 8000 bps an inviter's 1200 are 960: together 8960, and 9200 of the net."""
        inviter = (
            '[inviter]\nmax_levels = 1\nbase = "{}"\n[[inviter.level]]\ndepth = 1\nbps = {{ basic = 1200 }}\n'
        )
        generous = LEAST.replace("6500", "8000")
        assert version_of(generous + inviter.format("buyer_rebate")).inviter_base == "buyer_rebate"
        assert len(problems_of(generous + inviter.format("net_commission"))) == 1


class TestProblems:
    """Nothing wrong is taken, nothing unknown ignored."""

    @pytest.mark.parametrize(
        ("old", "new", "problem"),
        [
            ("rebate-rules/1", "rebate-rules/2", "schema: has to be 'rebate-rules/1', not 'rebate-rules/2'"),
            ('"2026-01-r3"', "3", "version: has to be text of 1-64 characters without control, not 3"),
            ('"2026-01-r3"', '""', "version: has to be text of 1-64 characters without control, not ''"),
            ('"paid_at"', '"created_at"', "select_by: has to be 'paid_at', not 'created_at'"),
            ('"first_paid_snapshot"', "true", "pin: has to be 'first_paid_snapshot', not True"),
            ('"CNY"', '"USD"', "money.currency: has to be 'CNY', not 'USD'"),
            ('rounding = "floor"', 'rounding = "up"', "money.rounding: has to be 'floor', not 'up'"),
            ('"platform_cut"', '"buyer"', "inviter.paid_by: has to be 'platform_cut', not 'buyer'"),
            (
                "= 5\n",
                "= -1\n",
                "money.min_net_commission_fen: has to be an integer from 0 to 1000000000, not -1",
            ),
            (
                "= 3\n",
                "= true\n",
                "money.min_rebate_fen: has to be an integer from 0 to 1000000000, not True",
            ),
            ("8700", "10001", "money.max_payout_bps: has to be an integer from 0 to 10000, not 10001"),
            ("default = 5000,", "", "level[1].share_bps.default: is needed"),
            (
                "jd = 4400",
                "jd = 44.5",
                "level[1].share_bps.jd: has to be an integer from 0 to 10000, not 44.5",
            ),
            ("jd = 4400", "JD = 4400", "level[1].share_bps.JD: unknown key; did you mean jd?"),
            ("taobao = 5", "taoboa = 5", "level[1].share_bps.taoboa: unknown key; did you mean taobao?"),
            ("pdd = 7500", "vip = 7500", "level[2].share_bps.vip: unknown key"),
            (
                "default = 5000",
                "defualt = 5000",
                "level[1].share_bps.defualt: unknown key; did you mean default?",
            ),
            ('id = "vip"', 'id = "basic"', "level[2].id: the level 'basic' is there twice"),
            ('id = "vip"', "", "level[2].id: is needed"),
            ("{ default = 7000, pdd = 7500 }", "7000", "level[2].share_bps: has to be a table"),
            (
                "max_levels = 2",
                "max_levels = 3",
                "inviter.max_levels: has to be an integer from 0 to 2, not 3",
            ),
            ("max_levels = 2", "", "inviter.max_levels: is needed"),
            ("depth = 2", "depth = 1", "inviter.level[2].depth: the depth 1 is there twice"),
            ("depth = 2", "depth = 0", "inviter.level[2].depth: has to be an integer from 1 to 2, not 0"),
            ("vip = 400 }", "gold = 400 }", "inviter.level[2].bps.gold: unknown key"),
            ("bps = { basic = 300, vip = 400 }", "", "inviter.level[2].bps: is needed"),
            ("select_by", "selected_by", "selected_by: unknown key; did you mean select_by?"),
            ("min_rebate_fen", "min_rebate", "money.min_rebate: unknown key; did you mean min_rebate_fen?"),
            ("[inviter]", "[inviter]\nrate = 1", "inviter.rate: unknown key"),
            ('id = "vip"', 'id = "vip"\nname = "V"', "level[2].name: unknown key"),
            ("[money]", "[cap]\n[money]", "cap: not supported yet"),
            ("[money]", "[[campaign]]\nid = 1\n[money]", "campaign: not supported yet"),
            (
                "[[inviter.level]]\ndepth = 1",
                "[inviter.first_order_bonus]\nfen = 1\n[[inviter.level]]\ndepth = 1",
                "inviter.first_order_bonus: not supported yet",
            ),
        ],
    )
    def test_one_problem_is_told_alone(self, old: str, new: str, problem: str) -> None:
        """One thing is wrong, and that thing is named with its place."""
        assert old in FULL
        assert problem in problems_of(FULL.replace(old, new, 1))

    @pytest.mark.parametrize(
        "moment",
        ["2026-01-01T00:00:00", "2026-01-01", '"2026-01-01T00:00:00+08:00"', "1767196800", "00:00:00"],
    )
    def test_a_moment_without_offset_is_none(self, moment: str) -> None:
        """Nobody has to guess a time zone."""
        text = LEAST.replace("2026-01-01T00:00:00+08:00", moment)
        assert [problem.partition(":")[0] for problem in problems_of(text)] == ["effective_from"]

    @pytest.mark.parametrize("text", ["", "a = ", b"\xff", "x = " + "[" * 5_000, "\ufeff" + LEAST])
    def test_what_is_no_toml(self, text: str | bytes) -> None:
        """One sentence, never an exception."""
        assert problems_of(text)

    def test_all_problems_are_told_at_once(self) -> None:
        """Whoever repairs a file repairs it once."""
        text = "version = 1\n[money]\nx = 2\nmax_payout_bps = true\n[cap]\n[inviter]\n"
        text += "[[inviter.level]]\nbps = 3\n"
        places = [problem.partition(": ")[0] for problem in problems_of(text)]
        assert places == [
            "cap",
            "schema",
            "version",
            "effective_from",
            "level",
            "inviter.max_levels",
            "inviter.level[1].depth",
            "inviter.level[1].bps",
            "money.max_payout_bps",
            "money.x",
        ]

    def test_a_payout_beyond_its_limit_is_told_beside_other_problems(self) -> None:
        """What can be read is checked, whatever else is wrong; a limit that cannot be read limits nothing."""
        text = FULL.replace("8700", "8699").replace("[money]", "[cap]\n[money]")
        assert [each.partition(": ")[0] for each in problems_of(text)] == ["cap", "money.max_payout_bps"]
        assert len(problems_of(FULL.replace("8700", "true"))) == 1

    @pytest.mark.parametrize("levels", ["level = []", "level = 3", "level = [1]"])
    def test_levels_are_tables(self, levels: str) -> None:
        """At least one, or nobody could be priced."""
        head = LEAST[: LEAST.index("[[level]]")]
        assert any("table" in problem for problem in problems_of(head + levels))

    @pytest.mark.parametrize(
        ("payout", "fits"), [(7500 + 800 + 400, True), (7500 + 800 + 399, False), (10_000, True)]
    )
    def test_the_greatest_payout_fits_to_the_basis_point(self, payout: int, fits: bool) -> None:
        """Greatest buyer share of any level and platform, and the greatest inviter of each depth."""
        outcome = parse_rules(FULL.replace("8700", str(payout)), "a.toml")
        assert isinstance(outcome, RuleVersion) == fits

    def test_depths_beyond_max_levels_pay_nobody_and_count_nothing(self) -> None:
        """They are allowed, since the chain ends before them."""
        assert version_of(FULL.replace("max_levels = 2", "max_levels = 1").replace("8700", "8300"))


class TestBook:
    """Which version prices a line."""

    def test_the_greatest_moment_not_after_the_payment(self) -> None:
        """Whatever order the files are in; before the first: none."""
        early = version_of(LEAST)
        late = version_of(LEAST.replace("r1", "r2").replace("2026-01", "2026-02"))
        book = RuleBook.of(late, early)
        moments = (
            early.effective_from - 1,
            early.effective_from,
            late.effective_from - 1,
            late.effective_from,
        )
        assert [book.in_force(moment) for moment in moments] == [None, early, early, late]
        assert book.named("r2") is late
        assert book.level_ids == {"basic"}

    def test_an_unknown_level_counts_as_the_first(self) -> None:
        """For the share and for inviters."""
        version = version_of(FULL)
        assert version.level("gold").id == version.level(None).id == "basic"
        assert version.level("vip").share_bps("pdd") == 7500
        assert version.level("vip").share_bps("jd") == 7000
        assert version.inviter_share_bps(2, "vip") == 400
        assert version.inviter_share_bps(3, "vip") == version.inviter_share_bps(1, "gold") == 0


class TestPlatforms:
    """Platforms that have shares of their own."""

    TEXT = FULL.replace("taobao = 5000", "taoboa = 6000").replace("pdd = 7500", "vip = 7500, jd = true")

    def test_each_is_a_network(self) -> None:
        """Every other name is an unknown key, with its place, beside the other problems."""
        assert problems_of(self.TEXT) == [
            "level[1].share_bps.taoboa: unknown key; did you mean taobao?",
            "level[2].share_bps.jd: has to be an integer from 0 to 10000, not True",
            "level[2].share_bps.vip: unknown key",
        ]

    def test_a_published_version_may_have_any(self) -> None:
        """An older or a newer release took them; other keys are refused there too."""
        published = parse_rules(self.TEXT.replace(", jd = true", ""), "a.toml", platforms=None)
        assert isinstance(published, RuleVersion)
        assert published.level("basic").share_bps("taoboa") == 6000
        problems = parse_rules(self.TEXT.replace("vip = 75", "Vip = 75"), "a.toml", platforms=None)
        assert isinstance(problems, list)
        assert [each.split(": ")[1] for each in problems] == [
            "level[2].share_bps.jd",
            "level[2].share_bps.Vip",
        ]

    def test_a_share_that_is_not_read_pays_nothing(self) -> None:
        """The greatest payout counts the shares of any platform of a published version."""
        text = FULL.replace("pdd = 7500", "vip = 7501")
        assert isinstance(parse_rules(text, "a.toml", platforms=None), list)


class TestFolder:
    """A folder of files: all of them, or every problem of all of them."""

    def test_every_toml_file_is_a_version(self, tmp_path: Path) -> None:
        """Other files and hidden ones are none of ours."""
        (tmp_path / "b.toml").write_text(FULL, encoding="utf-8")
        (tmp_path / "a.toml").write_text(LEAST, encoding="utf-8")
        (tmp_path / "notes.md").write_text("x", encoding="utf-8")
        (tmp_path / ".a.toml").write_text("x", encoding="utf-8")
        assert {version.version for version in load_rules(tmp_path).versions} == {"r1", "2026-01-r3"}

    def test_problems_of_all_files_are_told(self, tmp_path: Path) -> None:
        """Broken ones, unreadable ones, and two that compete."""
        (tmp_path / "a.toml").write_text(LEAST, encoding="utf-8")
        (tmp_path / "b.toml").write_text(LEAST, encoding="utf-8")
        (tmp_path / "c.toml").write_text("schema = 1", encoding="utf-8")
        (tmp_path / "d.toml").mkdir()
        (tmp_path / "e.toml").write_text(LEAST.replace('"r1"', '"r2"'), encoding="utf-8")
        with pytest.raises(ConfigurationError) as caught:
            load_rules(tmp_path)
        message = str(caught.value)
        assert "c.toml: schema: " in message
        assert "d.toml: cannot be read: " in message
        assert "b.toml: version 'r1' is in a.toml too" in message
        assert "e.toml: effective_from is the same as in 'r1', and there is no replaces" in message

    def test_files_that_only_publishing_refuses(self, tmp_path: Path) -> None:
        """They are read, since they may be published already; a fresh load refuses them like any other."""
        (tmp_path / "a.toml").write_text(FULL.replace("taobao", "taoboa"), encoding="utf-8")
        (tmp_path / "b.toml").write_text(LEAST.replace("2026-01", "2026-02"), encoding="utf-8")
        problem = "a.toml: level[1].share_bps.taoboa: unknown key; did you mean taobao?"
        files = read_folder(tmp_path)
        assert [(file.name, file.refusals) for file in files] == [("a.toml", (problem,)), ("b.toml", ())]
        versions = [file.version for file in files]
        for refuse in (
            lambda: load_rules(tmp_path),
            lambda: check_publishable(files),
            lambda: check_publishable(files, {versions[1].content_hash}),
            lambda: read_files([tmp_path / "a.toml"], versions[1:]),
        ):
            with pytest.raises(RuleFilesError) as caught:
                refuse()
            assert caught.value.problems == [problem]
        check_publishable(files, {versions[0].content_hash})
        assert [file.name for file in read_files([tmp_path / "a.toml"], versions)] == ["a.toml"]

    def test_a_folder_without_rules(self, tmp_path: Path) -> None:
        """Empty or not there: one sentence that names it."""
        with pytest.raises(ConfigurationError, match="no rule files"):
            load_rules(tmp_path)
        with pytest.raises(ConfigurationError, match="no rule files"):
            load_rules(tmp_path / "absent")
        (tmp_path / "file").write_text("", encoding="utf-8")
        with pytest.raises(ConfigurationError, match="cannot be read"):
            load_rules(tmp_path / "file")
