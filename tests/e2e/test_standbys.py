"""StandbyTasks answer while nobody else can, marked stale, and take over from where they are."""

from __future__ import annotations

from tests.e2e.conftest import NewSystem
from tests.e2e.test_workers import SHARE, USERS, order, owned
from tests.kafka_fixture import SHORT_SESSION
from tests.rig.system import System, ask, frozen
from tests.rig.waiting import wait_for


class TestStandbys:
    """REBATE_STANDBYS=1: each partition is followed by one other worker."""

    def test_a_frozen_owners_users_are_answered_stale_and_then_by_the_new_owner(
        self, new_system: NewSystem
    ) -> None:
        """While the owner is frozen its users get stale answers with lag or 503, then current ones."""
        system: System = new_system(REBATE_STANDBYS="1", **SHORT_SESSION)
        system.send_orders(order(user) for user in USERS)
        workers = [system.start_worker(), system.start_worker()]
        for worker in workers:
            worker.wait_ready()
        wait_for(lambda: owned(workers[0]) == owned(workers[1]) == 4, 60, "4 of 8 partitions each")
        system.wait_idle()
        reader, freezes = workers
        seen: set[tuple[int, bool]] = set()

        def all_current() -> bool:
            answers = [ask(f"{reader.url}/v1/users/{user}/balance", seconds=8) for user in USERS]
            for answer in answers:
                if answer.status == 200:
                    assert answer.body["estimated"] == SHARE
                    seen.add((200, bool(answer.body.get("stale"))))
                else:
                    seen.add((answer.status, False))
            return all(answer.status == 200 and not answer.body.get("stale") for answer in answers)

        with frozen(freezes):
            wait_for(lambda: not all_current(), 20, "somebody is not answered by the owner")
            wait_for(lambda: (200, True) in seen or all_current(), 30, "a stale answer")
            wait_for(all_current, 60, "the one that stays owns everything")
        assert (200, True) in seen
        assert seen <= {(200, True), (200, False), (503, False)}
        wait_for(lambda: ask(f"{freezes.url}/readyz", seconds=1).status == 200, 60, "the frozen one is back")
        wait_for(all_current, 60, "all current again")
