"""The words of the page: both languages for all of them, and for every value that an answer can have."""

from __future__ import annotations

import re
from pathlib import Path

import orjson
import pytest

from rebate_app.dead_letters.outcomes import DRY_RUN_OUTCOMES, OUTCOMES
from rebate_app.domain.account.ledger import LEDGER_KINDS
from rebate_app.domain.facts import REFUND_RANK, STATUS_RANK
from rebate_app.domain.pricing.rules import BASE_BUYER_REBATE, BASE_NET
from rebate_app.domain.reasons import MEMBER, REASONS
from rebate_app.networks import NETWORKS
from rebate_app.streams.task.halt import HALT_CODES
from rebate_app.web.enumerations import LEDGER_REASONS, OWNER_BY, PUNISHMENTS, ROLES
from rebate_app.web.resources.share_explanation import SHARE_REASONS
from rebate_app.web.routes.table import ROUTES
from rebate_app.web.trail import SAFE_METHODS
from rebate_app.wire.decisions import DISCARDED, REPLAYED

FOLDER = Path(__file__).parents[2] / "rebate_app" / "web" / "page"
MODULES = {path.name: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.js"))}
#: What a person can do that is in the trail; the rest is done by programs.
UNSEEN_ACTIONS = {"session.post", "session.delete", "payout-notifications.post"}


def words() -> dict[str, list[str]]:
    """Return the table of words.js, which has one entry a line."""
    entries = re.findall(r'^  (?:"([^"]+)"|(\w+)): (\[".*"\]),$', MODULES["words.js"], re.MULTILINE)
    return {quoted or plain: orjson.loads(value) for quoted, plain, value in entries}


WORDS = words()


class TestTable:
    """The table itself."""

    def test_every_line_of_it_is_read_here(self) -> None:
        """Else a word that is written otherwise would escape these tests."""
        table = MODULES["words.js"].partition("const WORDS = {\n")[2].partition("\n};")[0]
        lines = [line for line in table.splitlines() if line.strip()]
        assert len(lines) == len(WORDS) > 300

    def test_each_has_both_languages(self) -> None:
        """Chinese with Chinese characters, English without; the same parts to fill in."""
        for key, (chinese, english) in WORDS.items():
            assert re.search(r"[\u4e00-\u9fff]", chinese) or key == "kind.because", key
            assert english.strip(), key
            assert not re.search(r"[\u4e00-\u9fff]", english), key
            parts = [sorted(re.findall(r"\{\w+\}", text)) for text in (chinese, english)]
            assert parts[0] == parts[1], key

    def test_every_word_that_a_module_asks_for_is_there(self) -> None:
        """`t("…")` with a literal name."""
        for name, text in MODULES.items():
            for key in re.findall(r'\bt\("([^"]+)"', text):
                assert key in WORDS, f"{name}: {key}"

    def test_no_word_is_unused(self) -> None:
        """A literal name, or a group whose members are made of values."""
        text = "\n".join(MODULES.values())
        groups = set(re.findall(r'(?:word|described)\("(\w+)"|t\(`([\w-]+)\.\$\{', text))
        made = {each for pair in groups for each in pair if each} | {
            "failed",
            "cure",
            "problem",
            "block",
            "unblock",
        }
        for key in WORDS:
            assert f'"{key}"' in text.replace(f'  "{key}": [', "") or key.partition(".")[0] in made, key


@pytest.mark.parametrize(
    ("group", "values"),
    [
        ("status", STATUS_RANK),
        ("suit", REFUND_RANK),
        ("kind", LEDGER_KINDS),
        ("cause", LEDGER_REASONS),
        ("by", OWNER_BY),
        ("share", SHARE_REASONS),
        ("punishment", PUNISHMENTS),
        ("role", ROLES),
        ("halted", HALT_CODES),
        ("outcome", [*OUTCOMES, *DRY_RUN_OUTCOMES]),
        ("decision", [REPLAYED, DISCARDED, "open"]),
        ("base", [BASE_NET, BASE_BUYER_REBATE]),
        ("platform", NETWORKS),
        ("failed", [each.code.partition(MEMBER)[0] for each in REASONS]),
        ("cure", [each.code.partition(MEMBER)[0] for each in REASONS]),
        (
            "action",
            {
                method.action or f"{route.name}.{name.lower()}"
                for route in ROUTES
                for name, method in route.methods.items()
                if name not in SAFE_METHODS and not route.path.startswith("/internal/")
            }
            - UNSEEN_ACTIONS,
        ),
    ],
)
def test_every_value_has_words(group: str, values: list[str]) -> None:
    """A value that is added to the product has to be added to words.js."""
    assert {f"{group}.{value}" for value in values} - set(WORDS) == set()
