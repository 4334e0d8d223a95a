"""The random facts of one order line: stories that make sense, and chaos that is allowed all the same."""

import random
from datetime import datetime, timedelta
from typing import Any

from tests.oracle.feed_clock import LineClock, random_moment, spell

Document = dict[str, Any]
STATUSES = ("created", "paid", "received", "settled", "closed", "superseded", "punished", "unknown")
CHAOS_WEIGHTS = (1, 5, 8, 6, 1, 0.5, 1.2, 1.2)
STORIES = (
    ("paid", "received", "settled"),
    ("created", "paid", "received", "settled", "settled"),
    ("paid", "received"),
    ("paid", "received", "received", "received"),
    ("paid", "settled", "received"),
    ("paid", "closed", "paid", "settled"),
    ("received", "settled", "closed"),
    ("paid", "received", "punished"),
    ("settled", "punished", "settled"),
    ("settled",),
    ("received",),
    ("unknown",),
    ("paid", "unknown", "received", "unknown"),
    ("unknown", "punished"),
)
NEEDS_PAID = ("paid", "received", "settled", "punished")
REFUND_STATUSES = ("open", "success", "failed", "restored")
PUNISH_STATUSES = ("frozen", "confirmed", "lifted")


class LinePlot:
    """Writes the facts of one line."""

    def __init__(
        self, rng: random.Random, key: tuple[str, str], user_ids: list[str], values: dict[str, list[str]]
    ) -> None:
        """Take the line's key, the users, and for each member of attribution the values to draw from."""
        self._rng = rng
        self._key = key
        self._user_ids = user_ids
        self._values = values
        self._clock = LineClock(rng)
        self._paid = [random_moment(rng) for _ in range(rng.choice((1, 1, 1, 2)))]
        if rng.random() < 0.06:
            self._paid.append(datetime.fromisoformat("2024-01-01T00:00:00+08:00"))  # before any rule version
        self._identity = self._make_identity()
        self._commission = rng.choice((0, 2, 3, 99, 100, 1021, 1531, 1612, 1791, 5000, 50_000, 999_999_999))
        self._honest = rng.random() < 0.7  # amounts close to each other, so that money is seen

    def facts(self) -> list[Document]:
        """Return one to twelve facts."""
        rng = self._rng
        documents: list[Document] = []
        if rng.random() < 0.5:
            moment = self._clock.moment()
            for status in rng.choice(STORIES):
                documents.append(self._snapshot(status, moment))
                moment = self._clock.after(moment)
        else:
            for _ in range(rng.randint(0, 6)):
                status = rng.choices(STATUSES, CHAOS_WEIGHTS)[0]
                documents.append(self._snapshot(status, self._clock.moment()))
        if rng.random() < 0.4:
            documents += [self._refund() for _ in range(rng.randint(1, 4))]
        if rng.random() < 0.2:
            documents += [self._punish() for _ in range(rng.randint(1, 3))]
        if rng.random() < 0.25 or not documents:
            documents += [self._claim() for _ in range(rng.randint(1, 3))]
        rng.shuffle(documents)
        return documents[:12]

    def _document(self, kind: str, **members: Any) -> Document:
        platform, order_line_id = self._key
        document: Document = {"schema": "order-event/1", "kind": kind}
        document |= {"platform": platform, "order_line_id": order_line_id, **members}
        if self._rng.random() < 0.1:
            document |= {"parent_order_id": "P1", "raw": {"x": [1, None]}, "item": None}  # for show
        return document

    def _moment(self) -> str:
        return spell(self._rng, self._clock.moment())

    def _snapshot(self, status: str, moment: datetime) -> Document:
        rng = self._rng
        bare = status not in NEEDS_PAID and rng.random() < 0.3
        if bare:  # a moment of its own, as an absent est_commission has no clear place in a tie
            moment += timedelta(microseconds=rng.randint(100, 900))
        seq: Document = {"modified_at": spell(rng, moment)}
        if rng.random() < 0.5:
            seq["fetch_seq"] = rng.choice((0, 0, 1, 2, 918_273, None))
        times = self._times(status)
        amounts = self._amounts(status, times)
        document = self._document("order.snapshot", seq=seq, status=status, currency="CNY")
        if not bare:
            document["amounts"] = amounts
            document["times"] = times
        attribution = self._attribution()
        if attribution or rng.random() < 0.3:
            document["attribution"] = attribution or rng.choice(({}, None))
        return document

    def _times(self, status: str) -> Document:
        rng = self._rng
        times: Document = {}
        if status in NEEDS_PAID or rng.random() < 0.5:
            times["paid"] = spell(rng, rng.choice(self._paid))
        if rng.random() < (0.7 if status == "settled" else 0.05):
            times["settled"] = self._moment()
        elif rng.random() < 0.3:
            times["settled"] = None
        likely = {"received": 0.7, "settled": 0.3}.get(status, 0.06)
        if rng.random() < likely:
            times["expected_settle"] = self._clock.day().isoformat()
        elif rng.random() < 0.2:
            times["expected_settle"] = None
        return times

    def _amounts(self, status: str, times: Document) -> Document:
        rng = self._rng
        amounts: Document = {"est_commission": self._amount()}
        needed = status == "settled" or times.get("expected_settle") is not None
        if needed or rng.random() < 0.4:
            amounts["settled_commission"] = self._amount()
        if rng.random() < 0.5:
            amounts["service_fee"] = rng.choice((0, 0, 1, 10, 170, 2000, None, abs(self._amount())))
        return amounts

    def _amount(self) -> int:
        rng = self._rng
        if self._honest:
            return min(1_000_000_000, max(0, self._commission + rng.choice((0, 0, 0, 1, -1, -90, 250))))
        return rng.choice(
            (0, 1, 2, 99, 1612, 20_000, -1, -500, 1_000_000_000, -1_000_000_000, self._commission)
        )

    def _refund(self) -> Document:
        rng = self._rng
        return self._document(
            "order.refund",
            suit_id=rng.choice(("s1", "s1", "s2", "S_3.a-b", "90000000001")),
            refund_status=rng.choice(REFUND_STATUSES),
            net_refund=rng.choice(
                (0, 1, 1, 100, 510, self._commission // 3, self._commission // 2, 1_000_000_000)
            ),
            modified_at=self._moment(),
        )

    def _punish(self) -> Document:
        status = self._rng.choice(PUNISH_STATUSES)
        return self._document("order.punish", punish_status=status, modified_at=self._moment())

    def _claim(self) -> Document:
        user_id = self._rng.choice(self._user_ids)
        return self._document("order.claim", user_id=user_id, claimed_at=self._moment())

    def _make_identity(self) -> dict[str, str]:
        """Choose what the snapshots of this line say about its user, most of the time."""
        rng = self._rng
        kinds = rng.choice(
            (
                ["user_id"],
                ["sub_union_id"],
                ["custom_uid"],
                ["special_id"],
                ["relation_id", "pid"],
                ["pid"],
                [],
            )
        )
        identity = {kind: rng.choice(self._values[kind]) for kind in kinds}
        for member, values in self._values.items():
            if member != "user_id" and rng.random() < 0.1:
                identity[member] = rng.choice(values)
        return identity

    def _attribution(self) -> Document:
        """Say the identity, some of it, none of it, or something new."""
        rng = self._rng
        attribution: Document = {}
        for member, value in self._identity.items():
            if rng.random() < 0.8:
                attribution[member] = value
        for member, values in self._values.items():
            roll = rng.random()
            if roll < 0.06:
                attribution[member] = rng.choice((None, "", "0"))
            elif roll < (0.075 if member == "user_id" else 0.1):
                attribution[member] = rng.choice(values)
        if rng.random() < 0.05:
            attribution["claimed_user_id"] = "nobody"  # for show
        return attribution


def before_and_after(moment: datetime) -> list[datetime]:
    """Return the moment and its closest neighbours."""
    step = timedelta(microseconds=1)
    return [moment - step, moment, moment + step]
