"""Which version prices each line where versions become known while lines come.

See docs/spec/rules.md#activation. A line is priced for its owner by the versions known then, and anew only
when its paid time or owner changes. The oracle itself knows no order of arrival, so it gets a history in
phases: in each, at most one fact of a line, all of it processed before the next version is published.
"""

from collections.abc import Collection, Iterable
from fractions import Fraction

from tests.oracle.moments import instant
from tests.oracle.oracle import LineKey, Oracle
from tests.oracle.sharing import RuleVersion, version_in_force


class KnownVersions:
    """The versions that price the lines of a history; `pinned`: by line, None for a line before all."""

    def __init__(self, rules: Iterable[str]) -> None:
        self._versions = [RuleVersion(source) for source in rules]
        self._pins: dict[tuple[LineKey, str], tuple[Fraction, str | None]] = {}
        self.pinned: dict[LineKey, str | None] = {}

    def phase(self, oracle: Oracle, known: Collection[str]) -> None:
        """Price what a phase has changed; `oracle` has the facts so far, `known` are the versions' names."""
        versions = [version for version in self._versions if version.name in known]
        for key, (owner, paid_text) in oracle.pricing_facts().items():
            if owner is None or paid_text is None:
                continue
            paid = instant(paid_text)
            before = self._pins.get((key, owner))
            if before is None or before[0] != paid:
                version = version_in_force(versions, paid)
                self._pins[key, owner] = paid, None if version is None else version.name
            self.pinned[key] = self._pins[key, owner][1]
