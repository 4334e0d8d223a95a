"""Explain an order line: its snapshot, disputes, punishment and timeline, and sentences about its commission.

Nothing is computed anew: the sentences repeat the amounts of the line's value
(docs/spec/money.md#state-of-a-line). The sentences about shares come from `share_explanation`.
"""

from __future__ import annotations

from typing import Any

import orjson

from rebate_app.domain.facts import REFUND_RANK
from rebate_app.domain.money import yuan
from rebate_app.domain.order.attribution import newest_values
from rebate_app.domain.order.line import (
    LineState,
    TimelineEntry,
)
from rebate_app.domain.order.snapshot_key import moment_or_none
from rebate_app.domain.order.value import (
    CLOSED,
    CONFIRMED,
    DATED,
    FROZEN,
    UNPUNISHED,
    LineValue,
    effective_day,
    punishment,
    refunds,
)
from rebate_app.wire.moments import format_date, format_moment

from .formatting import compact_or_none, date_or_none, is_settled

STATUS_OF_REFUND = tuple(REFUND_RANK)
REFUND_SENTENCES = {
    "open": "is open",
    "restored": "is over, and the commission was restored",
    "failed": "failed",
    "success": "succeeded",
}
LIFTED = "lifted"


def snapshot_members(state: LineState) -> dict[str, Any] | None:
    """Return the snapshot that counts, else the newest one that does not; None without any."""
    key = state.best or state.punished or state.unknown
    if key is None:
        return None
    attributions = state.attributions if state.best or state.punished else state.unknown_attributions
    display = orjson.loads(state.display) if key == state.best else {}
    return {
        "status": key.status,
        "seq": {"modified_at": format_moment(key.modified_at), "fetch_seq": key.fetch_seq},
        "amounts": {
            "est_commission": key.est_commission,
            "settled_commission": key.settled_commission,
            "service_fee": key.service_fee,
        },
        "times": {
            "paid": _moment(key.paid_at),
            "settled": _moment(key.settled_at),
            "expected_settle": date_or_none(moment_or_none(key.expected_settle)),
        },
        "attribution": newest_values(attributions),
        **display,
    }


def suit_members(state: LineState) -> list[dict[str, Any]]:
    """Return the disputes about the line, oldest change first; amounts in fen."""
    return [
        {
            "suit_id": suit_id,
            "status": STATUS_OF_REFUND[rank],
            "net_refund": net_refund,
            "modified_at": format_moment(modified_at),
        }
        for suit_id, (modified_at, rank, net_refund) in sorted(
            state.suits.items(), key=lambda suit: (suit[1][0], suit[0])
        )
    ]


def punishment_members(state: LineState) -> dict[str, Any] | None:
    """Return the newest punishment, None when there never was one."""
    punished = punishment(state)
    if punished is None:
        return None
    since, word = punished
    return {"status": LIFTED if word == UNPUNISHED else word, "since": format_moment(since)}


def timeline_members(state: LineState) -> list[dict[str, Any]]:
    """Return the newest moments of the line's timeline, in the order of the log."""
    return [
        {
            "at": format_moment(moment.at),
            "modified_at": compact_or_none(moment.modified_at),
            "kind": moment.kind,
            "says": _sentence(moment),
            "actor": moment.actor,
        }
        for moment in state.timeline
    ]


def _sentence(entry: TimelineEntry) -> str:
    kind, word, first, settled, fee = entry.kind, entry.detail, entry.amount, entry.settled, entry.fee
    if kind == "snapshot":
        commission = f"estimated commission {yuan(first)}"
        if settled or word == "settled":
            commission += f", settled commission {yuan(settled)}"
        return f"the network reports {word}: {commission}, service fee {yuan(fee)}"
    if kind == "refund":
        status, _, suit_id = word.partition(" ")
        return f"dispute {suit_id} {REFUND_SENTENCES[status]}: {yuan(first)} of the commission"
    if kind == "punish":
        return f"punishment by the network: {word}"
    return f"claimed by {word}"


def line_sentences(state: LineState, line_value: LineValue, day: int) -> list[str]:
    """Return sentences about the line's commission on that day; those about its shares follow."""
    best = state.best
    if line_value.phase == CLOSED or best is None or line_value.status == "created":
        return [_worthless(state, line_value)]
    if line_value.punished == CONFIRMED:
        return [f"the network confirmed a punishment{_since(state)}: nobody gets a share"]
    sentences = _settled(state, line_value) if is_settled(line_value, day) else _unsettled(state, line_value)
    if line_value.punished == FROZEN:
        sentences.append(f"the network froze the line{_since(state)}: every share is held")
    return sentences


def _unsettled(state: LineState, line_value: LineValue) -> list[str]:
    assert state.best is not None  # noqa: S101 - the caller has checked
    sentences = [_commission(state.best.est_commission, state.best.service_fee, "estimated")]
    if line_value.phase == DATED and line_value.from_day is not None:
        sentences.append(f"the network expects to settle on {format_date(line_value.from_day)}")
    return sentences


def _settled(state: LineState, line_value: LineValue) -> list[str]:
    assert state.best is not None  # noqa: S101 - the caller has checked
    day = effective_day(state)
    source = "the network's expected date" if day is not None else "reported by the network"
    on = "" if line_value.settled_on is None else f" on {format_date(line_value.settled_on)}"
    sentences = [
        f"settled{on} ({source})",
        _commission(state.best.settled_commission, state.best.service_fee, "settled"),
    ]
    succeeded, opened = refunds(state)
    if succeeded:
        sentences.append(f"refunds took {yuan(succeeded)}, which leaves {yuan(line_value.gross)}")
    if opened:
        rest = yuan(line_value.rest)
        sentences.append(f"disputes over {yuan(opened)} are open: all shares except those of {rest} are held")
    return sentences


def _commission(commission: int, fee: int, word: str) -> str:
    net = max(0, commission - fee)
    return f"{word} commission {yuan(commission)} less the service fee of {yuan(fee)} leaves {yuan(net)}"


def _worthless(state: LineState, line_value: LineValue) -> str:
    if line_value.status is not None:
        return f"the network reports {line_value.status}: nobody gets a share"
    if state.punished is not None:
        return "the network reports punished and nothing else: nobody gets a share"
    return "no snapshot has arrived yet: nobody gets a share"


def _since(state: LineState) -> str:
    punished = punishment(state)
    return "" if punished is None else f" on {format_moment(punished[0])[: len('2026-01-03')]}"


def _moment(value: int) -> str | None:
    moment = moment_or_none(value)
    return None if moment is None else format_moment(moment)
