"""Decide the delivery order of one partition's events and the retry topic of each. No I/O, no clock.

An event is attempted only while it is the oldest undone event of its queue (its user), so first deliveries
are in order. A record is released (may be committed over) only when its event is delivered, or another
acknowledged record holds it. So a crash at any moment loses nothing and repeats some deliveries.

Each undone event has one record from which it can be read again, `stored_at`. A crash between writing a retry
record and committing leaves a second one; it is released when it is read. Model tests: ADR 10.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from rebate_app.domain.reasons import WEBHOOK_EXHAUSTED, WEBHOOK_REFUSED
from rebate_app.streams.task.stage import Record
from rebate_app.wire.failure_headers import Place

from .delivery import (
    DEAD,
    DELIVERED,
    FORWARDING,
    IN_FLIGHT,
    NEEDED,
    REFUSED,
    RESTING,
    SETTLED,
    STALE,
    UNCLEAR,
    Action,
    Delivery,
    DeliveryAttempt,
    Forward,
    Plan,
    Release,
)
from .retry_records import (
    DeliveryState,
    Event,
    ProgressMarker,
    QueueKey,
    event_of,
    may_wait,
    place_of,
    read_retry_record,
)

#: Most events of one user in memory behind the attempted one; the others go to a retry topic, so that one
#: busy user does not fill the window that all share.
FOLLOWERS_MAX = 100
#: Most events delivered from memory before a progress marker: a crash may repeat so many.
UNMARKED_MAX = 100


class Queues:
    """The events of one partition: `restore` the waiting ones, `begin`, report what happens, take actions.

    `pass_over` gets each record of a retry topic that is not ours or cannot be read.
    """

    def __init__(
        self,
        plan: Plan,
        clock_ms: Callable[[], int],
        pass_over: Callable[[Record], None] = lambda _record: None,
    ) -> None:
        self._pass_over = pass_over
        self._plan = plan
        self._clock = clock_ms
        self._queues: dict[QueueKey, deque[Delivery]] = {}
        self._known: dict[Place, Delivery] = {}
        self._through: dict[QueueKey, int] = {}
        self._unmarked: dict[bytes, tuple[int, int]] = {}
        self._next = 0  # next offset of rebate-events to be read
        self._ahead_until = 0
        self._kept_bytes = 0
        self._actions: list[Action] = []

    def __len__(self) -> int:
        return len(self._known)

    def take_actions(self) -> list[Action]:
        """Return the actions that are due, in order, and forget them."""
        actions, self._actions = self._actions, []
        return actions

    def heads(self) -> Iterator[Delivery]:
        """Iterate over the oldest event of each queue."""
        return (queue[0] for queue in self._queues.values())

    @property
    def must_read_on(self) -> bool:
        """Whether retry records wait for earlier events, which a crash left unread."""
        return self._next < self._ahead_until

    def waiting(self) -> Iterator[Delivery]:
        """Iterate over all events that are not done."""
        return iter(self._known.values())

    def restore(self, record: Record) -> None:
        """Take in a record of a retry topic, each from the committed offset to the end."""
        state = read_retry_record(record, self._plan.app)
        if state is None:
            self._pass_over(record)
        elif isinstance(state, ProgressMarker):
            self._through[state.key] = max(state.through, self._through.get(state.key, -1))
        else:
            known = self._known.get(state.origin)
            if known is None or state.attempts >= known.state.attempts:
                if known is not None:
                    self._drop_event(known)
                delivery = Delivery(self._queue_key(record.key, state.origin), state, place_of(record), None)
                delivery.level = self._plan.retries.index(record.topic)
                self._known[state.origin] = delivery
                self._keep(delivery, event_of(record))

    def begin(self, next_offset: int) -> None:
        """Start at that offset of rebate-events, after all waiting records were restored."""
        self._next = next_offset
        for origin, delivery in sorted(self._known.items()):
            through = self._through.get(delivery.queue_key, -1)
            if origin.offset <= through and origin.topic == self._plan.events:
                del self._known[origin]
                self._drop_event(delivery)
            else:
                self._queues.setdefault(delivery.queue_key, deque()).append(delivery)
                self._ahead_until = max(self._ahead_until, self._offset(delivery) + 1)
        self._through = {
            queue_key: offset for queue_key, offset in self._through.items() if offset >= next_offset
        }
        for queue_key in list(self._queues):
            self._advance(queue_key)

    def classify(self, record: Record) -> str:
        """Return whether a record of a retry topic still holds an event: NEEDED or STALE.

        UNCLEAR: its event is being forwarded, and this may be the new record, not acknowledged yet.
        """
        state = read_retry_record(record, self._plan.app)
        if isinstance(state, ProgressMarker):
            return NEEDED
        if state is None:
            return STALE
        known, place = self._known.get(state.origin), place_of(record)
        if known is None:
            return NEEDED if state.origin == place else STALE
        if known.phase == FORWARDING:
            return UNCLEAR
        return NEEDED if known.stored_at == place else STALE

    def take(self, record: Record) -> None:
        """Take a record: of rebate-events in order, of a retry topic once it is due, unless it is UNCLEAR."""
        if record.topic == self._plan.events:
            self._take_event(record)
        else:
            self._take_retry(record)

    def attempt_ended(self, delivery: Delivery, outcome: str, code: str) -> None:
        """Record the end of an attempt: delivered, refused, or to be tried again."""
        if outcome == DELIVERED:
            self._settle(delivery)
            return
        now, state = self._clock(), delivery.state
        first_at = state.first_at or now
        delivery.state = DeliveryState(state.origin, state.event_at, state.attempts + 1, first_at, code)
        if outcome == REFUSED:
            self._forward(delivery, DEAD, WEBHOOK_REFUSED)
        elif delivery.single_attempt or now - first_at >= self._plan.give_up_after_ms:
            self._forward(delivery, DEAD, WEBHOOK_EXHAUSTED)
        else:
            self._forward(delivery, min(state.attempts, len(self._plan.retries) - 1))
            self._advance(delivery.queue_key)

    def forwarded(self, delivery: Delivery, place: Place) -> None:
        """Record that a retry record or dead letter is acknowledged, and its place."""
        if delivery.level == DEAD:
            self._settle(delivery)
            return
        if delivery.taken:
            self._actions.append(Release(delivery.stored_at))
        event = delivery.event
        self._drop_event(delivery)
        delivery.become(RESTING)
        delivery.stored_at, delivery.taken, delivery.event = place, False, None
        if event is not None:
            self._keep(delivery, event)
        self._advance(delivery.queue_key)

    def _queue_key(self, key: bytes | None, origin: Place) -> QueueKey:
        return key if key is not None and origin.topic == self._plan.events else origin

    def _take_event(self, record: Record) -> None:
        place = place_of(record)
        once = not may_wait(record)
        queue_key = place if once else self._queue_key(record.key, place)
        self._next = record.offset + 1
        done = record.offset <= self._through.get(queue_key, -1)
        if not done:
            self._through.pop(queue_key, None)
        known = self._known.get(place)
        if known is not None or done or record.value is None:
            self._actions.append(Release(place))
            if known is not None:
                self._arrived(known)
            return
        state = DeliveryState(place, record.timestamp)
        self._add(Delivery(queue_key, state, place, event_of(record), taken=True, single_attempt=once))

    def _take_retry(self, record: Record) -> None:
        place, state = place_of(record), read_retry_record(record, self._plan.app)
        known = self._known.get(state.origin) if isinstance(state, DeliveryState) else None
        if state is None:
            self._pass_over(record)
        if known is not None and known.stored_at == place:
            self._drop_event(known)
            known.event, known.taken = event_of(record), True
            self._arrived(known)
        elif known is None and isinstance(state, DeliveryState) and state.origin == place:
            level = self._plan.retries.index(record.topic)
            self._add(Delivery(place, state, place, event_of(record), taken=True, level=level))
        else:
            self._actions.append(Release(place))

    def _add(self, delivery: Delivery) -> None:
        """Insert an event into its queue by origin: a crash may leave later events there already."""
        origin = delivery.state.origin
        queue = self._queues.setdefault(delivery.queue_key, deque())
        place = len(queue)
        while place and queue[place - 1].state.origin > origin:
            place -= 1
        queue.insert(place, delivery)
        self._known[origin] = delivery
        self._arrived(delivery)

    def _offset(self, delivery: Delivery) -> int:
        origin = delivery.state.origin
        return origin.offset if origin.topic == self._plan.events else -1

    def _may_attempt(self, head: Delivery) -> bool:
        """Whether the event may be attempted as soon as it is the oldest of its queue."""
        may = head.event is not None and (head.taken or not head.state.attempts)
        return may and self._offset(head) < self._next

    def _arrived(self, delivery: Delivery) -> None:
        """Continue with an event whose record was read: attempt it, let it wait, or forward it."""
        queue = self._queues[delivery.queue_key]
        head = queue[0]
        if head is delivery:
            self._advance(delivery.queue_key)
        elif delivery.phase == RESTING and delivery.taken and self._offset(delivery) < self._next:
            if self._is_blocked(head):
                self._forward(delivery, head.level)
            elif len(queue) > FOLLOWERS_MAX:
                self._forward(delivery, 0)

    def _is_blocked(self, head: Delivery) -> bool:
        """Whether the queue waits for a retry topic, and not for an attempt or acknowledgement."""
        if head.level < 0 or self._offset(head) >= self._next:
            return False
        return head.phase == FORWARDING or (head.phase == RESTING and not self._may_attempt(head))

    def _advance(self, queue_key: QueueKey) -> None:
        """Attempt the oldest event of the queue if it may be."""
        head = self._queues[queue_key][0]
        if head.phase == RESTING and self._may_attempt(head) and head.event is not None:
            head.become(IN_FLIGHT)
            self._actions.append(DeliveryAttempt(head, head.event))
        elif self._is_blocked(head):
            self._forward_followers(head)
        self._mark_progress(queue_key)

    def _forward_followers(self, head: Delivery) -> None:
        for follower in self._queues[head.queue_key]:
            ahead = self._offset(follower) >= self._next
            if follower is not head and follower.taken and follower.phase == RESTING and not ahead:
                self._forward(follower, head.level)

    def _forward(self, delivery: Delivery, level: int, reason: str = "") -> None:
        if delivery.event is None:
            raise RuntimeError(f"{delivery.state.origin} is to be forwarded and is not in memory")
        state = delivery.state
        if not state.first_at:
            delivery.state = DeliveryState(
                state.origin, state.event_at, state.attempts, self._clock(), state.error
            )
        delivery.become(FORWARDING)
        delivery.level = level
        self._actions.append(Forward(delivery, delivery.event, delivery.state, level, reason))

    def _settle(self, delivery: Delivery) -> None:
        """Remove the oldest event of its queue: it is delivered or a dead letter."""
        queue_key, origin = delivery.queue_key, delivery.state.origin
        queue = self._queues[queue_key]
        if queue[0] is not delivery:
            raise RuntimeError(f"{origin} is done before {queue[0].state.origin}, which is older")
        delivery.become(SETTLED)
        queue.popleft()
        del self._known[origin]
        if delivery.taken:
            self._actions.append(Release(delivery.stored_at))
        else:
            self._drop_event(delivery)
            if isinstance(queue_key, bytes):
                self._unmarked[queue_key] = (origin.offset, self._unmarked.get(queue_key, (0, 0))[1] + 1)
        if queue:
            self._advance(queue_key)
        else:
            del self._queues[queue_key]
            self._mark_progress(queue_key)

    def _mark_progress(self, queue_key: QueueKey) -> None:
        """Write a progress marker for events delivered from memory, once the queue pauses or many are."""
        if not isinstance(queue_key, bytes) or queue_key not in self._unmarked:
            return
        offset, count = self._unmarked[queue_key]
        queue = self._queues.get(queue_key)
        if queue is None or queue[0].phase != IN_FLIGHT or count >= UNMARKED_MAX:
            del self._unmarked[queue_key]
            self._actions.append(ProgressMarker(queue_key, offset))

    def _keep(self, delivery: Delivery, event: Event) -> None:
        """Keep the body of a waiting event in memory if there is room."""
        if not delivery.state.attempts and self._kept_bytes + event.size_bytes <= self._plan.kept_bytes_max:
            delivery.event = event
            self._kept_bytes += event.size_bytes

    def _drop_event(self, delivery: Delivery) -> None:
        """Drop a body kept in memory."""
        if delivery.event is not None and not delivery.taken:
            self._kept_bytes -= delivery.event.size_bytes
            delivery.event = None
