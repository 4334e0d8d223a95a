"""In which order the events of one partition are delivered, and where each one waits. No I/O, no clock.

Law: an event is attempted only while it is the oldest of its line (its user) that is not done, so first
deliveries are in order; and the record that stands for it is released (may be committed over) only when it
is delivered, or stands somewhere else, acknowledged. So a crash at any moment loses nothing and repeats some.

Of each event that is not done one record is known that brings it again: `stands`. Another record of the same
event, which a crash between copying and committing leaves, is released when it comes by. It is separate from
what sends and posts, so that it can be held against a model (ADR 10).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from rebate_app.domain.reasons import WEBHOOK_EXHAUSTED, WEBHOOK_REFUSED
from rebate_app.lane.stage import Record
from rebate_app.wire.failure_headers import Place

from .copies import Event, Line, Mark, Travel, event_of, place_of, read_copy
from .deliveries import (
    COPYING,
    DEAD,
    DELIVERED,
    FLYING,
    NEEDED,
    REFUSED,
    RESTING,
    STALE,
    UNCLEAR,
    Action,
    Attempt,
    Copy,
    Delivery,
    Plan,
    Release,
)

#: How many events of one user may wait in memory behind the one that is under way; the others are put into
#: a retry topic, so that one busy user does not fill the window that all share.
BEHIND_MAX = 100
#: A mark after so many events that were delivered out of memory: what a crash may repeat of them.
UNMARKED_MAX = 100


class Queues:
    """The events of one partition: `restore` what waits, `begin`, then tell what happens and act."""

    def __init__(self, plan: Plan, clock_ms: Callable[[], int]) -> None:
        self._plan = plan
        self._clock = clock_ms
        self._lines: dict[Line, deque[Delivery]] = {}
        self._known: dict[Place, Delivery] = {}
        self._through: dict[Line, int] = {}
        self._unmarked: dict[bytes, tuple[int, int]] = {}
        self._next = 0  # of rebate-events: what is before it has been read
        self._ahead_until = 0
        self._kept_bytes = 0
        self._actions: list[Action] = []

    def __len__(self) -> int:
        return len(self._known)

    def take_actions(self) -> list[Action]:
        """Return what is to be done now, in order."""
        actions, self._actions = self._actions, []
        return actions

    def heads(self) -> Iterator[Delivery]:
        """Iterate over the oldest event of each line."""
        return (queue[0] for queue in self._lines.values())

    @property
    def must_read_on(self) -> bool:
        """Whether copies wait for the events before them, which a crash left unread."""
        return self._next < self._ahead_until

    def waiting(self) -> Iterator[Delivery]:
        """Iterate over all events that are not done."""
        return iter(self._known.values())

    def restore(self, record: Record) -> None:
        """Learn of a record of a retry topic, from where the group is to the end."""
        told = read_copy(record, self._plan.app)
        if isinstance(told, Mark):
            self._through[told.key] = max(told.through, self._through.get(told.key, -1))
        elif told is not None:
            known = self._known.get(told.origin)
            if known is None or told.attempts >= known.travel.attempts:
                if known is not None:
                    self._drop_event(known)
                delivery = Delivery(self._line(record.key, told.origin), told, place_of(record), None)
                delivery.level = self._plan.retries.index(record.topic)
                self._known[told.origin] = delivery
                self._keep(delivery, event_of(record))

    def begin(self, next_offset: int) -> None:
        """Start with rebate-events at that offset: everything that waits has been restored."""
        self._next = next_offset
        for origin, delivery in sorted(self._known.items()):
            if origin.offset <= self._through.get(delivery.line, -1) and origin.topic == self._plan.events:
                del self._known[origin]
                self._drop_event(delivery)
            else:
                self._lines.setdefault(delivery.line, deque()).append(delivery)
                self._ahead_until = max(self._ahead_until, self._offset(delivery) + 1)
        self._through = {line: offset for line, offset in self._through.items() if offset >= next_offset}
        for line in list(self._lines):
            self._advance(line)

    def judge(self, record: Record) -> str:
        """Return whether a record of a retry topic has anything to wait for, NEEDED or STALE.

        UNCLEAR: it may be the copy that is under way, read before it was acknowledged to us.
        """
        told = read_copy(record, self._plan.app)
        if isinstance(told, Mark):
            return NEEDED
        if told is None:
            return STALE
        known, place = self._known.get(told.origin), place_of(record)
        if known is None:
            return NEEDED if told.origin == place else STALE
        if known.state == COPYING:
            return UNCLEAR
        return NEEDED if known.stands == place else STALE

    def arrived(self, record: Record) -> None:
        """Take a record: of rebate-events in order, of a retry topic once it is due, unless it is unclear."""
        if record.topic == self._plan.events:
            self._event_arrived(record)
        else:
            self._copy_arrived(record)

    def finished(self, delivery: Delivery, outcome: str, code: str) -> None:
        """Hear how an attempt ended: delivered, refused, or to be tried again."""
        if outcome == DELIVERED:
            self._settle(delivery)
            return
        now, told = self._clock(), delivery.travel
        first_at = told.first_at or now
        delivery.travel = Travel(told.origin, told.event_at, told.attempts + 1, first_at, code)
        if outcome == REFUSED:
            self._copy(delivery, DEAD, WEBHOOK_REFUSED)
        elif now - first_at >= self._plan.give_up_after:
            self._copy(delivery, DEAD, WEBHOOK_EXHAUSTED)
        else:
            self._copy(delivery, min(told.attempts, len(self._plan.retries) - 1))
            self._advance(delivery.line)

    def copied(self, delivery: Delivery, place: Place) -> None:
        """Hear that a copy is acknowledged, and where it stands."""
        if delivery.level == DEAD:
            self._settle(delivery)
            return
        if delivery.live:
            self._actions.append(Release(delivery.stands))
        event = delivery.event
        self._drop_event(delivery)
        delivery.stands, delivery.live, delivery.state, delivery.event = place, False, RESTING, None
        if event is not None:
            self._keep(delivery, event)
        self._advance(delivery.line)

    def _line(self, key: bytes | None, origin: Place) -> Line:
        return key if key is not None and origin.topic == self._plan.events else origin

    def _event_arrived(self, record: Record) -> None:
        place = place_of(record)
        line = self._line(record.key, place)
        self._next = record.offset + 1
        done = record.offset <= self._through.get(line, -1)
        if not done:
            self._through.pop(line, None)
        known = self._known.get(place)
        if known is not None or done or record.value is None:
            self._actions.append(Release(place))
            if known is not None:
                self._came(known)
            return
        self._add(Delivery(line, Travel(place, record.timestamp), place, event_of(record), live=True))

    def _copy_arrived(self, record: Record) -> None:
        place, told = place_of(record), read_copy(record, self._plan.app)
        known = self._known.get(told.origin) if isinstance(told, Travel) else None
        if known is not None and known.stands == place:
            self._drop_event(known)
            known.event, known.live = event_of(record), True
            self._came(known)
        elif known is None and isinstance(told, Travel) and told.origin == place:
            level = self._plan.retries.index(record.topic)
            self._add(Delivery(place, told, place, event_of(record), live=True, level=level))
        else:
            self._actions.append(Release(place))

    def _add(self, delivery: Delivery) -> None:
        """Put an event into its line: behind all others, but for copies that a crash left ahead of it."""
        origin = delivery.travel.origin
        queue = self._lines.setdefault(delivery.line, deque())
        place = len(queue)
        while place and queue[place - 1].travel.origin > origin:
            place -= 1
        queue.insert(place, delivery)
        self._known[origin] = delivery
        self._came(delivery)

    def _offset(self, delivery: Delivery) -> int:
        origin = delivery.travel.origin
        return origin.offset if origin.topic == self._plan.events else -1

    def _may_fly(self, head: Delivery) -> bool:
        """Whether only its turn was missing: it has just come, or waited only for those before it."""
        may = head.event is not None and (head.live or not head.travel.attempts)
        return may and self._offset(head) < self._next

    def _came(self, delivery: Delivery) -> None:
        """Go on with an event whose record has come: attempt it, let it wait, or put it back."""
        queue = self._lines[delivery.line]
        head = queue[0]
        if head is delivery:
            self._advance(delivery.line)
        elif delivery.state == RESTING and delivery.live and self._offset(delivery) < self._next:
            if self._is_blocked(head):
                self._copy(delivery, head.level)
            elif len(queue) > BEHIND_MAX:
                self._copy(delivery, 0)

    def _is_blocked(self, head: Delivery) -> bool:
        """Whether the line waits for a retry topic, and not for something that is under way."""
        if head.level < 0 or self._offset(head) >= self._next:
            return False
        return head.state == COPYING or (head.state == RESTING and not self._may_fly(head))

    def _advance(self, line: Line) -> None:
        """Attempt the oldest event of the line, if it may be."""
        head = self._lines[line][0]
        if head.state == RESTING and self._may_fly(head) and head.event is not None:
            head.state = FLYING
            self._actions.append(Attempt(head, head.event))
        elif self._is_blocked(head):
            self._put_back_followers(head)
        self._mark(line)

    def _put_back_followers(self, head: Delivery) -> None:
        for follower in self._lines[head.line]:
            ahead = self._offset(follower) >= self._next
            if follower is not head and follower.live and follower.state == RESTING and not ahead:
                self._copy(follower, head.level)

    def _copy(self, delivery: Delivery, level: int, reason: str = "") -> None:
        if delivery.event is None:
            raise RuntimeError(f"{delivery.travel.origin} is to be copied and is not in memory")
        told = delivery.travel
        if not told.first_at:
            delivery.travel = Travel(told.origin, told.event_at, told.attempts, self._clock(), told.error)
        delivery.state, delivery.level = COPYING, level
        self._actions.append(Copy(delivery, delivery.event, delivery.travel, level, reason))

    def _settle(self, delivery: Delivery) -> None:
        """Be done with the oldest event of its line."""
        line, origin = delivery.line, delivery.travel.origin
        queue = self._lines[line]
        if queue[0] is not delivery:
            raise RuntimeError(f"{origin} is done before {queue[0].travel.origin}, which is older")
        queue.popleft()
        del self._known[origin]
        if delivery.live:
            self._actions.append(Release(delivery.stands))
        else:
            self._drop_event(delivery)
            if isinstance(line, bytes):
                self._unmarked[line] = (origin.offset, self._unmarked.get(line, (0, 0))[1] + 1)
        if queue:
            self._advance(line)
        else:
            del self._lines[line]
            self._mark(line)

    def _mark(self, line: Line) -> None:
        """Say on the log what was delivered out of memory, once the line pauses or it is much."""
        if not isinstance(line, bytes) or line not in self._unmarked:
            return
        offset, count = self._unmarked[line]
        queue = self._lines.get(line)
        if queue is None or queue[0].state != FLYING or count >= UNMARKED_MAX:
            del self._unmarked[line]
            self._actions.append(Mark(line, offset))

    def _keep(self, delivery: Delivery, event: Event) -> None:
        """Keep the body of an event that waits behind another one, if there is room."""
        if not delivery.travel.attempts and self._kept_bytes + event.weight <= self._plan.kept_bytes_max:
            delivery.event = event
            self._kept_bytes += event.weight

    def _drop_event(self, delivery: Delivery) -> None:
        """Forget a body that was kept."""
        if delivery.event is not None and not delivery.live:
            self._kept_bytes -= delivery.event.weight
            delivery.event = None
