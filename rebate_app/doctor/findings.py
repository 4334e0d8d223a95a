"""What a check finds: ok, a warning, a failure, or that it could not be looked at.

Law: every check says one sentence, and whatever is not ok says what to do. It is separate so that checks
cannot print and the command cannot judge.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

State = Literal["ok", "warn", "fail", "skip"]


class Check(Struct, frozen=True):
    """One check; `do` is empty where nothing has to be done."""

    check: str
    state: State
    says: str
    do: str = ""


def ok(check: str, says: str) -> Check:
    """Return that all is well."""
    return Check(check, "ok", says)


def warn(check: str, says: str, do: str) -> Check:
    """Return that something protects less than it could, or may become a failure."""
    return Check(check, "warn", says, do)


def fail(check: str, says: str, do: str) -> Check:
    """Return that something is wrong."""
    return Check(check, "fail", says, do)


def skip(check: str, says: str) -> Check:
    """Return that it could not be looked at."""
    return Check(check, "skip", says)


def count(checks: Sequence[Check], state: State) -> int:
    """Return how many checks are in a state."""
    return sum(each.state == state for each in checks)


def some(names: Sequence[str], shown: int = 4) -> str:
    """Return names as a list that stays readable."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
