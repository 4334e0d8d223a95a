"""Headers of dead letters, parked and rerouted copies, and replays; places of records.

See docs/spec/failures.md#headers.

All header values are UTF-8 text. A failed record is named by its place, `topic/partition/offset`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
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
#: Of a dead letter that was truncated: sizes of the whole record in bytes.
TRUNCATED = ERROR_PREFIX + "truncated"  # size of the value; present whenever anything was cut
SHA256 = ERROR_PREFIX + "sha256"  # of the whole value, in hexadecimal
KEY_TRUNCATED = ERROR_PREFIX + "key-truncated"  # size of the key
HEADERS_TRUNCATED = ERROR_PREFIX + "headers-truncated"  # size of the record's own headers
RELEASE = ERROR_PREFIX + "release"  # of a parked record: the control message that had it folded again

REPLAY_PREFIX = "rebate-replay-"
REPLAY_OF = REPLAY_PREFIX + "of"
REPLAY_ID = REPLAY_PREFIX + "id"
REPLAY_BY = REPLAY_PREFIX + "by"

#: Whose webhooks a record of a retry topic waits for: several apps may send the events of one cluster.
DELIVERED_BY = "rebate-webhook-app"

PARKED_FROM = "rebate-parked-from"

#: Of a copy that stands in the partition of its key: `partition/offset` of the record in another partition
#: of the topic (docs/spec/facts.md#wrong-partition).
REROUTED_FROM = "rebate-rerouted-from"
#: The first offset from which the sender reroutes that partition; absent: from 0.
REROUTED_SINCE = "rebate-rerouted-since"
REROUTED = (REROUTED_FROM, REROUTED_SINCE)

#: Headers that follow from the record and the log alone, whichever worker and version wrote them.
FOLLOWS_FROM_LOG = frozenset(
    {REASON, TOPIC, PARTITION, OFFSET, RELEASE, TRUNCATED, SHA256, KEY_TRUNCATED, HEADERS_TRUNCATED}
)


def follows_from_log(name: str) -> bool:
    """Return whether a header is the same whoever writes it: the record's own are, and some of ours."""
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


def place_in(texts: Mapping[str, str]) -> Place:
    """Return the place that a dead letter's headers name; ValueError if they name none."""
    members = (texts.get(name, "") for name in (TOPIC, PARTITION, OFFSET))
    return parse_place("/".join(members))


def texts_of(headers: Iterable[Header]) -> dict[str, str]:
    """Return headers as text by name, the first of each; what is not UTF-8 is shown with escapes."""
    texts: dict[str, str] = {}
    for name, value in headers:
        texts.setdefault(name, (value or b"").decode("utf-8", "backslashreplace"))
    return texts
