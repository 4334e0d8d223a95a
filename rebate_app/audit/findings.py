"""What the audit found: every difference once, counted all, listed up to a limit.

Law: `differences` counts what differs, however many of them are listed.
"""

from __future__ import annotations

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
    WRONG_EVENT: "an event about a balance says something else than the facts make",
    WRONG_BALANCE: "a worker answers another balance than the facts make",
    WRONG_WATERMARK: "a table says that it holds up to a place which its source does not have",
    FOLD_FAILED: "the facts cannot be folded: a bug of ours, the record is named",
    UNAUDITABLE: "a log does not begin at its beginning, so nothing can be said about what follows from it",
}

LIMIT = 100


class Finding(Struct, omit_defaults=True):
    """One difference: `where` is `table/partition` or `topic/partition`, `key` the record's or the user's.

    `table` and `fold` are the record as the system has it and as the facts make it, decoded; for a
    balance what was answered and what is right.
    """

    kind: str
    where: str
    says: str
    key: str = ""
    offset: int | None = None
    table: Any = None
    fold: Any = None


class Findings:
    """The differences found so far. The same one found again, at a later cut, counts once."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit
        self.items: list[Finding] = []
        self._known: set[tuple[str, str, str, int | None]] = set()

    def __len__(self) -> int:
        return len(self._known)

    def add(self, finding: Finding) -> None:
        """Count a difference, and list it while there is room."""
        self.note(finding.kind, finding.where, finding.key, finding.offset, lambda: finding)

    def note(self, kind: str, where: str, key: str, offset: int | None, make: Any) -> None:
        """As `add`, for a finding that is costly to make: `make` is called only if it is listed."""
        name = (kind, where, key, offset)
        if name in self._known:
            return
        self._known.add(name)
        if len(self.items) < self.limit:
            self.items.append(make())

    @property
    def room(self) -> int:
        """Return how many more would be listed."""
        return self.limit - len(self.items)


class Report(Struct):
    """The result of an audit.

    `facts`: records of the sources that were folded. `lines`, `accounts`: lines, and users and
    attribution ids, compared. `messages`: sent messages and dead letters looked for; `events`: those on
    `rebate-events`. `after_cut`: messages that came after the cut. `not_comparable`: users whose account
    moved on while they were asked. `cut`: source partition → offset up to which was folded.
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
