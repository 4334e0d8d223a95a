"""docs/rules.md documents every key that the parser of rule files reads, and nothing else."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest

from rebate_app.domain.pricing.rules import RuleVersion
from rebate_app.wire.rules import parsing
from rebate_app.wire.rules.parsing import NOT_SUPPORTED, NOT_SUPPORTED_INVITER, parse_rules
from rebate_app.wire.rules.section import NAME_FORM, Section
from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
LEAST, FULL, REFUSED = (text for language, text in BLOCKS if language == "toml")
(PROBLEMS,) = (text for language, text in BLOCKS if language == "text")
HEAD = ["key", "type", "range", "default", "example", "meaning"]
NEEDED = "needed"

Row = dict[str, str]


def documented() -> dict[str, Row]:
    """Return the rows of the table of keys by key."""
    lines = [line for line in PAGE.splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert rows[0] == HEAD
    assert all(len(row) == len(HEAD) for row in rows)
    return {row[0].strip("`"): dict(zip(HEAD, row, strict=True)) for row in rows[1:]}


class Recorder(Section):
    """A section that records each key that the parser reads, with its type, range and default."""

    known: dict[str, tuple[str, str, str]]

    def key(self, member: str) -> str:
        """Return the documented name of a member: `[]` for numbers, `<platform>` and `<level>` for names."""
        path = re.sub(r"\[\d+\]", "[]", self._member(member))
        path = re.sub(r"(share_bps)\.(?!default$).+$", r"\1.<platform>", path)
        return re.sub(r"(inviter\.level\[\]\.bps)\..+$", r"\1.<level>", path)

    def note(self, member: str, kind: str, values: str, default: str) -> None:
        """Record a key; the most specific reading of it holds."""
        self.known[self.key(member)] = (kind, values, default)

    def take(self, member: str, *, needed: bool = False) -> Any:
        """Record that the key is read at all."""
        self.known.setdefault(self.key(member), ("", "", NEEDED if needed else ""))
        return super().take(member, needed=needed)

    def name(self, member: str) -> str:
        """Record a name."""
        self.note(member, "text", NAME_FORM, NEEDED)
        return super().name(member)

    def one_of(self, member: str, known: tuple[str, ...], *, needed: bool = False) -> str:
        """Record an enumeration."""
        values = ", ".join(f"`{value}`" for value in known)
        self.note(member, "text", values, NEEDED if needed else f"`{known[0]}`")
        return super().one_of(member, known, needed=needed)

    def integer(self, member: str, least: int, greatest: int, default: int | None = None) -> int:
        """Record an integer."""
        self.note(member, "integer", f"{least}-{greatest}", NEEDED if default is None else str(default))
        return super().integer(member, least, greatest, default)

    def section(self, member: str, *, needed: bool = False) -> Section:
        """Record a table, and read it with another recorder."""
        self.note(member, "table", "", NEEDED if needed else "")
        return super().section(member, needed=needed)

    def sections(self, member: str, *, needed: bool = False) -> list[Section]:
        """Record an array of tables."""
        self.note(member, "tables", "", NEEDED if needed else "")
        return super().sections(member, needed=needed)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[str, str, str]]:
    """Return what the parser reads of the file with all keys: type, range and default by key."""
    Recorder.known = {}
    monkeypatch.setattr(parsing, "Section", Recorder)
    monkeypatch.setattr("rebate_app.wire.rules.section.Section", Recorder)
    assert isinstance(parse_rules(FULL, "full.toml"), RuleVersion)
    return Recorder.known


class TestKeys:
    """The table of keys beside the parser."""

    def test_every_key_is_documented_and_every_documented_key_is_read(
        self, known: dict[str, tuple[str, str, str]]
    ) -> None:
        """A key that the parser learns needs a row, with what it is for."""
        assert documented().keys() == known.keys()
        assert [key for key, row in documented().items() if len(row["meaning"]) < len("the version")] == []

    def test_types_ranges_and_defaults_are_those_of_the_parser(
        self, known: dict[str, tuple[str, str, str]]
    ) -> None:
        """Of what is read by a method of its own the page says more than the parser can tell."""
        for key, (kind, values, default) in known.items():
            row = documented()[key]
            assert not kind or row["type"] == kind, key
            assert not values or row["range"] == values, key
            if default and not key.endswith(">"):
                assert row["default"] == default, key

    def test_names_have_the_defaults_that_the_page_says(self) -> None:
        """A platform that is not named has the level's `default`, a level without bps gets nothing."""
        rows = documented()
        assert rows["level[].share_bps.<platform>"]["default"] == "`default`"
        assert rows["inviter.level[].bps.<level>"]["default"] == "0"
        version = parse_rules(FULL.replace(", vip = 400", ""), "a.toml")
        assert isinstance(version, RuleVersion)
        assert version.level("vip").share_bps("taobao") == 7000
        assert version.inviter_share_bps(2, "vip") == 0

    def test_every_example_is_in_the_file_with_all_keys(self) -> None:
        """So each example is a value that the parser takes; only tables have none."""
        document = tomllib.loads(FULL)
        for key, row in documented().items():
            if row["type"] in ("table", "tables"):
                assert row["example"] == ""
                continue
            example = tomllib.loads(f"value = {row['example'].strip('`')}")["value"]
            assert example == _value(document, key), key

    def test_sections_that_are_not_built_are_named(self) -> None:
        """Those that the parser refuses as such."""
        sentence = PAGE.split("Not built yet")[1].split("([what")[0]
        named = re.findall(r"`([a-z_.]+)`", sentence)
        assert named == [*NOT_SUPPORTED, *(f"inviter.{name}" for name in NOT_SUPPORTED_INVITER)]


class TestExamples:
    """The files of the page."""

    def test_the_smallest_file_is_a_version(self) -> None:
        """And it cannot be smaller: without any one of its keys it is none."""
        assert isinstance(parse_rules(LEAST, "least.toml"), RuleVersion)
        for line in LEAST.splitlines():
            if line:
                assert isinstance(parse_rules(LEAST.replace(line, ""), "less.toml"), list), line

    def test_the_greatest_payout_is_what_the_page_computes(self) -> None:
        """8200 of the net commission, 7840 with inviters' shares of the buyer's."""
        for base, most in (("net_commission", 8200), ("buyer_rebate", 7840)):
            text = FULL.replace('\nbase = "net_commission"\npaid_by', f'\nbase = "{base}"\npaid_by')
            limit = "max_payout_bps = {}".format
            assert isinstance(parse_rules(text.replace(limit(9000), limit(most)), "a.toml"), RuleVersion)
            assert isinstance(parse_rules(text.replace(limit(9000), limit(most - 1)), "a.toml"), list)

    def test_a_refused_file_has_the_problems_that_the_page_shows(self) -> None:
        """All of them, in one go."""
        problems = parse_rules(REFUSED, "2026-02.toml")
        assert isinstance(problems, list)
        assert problems == PROBLEMS.splitlines()


def _value(document: dict[str, Any], key: str) -> Any:
    """Return the first value of a documented key in a file; of names jd and basic."""
    value: Any = document
    for part in key.split("."):
        name = {"<platform>": "jd", "<level>": "basic"}.get(part, part.removesuffix("[]"))
        value = value[name]
        if part.endswith("[]"):
            value = value[0]
    return value
