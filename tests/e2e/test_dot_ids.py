"""Users `.` and `..` of an old log, lines of that name, and rows that name such users."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.e2e.conftest import NewSystem
from tests.rig.system import System, ask

INPUT = Path(__file__).parents[1] / "wire" / "networks" / "inputs" / "dots.pdd.json"
OLD = {
    "schema": "order-event/1",
    "kind": "order.snapshot",
    "platform": "pdd",
    "seq": {"modified_at": "2026-09-03T20:14:05+08:00"},
    "status": "paid",
    "currency": "CNY",
    "amounts": {"est_commission": 1000},
    "times": {"paid": "2026-09-03T20:13:51+08:00"},
}
AT = "2026-09-10T00:00:00+08:00"


class TestDotIds:
    """What clients resolve in URLs."""

    def test_everybody_is_shown(self, new_system: NewSystem) -> None:
        """Two workers: `--all` lists the users of the old log with their money; rows make no such user."""
        system: System = new_system()
        workers = [system.start_worker(), system.start_worker()]
        system.send_orders(
            {**OLD, "order_line_id": f"old{number}", "attribution": {"user_id": user}}
            for number, user in enumerate((".", "..", "mei"))
        )
        for worker in workers:
            worker.wait_ready()
        done = system.command("orders", "import", str(INPUT), "--network", "pdd", "--json")
        assert (done.returncode, json.loads(done.stdout)["sent"]) == (0, 8), done.stdout
        system.wait_idle()
        for worker in workers:
            done = system.command("users", "balance", "--all", "--at", AT, "--json", url=worker.url)
            assert done.returncode == 0, done.stderr
            balances = [json.loads(line) for line in done.stdout.splitlines()]
            assert {each["user_id"]: each["estimated"] for each in balances} == {
                ".": 650,
                "..": 650,
                "mei": 650,
                "dotline": 2 * 67,
            }
            line = ask(f"{worker.url}/v1/order-lines/pdd/260903-318000000000001").body
            assert line["owner"]["user_id"] is None
            for dots in ("%2E", "%2E%2E"):
                line = ask(f"{worker.url}/v1/order-lines/pdd/{dots}").body
                assert line["owner"]["user_id"] == "dotline"
            found = ask(f"{worker.url}/v1/attributions/pdd:pid:1_2").body
            assert (found["lines"], found["user_id"]) == (2, None)
            fact = {**OLD, "order_line_id": "new", "attribution": {"user_id": ".."}}
            refused = ask(f"{worker.url}/v1/orders", method="POST", body=json.dumps(fact).encode())
            assert (refused.status, _codes(refused.body)) == (422, ["invalid-attribution.user_id"])
            profile = json.dumps({"level": "basic", "inviter_id": None}).encode()
            refused = ask(f"{worker.url}/v1/users/%2E%2E/profile", method="PUT", body=profile)
            assert (refused.status, refused.body["code"]) == (400, "invalid-user_id")


def _codes(problem: dict[str, Any]) -> list[str]:
    return [error["code"] for error in problem["errors"]]
