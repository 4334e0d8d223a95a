"""The worked example TB-A, over Kafka and HTTP, to the fen at each step.

See docs/spec/money.md#worked-example.
"""

from __future__ import annotations

from typing import Any

from tests.e2e.conftest import NewSystem
from tests.rig.system import System, Worker, ask

LINE = "3901000000000000011"


def snapshot(status: str, modified_at: str, **amounts: int) -> dict[str, Any]:
    """Return a snapshot of the example's line."""
    times = {"paid": "2026-01-03T20:13:51+08:00"}
    if status == "settled":
        times["settled"] = "2026-01-10T03:21:00+08:00"
    return {
        "schema": "order-event/1",
        "kind": "order.snapshot",
        "platform": "taobao",
        "order_line_id": LINE,
        "seq": {"modified_at": modified_at},
        "status": status,
        "currency": "CNY",
        "amounts": amounts,
        "times": times,
        "attribution": {"special_id": "2880001234"},
    }


def refund(status: str, modified_at: str) -> dict[str, Any]:
    """Return the example's refund in one of its states."""
    return {
        "schema": "order-event/1",
        "kind": "order.refund",
        "platform": "taobao",
        "order_line_id": LINE,
        "suit_id": "90000000001",
        "refund_status": status,
        "net_refund": 510,
        "modified_at": modified_at,
    }


PEOPLE = [
    {
        "schema": "user-fact/1",
        "kind": "user.profile",
        "user_id": "buyer",
        "level": "basic",
        "inviter_id": "friend",
        "effective_at": "2026-01-01T00:00:00+08:00",
    },
    {
        "schema": "user-fact/1",
        "kind": "attribution.bind",
        "attribution_id": "taobao:special_id:2880001234",
        "user_id": "buyer",
    },
]

STEPS: list[tuple[dict[str, Any], tuple[int, int, int], tuple[int, int, int]]] = [
    (
        snapshot("paid", "2026-01-03T20:14:05+08:00", est_commission=1791, service_fee=179),
        (1047, 0, 0),
        (161, 0, 0),
    ),
    (
        snapshot("received", "2026-01-09T09:02:11+08:00", est_commission=1791, service_fee=179),
        (1047, 0, 0),
        (161, 0, 0),
    ),
    (
        snapshot(
            "settled",
            "2026-01-10T03:22:40+08:00",
            est_commission=1791,
            settled_commission=1701,
            service_fee=170,
        ),
        (0, 995, 0),
        (0, 153, 0),
    ),
    (refund("open", "2026-01-20T16:40:12+08:00"), (0, 663, 332), (0, 102, 51)),
    (refund("success", "2026-01-23T11:05:03+08:00"), (0, 663, 0), (0, 102, 0)),
]
AT = "2026-01-25T00:00:00%2B08:00"
RELEASED = "2026-02-21T00:00:00%2B08:00"


def buckets(worker: Worker, user: str, at: str = AT) -> tuple[int, int, int]:
    """Return estimated, confirmed, held of a user, over HTTP."""
    body = ask(f"{worker.url}/v1/users/{user}/balance?at={at}").body
    return body["estimated"], body["confirmed"], body["held"]


class TestWorkedExample:
    """TB-A: paid, received, settled, disputed, refunded, released."""

    def test_each_step_is_right_to_the_fen_over_http(self, new_system: NewSystem) -> None:
        """After each fact both beneficiaries have the amounts of the example; the day of release frees it.

        See docs/spec/money.md#worked-example.
        """
        system: System = new_system()
        worker = system.start_worker()
        system.send_users(PEOPLE)
        for document, buyer, friend in STEPS:
            system.send_orders([document])
            if document is STEPS[0][0]:
                worker.wait_ready()
            system.wait_idle()
            assert (buckets(worker, "buyer"), buckets(worker, "friend")) == (buyer, friend)
        released = ask(f"{worker.url}/v1/users/buyer/balance?at={RELEASED}").body
        assert (released["confirmed"], released["available"], released["maturing"]) == (0, 663, [])
        line = ask(f"{worker.url}/v1/order-lines/taobao/{LINE}?at={AT}").body
        assert (line["net"], line["platform_share"]) == (1021, 256)
        assert [share["user_id"] for share in line["shares"]] == ["buyer", "friend"]
        assert worker.stop() == 0
