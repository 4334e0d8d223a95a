"""The ten faults of the drill. Each has a function that injects it and one that brings the system back.

Their order here is not that of their numbers: `World.state["order"]` has it, so that who takes the drill does
not know what comes. `cause` and `cure` are what the record of the drill is compared with.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from aiokafka.admin import NewTopic
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from msgspec import Struct

from rebate_app.streams.kafka.clients import PatientAdmin, started
from tests.drill.hanging import HANGING_ID
from tests.drill.world import FAULTS, World
from tests.rig.freezing import freeze
from tests.rig.system import produce
from tests.streams.failures.poison import order, raw

ORDERS = "order_topic"
HELD_SECONDS = 3_600
FILLER = "filler"
VICTIM = 1


class Fault(Struct, frozen=True):
    """One fault; `restore` undoes what is left of it after the operator's cure, or without any.

    `alert_seconds`: the time within which an alert of it is pending, by its rule's window.
    """

    name: str
    cause: str
    cure: str
    inject: Callable[[World], None]
    restore: Callable[[World], None]
    alert_seconds: float = 75.0


def _send(world: World, rows: list[tuple[bytes | None, bytes | None]]) -> None:
    asyncio.run(produce(world.broker.address, ORDERS, rows))


def _nothing(_: World) -> None:
    """Leave the rest to the operator: decisions about dead letters are part of the cure."""


def _poison(world: World) -> None:
    _send(world, [(b"taobao:poison", b'{"schema":"order-event/1","kind":"order.snapshot"}')])


def _flood_of_poison(world: World) -> None:
    _send(world, [(b"jd:poison", b"{")] * 150)


def _let_pass(world: World) -> None:
    """Let the bad records pass, as an operator does once their source is stopped."""
    resume = [sys.executable, "-m", "rebate_app.cli", "dlq", "resume", "--waiting", "--yes"]
    if subprocess.run(resume, env=world.environment(0), check=False).returncode == 0:
        return
    until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    for number in range(len(world.state["ports"])):
        world.write_settings(number, world.settings(number) | {"REBATE_DLQ_LIMIT_OVERRIDE_UNTIL": until})
        world.restart_worker(number)


def _wrong_partitioner(world: World) -> None:
    """Send with librdkafka's default partitioner, which is not that of Kafka."""
    producer = Producer({"bootstrap.servers": world.broker.address})
    for number in range(40):
        line = f"pdd:other-client-{number}"
        producer.produce(ORDERS, key=line.encode(), value=raw(order(line, "u7")))
    producer.flush(30)


def _freeze(world: World) -> None:
    freeze(world.worker_pid(VICTIM))


def _thaw(world: World) -> None:
    try:
        os.kill(world.worker_pid(VICTIM), signal.SIGCONT)
    except ProcessLookupError:
        world.restart_worker(VICTIM)


def _fill_disk(world: World) -> None:
    if not world.state["small"]:
        raise RuntimeError("this fault needs the right to mount a file system")
    with (world.folder / "kafka" / FILLER).open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            with contextlib.suppress(OSError):
                while file.write(b"\0" * size) == size:
                    pass


def _empty_disk(world: World) -> None:
    (world.folder / "kafka" / FILLER).unlink(missing_ok=True)
    world.broker.start()
    for number in range(len(world.state["ports"])):
        world.restart_worker(number)


def _recreate(world: World) -> None:
    async def recreate() -> None:
        async with started(PatientAdmin(bootstrap_servers=world.broker.address)) as admin:
            await admin.delete_topics([ORDERS])
            for _ in range(100):
                await asyncio.sleep(0.1)
                if ORDERS not in await admin.list_topics():
                    break
            await admin.create_topics([NewTopic(ORDERS, 6, 1, topic_configs={"retention.ms": "-1"})])

    asyncio.run(recreate())


def _new_app(world: World) -> None:
    """Rebuild under a new app id, as the runbook has it."""
    for number in range(len(world.state["ports"])):
        settings = world.settings(number)
        settings["REBATE_APP_ID"] = f"rebate-{world.state['seed']}-rebuilt"
        world.write_settings(number, settings)
        world.restart_worker(number)


def _hang(world: World) -> None:
    world.spawn("somebody", [sys.executable, "-m", "tests.drill.hanging"], world.environment(0))


def _end_hanging(world: World) -> None:
    """End the program, and begin its transactional id anew: that aborts what it has left open."""
    world.kill("somebody", signal.SIGKILL)
    producer = Producer({"bootstrap.servers": world.broker.address, "transactional.id": HANGING_ID})
    producer.init_transactions(30)


def _wrong_url(world: World) -> None:
    settings = world.settings(VICTIM)
    settings["REBATE_ADVERTISED_URL"] = "http://127.0.0.1:9"
    world.write_settings(VICTIM, settings)
    world.restart_worker(VICTIM)


def _right_url(world: World) -> None:
    settings = world.settings(VICTIM)
    settings.pop("REBATE_ADVERTISED_URL", None)
    world.write_settings(VICTIM, settings)
    world.restart_worker(VICTIM)


def _skew_rules(world: World) -> None:
    file = world.folder / f"rules-{VICTIM}" / "2026-01.toml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text + "# a remark of one host\n", encoding="utf-8")
    world.restart_worker(VICTIM)


def _same_rules(world: World) -> None:
    file = world.folder / f"rules-{VICTIM}" / "2026-01.toml"
    file.write_text((world.folder / "rules-0" / "2026-01.toml").read_text(encoding="utf-8"), encoding="utf-8")
    world.restart_worker(VICTIM)


def _alter_retention(world: World, milliseconds: str) -> None:
    """Set one setting of the topic, and leave its others as they are."""
    entry = ConfigEntry("retention.ms", milliseconds, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, "rebate-user-log", incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": world.broker.address})
    for done in admin.incremental_alter_configs([resource]).values():
        done.result(30)


def _shorten_retention(world: World) -> None:
    _alter_retention(world, "604800000")


def _lengthen_retention(world: World) -> None:
    _alter_retention(world, "-1")


ALL = (
    Fault("poison", "one record of a sender misses members", "discard its dead letter", _poison, _nothing),
    Fault(
        "dead-letter limit",
        "a source sends nothing but bad records",
        "stop it; resume, or override the limit for one run",
        _flood_of_poison,
        _let_pass,
    ),
    Fault(
        "partitioner",
        "a client chooses partitions by CRC32",
        "set its partitioner to murmur2_random",
        _wrong_partitioner,
        _nothing,
    ),
    Fault("frozen worker", "a worker's process is stopped", "continue or restart it", _freeze, _thaw),
    Fault(
        "broker's disk",
        "the file system of the broker is full",
        "make room, start the broker, then what ended",
        _fill_disk,
        _empty_disk,
    ),
    Fault(
        "topic made anew",
        "order_topic was deleted and created again",
        "rebuild under a new app id, import again",
        _recreate,
        _new_app,
    ),
    Fault(
        "hanging transaction",
        "a program has begun a transaction and does not end it",
        "restart the program named by the doctor",
        _hang,
        _end_hanging,
        alert_seconds=360.0,
    ),
    Fault(
        "advertised URL",
        "a worker announces an address at which it is not",
        "correct REBATE_ADVERTISED_URL, restart it",
        _wrong_url,
        _right_url,
    ),
    Fault(
        "rules differ",
        "the rule file of one worker has another content",
        "bring the published content back, restart it",
        _skew_rules,
        _same_rules,
    ),
    Fault(
        "retention",
        "the user log is deleted after a week",
        "set retention.ms to -1",
        _shorten_retention,
        _lengthen_retention,
    ),
)
assert len(ALL) == FAULTS


def fault(world: World, number: int) -> Fault:
    """Return the fault behind a number from 1 to 10."""
    return ALL[world.state["order"][number - 1]]
