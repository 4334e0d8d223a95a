"""Stores of a version that knew no totals and no indexes: built at takeover, whatever dies meanwhile."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from aiokafka import TopicPartition

from rebate_app.streams.kafka.aiokafka_clients import AIOKafkaProducer
from rebate_app.streams.kafka.clients import started
from rebate_app.streams.state.store import WATERMARK_KEY
from tables import accounts, order_lines
from tables.kinds import BUILT_KINDS, PROGRESS, kind_of
from tests.e2e.conftest import NewSystem
from tests.e2e.test_workers import USERS, order
from tests.rig.system import System, Worker, ask
from tests.rig.waiting import wait_for

BUILT = {spec for specs in BUILT_KINDS.values() for spec in specs} | {PROGRESS}
KILLED = -9


def age(system: System) -> int:
    """Delete from the changelogs what the version before would not have written; return how many records."""
    found: list[tuple[TopicPartition, bytes, bytes | None]] = []
    topics = system.topics
    for table, changelog in (
        (order_lines.NAME, topics.order_lines.changelog),
        (accounts.NAME, topics.accounts.changelog),
    ):
        latest = {(record.partition, record.key): record.value for record in system.read(changelog)}
        for (partition, key), value in latest.items():
            if value is not None and kind_of(table, key) in BUILT:
                found.append((TopicPartition(changelog, partition), key, None))
        for (partition, key), value in latest.items():
            if key == WATERMARK_KEY:  # last, as in every transaction
                found.append((TopicPartition(changelog, partition), key, value))
    asyncio.run(_produce(system.settings.broker, found))
    return sum(value is None for _, _, value in found)


async def _produce(broker: str, records: list[tuple[TopicPartition, bytes, bytes | None]]) -> None:
    async with started(AIOKafkaProducer(bootstrap_servers=broker, acks="all")) as producer:
        for spot, key, value in records:
            await producer.send_and_wait(spot.topic, value, key=key, partition=spot.partition)


def profile(user_id: str, inviter_id: str) -> dict[str, Any]:
    """Return a profile in force from the beginning."""
    return {
        "schema": "user-fact/1",
        "kind": "user.profile",
        "user_id": user_id,
        "level": "basic",
        "inviter_id": inviter_id,
        "effective_at": "2025-12-01T00:00:00+08:00",
    }


def get(worker: Worker, path: str) -> Any:
    """Return what has to be answered."""
    answer = ask(worker.url + path)
    assert answer.status == 200, (path, answer.status, answer.body)
    return answer.body


def check(worker: Worker) -> dict[str, Any]:
    """Compare totals with the users' balances, and look every line and invitee up; return the totals."""
    totals = get(worker, "/v1/totals")
    sums: Counter[str] = Counter()
    users = [item["user_id"] for item in get(worker, "/v1/users?limit=200")["items"]]
    for item in get(worker, "/v1/balances?" + "&".join(f"user_id={user}" for user in users))["items"]:
        balance = item["balance"]
        sums.update({name: balance[name] for name in ("estimated", "confirmed", "held", "available", "debt")})
        sums.update(balance["lines"])
    assert {name: totals[name] for name in ("estimated", "confirmed", "held", "available", "debt")} == {
        name: sums[name] for name in ("estimated", "confirmed", "held", "available", "debt")
    }
    assert totals["lines"] == {name: sums[name] for name in ("open", "settled", "closed")}
    assert (totals["users"], totals["unavailable"]) == (len(users), [])
    invitees = [item["user_id"] for item in get(worker, "/v1/users/inviter/invitees?limit=200")["items"]]
    assert sorted(invitees) == sorted(USERS)
    for user in USERS:
        (line,) = get(worker, f"/v1/order-lines?order_id=parent-{user}")["items"]
        assert line["owner"]["user_id"] == user
    return dict(totals)


def test_they_are_built_whatever_dies_and_the_audit_is_clean(new_system: NewSystem) -> None:
    """Kill -9 before a step's commit and with its answer under way, each on one of two workers."""
    system: System = new_system()
    system.send_users(profile(user, "inviter") for user in USERS)
    system.send_orders(order(user) | {"parent_order_id": f"parent-{user}"} for user in USERS)
    first = system.start_worker()
    first.wait_ready()
    system.wait_idle()
    before = check(first)
    assert before["estimated"] > 0
    assert first.stop() == 0
    assert age(system) > 50
    dying = [
        system.start_worker(REBATE_TEST_FAULT="built:2:kill"),
        system.start_worker(REBATE_TEST_FAULT="commit-sent:2:kill"),
    ]
    assert [worker.wait_exit(90) for worker in dying] == [KILLED, KILLED]
    last = [system.start_worker(), system.start_worker()]
    for worker in last:
        worker.wait_ready()
    wait_for(lambda: all(ask(f"{each.url}/v1/totals").status == 200 for each in last), 60, "totals are built")
    after = check(last[0])
    assert after | {"as_of": 0, "at": 0} == before | {"as_of": 0, "at": 0}
    assert sum("has built totals" in worker.log_text() for worker in (*dying, *last))
    new = [order(user) | {"order_line_id": f"new-{user}"} for user in USERS[:10]]
    system.send_orders(new)
    system.wait_idle()
    assert check(last[1])["lines"]["open"] == before["lines"]["open"] + len(new)
    audited = system.command("audit", url=last[0].url)
    assert audited.returncode == 0, audited.stdout
    assert "still being built" not in audited.stdout
