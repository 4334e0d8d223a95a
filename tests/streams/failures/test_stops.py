"""What stops a worker on a real Kafka: our bug when we ask for it, and a dead letter refused."""

from __future__ import annotations

import asyncio

from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from rebate_app.streams.kafka.clients import PatientAdmin, started
from rebate_app.wire.topics import KEPT_BYTES_MAX
from tests.e2e.conftest import NewSystem
from tests.rig.system import System, ask
from tests.rig.waiting import wait_for
from tests.streams.failures.poison import order, raw
from tests.streams.failures.sending import audited, letters, now_ms, send

BAD = (b"taobao:bad", b"{")


def set_max_bytes(system: System, topic: str, bytes_max: int) -> None:
    """Set what a topic takes at most."""

    async def alter() -> None:
        async with started(PatientAdmin(bootstrap_servers=system.settings.broker)) as admin:
            resource = ConfigResource(
                ConfigResourceType.TOPIC,
                topic,
                {
                    "max.message.bytes": str(bytes_max),
                    "cleanup.policy": "delete",
                    "retention.ms": "-1",
                    "retention.bytes": "-1",
                },
            )
            await admin.alter_configs([resource])

    asyncio.run(alter())


class TestOnBug:
    """REBATE_ON_BUG=stop."""

    def test_stop_ends_with_70_and_commits_nothing(self, new_system: NewSystem) -> None:
        """The record is named; the next worker without the bug goes on as if nothing had been."""
        system: System = new_system()
        worker = system.start_worker(0, REBATE_TEST_BUG="u1", REBATE_ON_BUG="stop")
        worker.wait_ready()
        system.send_orders([order("taobao:1", "u1")])
        assert worker.wait_exit(30) == 70
        assert "ZeroDivisionError" in worker.log_text()
        again = system.start_worker(1)
        again.wait_ready()
        system.wait_idle()
        assert ask(f"{again.url}/v1/users/u1/balance").body["estimated"] == 650
        assert not letters(system)


class TestRefusedLetter:
    """A dead letter that the broker refuses."""

    def test_the_chunk_waits_and_goes_on(self, new_system: NewSystem) -> None:
        """Nothing of it is committed, nothing is lost; once the topic takes it, it is there once."""
        system: System = new_system(REBATE_PARTITIONS="1")
        worker = system.start_worker(0)
        worker.wait_ready()
        set_max_bytes(system, system.topics.order_lines.dead_letter, 100)
        send(system, system.topics.orders, [(*BAD, now_ms())])
        send(system, system.topics.orders, [(b"taobao:1", raw(order("taobao:1")), now_ms())])
        wait_for(lambda: worker.log_text().count("begins again at the fence") >= 3, 60, "tries")
        assert worker.log_text().count("begins again at the fence") < 12, "it runs hot"
        assert ask(f"{worker.url}/v1/users/u1/balance").body["estimated"] == 0
        assert not letters(system)
        set_max_bytes(system, system.topics.order_lines.dead_letter, KEPT_BYTES_MAX)
        system.wait_idle()
        assert len(letters(system)) == 1
        assert ask(f"{worker.url}/v1/users/u1/balance").body["estimated"] == 650
        audited(system, worker.url)
