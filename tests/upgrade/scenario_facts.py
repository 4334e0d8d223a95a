"""The facts of the fixture: canonical order facts, profiles and bindings, always the same.

Each network has ten lines a round, one for each course that a line can take. Buyers are named outright, or by
an attribution id that is bound, bound later, bound anew, unbound or bound to nobody. `steps` orders the facts
so that the old version processes the stages of a line one by one: ledgers then hold reversals.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

Document = dict[str, Any]

NETWORKS = ("taobao", "jd", "pdd")
ROUNDS = 2
USERS = [f"u{number:02d}" for number in range(1, 13)]
LEVELS = ("basic", "plus", "vip")
#: Attribution ids by the network that reports them: (member of a fact, value).
IDS = {"taobao": ("relation_id", "r"), "jd": ("pid", "jp"), "pdd": ("pid", "pp")}
#: By user_id, or by the attribution id of that number; one for each line of a round.
BUYERS: tuple[int | None, ...] = (None, 1, None, 2, 3, None, 4, None, 5, 1)
PARKED_LINE, PARKED_USER = "taobao:PARKED1", "u11"
FUTURE_DAY = "2099-01-20"


def attribution_id(network: str, number: int) -> str:
    """Return the id of that number as the log has it, `platform:field:value`."""
    field, stem = IDS[network]
    return f"{network}:{field}:{stem}{number}"


def profiles() -> list[Document]:
    """Return everybody's profile: each is invited by the next one, so that all chains have two levels."""
    return [
        {
            "user_id": user,
            "level": LEVELS[at % 3],
            "inviter_id": USERS[at + 1] if at + 1 < len(USERS) else None,
            "effective_at": "2025-12-01T00:00:00+08:00",
        }
        for at, user in enumerate(USERS)
    ]


def bindings(number: int, user_id: str | None) -> list[Document]:
    """Return the binding of one id of each network."""
    return [{"attribution_id": attribution_id(network, number), "user_id": user_id} for network in NETWORKS]


class Line:
    """One order line, and the facts about it; amounts depend on its number."""

    def __init__(self, network: str, line_id: str, number: int, attribution: Document) -> None:
        self.head = {"schema": "order-event/1", "platform": network, "order_line_id": line_id}
        self._attribution = attribution
        self._est = 1_000 + 137 * number
        self._day = f"2026-01-{1 + number % 9:02d}"

    def snapshot(self, status: str, day: str, settled: int = 0, **times: str) -> Document:
        """Return what the network reports on a day."""
        if status == "settled":
            settled = settled or self._est - 60
            times = {"settled": f"{day}T03:00:00+08:00"} | times
        return self.head | {
            "kind": "order.snapshot",
            "seq": {"modified_at": f"{day}T10:00:00+08:00"},
            "status": status,
            "currency": "CNY",
            "amounts": {
                "est_commission": self._est,
                "settled_commission": settled,
                "service_fee": 100 if self.head["platform"] == "taobao" else 0,
            },
            "times": {"paid": f"{self._day}T20:00:00+08:00"} | times,
            "attribution": self._attribution,
        }

    def paid(self) -> Document:
        """Return the first snapshot."""
        return self.snapshot("paid", "2026-01-10")

    def received(self, **times: str) -> Document:
        """Return the second snapshot, with an expected settlement if one is named."""
        settled = self._est - 30 if times else 0
        return self.snapshot("received", "2026-01-15", settled, **times)

    def settled(self) -> Document:
        """Return the settlement."""
        return self.snapshot("settled", "2026-01-20")

    def refund(self, status: str, day: str, net_refund: int = 210, suit: str = "s1") -> Document:
        """Return a dispute in one of its states."""
        return self.head | {
            "kind": "order.refund",
            "suit_id": suit,
            "refund_status": status,
            "net_refund": net_refund,
            "modified_at": f"{day}T11:00:00+08:00",
        }

    def punish(self, status: str, day: str) -> Document:
        """Return a punishment in one of its states."""
        return self.head | {
            "kind": "order.punish",
            "punish_status": status,
            "modified_at": f"{day}T12:00:00+08:00",
        }

    def claim(self, user_id: str, day: str) -> Document:
        """Return that a user claims the line."""
        return self.head | {
            "kind": "order.claim",
            "user_id": user_id,
            "claimed_at": f"{day}T13:00:00+08:00",
        }


def facts_of(line: Line, number: int) -> list[Document]:
    """Return all facts about a line, in the order in which they come."""
    settled = [line.paid(), line.received(), line.settled()]
    open_, success = line.refund("open", "2026-01-22"), line.refund("success", "2026-01-25")
    frozen = line.punish("frozen", "2026-01-23")
    kinds: list[list[Document]] = [
        [line.snapshot("created", "2026-01-09"), line.paid(), line.claim("u09", "2026-01-11")],
        [line.paid(), line.received(expected_settle=FUTURE_DAY)],
        [line.paid(), line.received(expected_settle="2026-02-20")],
        [*settled, open_],
        [*settled, open_, success, line.refund("open", "2026-02-01", 90, "s2")],
        [*settled, open_, success, line.refund("restored", "2026-01-28")],
        [*settled, frozen],
        [*settled, frozen, line.punish("confirmed", "2026-01-26")],
        [*settled, line.snapshot("settled", "2026-02-02", 700), line.claim("u10", "2026-02-03")],
        [*settled, frozen, line.punish("lifted", "2026-01-26"), line.snapshot("closed", "2026-03-01")],
    ]
    return kinds[number % len(kinds)]


def buyer_line(network: str, number: int) -> Line:
    """Return line `number` of a network, with its buyer."""
    bought_by = BUYERS[number % len(BUYERS)]
    if bought_by is None:
        attribution = {"user_id": USERS[number % 8]}
    else:
        field, stem = IDS[network]
        attribution = {field: f"{stem}{bought_by}"}
    return Line(network, f"{network.upper()}{number:03d}", number, attribution)


def parked_line() -> Line:
    """Return the line that is parked in the second run."""
    return Line("taobao", PARKED_LINE.partition(":")[2], 5, {"user_id": "u02"})


def line_facts() -> Iterator[list[Document]]:
    """Yield the facts of each line."""
    for network in NETWORKS:
        for number in range(10 * ROUNDS):
            yield facts_of(buyer_line(network, number), number)


def steps() -> list[list[Document]]:
    """Return the first facts of all lines, the second ones, and so on."""
    lines = [*line_facts(), [parked_line().paid()]]
    return [
        [facts[step] for facts in lines if step < len(facts)] for step in range(max(len(f) for f in lines))
    ]


def facts_while_parked() -> list[Document]:
    """Return what comes for the parked line and the parked user."""
    line = parked_line()
    bought = Line("jd", "JDPARKED", 6, {"user_id": PARKED_USER})
    return [
        line.received(),
        line.settled(),
        line.refund("open", "2026-01-24"),
        bought.paid(),
        bought.settled(),
    ]


def later_facts() -> list[Document]:
    """Return what comes after the update: refunds and settlements of old lines, and new lines."""
    new = [Line(network, f"NEW{at}", 7 + at, {"user_id": "u01"}) for at, network in enumerate(NETWORKS)]
    unbound = Line("taobao", "NEW9", 9, {"relation_id": "r5"})
    return [
        buyer_line("taobao", 3).refund("success", "2026-02-10"),
        buyer_line("jd", 4).refund("success", "2026-02-10", 90, "s2"),
        buyer_line("pdd", 6).punish("lifted", "2026-02-11"),
        buyer_line("jd", 1).snapshot("settled", "2026-02-12"),
        buyer_line("pdd", 9).snapshot("settled", "2026-03-02"),
        *(fact for line in new for fact in (line.paid(), line.settled())),
        unbound.paid(),
    ]


def write_lines(path: Path, documents: Iterable[Document]) -> Path:
    """Write NDJSON for an import and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(document) + "\n" for document in documents), encoding="utf-8")
    return path
