"""Records in the partition that clients built on librdkafka choose: CRC32 of the key."""

from __future__ import annotations

from zlib import crc32

from rebate_app.streams.failures import guard
from rebate_app.streams.failures.rerouting import Origin
from rebate_app.streams.state.buffer import StateTransaction
from rebate_app.streams.task.stage import Record
from rebate_app.streams.transaction.collector import RecordCollector
from tests.topology_driver import Document, LogRecord, TopologyDriver


def crc_partition(key: bytes, partitions: int) -> int:
    """Return the partition that librdkafka chooses by default."""
    return crc32(key) % partitions


class MisplacingDriver(TopologyDriver):
    """Facts come through two kinds of clients: keys of an even length from those that use CRC32.

    A key has one client, so its facts keep their order.
    """

    def send_order(self, document: Document, at_us: int) -> LogRecord:
        """Send one order fact, keyed by its line."""
        return self._moved(super().send_order(document, at_us))

    def send_user(self, document: Document, at_us: int) -> LogRecord:
        """Send one user fact, keyed by the user id or the attribution id."""
        return self._moved(super().send_user(document, at_us))

    def _moved(self, record: LogRecord) -> LogRecord:
        """Return the record that was just appended, in the partition that its client chooses."""
        key = record.key or b""
        if len(key) % 2:
            return record
        self.log(record.topic, record.partition).remove(record)
        partition = crc_partition(key, self.partitions)
        return self.send(record.topic, key, record.value, record.timestamp * 1_000, partition=partition)

    def misplaced(self) -> list[LogRecord]:
        """Return every record of the sources that is not in the partition of its key."""
        topics = (self.topics.orders, self.topics.user_log)
        return [
            record
            for topic in topics
            for partition in range(self.partitions)
            for record in self.log(topic, partition)
            if self.partition_of(record.key or b"") != partition
        ]

    def copies(self) -> list[LogRecord]:
        """Return every record that names the record that it repeats."""
        return [
            record
            for log in self.logs.values()
            for record in log
            if "rebate-rerouted-from" in dict(record.headers)
        ]


class NoRerouter:
    """In place of the Rerouter: a version before the rule, which folds everything where it stands."""

    def __init__(self, transaction: StateTransaction, topic: str, partitions: int) -> None:
        del transaction, topic, partitions

    def is_misplaced(self, record: Record) -> bool:
        """Return False."""
        del record
        return False

    def origin_of(self, record: Record) -> Origin | None:
        """Return None."""
        del record
        return None

    def finish(self, collector: RecordCollector) -> None:
        """Do nothing."""


__all__ = ["MisplacingDriver", "NoRerouter", "crc_partition", "guard"]
