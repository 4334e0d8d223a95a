"""The kinds of differences, the findings of an audit, and its report.

Every difference is counted once, however often it is found again; `limit` bounds only how many are listed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct, field

CHANGED_RECORD = "changed-record"
MISSING_RECORD = "missing-record"
EXTRA_RECORD = "extra-record"
LOST_MESSAGE = "lost-message"
DOUBLED_MESSAGE = "doubled-message"
INVENTED_MESSAGE = "invented-message"
WRONG_EVENT = "wrong-event"
WRONG_BALANCE = "wrong-balance"
WRONG_WATERMARK = "wrong-watermark"
FOLD_FAILED = "fold-failed"
UNAUDITABLE = "unauditable"

#: Kind of a difference → what it means; docs/audit.md lists them.
FINDING_KINDS = {
    CHANGED_RECORD: "a record of a table is not what the facts make of it",
    MISSING_RECORD: "the facts make a record that the table does not have",
    EXTRA_RECORD: "the table has a record that no fact makes",
    LOST_MESSAGE: "a message that follows from the facts is not on its topic",
    DOUBLED_MESSAGE: "a message that follows from the facts once is on its topic more often",
    INVENTED_MESSAGE: "a message is on its topic that does not follow from the facts",
    WRONG_EVENT: "an event about a balance does not have the values that the facts make",
    WRONG_BALANCE: "a worker answers another balance than the facts make",
    WRONG_WATERMARK: "the watermark of a table does not fit its source",
    FOLD_FAILED: "the facts cannot be folded: a bug in our code; the record is named",
    UNAUDITABLE: "a log has lost its beginning, so what follows from it cannot be checked",
}

FINDINGS_LISTED_MAX = 100


class Finding(Struct, omit_defaults=True, rename={"summary": "says"}):
    """One difference: `where` is `table/partition` or `topic/partition`, `key` the record's or the user's.

    `summary` is one sentence for people; the report names it `says`. `table` and `fold` are the record as the
    system has it and as the facts make it, decoded; of a balance, the answered and the right document.
    """

    kind: str
    where: str
    summary: str
    key: str = ""
    offset: int | None = None
    table: Any = None
    fold: Any = None


class Findings:
    """The differences found so far. One that is found again at a later cut counts once."""

    def __init__(self, limit: int = FINDINGS_LISTED_MAX) -> None:
        self.limit = limit
        self.items: list[Finding] = []
        self._known: set[tuple[str, str, str, int | None]] = set()

    def __len__(self) -> int:
        return len(self._known)

    def add(self, finding: Finding) -> None:
        """Count a difference, and list it while there is room."""
        self.add_lazily(finding.kind, finding.where, finding.key, finding.offset, lambda: finding)

    def add_lazily(
        self, kind: str, where: str, key: str, offset: int | None, make: Callable[[], Finding]
    ) -> None:
        """As `add`, for a finding that is costly to make: `make` is called only if it is listed."""
        identity = (kind, where, key, offset)
        if identity in self._known:
            return
        self._known.add(identity)
        if len(self.items) < self.limit:
            self.items.append(make())

    @property
    def room(self) -> int:
        """Return how many more findings would be listed."""
        return self.limit - len(self.items)


class Report(Struct):
    """The result of an audit.

    `facts`: records of the sources that were folded. `lines`, `accounts`: lines, and users and
    attribution ids, compared. `messages`: messages and dead letters compared; `events`: those on
    `rebate-events`. `after_cut`: messages whose cause comes after the cut. `not_comparable`: users whose
    account changed during every comparison. `cut`: source partition → last folded offset. `building`: kinds
    of records, by table and partition, that a scan is still building, and that were not compared.
    """

    facts: int = 0
    lines: int = 0
    accounts: int = 0
    messages: int = 0
    events: int = 0
    after_cut: int = 0
    users_compared: int = 0
    not_comparable: int = 0
    differences: int = 0
    items: list[Finding] = field(default_factory=list)
    cut: dict[str, int] = field(default_factory=dict)
    building: list[str] = field(default_factory=list)
