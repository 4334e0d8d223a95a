"""Random histories in phases, between which rule versions are published."""

from __future__ import annotations

import random
from typing import Any

from tests.oracle.sharing import UserRecord
from tests.oracle.written import profile, refund, snapshot

Document = dict[str, Any]
USERS = ("ann", "bob", "cem", "dee")
PLATFORMS = ("taobao", "jd", "pdd")
MONTH_DAYS = 28


def rules_text(version: str, since: str, buyer: int, inviter: int, replaces: str = "") -> str:
    """Return a rule file."""
    return f"""
schema = "rebate-rules/1"
version = "{version}"
{f'replaces = "{replaces}"' if replaces else ""}
effective_from = {since}T00:00:00+08:00
[[level]]
id = "basic"
share_bps = {{ default = {buyer} }}
[inviter]
max_levels = 1
[[inviter.level]]
depth = 1
bps = {{ basic = {inviter} }}
"""


#: Published in this order: at first, then one before each later phase. v2 begins within the first month.
HISTORY = (
    rules_text("v1", "2026-01-01", 5_000, 500),
    rules_text("v2", "2026-01-10", 6_000, 600),
    rules_text("v1b", "2026-01-01", 5_500, 550, replaces="v1"),
    rules_text("v2b", "2026-01-10", 6_500, 650, replaces="v2"),
    rules_text("v2c", "2026-01-10", 7_000, 700, replaces="v2b"),
)
VERSIONS = ("v1", "v2", "v1b", "v2b", "v2c")
PROFILES: list[UserRecord] = [profile("ann", inviter="bob"), profile("bob", inviter="cem"), profile("cem")]


def phases(rng: random.Random, lines: int, count: int = len(HISTORY)) -> list[list[Document]]:
    """Return the order facts of each phase: in each new lines, and at most one fact of an older one."""
    batches: list[list[Document]] = []
    made = 0
    for number in range(count):
        facts = [_next_fact(rng, line, number) for line in range(made) if rng.random() < 0.5]
        facts += [_first(rng, line, number) for line in range(made, made + lines)]
        made += lines
        rng.shuffle(facts)
        batches.append(facts)
    return batches


def _line(line: int) -> str:
    return f"{PLATFORMS[line % len(PLATFORMS)]}:L{line}"


def _paid(line: int, moved: int = 0) -> str:
    return f"2026-01-{1 + (line * 7 + moved) % MONTH_DAYS:02} 12:00:00"


def _first(rng: random.Random, line: int, phase: int) -> Document:
    commission = rng.randrange(100, 3_000)
    modified = f"2026-02-{1 + phase:02}"
    return snapshot(
        "paid", modified, commission, 0, 0, line=_line(line), paid=_paid(line), user=rng.choice(USERS)
    )


def _next_fact(rng: random.Random, line: int, phase: int) -> Document:
    """Return a settlement, a refund, another paid time, or another owner."""
    modified = f"2026-02-{1 + phase:02}"
    kind = rng.choice(("settled", "refund", "paid again", "owner"))
    if kind == "refund":
        return refund("success", modified, rng.randrange(50, 400), f"s{phase}", line=_line(line))
    commission = rng.randrange(100, 3_000)
    if kind == "settled":
        return snapshot(
            "settled",
            modified,
            commission,
            commission,
            0,
            line=_line(line),
            paid=_paid(line),
            user=None,
            settled_at="2026-02-20",
        )
    moved = rng.randrange(1, MONTH_DAYS) if kind == "paid again" else 0
    user = None if kind == "paid again" else rng.choice(USERS)
    return snapshot("paid", modified, commission, 0, 0, line=_line(line), paid=_paid(line, moved), user=user)
