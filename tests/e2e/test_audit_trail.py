"""The audit trail on a real Kafka: with the fact in one transaction, or neither of them."""

from __future__ import annotations

import asyncio
import json
import signal
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import orjson
from aiokafka import TopicPartition
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from rebate_app.auth.api_keys import NewKey, new_key
from rebate_app.broker import free_port
from rebate_app.secret_ring import parse_secret_ring
from rebate_app.streams.kafka.admin import admin_client
from rebate_app.streams.kafka.aiokafka_clients import AIOKafkaConsumer
from rebate_app.streams.kafka.clients import started
from rebate_app.streams.transaction.partitioner import partition_of
from rebate_app.wire.audit_trail import body_hmac
from tests.e2e.conftest import NewSystem
from tests.e2e.test_workers import order
from tests.rig.system import System, Worker, checked
from tests.rig.waiting import wait_for

SECRET = "a:" + "s" * 40
LEVEL = {"level": "basic", "inviter_id": None}
WRITE_SECONDS_MAX = 30.0


def call(
    url: str, method: str, path: str, key: NewKey, document: Any = None, **headers: str
) -> tuple[int, Any]:
    """Return (status, answer) of a request with a key, (0, None) without an answer."""
    data = None if document is None else orjson.dumps(document)
    request = urllib.request.Request(url + path, data=data, method=method)  # noqa: S310 - http to loopback
    request.add_header("Authorization", f"Bearer {key.token}")
    request.add_header("Content-Type", "application/json")
    for name, text in headers.items():
        request.add_header(name.replace("_", "-"), text)
    try:
        with urllib.request.urlopen(request, timeout=WRITE_SECONDS_MAX) as response:  # noqa: S310
            answer = checked(request, response.status, response.headers, response.read())
    except urllib.error.HTTPError as error:
        answer = checked(request, error.code, error.headers, error.read())
    except OSError:
        return 0, None
    return answer.status, answer.body


def configure_trail(system: System, **changed: str) -> None:
    """Give the topic of the trail its configuration with these changes."""
    (spec,) = (
        each for each in system.topics.specs(system.settings) if each.name == system.topics.audit_trail
    )
    config = spec.config | {name.replace("_", "."): text for name, text in changed.items()}

    async def alter() -> None:
        async with admin_client(system.settings) as admin:
            resource = ConfigResource(ConfigResourceType.TOPIC, spec.name, configs=config)
            for answer in await admin.alter_configs([resource]):
                assert all(code == 0 for code, *_ in answer.resources), answer

    asyncio.run(alter())


def end_of(system: System, topic: str, partition: int) -> int:
    """Return the high watermark: also of what is not committed."""

    async def read() -> int:
        async with started(AIOKafkaConsumer(bootstrap_servers=system.settings.broker)) as consumer:
            spot = TopicPartition(topic, partition)
            return int((await consumer.end_offsets([spot]))[spot])

    return asyncio.run(read())


class TestOnKafka:
    """One worker behind a key; its life with a trail that can be written, and without."""

    def test_both_or_neither(self, new_system: NewSystem, tmp_path: Path) -> None:
        """Fact and record go together; refused by the broker or killed in between, neither is there."""
        key = new_key("ops", "operators", ["admin"])
        (tmp_path / "keys.toml").write_text(key.entry)
        system = new_system(
            REBATE_KEYS=str(tmp_path / "keys.toml"), REBATE_CLUSTER_SECRET=SECRET, REBATE_TOKEN=key.token
        )
        port = str(free_port())
        gate = tmp_path / "gate"
        rigged = {"REBATE_TEST_APP": "tests.rig.killed_writer", "REBATE_TEST_GATE": str(gate)}
        worker = system.start_worker(0, REBATE_WEB_PORT=port, **rigged)
        worker.wait_ready()
        self._accepted(system, worker, key)
        self._imported(system, tmp_path)
        self._refused_by_the_broker(system, worker, key)
        self._killed_in_between(system, worker, key, gate)
        again = system.start_worker(0, REBATE_WEB_PORT=port)
        again.wait_ready()
        wait_for(
            lambda: call(again.url, "PUT", "/v1/users/u4/profile?wait_ms=2000", key, LEVEL)[0] == 202,
            WRITE_SECONDS_MAX,
            "a write after the restart",
        )
        assert {fact["user_id"] for fact in self._facts(system)} == {"u1", "u2", "u4", "i1"}
        self._read(system, again, key)

    def _facts(self, system: System) -> list[Any]:
        values = [orjson.loads(record.value) for record in system.read(system.topics.user_log)]
        return [value for value in values if value.get("kind") == "user.profile"]

    def _trail(self, system: System) -> list[Any]:
        return [orjson.loads(record.value) for record in system.read(system.topics.audit_trail)]

    def _accepted(self, system: System, worker: Worker, key: NewKey) -> None:
        body = LEVEL | {"reason": "asked", "actor": "key:forged"}
        status, answer = call(
            worker.url, "PUT", "/v1/users/u1/profile?wait_ms=2000", key, body, rebate_actor="key:forged"
        )
        assert (status, answer["visible"]) == (202, True)
        assert [each["code"] for each in answer["warnings"]] == ["set-by-server"]
        (fact,), (record,) = self._facts(system), self._trail(system)
        assert (fact["actor"], fact["request_id"]) == ("key:ops", record["request_id"])
        names = ("actor", "via", "action", "subject", "status", "reason", "remote")
        assert [record[name] for name in names] == [
            *("key:ops", "http", "profile.put", "u1", 202, "asked", "127.0.0.1")
        ]
        assert record["body_hmac"] == body_hmac(parse_secret_ring(SECRET), orjson.dumps(body))
        status, _ = call(worker.url, "POST", "/v1/orders", key, order("u1"), rebate_actor="key:forged")
        assert status == 202
        (sent,) = system.read(system.topics.orders)
        assert [name for name, _ in sent.headers] == ["rebate-actor", "rebate-request-id"]
        assert dict(sent.headers)["rebate-actor"] == b"key:ops"
        assert call(worker.url, "PUT", "/v1/users/u1/profile", key, {"level": ""})[0] == 422
        assert [each["status"] for each in self._trail(system)] == [202, 422]

    def _imported(self, system: System, folder: Path) -> None:
        """One record for a command, before its facts."""
        file = folder / "profiles.ndjson"
        file.write_bytes(orjson.dumps({"user_id": "i1", **LEVEL}) + b"\n")
        done = system.command("profiles", "import", str(file), "--by", "ann")
        assert done.returncode == 0, done.stderr
        record = self._trail(system)[-1]
        assert (record["actor"], record["via"], record["action"], record["subject"]) == (
            *("cli:ann", "cli", "profiles.import", "profiles.ndjson"),
        )
        assert {fact["user_id"]: fact["actor"] for fact in self._facts(system)}["i1"] == "cli:ann"

    def _refused_by_the_broker(self, system: System, worker: Worker, key: NewKey) -> None:
        """503 within a bounded time, no fact; order facts go on; afterwards it works again."""
        configure_trail(system, max_message_bytes="128")  # a marker of a transaction has 78
        before = self._trail(system)
        status, answer = call(worker.url, "PUT", "/v1/users/u2/profile", key, LEVEL)
        assert (status, answer["code"]) == (503, "broker-away")
        status, answer = call(worker.url, "PUT", "/v1/users/u2/profile", key, {})
        assert (status, answer["code"]) == (503, "broker-away")
        assert call(worker.url, "POST", "/v1/orders", key, order("u2"))[0] == 202
        assert {fact["user_id"] for fact in self._facts(system)} == {"u1", "i1"}
        assert self._trail(system) == before
        configure_trail(system)
        wait_for(
            lambda: call(worker.url, "PUT", "/v1/users/u2/profile", key, LEVEL)[0] == 202,
            WRITE_SECONDS_MAX,
            "a write after the refusal",
        )

    def _killed_in_between(self, system: System, worker: Worker, key: NewKey, gate: Path) -> None:
        """Kill -9 after fact and record are acknowledged and before the commit: neither is to be seen."""
        partition = partition_of(b"u3", system.settings.partitions)
        topic = system.topics.user_log
        before = end_of(system, topic, partition)
        gate.touch()
        assert call(worker.url, "PUT", "/v1/users/u3/profile", key, LEVEL) == (0, None)
        assert worker.wait_exit(WRITE_SECONDS_MAX) == -signal.SIGKILL
        assert end_of(system, topic, partition) > before  # it is in the log
        gate.unlink()

    def _read(self, system: System, worker: Worker, key: NewKey) -> None:
        """By HTTP in pages, newest first, and by command; nothing of u3 is there."""
        subjects, cursor = [], ""
        while True:
            status, page = call(worker.url, "GET", f"/v1/audit-trail?limit=2{cursor}", key)
            assert status == 200
            subjects += [item["subject"] for item in page["items"]]
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"
        assert subjects == [item["subject"] for item in reversed(self._trail(system))]
        assert set(subjects) == {"u4", "u2", "profiles.ndjson", "u1"}
        first = self._trail(system)[-1]["at"]
        done = system.command("trail", "--since", first, "--subject", "u4", "--json", url=worker.url)
        assert done.returncode == 0, done.stderr
        assert [item["subject"] for item in json.loads(done.stdout)["items"]] == ["u4"]
        done = system.command("trail", "--actor", "cli:ann", url=worker.url)
        assert "profiles.import" in done.stdout
        status, page = call(worker.url, "GET", "/v1/audit-trail?since=0404-02-29T05:24:14Z&limit=200", key)
        assert (status, len(page["items"])) == (200, len(subjects))  # Kafka knows no time before 1970
        status, answer = call(worker.url, "GET", "/v1/audit-trail?cursor=AAAA", key)
        assert (status, answer["code"]) == (400, "invalid-cursor")
