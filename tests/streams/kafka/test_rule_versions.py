"""Published versions as readers see them: the first record of a version holds, conflicts decide nothing."""

from __future__ import annotations

import pytest

from rebate_app.domain.pricing.rules import RuleVersion
from rebate_app.streams.kafka.rule_start import compare_folder
from rebate_app.streams.kafka.rule_versions import PublishedRules
from rebate_app.wire.rules.files import RuleFile
from rebate_app.wire.rules.parsing import parse_rules
from rebate_app.wire.rules.published import PublishedVersion, encode_published, unknown_platforms
from rebate_app.wire.unreadable import BadRecord
from tests.domain.histories import rules_text
from tests.topology_driver import LogRecord


class Topic:
    """A topic of rule versions, and what a reader makes of it."""

    def __init__(self) -> None:
        self.skipped: list[BadRecord] = []
        self.rules = PublishedRules("rules", self.skipped.append)
        self._offset = 0

    def put(self, key: bytes | None, value: bytes | None) -> None:
        """Read one record."""
        self.rules.take(LogRecord("rules", 0, self._offset, 0, key, value))
        self._offset += 1

    def publish(self, text: str) -> None:
        """Read what a publisher writes."""
        rule = parse_rules(text, "f", platforms=None)
        assert isinstance(rule, RuleVersion), rule
        self.put(*encode_published(PublishedVersion(rule, text, "me", "2026-01-01T00:00:00+08:00", "why")))

    @property
    def names(self) -> list[str]:
        """Return the versions in the order in which they were published."""
        return [rule.version for rule in self.rules.catalogue.versions]


V1 = rules_text("v1", "2026-01-01", 5_000, 500)


def test_the_first_record_of_a_version_holds() -> None:
    """The same again is nothing; another content is skipped, with its place."""
    topic = Topic()
    topic.publish(V1)
    topic.publish(V1)
    assert topic.skipped == []
    topic.publish(V1.replace("5000", "6000"))
    assert [str(bad.place) for bad in topic.skipped] == ["rules/0/2"]
    assert topic.rules.catalogue.named("v1").levels[0].default_bps == 5_000
    assert topic.rules.entries["v1"].content == V1
    assert topic.rules.entries["v1"].by == "me"


def test_what_conflicts_with_the_records_before_decides_nothing() -> None:
    """However it came to the topic; and what follows it is read."""
    topic = Topic()
    topic.publish(V1)
    topic.publish(rules_text("v2", "2026-01-01", 1, 1))
    topic.publish(rules_text("v1b", "2026-01-01", 1, 1, replaces="v1"))
    topic.publish(rules_text("v1c", "2026-01-01", 1, 1, replaces="v1"))
    topic.publish(rules_text("v1d", "2026-01-01", 1, 1, replaces="v1b"))
    assert topic.names == ["v1", "v1b", "v1d"]
    assert len(topic.skipped) == 2
    assert topic.rules.catalogue.book.in_force(2**60).version == "v1d"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"version":"v1"', b'"version":"v2"'),
        (b'"hash":"', b'"hash":"0'),
        (b"rule-version/1", b"rule-version/2"),
    ],
)
def test_a_record_that_contradicts_itself(old: bytes, new: bytes) -> None:
    """Key, version, hash and content have to agree; null removes nothing."""
    topic = Topic()
    rule = parse_rules(V1, "f")
    assert isinstance(rule, RuleVersion)
    key, value = encode_published(PublishedVersion(rule, V1, "me", ""))
    topic.put(key, value.replace(old, new))
    assert (topic.names, len(topic.skipped)) == ([], 1)
    topic.put(key, value)
    topic.put(key, None)
    assert topic.names == ["v1"]


def test_platforms_that_this_release_does_not_know() -> None:
    """A version that another release has published is read; what it has for a network counts."""
    topic = Topic()
    topic.publish(V1.replace("default = 5000 ", "default = 5000, vip = 5500, taoboa = 1, jd = 4400 "))
    assert (topic.names, topic.skipped) == (["v1"], [])
    version = topic.rules.catalogue.named("v1")
    assert (version.levels[0].share_bps("vip"), version.levels[0].share_bps("jd")) == (5_500, 4_400)
    assert unknown_platforms(version) == ["taoboa", "vip"]


def test_a_folder_beside_what_is_published() -> None:
    """Files that are not published, and files that differ."""
    topic = Topic()
    topic.publish(V1)
    texts = [V1 + "# another comment\n", rules_text("v2", "2026-02-01", 1, 1)]
    files = []
    for text in texts:
        rule = parse_rules(text, "f")
        assert isinstance(rule, RuleVersion)
        files.append(RuleFile("f", text, rule))
    differences = compare_folder(files, topic.rules.catalogue)
    assert (differences.unpublished, differences.changed) == (["v2"], ["v1"])
