"""examples/canonical: one file for each kind, valid, and worth what its page computes."""

from __future__ import annotations

import json
import re
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from rebate_app.domain.facts import Bind, Profile
from rebate_app.wire.facts.order_check import KINDS as ORDER_KINDS
from rebate_app.wire.facts.schemas import order_event_schema, user_fact_schema
from rebate_app.wire.facts.user import KINDS as USER_KINDS
from rebate_app.wire.facts.user import check_bind, check_profile, decode_user
from rebate_app.wire.networks.file_reader import read_facts
from rebate_app.wire.rules.files import load_rules
from tests.oracle import Oracle
from tests.wire.samples import NOW_US

CHECKOUT = Path(__file__).parents[3]
FOLDER = CHECKOUT / "examples" / "canonical"
PAGE = (FOLDER / "README.md").read_text(encoding="utf-8")
AT = datetime.fromisoformat("2026-03-01T00:00:00+08:00")
USERS = ("hong", "jing", "ming")


def facts_of(kind: str) -> list[dict[str, Any]]:
    """Return the facts of a kind's file."""
    return [json.loads(line) for line in (FOLDER / f"{kind}.ndjson").read_text(encoding="utf-8").splitlines()]


@cache
def oracle() -> Oracle:
    """Return the oracle of all examples under the shipped rules."""
    orders = [fact for kind in ORDER_KINDS for fact in facts_of(kind)]
    users = [(fact, NOW_US) for kind in ("user.profile", "attribution.bind") for fact in facts_of(kind)]
    rules = [path.read_text(encoding="utf-8") for path in sorted((CHECKOUT / "rules").glob("*.toml"))]
    return Oracle(orders, users, rules)


def table(heading: str) -> list[list[str]]:
    """Return the rows of the table below a heading, without its head."""
    section = PAGE.split(f"## {heading}")[1].split("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in re.findall(r"^\|.*\|$", section, re.MULTILINE)
    ]
    return rows[2:]


class TestFiles:
    """What is in the files."""

    def test_each_kind_has_a_file_and_each_file_a_kind(self) -> None:
        """A kind that the decoders learn needs an example; its file holds nothing else, the page names it."""
        kinds = {path.stem for path in FOLDER.glob("*.ndjson")}
        assert kinds == {*ORDER_KINDS, *USER_KINDS}
        for kind in kinds:
            assert {fact["kind"] for fact in facts_of(kind)} == {kind}
            assert f"[{kind}.ndjson]({kind}.ndjson)" in PAGE

    @pytest.mark.parametrize("kind", ORDER_KINDS)
    def test_order_facts_are_imported_without_a_remark(self, kind: str) -> None:
        """Neither refused nor warned about, and valid by the schema."""
        rows = list(read_facts(FOLDER / f"{kind}.ndjson", "canonical", NOW_US))
        assert [row.faults for row in rows if row.document is None] == []
        assert [row.warnings for row in rows if row.warnings] == []
        valid = Draft202012Validator(order_event_schema()).is_valid
        assert all(valid(fact) for fact in facts_of(kind))

    @pytest.mark.parametrize("kind", USER_KINDS)
    def test_user_facts_are_records_of_the_topic(self, kind: str) -> None:
        """As they are: under their key, and by the schema."""
        valid = Draft202012Validator(user_fact_schema()).is_valid
        for fact in facts_of(kind):
            key = fact["attribution_id" if kind == "attribution.bind" else "user_id"]
            assert decode_user(json.dumps(fact).encode(), key.encode(), NOW_US)
            assert valid(fact)

    def test_profiles_and_bindings_are_rows_of_the_commands(self) -> None:
        """`rebate profiles import` and `attributions import` take them, `schema` and `kind` included."""
        levels = load_rules(CHECKOUT / "rules").level_ids
        for fact in facts_of("user.profile"):
            assert isinstance(check_profile(fact, levels=levels), Profile)
        for fact in facts_of("attribution.bind"):
            assert isinstance(check_bind(fact), Bind)


class TestPage:
    """Every figure of examples/canonical/README.md, against the oracle."""

    def test_the_balances_are_right(self) -> None:
        """Of everybody in the examples."""
        balances = {user: oracle().balance(user, AT) for user in USERS}
        names = ("estimated", "confirmed", "held", "available")
        assert table("Balances on 2026-03-01") == [
            [user, *(str(balances[user][name]) for name in names)] for user in USERS
        ]

    def test_the_lines_are_right(self) -> None:
        """Net, buyer and inviter of each line."""
        rows = {row[0].strip("`"): row[2:] for row in table("The lines")}
        assert sorted(rows) == sorted(f"{platform}:{line}" for platform, line in oracle().lines())
        for line, (net, *shares) in rows.items():
            platform, order_line_id = line.split(":")
            answer = oracle().line(platform, order_line_id, AT)
            assert int(net.rpartition("= ")[2]) == answer["net"]
            written = [re.fullmatch(r"(\w+) (\d+) % = (\d+)", cell) for cell in shares if cell != "none"]
            expected = [
                (share["user_id"], str(share["bps"] // 100), str(share["estimated"] + share["available"]))
                for share in answer["shares"]
            ]
            assert [found and found.groups() for found in written] == expected
