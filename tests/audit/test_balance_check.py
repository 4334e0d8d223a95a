"""A wrong balance that a worker answers is found, and the wrong member named."""

from __future__ import annotations

import pytest

from rebate_app.audit.balance_check import WorkerAnswer
from rebate_app.domain.account.balance import balance_on
from rebate_app.domain.pricing.calendar import day_of
from tests.audit.list_logs import ListLogs, ListWorkers, audit, only
from tests.audit.worlds import AT_US, user_of
from tests.domain.world import World


class TestBalances:
    """A balance that a worker answers is right, or a difference."""

    @pytest.mark.parametrize(
        ("member", "value"),
        [
            ("available", 12_345),
            ("maturing", []),
            ("lines", {"open": 9}),
            ("currency", "EUR"),
            ("debt", None),
        ],
    )
    def test_a_wrong_member_is_named(self, world: World, member: str, value: object) -> None:
        """Any member that is not what the fold makes is named."""
        day = day_of(AT_US)
        user_id = next(user for user in world.users() if balance_on(world.head(user), day).maturing)
        workers = ListWorkers(world.stream, AT_US)
        workers.answers[user_id] = lambda body: WorkerAnswer(200, body | {member: value})
        finding = only(audit(ListLogs(world.stream), workers))
        assert (finding.kind, finding.key) == ("wrong-balance", user_id)
        assert finding.summary.endswith(f"wrong {member}")

    @pytest.mark.parametrize(
        "answer",
        [
            WorkerAnswer(404, None),
            WorkerAnswer(500, {"code": "internal"}),
            WorkerAnswer(200, {}),
            WorkerAnswer(200, {"version": "1"}),
            WorkerAnswer(200, []),
        ],
    )
    def test_an_error_or_another_document_is_a_difference(self, world: World, answer: WorkerAnswer) -> None:
        """An error of HTTP, or a document that is no balance."""
        user_id, _ = user_of(world)
        workers = ListWorkers(world.stream, AT_US)
        workers.answers[user_id] = lambda _body: answer
        assert only(audit(ListLogs(world.stream), workers)).kind == "wrong-balance"

    @pytest.mark.parametrize("at", [None, "yesterday"])
    def test_a_balance_without_moment_is_a_difference(self, world: World, at: str | None) -> None:
        """An answer without the moment for which it holds is a difference."""
        user_id, _ = user_of(world)
        workers = ListWorkers(world.stream, AT_US)
        workers.answers[user_id] = lambda body: WorkerAnswer(200, body | {"at": at})
        assert only(audit(ListLogs(world.stream), workers)).kind == "wrong-balance"

    def test_unavailable_workers_are_no_difference(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """503 and no answer are no differences; those users are counted."""
        monkeypatch.setattr("rebate_app.audit.balance_check.BEHIND_WAIT_SECONDS", 0)
        first, second = world.users()[:2]
        workers = ListWorkers(world.stream, AT_US)
        workers.answers[first] = lambda _body: WorkerAnswer(503, {"code": "not-ready"})
        workers.answers[second] = lambda _body: WorkerAnswer(0, None)
        report = audit(ListLogs(world.stream), workers)
        assert (report.differences, report.not_comparable) == (0, 2)
