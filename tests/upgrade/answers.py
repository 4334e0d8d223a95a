"""What a worker answers about everything it holds, at fixed moments, and the comparison of two such sets.

Members that only the new answers have are allowed; a member that only the old ones have is a difference.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.upgrade.product import Worker, part
from tests.upgrade.scenario_facts import NETWORKS, attribution_id

#: Before most settlements, after them, after the release days of the first quarter, after FUTURE_DAY.
MOMENTS = (
    "2026-01-21T00:00:00+08:00",
    "2026-02-20T12:00:00+08:00",
    "2026-04-01T00:00:00+08:00",
    "2099-03-01T00:00:00+08:00",
)
PAGE_ITEMS = "37"
ATTRIBUTION_IDS = [attribution_id(network, number) for network in NETWORKS for number in range(1, 6)]
#: Texts for people may be worded better; positions differ once the new version writes records of its own.
LEFT_OUT = frozenset({"explanation", "says", "as_of"})
#: What depends on when and in which order facts came, which differs when two versions go on from one state.
#: `fetch_seq` decides ties only; adapters may set another one when the same response is imported again.
BY_ARRIVAL = frozenset({"version", "updated_at", "timeline", "fetch_seq"})

Answers = dict[str, Any]


def collect(worker: Worker) -> Answers:
    """Return all users' balances, lines and ledgers, all their order lines, and all attribution ids."""
    users = sorted(item["user_id"] for item in worker.pages("/v1/users", limit=PAGE_ITEMS))
    answers: Answers = {"users": users}
    lines: set[tuple[str, str]] = set()
    for user in users:
        resource = f"/v1/users/{part(user)}"
        answers[f"{resource}/ledger"] = worker.pages(f"{resource}/ledger", limit=PAGE_ITEMS)
        for at in MOMENTS:
            answers[f"{resource}/balance {at}"] = worker.get(f"{resource}/balance", at=at)
            items = worker.pages(f"{resource}/lines", limit=PAGE_ITEMS, at=at)
            answers[f"{resource}/lines {at}"] = items
            lines |= {(item["platform"], item["order_line_id"]) for item in items}
    for platform, line in sorted(lines):
        for at in MOMENTS[1:3]:
            resource = f"/v1/order-lines/{platform}/{part(line)}"
            answers[f"{resource} {at}"] = worker.get(resource, at=at)
    return answers | _attributions(worker) | _failures(worker)


def _attributions(worker: Worker) -> Answers:
    unbound = worker.pages("/v1/attributions", unbound="true")
    ids = sorted({item["attribution_id"] for item in unbound} | set(ATTRIBUTION_IDS))
    answers: Answers = {"unbound": sorted(unbound, key=lambda item: str(item["attribution_id"]))}
    for name in ids:
        answer = worker.get(f"/v1/attributions/{part(name)}")
        answers[f"/v1/attributions/{name}"] = {
            member: answer[member] for member in ("attribution_id", "user_id", "lines", "net")
        }
    return answers


def _failures(worker: Worker) -> Answers:
    letters = worker.pages("/v1/dead-letters", limit=PAGE_ITEMS)
    parked = worker.pages("/v1/parked-keys", limit=PAGE_ITEMS)
    return {
        "dead letters": sorted([item["id"], item["reason"]] for item in letters),
        "parked keys": sorted(item["key"] for item in parked),
    }


def amounts(answers: Answers) -> Answers:
    """Return the answers without the order of arrival: lines sorted, and of ledgers what they add up to."""
    return {
        name: _sums(answer)
        if name.endswith("/ledger")
        else sorted(answer, key=_line_of)
        if "/lines " in name
        else answer
        for name, answer in answers.items()
    }


def _line_of(item: Answers) -> tuple[str, ...]:
    return item["platform"], item["order_line_id"], item["role"]


def _sums(entries: list[Answers]) -> Answers:
    """Return by moment, line and role what the entries in force add up to; zeros are left out."""
    sums: Counter[str] = Counter()
    for entry in entries:
        for at in MOMENTS:
            if (entry["effective_on"] or "") <= at[:10]:
                for bucket in ("estimated", "settled", "held"):
                    sums[" ".join((at, *_line_of(entry), bucket))] += entry[bucket]
    return {name: amount for name, amount in sums.items() if amount}


def differences(old: Any, new: Any, ignored: frozenset[str] = LEFT_OUT, where: str = "") -> list[str]:
    """Return where `new` says something else than `old`, or lacks what `old` has."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            found
            for name in old.keys() - ignored
            for found in (
                differences(old[name], new[name], ignored, f"{where}/{name}")
                if name in new
                else [f"{where}/{name} is missing"]
            )
        ]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [
            found
            for at, (mine, theirs) in enumerate(zip(old, new, strict=True))
            for found in differences(mine, theirs, ignored, f"{where}[{at}]")
        ]
    return [] if old == new and type(old) is type(new) else [f"{where}: {old!r} became {new!r}"]
