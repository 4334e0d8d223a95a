"""Ids of cluster and topics, read from a real Kafka, and what a store does when they have changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aiokafka.protocol.metadata import MetadataRequest
from msgspec import Struct

from rebate_app.settings import load_settings
from rebate_app.streams.errors import StateLostError
from rebate_app.streams.kafka.admin import BrokerUnavailableError
from rebate_app.streams.kafka.clients import PatientAdmin, started
from rebate_app.streams.state.folder import StoreFolder
from rebate_app.streams.state.log_identity import LogIds, log_ids, request_ids
from rebate_app.streams.state.restore import Restored, restore
from rebate_app.streams.state.store import Store
from tests.rig.waiting import until
from tests.streams.state.changelogs import Changelog

pytestmark = pytest.mark.asyncio

GONE_SECONDS_MAX = 10.0


class NamedStage(Struct):
    """What a folder asks of a stage: the table's name and its changelog."""

    name: str
    changelog: str


async def recreate(log: Changelog) -> None:
    """Delete the topic and create it again under its name."""
    async with started(PatientAdmin(**log.options)) as admin:
        await admin.delete_topics([log.topic])

        async def gone() -> bool:
            return log.topic not in await admin.list_topics()

        await until(gone, GONE_SECONDS_MAX, "the topic is gone")
    await log.create()


class TestIds:
    """Asking the broker."""

    async def test_tells_cluster_and_topics(self, kafka: str, topic_prefix: str) -> None:
        """The cluster's id stays; a topic's id is its own and changes when it is created again."""
        one, two = Changelog(kafka, f"{topic_prefix}one"), Changelog(kafka, f"{topic_prefix}two")
        await one.create()
        await two.create()
        before = await log_ids(one.options, [one.topic, two.topic, f"{topic_prefix}none"])
        assert before.cluster
        assert set(before.topics) == {one.topic, two.topic}
        assert len(set(before.topics.values())) == 2
        await recreate(one)
        after = await log_ids(one.options, [one.topic, two.topic])
        assert after.cluster == before.cluster
        assert after.topics[one.topic] != before.topics[one.topic]
        assert after.topics[two.topic] == before.topics[two.topic]

    async def test_nobody_answers(self) -> None:
        """One sentence, to be tried again by whoever starts us."""
        with pytest.raises(BrokerUnavailableError, match="does not return its cluster id"):
            await log_ids({"bootstrap_servers": "127.0.0.1:9"}, [])

    async def test_a_broker_from_before_topic_ids(self) -> None:
        """The cluster's id is requested in the old format, and topics are compared by name."""

        class Response(Struct):
            cluster_id: str
            topics: list[Any]

        class OldBroker:
            def get_random_node(self) -> int:
                return 1

            async def send(self, node: int, request: Any) -> Response:
                if not isinstance(request, MetadataRequest):
                    raise NotImplementedError
                return Response(
                    "cluster-of-old", [(0, "topic", False, [(0, 0, 1, [1], [1])]), (3, "none", False, [])]
                )

        ids = await request_ids(OldBroker(), ["topic", "none"])  # type: ignore[arg-type]
        assert ids == LogIds("cluster-of-old", {}, {"topic": {0: 1}})


async def test_a_changelog_that_was_created_again(kafka: str, topic_prefix: str, tmp_path: Path) -> None:
    """Same name, as many records, same positions: only the topic id differs, and the worker ends with 78."""
    log = Changelog(kafka, f"{topic_prefix}changelog")
    await log.create()
    await log.write({b"a": b"1", b"b": b"1"})
    settings = load_settings({"REBATE_DATADIR": str(tmp_path), "REBATE_STORE": "rocksdb"})

    async def open_and_restore() -> tuple[Store, Restored]:
        folder = StoreFolder(settings)
        await folder.prepare(log.options, [log.topic])
        store = folder(NamedStage("accounts", log.topic), 0)  # type: ignore[arg-type]
        restored = await restore(log.options, log.topic, 0, store, lambda *_: None)
        folder.close()
        return store, restored

    store, restored = await open_and_restore()
    assert restored == Restored(2, 0, 2)
    store.close()
    store, restored = await open_and_restore()
    assert restored == Restored(0, 2, 2)
    store.close()
    assert (tmp_path / "rocksdb" / "accounts" / "0").is_dir()
    await recreate(log)
    await log.write({b"a": b"2", b"c": b"2", b"d": b"2"})
    with pytest.raises(StateLostError, match="was made anew: its topic_id is"):
        await open_and_restore()


async def test_stores_are_opened_after_the_log_is_known(tmp_path: Path) -> None:
    """Without an identity no store can be opened."""
    folder = StoreFolder(load_settings({"REBATE_DATADIR": str(tmp_path), "REBATE_STORE": "rocksdb"}))
    with pytest.raises(RuntimeError, match="after `prepare`"):
        folder(NamedStage("accounts", "changelog"), 0)  # type: ignore[arg-type]
