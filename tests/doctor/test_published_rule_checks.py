"""The doctor's comparison of what workers know of rule versions."""

from __future__ import annotations

from typing import Any

from rebate_app.doctor.published_rule_checks import check_workers_rules


def worker(url: str, **versions: list[str]) -> dict[str, Any]:
    """Return an item of /v1/workers: by version, the partitions that know it."""
    rules = [
        {"version": name, "content_hash": name, "activated": dict.fromkeys(partitions, -1)}
        for name, partitions in versions.items()
    ]
    return {"url": url, "rules": rules}


def test_workers_that_know_the_same() -> None:
    """One that owns nothing has read the versions all the same; one that does not answer says nothing."""
    items = [worker("a", v1=["0"], v2=["0"]), worker("b", v1=[], v2=[]), {"url": "c", "rules": None}]
    assert check_workers_rules(items).state == "ok"


def test_a_worker_that_lacks_a_version() -> None:
    """Named with what it lacks."""
    result = check_workers_rules([worker("a", v1=["0"], v2=["0"]), worker("b", v1=["1"])])
    assert (result.state, "b lacks v2" in result.summary) == ("warn", True)


def test_a_partition_that_does_not_know_a_version() -> None:
    """Its owner has read the version and has not noted it there."""
    result = check_workers_rules([worker("a", v1=["0", "1"], v2=["0"])])
    assert (result.state, "partitions of a do not know v2" in result.summary) == ("warn", True)
