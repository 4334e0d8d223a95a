"""Header names of dead letters, parked copies and replays, and the id of a failed record (failures.md 3).

Law: all values are UTF-8 text. A record is named by where it failed: `topic/partition/offset`. It is
separate because who writes them (the agents) and who reads them (commands, web, audit) share nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

ERROR_PREFIX = "rebate-error-"
REASON = ERROR_PREFIX + "reason"
DETAIL = ERROR_PREFIX + "detail"
MEMBER = ERROR_PREFIX + "member"
STAGE = ERROR_PREFIX + "stage"
TOPIC = ERROR_PREFIX + "topic"
PARTITION = ERROR_PREFIX + "partition"
OFFSET = ERROR_PREFIX + "offset"
TIMESTAMP = ERROR_PREFIX + "timestamp"
ATTEMPT = ERROR_PREFIX + "attempt"
FIRST_AT = ERROR_PREFIX + "first-at"
AT = ERROR_PREFIX + "at"
APP_VERSION = ERROR_PREFIX + "app-version"
RULES_HASH = ERROR_PREFIX + "rules-hash"
WORKER = ERROR_PREFIX + "worker"
APP = ERROR_PREFIX + "app"  # whose fold it was: several apps may read one topic
TRACE = ERROR_PREFIX + "trace"
ORIGIN = ERROR_PREFIX + "origin"  # of a replay that failed again: where its first failure stands
RELEASE = ERROR_PREFIX + "release"  # of a parked record: the control message that had it folded again

REPLAY_PREFIX = "rebate-replay-"
REPLAY_OF = REPLAY_PREFIX + "of"
REPLAY_ID = REPLAY_PREFIX + "id"
REPLAY_BY = REPLAY_PREFIX + "by"

#: Whose webhooks a record of a retry topic waits for: several apps may send the events of one cluster.
DELIVERED_BY = "rebate-webhook-app"

PARKED_FROM = "rebate-parked-from"

#: What follows from the record and the log alone, whoever folded it, when, and in which version.
FOLLOWS_FROM_LOG = frozenset({REASON, TOPIC, PARTITION, OFFSET, RELEASE})


def follows_from_log(name: str) -> bool:
    """Whether a header says the same whoever writes it: the record's own do, and some of ours."""
    return name in FOLLOWS_FROM_LOG or not name.startswith(ERROR_PREFIX)


Header = tuple[str, bytes]
_match_place = re.compile(r"([A-Za-z0-9._-]{1,249})/([0-9]{1,9})/([0-9]{1,18})", re.ASCII).fullmatch


class Place(NamedTuple):
    """A record's place in a log; its text is the id of its dead letter."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


def parse_place(text: str) -> Place:
    """Return the place that the text names; ValueError if it names none."""
    found = _match_place(text)
    if found is None:
        raise ValueError(f"{text!r} is no topic/partition/offset")
    return Place(found[1], int(found[2]), int(found[3]))


def texts_of(headers: Iterable[Header]) -> dict[str, str]:
    """Return headers as text by name, the first of each; what is not UTF-8 is shown with escapes."""
    texts: dict[str, str] = {}
    for name, value in headers:
        texts.setdefault(name, (value or b"").decode("utf-8", "backslashreplace"))
    return texts
