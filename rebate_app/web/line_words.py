"""What a line's facts say, for people: its snapshot, disputes, time line, and where its commission stands.

Law: nothing here is computed anew; the sentences repeat the figures of the domain's worth
(contracts.md 3, "State of a line at a moment T"). It is separate from the shares, whose sentences only
their owners can write.
"""

from __future__ import annotations

from typing import Any

import orjson

from rebate_app.domain.attribution import newest_values
from rebate_app.domain.facts import REFUND_RANK
from rebate_app.domain.money import yuan
from rebate_app.domain.order_line import (
    EST_COMMISSION,
    EXPECTED,
    FETCH_SEQ,
    MODIFIED,
    PAID,
    SERVICE_FEE,
    SETTLED,
    SETTLED_COMMISSION,
    LineState,
    Moment,
    moment_or_none,
    status_of,
)
from rebate_app.domain.worth import (
    CLOSED,
    CONFIRMED,
    DATED,
    FROZEN,
    UNPUNISHED,
    Worth,
    effective_day,
    punishment,
    refunds,
)
from rebate_app.wire.moments import format_date, format_moment

from .account_lists import date_or_none, settled_at

STATUS_OF_REFUND = tuple(REFUND_RANK)
SAYS_OF_REFUND = {
    "open": "is open",
    "restored": "ended, and the seller gave it back",
    "failed": "failed",
    "success": "succeeded",
}
LIFTED = "lifted"


def snapshot_members(state: LineState) -> dict[str, Any] | None:
    """Return S as its fact said it, or what there is when nothing counts; None without any snapshot."""
    version = state.best or state.punished or state.unknown
    if version is None:
        return None
    said = state.said if state.best or state.punished else state.said_unknown
    shown = orjson.loads(state.show) if version == state.best else {}
    return {
        "status": status_of(version),
        "seq": {"modified_at": format_moment(version[MODIFIED]), "fetch_seq": version[FETCH_SEQ]},
        "amounts": {
            "est_commission": version[EST_COMMISSION],
            "settled_commission": version[SETTLED_COMMISSION],
            "service_fee": version[SERVICE_FEE],
        },
        "times": {
            "paid": _moment(version[PAID]),
            "settled": _moment(version[SETTLED]),
            "expected_settle": date_or_none(moment_or_none(version[EXPECTED])),
        },
        "attribution": newest_values(said),
        **shown,
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
    """Return what was said about the line, in the order of the log, the newest few of it."""
    return [
        {"at": format_moment(moment[0]), "kind": moment[1], "says": _says(moment)}
        for moment in state.timeline
    ]


def _says(moment: Moment) -> str:
    _, kind, word, first, settled, fee = moment
    if kind == "snapshot":
        commission = f"estimated commission {yuan(first)}"
        if settled or word == "settled":
            commission += f", settled commission {yuan(settled)}"
        return f"the network says {word}: {commission}, service fee {yuan(fee)}"
    if kind == "refund":
        status, _, suit_id = word.partition(" ")
        return f"dispute {suit_id} {SAYS_OF_REFUND[status]}: {yuan(first)} of the commission"
    if kind == "punish":
        return f"the network's punishment is {word}"
    return f"claimed by {word}"


def line_sentences(state: LineState, worth: Worth, day: int) -> list[str]:
    """Return where the line's commission stands on that day; the shares' own sentences follow."""
    best = state.best
    if worth.phase == CLOSED or best is None or worth.status == "created":
        return [_worthless(state, worth)]
    if worth.punished == CONFIRMED:
        return [f"the network confirmed a punishment{_since(state)}: worth 0 to everybody"]
    sentences = _settled(state, worth) if settled_at(worth, day) else _unsettled(state, worth)
    if worth.punished == FROZEN:
        sentences.append(f"the network froze the line{_since(state)}: every share is held")
    return sentences


def _unsettled(state: LineState, worth: Worth) -> list[str]:
    assert state.best is not None  # noqa: S101 - the caller asked
    sentences = [_commission(state.best[EST_COMMISSION], state.best[SERVICE_FEE], "estimated")]
    if worth.phase == DATED and worth.from_day is not None:
        sentences.append(f"the network means to settle on {format_date(worth.from_day)}")
    return sentences


def _settled(state: LineState, worth: Worth) -> list[str]:
    assert state.best is not None  # noqa: S101 - the caller asked
    day = effective_day(state)
    how = "by the network's expected date" if day is not None else "by the network's word"
    on = "" if worth.settled_on is None else f" on {format_date(worth.settled_on)}"
    sentences = [
        f"settled{on} {how}",
        _commission(state.best[SETTLED_COMMISSION], state.best[SERVICE_FEE], "settled"),
    ]
    succeeded, opened = refunds(state)
    if succeeded:
        sentences.append(f"refunds took {yuan(succeeded)}, which leaves {yuan(worth.gross)}")
    if opened:
        rest = yuan(worth.rest)
        sentences.append(f"disputes about {yuan(opened)} are open: shares of all but {rest} are held")
    return sentences


def _commission(commission: int, fee: int, word: str) -> str:
    net = max(0, commission - fee)
    return f"{word} commission {yuan(commission)} less the service fee {yuan(fee)} is {yuan(net)}"


def _worthless(state: LineState, worth: Worth) -> str:
    if worth.status is not None:
        return f"the network says {worth.status}: worth 0 to everybody"
    if state.punished is not None:
        return "the network says punished and nothing else: worth 0 to everybody"
    return "no snapshot has come yet: worth 0 to everybody"


def _since(state: LineState) -> str:
    punished = punishment(state)
    return "" if punished is None else f" on {format_moment(punished[0])[: len('2026-01-03')]}"


def _moment(value: int) -> str | None:
    moment = moment_or_none(value)
    return None if moment is None else format_moment(moment)
