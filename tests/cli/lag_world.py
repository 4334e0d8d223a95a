"""A small world of two logs and a worker, to hold `LagWatch` against: everything happens at random moments.

Transactions as Kafka has them: records are appended first and stand above the last stable offset; the
marker makes them readable and moves the source's watermark in the same step; the group's offset is
committed some time later, or much later, with the number of ids that still move lines.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

from rebate_app.cli.lag import Committed, SpanContent

ORDERS = "order_topic"
USERS = "rebate-user-log"
PARTITIONS = 3
STEPS_MAX = 4
MISPLACED = 0.4  # of what clients send


@dataclass
class Item:
    """One entry of a log: `hops` further messages follow it, one after the other; None: a marker.

    A misplaced entry only has its copy follow, in its own topic.
    """

    hops: int | None
    lines: int = 0  # of a binding or a cursor: lines to be moved one at a time
    binds: bool = False
    cursor: bool = False
    misplaced: bool = False


@dataclass
class Partition:
    """One partition: its entries, the first unstable one, where the worker is, and what it committed."""

    items: list[Item] = field(default_factory=list)
    stable: int = 0
    position: int = 0
    unfinished: int = 0
    committed: Committed = field(default_factory=lambda: Committed(0))


class World:
    """A LogView of a world that goes on, a few random steps at a time, whenever it is looked at."""

    def __init__(self, seed: int, orders: int, binds: int) -> None:
        self._random = random.Random(seed)
        self.logs = {
            topic: {number: Partition() for number in range(PARTITIONS)} for topic in (ORDERS, USERS)
        }
        self._open: list[tuple[Partition, int, list[tuple[Partition, Item]]]] = []
        for _ in range(orders):
            # An order reaches an id, the buyer, an inviter and the inviter's inviter.
            misplaced = self._random.random() < MISPLACED
            self._append(self._some(ORDERS), Item(hops=4, misplaced=misplaced))
        for _ in range(binds):
            lines, misplaced = self._random.randint(0, 6), self._random.random() < MISPLACED
            bind = Item(hops=0, lines=lines, binds=True, misplaced=misplaced)
            self._append(self._some(USERS), bind)

    def everything_processed(self) -> bool:
        """Return whether no log has a record that the worker has not processed."""
        return all(
            item.hops is None
            for partitions in self.logs.values()
            for partition in partitions.values()
            for item in partition.items[partition.position :]
        )

    async def ends(self, topic: str) -> dict[int, int]:
        """Return the high watermarks."""
        self._go_on()
        return {number: len(partition.items) for number, partition in self.logs[topic].items()}

    async def stable_ends(self, topic: str) -> dict[int, int]:
        """Return the last stable offsets."""
        self._go_on()
        return {number: partition.stable for number, partition in self.logs[topic].items()}

    async def committed(self, topic: str) -> dict[int, Committed]:
        """Return what the group has committed."""
        self._go_on()
        return {number: partition.committed for number, partition in self.logs[topic].items()}

    async def find(
        self, topic: str, spans: dict[int, tuple[int, int]], *, first_only: bool
    ) -> dict[int, SpanContent]:
        """Read up to the last stable offset."""
        self._go_on()
        found = {}
        for number, (start, end) in spans.items():
            partition = self.logs[topic][number]
            until = min(end, partition.stable)
            records = sum(item.hops is not None for item in partition.items[start:until])
            found[number] = SpanContent(min(records, 1) if first_only else records, until == end, end - until)
        return found

    def _some(self, topic: str) -> Partition:
        return self.logs[topic][self._random.randrange(PARTITIONS)]

    def _append(self, partition: Partition, item: Item) -> None:
        partition.items.append(item)
        partition.stable = self._first_unstable(partition)

    def _settle_stable(self) -> None:
        for partition in [*self.logs[ORDERS].values(), *self.logs[USERS].values()]:
            partition.stable = self._first_unstable(partition)

    def _first_unstable(self, partition: Partition) -> int:
        places = [
            next(place for place, each in enumerate(partition.items) if each is item)
            for _, _, sent in self._open
            for target, item in sent
            if target is partition
        ]
        return min(places, default=len(partition.items))

    def _go_on(self) -> None:
        for _ in range(self._random.randint(0, STEPS_MAX)):
            self._random.choice((self._begin, self._finish, self._commit))()

    def _begin(self) -> None:
        """Take the next readable entry of some partition, and send what follows from it, not yet readable."""
        partition = self._some(self._random.choice((ORDERS, USERS)))
        if any(source is partition for source, _, _ in self._open) or partition.position >= partition.stable:
            return
        item = partition.items[partition.position]
        sent = [] if item.hops is None else self._following(partition, item)
        for target, each in sent:
            target.items.append(each)
        self._open.append((partition, partition.position + 1, sent))
        self._settle_stable()

    def _following(self, partition: Partition, item: Item) -> list[tuple[Partition, Item]]:
        assert item.hops is not None
        if item.misplaced:
            return [(self._some(USERS if item.binds else ORDERS), replace(item, misplaced=False))]
        sent = [(self._some(USERS), Item(item.hops - 1))] if item.hops else []
        if item.lines:
            # A line goes to its new owner, whose inviters follow, and a cursor to the id itself.
            sent.append((self._some(USERS), Item(hops=2)))
            sent.append((partition, Item(hops=0, lines=item.lines - 1, cursor=True)))
        return sent

    def _finish(self) -> None:
        """End an open transaction: markers behind its records, and the watermark with it."""
        if not self._open:
            return
        partition, position, sent = self._open.pop(self._random.randrange(len(self._open)))
        item = partition.items[position - 1]
        partition.position = position
        if item.binds and item.lines and not item.misplaced:
            partition.unfinished += 1
        if item.cursor and not item.lines:
            partition.unfinished -= 1
        for target in {id(target): target for target, _ in sent}.values():
            self._append(target, Item(hops=None))
        self._settle_stable()

    def _commit(self) -> None:
        """Commit some partition's watermark + 1, and whether its id still moves lines."""
        partition = self._some(self._random.choice((ORDERS, USERS)))
        partition.committed = Committed(partition.position, partition.unfinished)
