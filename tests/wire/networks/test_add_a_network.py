"""docs/how-to/add-a-network.md, followed: one module and one row of the table of networks, and nothing else.

The module is tests/wire/networks/toy_network.py. Each test checks one room that reads the table.
"""

from __future__ import annotations

import ast
import json
from datetime import date
from importlib import reload
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest
from click.testing import CliRunner

from rebate_app.cli import import_commands
from rebate_app.doctor.rule_checks import check_rules
from rebate_app.domain.facts import Snapshot
from rebate_app.domain.messages import LineTarget
from rebate_app.domain.now import Now
from rebate_app.domain.order.attribution import parse_user_id_fields
from rebate_app.domain.order.line import LineState
from rebate_app.domain.order.order_fold import fold_order
from rebate_app.domain.pricing.calendar import EPOCH, RELEASE_POLICIES, to_date
from rebate_app.domain.pricing.rules import RuleVersion
from rebate_app.networks import NETWORKS, Network, ReleasePolicyName, default_user_id_fields, file_formats
from rebate_app.settings import load_settings
from rebate_app.wire.facts.order import decode_order, encode_order
from rebate_app.wire.networks.adapter import load_adapter
from rebate_app.wire.networks.file_reader import MORE_PAGES, FileWarning, read_facts
from rebate_app.wire.rules.parsing import parse_rules
from rebate_app.wire.topics import Topics
from tests.cli.cases import read_all, use_broker
from tests.e2e.conftest import RULES
from tests.source_trees import tree_of
from tests.wire.samples import NOW_US, codes, read_row, read_text

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
ROW = {
    "no": "T1",
    "state": "S",
    "fee": "12.345",
    "buyer": "mei",
    "title": "toy",
    "paid": "2026-01-03 20:13:51",
    "settled": "2026-01-10 03:21:00",
    "changed": "2026-01-10 03:22:40",
}


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Add the row; the commands, which read the table when they are loaded, are loaded again."""
    row = Network("tests.wire.networks.toy_network", "day-21-after-the-15th", ("custom_uid",))
    with monkeypatch.context() as patch:
        patch.setitem(NETWORKS, "toy", row)
        reload(import_commands)
        yield
    reload(import_commands)


def answer(*rows: Any, **members: Any) -> str:
    """Return an answer of the network's API."""
    return json.dumps({"toy_orders_response": {"orders": list(rows), **members}})


class TestFile:
    """The importer."""

    def test_rows_become_facts(self, tmp_path: Path) -> None:
        """Good rows are facts that the topic takes, bad ones are refused at their places."""
        good, bad = read_text(tmp_path, "toy", answer(ROW, {**ROW, "fee": "x"}))
        assert good.document is not None
        assert codes(bad.faults) == ["invalid-amounts.est_commission", "invalid-amounts.settled_commission"]
        key, value = encode_order(good.document)
        fact = decode_order(value, key, NOW_US)
        assert isinstance(fact, Snapshot)
        assert (key, fact.settled_commission) == (b"toy:T1", 1235)

    def test_errors_pages_and_other_networks(self, tmp_path: Path) -> None:
        """Errors inside the envelope, further pages, and answers imported under another network's name."""
        (error,) = read_text(tmp_path, "toy", answer(code=500, msg="busy"))
        assert codes(error.faults) == ["network-error"]
        path = tmp_path / "page.json"
        path.write_text(answer(ROW, more=True))
        warnings: list[FileWarning] = []
        assert len(list(read_facts(path, "toy", NOW_US, warn=warnings.append))) == 1
        assert warnings == [MORE_PAGES]
        (foreign,) = read_text(tmp_path, "jd", answer(ROW))
        assert foreign.faults[0].detail.endswith("but one of toy: import the file as toy")


class TestCommand:
    """`rebate orders import --network toy`."""

    def test_the_command_imports_it(
        self, kafka: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The option takes the name, and the facts of the file are on the topic."""
        settings = use_broker(monkeypatch, kafka)
        path = tmp_path / "orders.json"
        path.write_text(answer(ROW))
        outcome = CliRunner().invoke(import_commands.import_orders, [str(path), "--network", "toy"])
        assert outcome.exit_code == 0, outcome.output
        assert [key for key, _ in read_all(settings, Topics.of(settings).orders)] == [b"toy:T1"]


class TestMoney:
    """The domain."""

    def test_a_fact_is_folded_and_released_by_its_policy(self, tmp_path: Path) -> None:
        """The user-id field of the row names the owner, and its policy the day."""
        key, value = encode_order(read_row(tmp_path, "toy", ROW))
        fields = parse_user_id_fields(default_user_id_fields())
        state = LineState()
        changed, (target,) = fold_order(state, decode_order(value, key, NOW_US), Now(7, NOW_US), fields)
        assert isinstance(target, LineTarget)
        assert (changed, target.to) == (True, "mei")
        assert target.line_value is not None
        assert target.line_value.release_on is not None
        assert target.line_value.settled_on == (date(2026, 1, 10) - EPOCH).days
        assert to_date(target.line_value.release_on) == date(2026, 1, 21)

    def test_the_setting_has_its_user_id_field(self) -> None:
        """The default of REBATE_USER_ID_FIELDS has the member of the row."""
        assert default_user_id_fields() == "jd:sub_union_id,pdd:custom_uid,toy:custom_uid"


class TestChecks:
    """Doctor."""

    def test_rules_may_name_it(self, tmp_path: Path) -> None:
        """A share for the platform is well; one without an adapter is refused before it is published."""
        settings = load_settings({"REBATE_RULES": str(tmp_path)})
        for platform, state in (("toy", "ok"), ("tyo", "warn")):
            text = RULES.replace("share_bps = { ", f"share_bps = {{ {platform} = 100, ", 1)
            assert platform in text
            (tmp_path / "one.toml").write_text(text)
            check, _ = check_rules(settings)
            assert (check.state, "tyo" in check.summary) == (state, platform == "tyo")
            outcome = parse_rules(text, "one.toml")
            if platform == "toy":
                assert isinstance(outcome, RuleVersion)
            else:
                assert outcome == ["one.toml: level[1].share_bps.tyo: unknown key"]


class TestNames:
    """Where networks are named."""

    def test_only_the_table_and_the_adapters_name_networks_in_code(self) -> None:
        """Docstrings and examples of --help may; a constant elsewhere is one more place to change."""
        found = [
            f"{path.relative_to(ROOT)}:{node.lineno}"
            for folder in ("rebate_app", "agents", "tables")
            for path in sorted((ROOT / folder).rglob("*.py"))
            for node in ast.walk(tree_of(path))
            if isinstance(node, ast.Constant) and node.value in ("taobao", "jd", "pdd")
        ]
        table = [each for each in found if each.startswith("rebate_app/networks.py:")]
        adapters = [each for each in found if each.startswith("rebate_app/wire/networks/")]
        assert (len(table), len(adapters)) == (3, 3)
        assert set(found) == {*table, *adapters}


class TestTable:
    """Every row, the toy among them."""

    @pytest.mark.parametrize("name", [*file_formats(), "toy"])
    def test_the_adapter_can_be_loaded(self, name: str) -> None:
        """Its module has an `ADAPTER`; those of networks name their envelope and their platform."""
        adapter = load_adapter(name)
        assert (adapter.envelope is None) == (name == "canonical")

    def test_every_policy_has_a_function(self) -> None:
        """The names in the table and the functions of the calendar are the same."""
        assert set(RELEASE_POLICIES) == set(get_args(ReleasePolicyName))
        assert {row.release_policy for row in NETWORKS.values()} <= set(RELEASE_POLICIES)
