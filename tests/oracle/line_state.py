"""The state of one order line at a moment, from the set of all its facts.

See docs/spec/facts.md#version-order and docs/spec/money.md#state-of-a-line.

Nothing here knows users, rules or shares: only what the facts of one line say about its money.
"""

from dataclasses import dataclass, field
from datetime import date, timedelta
from fractions import Fraction
from functools import lru_cache
from typing import Any

from tests.oracle.moments import day_of, instant, midnight, next_month_day, optional_instant

Document = dict[str, Any]

RANKS = {
    "unknown": -1,  # no place in the contract's list: it is compared only with its like
    "created": 0,
    "paid": 1,
    "received": 2,
    "settled": 3,
    "punished": 4,
    "closed": 5,
    "superseded": 6,
}
SUIT_RANKS = {"open": 0, "restored": 1, "failed": 2, "success": 3}
PUNISH_RANKS = {"frozen": 0, "lifted": 1, "confirmed": 2}
WORTHLESS = (None, "created", "closed", "superseded", "unknown")
#: No moment changes what these say of a line, so each is asked once a line; facts are complete by then.
_once = lru_cache(maxsize=4_096)
DAYS_TO_RELEASE = 30
RELEASE_DAY_OF_MONTH = 21
PDD_LAST_DAY_OF_BATCH = 15


@dataclass(eq=False)
class LineFacts:
    """All facts of one line, sorted by kind only."""

    platform: str
    order_line_id: str
    snapshots: list[Document] = field(default_factory=list)
    refunds: list[Document] = field(default_factory=list)
    punishments: list[Document] = field(default_factory=list)
    claims: list[Document] = field(default_factory=list)

    def counted_snapshots(self) -> list[Document]:
        """All snapshots, without `unknown` ones while there is one of another status."""
        known = [snapshot for snapshot in self.snapshots if snapshot["status"] != "unknown"]
        return known or self.snapshots


@dataclass(frozen=True)
class LineState:
    """What the facts of a line say at a moment; amounts in fen, `net` before rules and owner are asked."""

    best: Document | None  # S
    punishment: str | None  # frozen, confirmed or None
    settled: bool
    settled_on: date | None
    release_on: date | None
    worthless: bool
    net: int  # the commission that is shared, successful refunds taken off
    undisputed: int  # the same, open refunds taken off too

    @property
    def status(self) -> str | None:
        """The status of S."""
        return None if self.best is None else str(self.best["status"])

    @property
    def count_as(self) -> str:
        """Under which of `lines` in the balance this line counts."""
        if self.status in (None, "closed", "superseded", "unknown") or self.punishment == "confirmed":
            return "closed"
        return "settled" if self.settled else "open"


def amount(snapshot: Document, name: str) -> int | None:
    """Return an amount of a snapshot; those with a default have it, absent is None."""
    value = (snapshot.get("amounts") or {}).get(name)
    if value is None and name in ("settled_commission", "service_fee"):
        return 0
    return value


def time_text(snapshot: Document, name: str) -> str | None:
    """Return the text of one of the `times` of a snapshot; null is absent."""
    text: str | None = (snapshot.get("times") or {}).get(name)
    return text


def modified_at(snapshot: Document) -> Fraction:
    """Return `seq.modified_at` of a snapshot as an instant."""
    return instant(snapshot["seq"]["modified_at"])


def _absent_first(value: Any) -> tuple[int, Any]:
    return (0, 0) if value is None else (1, value)


def version(snapshot: Document) -> tuple[Any, ...]:
    """Return the place of a snapshot in the version order; the greatest is the best."""
    return (
        modified_at(snapshot),
        RANKS[snapshot["status"]],
        snapshot["seq"].get("fetch_seq") or 0,
        amount(snapshot, "settled_commission"),
        _absent_first(amount(snapshot, "est_commission")),
        amount(snapshot, "service_fee"),
        _absent_first(optional_instant(time_text(snapshot, "paid"))),
        _absent_first(optional_instant(time_text(snapshot, "settled"))),
        _absent_first(time_text(snapshot, "expected_settle")),  # YYYY-MM-DD sorts as the day does
    )


@_once
def best_snapshot(facts: LineFacts) -> Document | None:
    """Return S: the best snapshot among those that are not punished."""
    candidates = [snapshot for snapshot in facts.counted_snapshots() if snapshot["status"] != "punished"]
    return max(candidates, key=version, default=None)


@_once
def effective_dates(facts: LineFacts) -> list[date]:
    """Return the expected dates of received snapshots that take effect, earliest first."""
    rivals = [
        (version(snapshot), snapshot)
        for snapshot in facts.snapshots
        if snapshot["status"] not in ("unknown", "punished")
    ]
    found: set[date] = set()
    for place, carrier in rivals:
        text = time_text(carrier, "expected_settle")
        if carrier["status"] != "received" or text is None:
            continue
        day = date.fromisoformat(text)
        newer = [rival for other_place, rival in rivals if other_place > place]
        if not any(modified_at(rival) < midnight(day) for rival in newer):
            found.add(day)
    return sorted(found)


@_once
def punishment(facts: LineFacts) -> str | None:
    """Return frozen or confirmed, or None when there is no punishment or it was lifted."""
    # Each candidate: moment, whether it is a punish fact of its own, rank, status.
    found = [
        (instant(fact["modified_at"]), 1, PUNISH_RANKS[fact["punish_status"]], str(fact["punish_status"]))
        for fact in facts.punishments
    ]
    best_of_all = max(facts.counted_snapshots(), key=version, default=None)
    if best_of_all is not None and best_of_all["status"] == "punished":
        found.append((modified_at(best_of_all), 0, PUNISH_RANKS["frozen"], "frozen"))
    newest = max(found, default=None)
    return None if newest is None or newest[3] == "lifted" else newest[3]


@_once
def refunds(facts: LineFacts) -> tuple[int, int]:
    """Return R and O: the refunds of successful suits and of open ones, in fen."""
    holding: dict[str, Document] = {}
    for fact in sorted(facts.refunds, key=_suit_version):
        holding[fact["suit_id"]] = fact
    success = sum(fact["net_refund"] for fact in holding.values() if fact["refund_status"] == "success")
    disputed = sum(fact["net_refund"] for fact in holding.values() if fact["refund_status"] == "open")
    return success, disputed


def _suit_version(fact: Document) -> tuple[Fraction, int, int]:
    return instant(fact["modified_at"]), SUIT_RANKS[fact["refund_status"]], fact["net_refund"]


def settlement_day(facts: LineFacts, best: Document) -> date:
    """Return the day of settlement of a line that is settled, S being `best`."""
    effective = effective_dates(facts)
    if effective:
        return effective[0]
    text = time_text(best, "settled")
    if text is not None:
        return day_of(instant(text))
    settled = [snapshot for snapshot in facts.snapshots if snapshot["status"] == "settled"]
    return day_of(min(modified_at(snapshot) for snapshot in settled))


def release_day(facts: LineFacts, settled_on: date) -> date:
    """Return the day from whose start on the money of a settled line is available."""
    if facts.platform == "taobao":
        return next_month_day(settled_on, RELEASE_DAY_OF_MONTH)
    if facts.platform == "pdd":
        if settled_on.day <= PDD_LAST_DAY_OF_BATCH:
            return settled_on.replace(day=RELEASE_DAY_OF_MONTH)
        return next_month_day(settled_on, RELEASE_DAY_OF_MONTH)
    if facts.platform == "jd":
        effective = effective_dates(facts)
        if effective:
            return effective[0] + timedelta(days=1)
        carried = [
            date.fromisoformat(text)
            for snapshot in facts.snapshots
            if snapshot["status"] == "settled"
            and (text := time_text(snapshot, "expected_settle")) is not None
        ]
        if carried:
            return min(carried) + timedelta(days=1)
    return settled_on + timedelta(days=DAYS_TO_RELEASE)


def _is_settled(facts: LineFacts, best: Document, at: Fraction) -> bool:
    if best["status"] == "settled":
        return True
    if best["status"] == "received":
        effective = effective_dates(facts)
        return bool(effective) and midnight(effective[0]) <= at
    return False


def state_at(facts: LineFacts, at: Fraction) -> LineState:
    """Return the state of a line at the instant `at`."""
    best = best_snapshot(facts)
    penalty = punishment(facts)
    if best is None or best["status"] in WORTHLESS:
        return LineState(best, penalty, False, None, None, worthless=True, net=0, undisputed=0)
    settled = _is_settled(facts, best, at)
    settled_on = settlement_day(facts, best) if settled else None
    release_on = release_day(facts, settled_on) if settled_on else None
    if penalty == "confirmed":
        return LineState(best, penalty, settled, settled_on, release_on, worthless=True, net=0, undisputed=0)
    fee = amount(best, "service_fee") or 0
    if not settled:
        net = max(0, (amount(best, "est_commission") or 0) - fee)
        return LineState(best, penalty, False, None, None, worthless=False, net=net, undisputed=net)
    commission = max(0, (amount(best, "settled_commission") or 0) - fee)
    success, disputed = refunds(facts)
    net = max(0, commission - success)
    undisputed = max(0, commission - success - disputed)
    return LineState(best, penalty, True, settled_on, release_on, False, net, undisputed)
