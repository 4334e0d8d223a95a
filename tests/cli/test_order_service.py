"""OrderService: acknowledged means there, keyed by line, in order; a failed producer is never used again."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from rebate_app.broker import free_port
from rebate_app.domain.faults import RefusedError
from rebate_app.order_service import OrderService
from rebate_app.settings import ConfigurationError, Settings, load_settings
from rebate_app.streams.kafka.admin import ensure_topics
from rebate_app.streams.kafka.clients import started
from rebate_app.streams.kafka.connection import BrokerAwayError, client_options
from rebate_app.streams.transaction.partitioner import partition_of
from rebate_app.wire.facts.order import encode_order
from rebate_app.wire.stages import RECORD_BYTES_MAX
from rebate_app.wire.topics import Topics

if TYPE_CHECKING:
    from pathlib import Path


def paid(number: int, **more: Any) -> dict[str, Any]:
    """Return a paid line; its fetch_seq is a running number."""
    return {
        "schema": "order-event/1",
        "kind": "order.snapshot",
        "platform": "taobao",
        "order_line_id": f"39{number % 7}",
        "seq": {"modified_at": "2026-01-03T20:14:05+08:00", "fetch_seq": number},
        "status": "paid",
        "currency": "CNY",
        "amounts": {"est_commission": 1791, "service_fee": 179},
        "times": {"paid": "2026-01-03T20:13:51+08:00"},
        **more,
    }


def settings_of(broker: str, prefix: str = "") -> Settings:
    """Return settings for a broker and a prefix."""
    return load_settings({"REBATE_BROKER": broker, "REBATE_TOPIC_PREFIX": prefix, "REBATE_PARTITIONS": "4"})


async def records_of(settings: Settings, topic: str) -> list[Any]:
    """Return all records of a topic, partition by partition."""
    reader = AIOKafkaConsumer(**client_options(settings), isolation_level="read_committed")
    async with started(reader) as consumer:
        spots = [TopicPartition(topic, number) for number in range(settings.partitions)]
        consumer.assign(spots)
        ends = await consumer.end_offsets(spots)
        for spot in spots:
            consumer.seek(spot, 0)
        found: list[Any] = []
        while any([await consumer.position(spot) < ends[spot] for spot in spots]):
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                found += batch
        return sorted(found, key=lambda record: (record.partition, record.offset))


class TestSending:
    """What arrives on a real Kafka."""

    def test_every_fact_arrives_once_keyed_by_its_line_and_in_order(
        self, kafka: str, topic_prefix: str
    ) -> None:
        """All facts of a line are in the partition that murmur2 gives its key, in the order given."""
        settings = settings_of(kafka, topic_prefix)
        facts = [paid(number) for number in range(3_000)]

        async def run() -> tuple[list[tuple[int, int]], list[Any]]:
            await ensure_topics(settings)
            async with OrderService(settings) as service:
                places = await service.create_orders(facts)
            return places, await records_of(settings, Topics.of(settings).orders)

        places, records = asyncio.run(run())
        assert sorted(places) == [(record.partition, record.offset) for record in records]
        by_place = {(record.partition, record.offset): record for record in records}
        assert [(by_place[place].key, by_place[place].value) for place in places] == [
            encode_order(fact) for fact in facts
        ]
        assert all(record.partition == partition_of(record.key, 4) for record in records)
        for number in range(7):
            line = [
                place
                for place, fact in zip(places, facts, strict=True)
                if fact["order_line_id"][2:] == str(number)
            ]
            assert line == sorted(line)

    def test_one_order_is_sent_and_its_place_returned(self, kafka: str, topic_prefix: str) -> None:
        """`create_order` is the article's producer: one fact, awaited, and you know where it is."""
        settings = settings_of(kafka, topic_prefix)

        async def run() -> tuple[tuple[int, int], list[Any]]:
            await ensure_topics(settings)
            async with OrderService(settings) as service:
                place = await service.create_order(paid(1))
            return place, await records_of(settings, Topics.of(settings).orders)

        place, records = asyncio.run(run())
        assert [(record.partition, record.offset) for record in records] == [place]
        assert records[0].key == b"taobao:391"

    def test_concurrent_callers_share_one_producer(self, kafka: str, topic_prefix: str) -> None:
        """Requests that come at once are all acknowledged, each with its own place."""
        settings = settings_of(kafka, topic_prefix)

        async def run() -> list[tuple[int, int]]:
            await ensure_topics(settings)
            async with OrderService(settings) as service:
                return await asyncio.gather(*(service.create_order(paid(number)) for number in range(200)))

        assert len(set(asyncio.run(run()))) == 200

    def test_a_pipeline_never_holds_more_than_its_bound(self, kafka: str, topic_prefix: str) -> None:
        """An import of any length keeps a bounded number of records in flight, and counts what arrived."""
        settings = settings_of(kafka, topic_prefix)
        highest = 0

        async def run() -> int:
            nonlocal highest
            await ensure_topics(settings)
            async with OrderService(settings) as service:
                async with service.pipeline(Topics.of(settings).orders) as pipeline:
                    for number in range(12_000):
                        await pipeline.put(*encode_order(paid(number)))
                        highest = max(highest, len(pipeline._in_flight))
                return pipeline.acknowledged

        assert asyncio.run(run()) == 12_000
        assert 1 < highest <= 5_000


class TestFailure:
    """What happens when something cannot be sent."""

    def test_a_bad_fact_is_refused_and_nothing_is_sent(self, kafka: str, topic_prefix: str) -> None:
        """All or nothing: every fault is named with the place of its fact, and the good ones stay home."""
        settings = settings_of(kafka, topic_prefix)

        async def run() -> tuple[list[tuple[str, str]], list[Any]]:
            await ensure_topics(settings)
            async with OrderService(settings) as service:
                with pytest.raises(RefusedError) as refused:
                    await service.create_orders([paid(1), paid(2, status="lost", currency="USD")])
            faults = [(fault.code, fault.detail[:7]) for fault in refused.value.faults]
            return faults, await records_of(settings, Topics.of(settings).orders)

        faults, records = asyncio.run(run())
        assert faults == [("invalid-status", "fact 2:"), ("invalid-currency", "fact 2:")]
        assert records == []

    def test_a_record_beyond_the_limit_is_refused_before_anything_is_sent(
        self, kafka: str, topic_prefix: str
    ) -> None:
        """A fact that no broker would take costs nobody a producer."""
        settings = settings_of(kafka, topic_prefix)

        async def run() -> list[Any]:
            await ensure_topics(settings)
            topic = Topics.of(settings).orders
            async with OrderService(settings) as service:
                with pytest.raises(RefusedError, match="limit-fact"):
                    await service.send(topic, [(b"a", b"1"), (b"b", b"x" * RECORD_BYTES_MAX)])
            return await records_of(settings, topic)

        assert asyncio.run(run()) == []

    def test_after_a_failed_producer_the_next_order_arrives(self, kafka: str, topic_prefix: str) -> None:
        """A producer whose sequence numbers are spent is replaced: no later order meets it."""
        settings = settings_of(kafka, topic_prefix)

        async def run() -> list[Any]:
            await ensure_topics(settings)
            async with OrderService(settings) as service:
                await service.create_order(paid(1))
                broken = await service.ready_producer()
                broken._message_accumulator.fail_all(KafkaError("out of order"))
                with pytest.raises(BrokerAwayError, match="out of order"):
                    await service.create_order(paid(2))
                await service.create_order(paid(3))
                assert await service.ready_producer() is not broken
            return await records_of(settings, Topics.of(settings).orders)

        assert {record.key for record in asyncio.run(run())} == {b"taobao:391", b"taobao:393"}

    def test_no_broker_is_one_sentence_within_a_bounded_time(self) -> None:
        """Who asks for a broker that is not there hears so soon, with the address."""
        address = f"127.0.0.1:{free_port()}"

        async def run() -> None:
            async with OrderService(settings_of(address), seconds_max=2):
                pass

        began = time.monotonic()
        with pytest.raises(BrokerAwayError, match=address):
            asyncio.run(run())
        assert time.monotonic() - began < 6

    def test_a_broker_that_takes_nothing_is_given_up_after_the_deadline(
        self, kafka: str, topic_prefix: str
    ) -> None:
        """A topic that is not there stands for a broker that does not answer: bounded, and said so."""
        settings = settings_of(kafka, topic_prefix)

        async def run() -> None:
            async with OrderService(settings, seconds_max=1) as service:
                await service.create_order(paid(1))

        began = time.monotonic()
        with pytest.raises(BrokerAwayError):
            asyncio.run(run())
        assert time.monotonic() - began < 8


class TestConnection:
    """How settings become what a client needs."""

    def test_plain_by_default(self) -> None:
        """Without TLS and SASL there is only an address."""
        assert client_options(settings_of("a:1,b:2")) == {
            "bootstrap_servers": "a:1,b:2",
            "security_protocol": "PLAINTEXT",
        }

    def test_sasl_takes_user_and_password(self) -> None:
        """SASL alone is SASL over plain text, with the password in the clear for the client only."""
        settings = load_settings(
            {
                "REBATE_SASL_MECHANISM": "SCRAM-SHA-512",
                "REBATE_SASL_USERNAME": "app",
                "REBATE_SASL_PASSWORD": "open sesame",
            }
        )
        options = client_options(settings)
        assert options["security_protocol"] == "SASL_PLAINTEXT"
        assert (options["sasl_plain_username"], options["sasl_plain_password"]) == ("app", "open sesame")
        assert "open sesame" not in repr(settings)

    def test_sasl_without_a_user_is_a_fault_of_the_settings(self) -> None:
        """A missing user is said before anybody is asked for anything."""
        with pytest.raises(ConfigurationError, match="REBATE_SASL_USERNAME"):
            client_options(load_settings({"REBATE_SASL_MECHANISM": "PLAIN"}))

    def test_a_ca_file_that_is_none_is_a_fault_of_the_settings(self, tmp_path: Path) -> None:
        """TLS with a bad file is refused by its name."""
        path = tmp_path / "ca.pem"
        path.write_text("no certificate")
        with pytest.raises(ConfigurationError, match="REBATE_TLS_CA_FILE"):
            client_options(load_settings({"REBATE_TLS_CA_FILE": str(path)}))
