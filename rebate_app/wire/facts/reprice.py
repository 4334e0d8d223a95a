"""The members of `account.reprice` (docs/spec/rules.md#repricing)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from rebate_app.domain.facts import REPRICE_LINES_MAX, REPRICE_REASON_CHARACTERS_MAX, Reprice
from rebate_app.domain.faults import Fault, limit

from .identifiers import USER_ID_RULE, match_line
from .members import MemberReader

if TYPE_CHECKING:
    from collections.abc import Callable

REPRICE = "account.reprice"
REPRICE_VALUES = ("lines", "paid_from", "paid_to", "released", "reason")
LINES_RULE = "a list of platform:order_line_id, at least one"
REASON_RULE = f"1-{REPRICE_REASON_CHARACTERS_MAX} characters without control"
_match_reason = re.compile(
    rf"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{{1,{REPRICE_REASON_CHARACTERS_MAX}}}"
).fullmatch


def with_reason(document: dict[str, Any], by: str) -> dict[str, Any]:
    """Return the members of a fact with a plain reason where nobody gave one; `by`: who asks for it.

    On the topic a fact has a reason, so that every release reads it.
    """
    if document.get("reason") is not None:
        return document
    reason = f"repriced by {by}"
    return {**document, "reason": reason if _match_reason(reason) else "repriced"}


def read_reprice(reader: MemberReader, accepts: Callable[[str], object]) -> Reprice:
    """Read an `account.reprice`; absent `lines` are all, an absent bound is none.

    `accepts` takes the user ids; faults are added to the reader.
    """
    user_id = reader.needed_text("user_id", accepts, USER_ID_RULE)
    lines = reader.texts("lines", match_line, LINES_RULE)
    paid_from, paid_to = reader.moment("paid_from"), reader.moment("paid_to")
    if paid_from is not None and paid_to is not None and paid_to <= paid_from:
        reader.refuse("paid_to", "paid_to has to be after paid_from: lines paid at paid_to are left out")
    released = reader.flag("released")
    reason = reader.needed_text("reason", _match_reason, REASON_RULE)
    return Reprice(user_id, lines, paid_from, paid_to, released, reason)


def limit_faults(reprice: Reprice) -> list[Fault]:
    """Return the fault of a fact that names more lines than one may."""
    if reprice.lines is None or len(reprice.lines) <= REPRICE_LINES_MAX:
        return []
    count = len(reprice.lines)
    return [limit("lines", f"a repricing names at most {REPRICE_LINES_MAX} lines, and this one {count}")]
