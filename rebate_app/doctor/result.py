"""The result of a check: ok, a warning, a failure, or skipped.

Every result has one sentence, its summary; a warning or failure also has the remedy. `rebate doctor --json`
names these two `says` and `do`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

State = Literal["ok", "warn", "fail", "skip"]


class CheckResult(Struct, frozen=True, rename={"summary": "says", "remedy": "do"}):
    """A result of the check named `check`; `remedy` is empty where nothing has to be done."""

    check: str
    state: State
    summary: str
    remedy: str = ""


def ok(check: str, summary: str) -> CheckResult:
    """Return the result of a check that found nothing."""
    return CheckResult(check, "ok", summary)


def warn(check: str, summary: str, remedy: str) -> CheckResult:
    """Return a warning: something protects less than it could, or may become a failure."""
    return CheckResult(check, "warn", summary, remedy)


def fail(check: str, summary: str, remedy: str) -> CheckResult:
    """Return a failure: something is wrong."""
    return CheckResult(check, "fail", summary, remedy)


def skip(check: str, summary: str) -> CheckResult:
    """Return that the check could not run."""
    return CheckResult(check, "skip", summary)


def count(results: Sequence[CheckResult], state: State) -> int:
    """Return how many results have a state."""
    return sum(each.state == state for each in results)


def shortened_list(names: Sequence[str], shown: int = 4) -> str:
    """Return names separated by commas, all but the first few as a number."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
