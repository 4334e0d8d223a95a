"""Dead letters: the raw record, untouched, with the reason in headers (failures.md 3)."""

from __future__ import annotations

from rebate_app.domain.faults import Fault
from rebate_app.lane.outbox import Outgoing
from rebate_app.lane.stage import Record

DETAIL_BYTES_MAX = 1_024


def dead_letter(record: Record, topic: str, fault: Fault, stage: str) -> Outgoing:
    """Return the dead letter of a record: same partition, key, value and headers, and why.

    Headers are UTF-8 text; those of an earlier failure are kept, ours are written once.
    """
    present = {name for name, _ in record.headers}
    ours = (
        ("rebate-error-reason", fault.code.encode()),
        ("rebate-error-detail", fault.detail.encode("utf-8", "replace")[:DETAIL_BYTES_MAX]),
        ("rebate-error-member", fault.member.encode("utf-8", "replace")),
        ("rebate-error-stage", stage.encode()),
        ("rebate-error-topic", record.topic.encode()),
        ("rebate-error-partition", str(record.partition).encode()),
        ("rebate-error-offset", str(record.offset).encode()),
        ("rebate-error-timestamp", str(record.timestamp).encode()),
    )
    headers = (*record.headers, *(header for header in ours if header[0] not in present))
    return Outgoing(topic, record.key, record.value, record.timestamp, headers, record.partition)
