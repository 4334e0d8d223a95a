"""A balance that a worker answers wrongly is found, and the wrong member named."""

from __future__ import annotations

import pytest

from rebate_app.audit.balances import Said
from rebate_app.domain.balance import balance_on
from rebate_app.domain.calendar import day_of
from tests.domain.world import World

from .list_logs import ListLogs, ListWorkers, audit, only
from .worlds import AT_US, user_of


class TestBalances:
    """What workers answer is right, or a difference."""

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
    def test_a_wrong_member(self, world: World, member: str, value: object) -> None:
        """Any member that is not what the fold makes is named."""
        day = day_of(AT_US)
        user_id = next(user for user in world.users() if balance_on(world.head(user), day).maturing)
        workers = ListWorkers(world.lane, AT_US)
        workers.answers[user_id] = lambda body: Said(200, body | {member: value})
        finding = only(audit(ListLogs(world.lane), workers))
        assert (finding.kind, finding.key) == ("wrong-balance", user_id)
        assert finding.says.endswith(f"wrong {member}")

    @pytest.mark.parametrize(
        "answer",
        [
            Said(404, None),
            Said(500, {"code": "internal"}),
            Said(200, {}),
            Said(200, {"version": "1"}),
            Said(200, []),
        ],
    )
    def test_no_answer_that_could_be_right(self, world: World, answer: Said) -> None:
        """An error of HTTP, or a document that is no balance."""
        user_id, _ = user_of(world)
        workers = ListWorkers(world.lane, AT_US)
        workers.answers[user_id] = lambda _body: answer
        assert only(audit(ListLogs(world.lane), workers)).kind == "wrong-balance"

    @pytest.mark.parametrize("at", [None, "yesterday"])
    def test_a_balance_of_no_moment(self, world: World, at: str | None) -> None:
        """An answer that does not say for which moment it holds."""
        user_id, _ = user_of(world)
        workers = ListWorkers(world.lane, AT_US)
        workers.answers[user_id] = lambda body: Said(200, body | {"at": at})
        assert only(audit(ListLogs(world.lane), workers)).kind == "wrong-balance"

    def test_nobody_who_may_answer(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """503 and silence are no wrong balances; who was not answered is counted."""
        monkeypatch.setattr("rebate_app.audit.balances.BEHIND_WAIT_S", 0)
        first, second = world.users()[:2]
        workers = ListWorkers(world.lane, AT_US)
        workers.answers[first] = lambda _body: Said(503, {"code": "not-ready"})
        workers.answers[second] = lambda _body: Said(0, None)
        report = audit(ListLogs(world.lane), workers)
        assert (report.differences, report.not_comparable) == (0, 2)
