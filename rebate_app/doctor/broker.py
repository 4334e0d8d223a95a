"""What the broker is asked: whether it answers, the topics, what they still hold, the clock, the group.

Law: nothing is created, changed or committed. What may not be looked at is told as such, never as wrong.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import GroupCoordinatorNotAvailableError, for_code

from rebate_app.lane.connection import client_options
from rebate_app.lane.topic_check import TopicFound, differences
from rebate_app.settings import Settings
from rebate_app.wire.topics import Topics, TopicSpec

from .findings import Check, fail, ok, skip, some, warn

REPLICAS_MIN, IN_SYNC_MIN = 3, 2
CLOCK_AHEAD_S_MAX = 5.0
#: What the lane sends: with fewer, transactions or read_committed are not to be had.
NEEDED_APIS = {
    1: "Fetch",
    22: "InitProducerId",
    24: "AddPartitionsToTxn",
    26: "EndTxn",
    32: "DescribeConfigs",
}
#: Kafka 4 takes no older fetches; of Produce it still offers old versions, for the sake of old clients.
FETCH, FETCH_MIN_OF_KAFKA_4 = 1, 4
MILLISECONDS = 1_000


async def check_broker(settings: Settings, admin: AIOKafkaAdminClient) -> Check:
    """Say what answers."""
    cluster = await admin.describe_cluster()
    apis = await _apis(settings)
    brokers = len(cluster["brokers"])
    missing = [name for key, name in NEEDED_APIS.items() if key not in apis]
    if missing:
        says = f"{settings.broker} does not offer {some(missing)}"
        return fail("broker", says, "use Apache Kafka 3 or newer")
    version = "Kafka 4 or newer" if apis[FETCH][0] >= FETCH_MIN_OF_KAFKA_4 else "a Kafka before 4.0"
    link = client_options(settings)["security_protocol"]
    plural = "broker" if brokers == 1 else "brokers"
    return ok("broker", f"{version}, {brokers} {plural}, cluster {cluster['cluster_id']}, over {link}")


async def _apis(settings: Settings) -> Mapping[int, tuple[int, int]]:
    """Return the versions of each request that the first broker takes."""
    options = client_options(settings)
    host, port, _ = collect_hosts(options.pop("bootstrap_servers"))[0]
    connection = await create_conn(host, port, **options)
    try:
        versions: Mapping[int, tuple[int, int]] = connection._versions  # noqa: SLF001 - pinned aiokafka
        return versions
    finally:
        connection.close()


def check_topics(
    specs: Sequence[TopicSpec], found: Mapping[str, TopicFound], settings: Settings
) -> list[Check]:
    """Say every difference from how the topics have to be."""
    if not found and settings.topics == "create":
        return [warn("topics", "there is none yet", "start a worker, or run `rebate topics create`")]
    told = [
        (fail if each.grave else warn)("topics", each.says, each.cure)
        for each in differences(specs, found, settings)
    ]
    return told or [ok("topics", f"{len(specs)} are there, with the partitions and configuration they need")]


def check_replicas(found: Mapping[str, TopicFound]) -> list[Check]:
    """Look whether the loss of one broker would lose anything."""
    few = [name for name, topic in found.items() if _fewest(topic) < REPLICAS_MIN]
    thin = [name for name, topic in found.items() if _in_sync_needed(topic) < IN_SYNC_MIN]
    behind = [
        f"{name}/{number}"
        for name, topic in found.items()
        for number, part in topic.partitions.items()
        if part.in_sync < part.replicas
    ]
    told = []
    if few or thin:
        do = f"in production {REPLICAS_MIN} replicas, {IN_SYNC_MIN} in sync (REBATE_REPLICATION_FACTOR, …)"
        says = f"{len(few)} topics have fewer than {REPLICAS_MIN} replicas, {len(thin)} take writes with one"
        told.append(warn("replicas", says, do))
    if behind:
        told.append(warn("replicas", f"replicas are behind: {some(behind)}", "look at the brokers"))
    return told or [ok("replicas", "every record is on two brokers before it counts")]


def check_elections(found: Mapping[str, TopicFound]) -> Check:
    """Look whether a broker that is behind may become leader: acknowledged records would be gone."""
    unclean = [name for name, topic in found.items() if _is(topic, "unclean.leader.election.enable", "true")]
    if unclean:
        do = "set unclean.leader.election.enable=false"
        return fail("elections", f"a broker that is behind may become leader of {some(unclean)}", do)
    return ok("elections", "only a broker that has everything becomes leader")


async def check_input(consumer: AIOKafkaConsumer, topics: Topics, found: Mapping[str, TopicFound]) -> Check:
    """Look whether the logs still begin at 0: tables are rebuilt and audited from them."""
    spots = _spots((topics.orders, topics.user_log), found)
    if not spots:
        return skip("input", "the topics are not there")
    begins = await consumer.beginning_offsets(spots)
    cut = [f"{spot.topic}/{spot.partition}" for spot, begin in begins.items() if begin > 0]
    if cut:
        do = "restore them from a backup, or import everything under a new REBATE_TOPIC_PREFIX"
        return fail("input", f"the beginning is gone of {some(cut)}: nothing can be built anew", do)
    return ok("input", "both logs are whole from the first record on")


async def check_record_times(
    consumer: AIOKafkaConsumer, topics: Topics, found: Mapping[str, TopicFound]
) -> Check:
    """Look for records from the future: their senders' clocks, or ours, are wrong."""
    spots = _spots((topics.orders, topics.user_log), found)
    if not spots:
        return skip("record times", "the topics are not there")
    limit = int((time.time() + CLOCK_AHEAD_S_MAX) * MILLISECONDS)
    told = await consumer.offsets_for_times(dict.fromkeys(spots, limit))
    ahead = [f"{spot.topic}/{spot.partition}" for spot, offset in told.items() if offset is not None]
    if ahead:
        says = f"records are dated more than {CLOCK_AHEAD_S_MAX:g} s ahead of this clock in {some(ahead)}"
        return warn("record times", says, "compare this clock and those of the senders (NTP)")
    return ok("record times", "no record is dated in the future")


def check_group(settings: Settings, members: int) -> Check:
    """Say how many workers there are; one more than partitions has nothing to do."""
    if members == 0:
        return warn("group", f"group {settings.scope} has no worker", "start one: faust -A rebate_app worker")
    if members > settings.partitions:
        says = (
            f"{members} workers share {settings.partitions} partitions: {members - settings.partitions} idle"
        )
        return warn("group", says, "stop the idle ones, or plan for more partitions")
    return ok("group", f"{members} workers share {settings.partitions} partitions")


async def members_of(group: str, admin: AIOKafkaAdminClient) -> int:
    """Return how many members the group has; a cluster without any group yet has no coordinator."""
    try:
        responses = await admin.describe_consumer_groups([group])
    except GroupCoordinatorNotAvailableError:
        return 0
    members = 0
    for response in responses:
        for code, _group, _state, _kind, _protocol, listed, *_ in response.groups:
            if code:
                raise for_code(code)
            members += len(listed)
    return members


def _spots(names: Sequence[str], found: Mapping[str, TopicFound]) -> list[TopicPartition]:
    return [
        TopicPartition(name, number) for name in names if name in found for number in found[name].partitions
    ]


def _fewest(topic: TopicFound) -> int:
    return min((part.replicas for part in topic.partitions.values()), default=0)


def _in_sync_needed(topic: TopicFound) -> int:
    value = None if topic.config is None else topic.config.get("min.insync.replicas")
    return IN_SYNC_MIN if value is None else int(value)


def _is(topic: TopicFound, key: str, value: str) -> bool:
    return topic.config is not None and topic.config.get(key) == value
