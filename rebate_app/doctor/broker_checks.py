"""Checks of the brokers: their version and requests, and the consumer group that they keep."""

from __future__ import annotations

from collections.abc import Mapping

from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import GroupAuthorizationFailedError

from rebate_app.settings import Settings
from rebate_app.streams.kafka.aiokafka_clients import translated
from rebate_app.streams.kafka.announcements import describe_group
from rebate_app.streams.kafka.connection import client_options

from .check_spec import ACL_REMEDY, CheckSpec, Context, failure, warning
from .result import CheckResult, fail, ok, shortened_list, warn

#: Requests that the engine sends; without them there are no transactions or no read_committed.
NEEDED_APIS = {
    1: "Fetch",
    22: "InitProducerId",
    24: "AddPartitionsToTxn",
    26: "EndTxn",
    32: "DescribeConfigs",
}
#: Kafka 4 accepts no older Fetch requests; of Produce it still offers versions for old clients.
FETCH, FETCH_MIN_OF_KAFKA_4 = 1, 4


async def check_broker(context: Context) -> list[CheckResult]:
    """Check that a broker answers and offers the requests that the engine sends."""
    settings = context.settings
    cluster = await context.client.describe_cluster()
    apis = await _apis(settings)
    brokers = len(cluster["brokers"])
    missing = [name for key, name in NEEDED_APIS.items() if key not in apis]
    if missing:
        text = f"{settings.broker} does not offer {shortened_list(missing)}"
        return [fail("broker", text, "use Apache Kafka 3 or newer")]
    version = "Kafka 4 or newer" if apis[FETCH][0] >= FETCH_MIN_OF_KAFKA_4 else "a Kafka before 4.0"
    link = client_options(settings)["security_protocol"]
    plural = "broker" if brokers == 1 else "brokers"
    text = f"{version}, {brokers} {plural}, cluster {cluster['cluster_id']}, over {link}"
    return [ok("broker", text)]


async def _apis(settings: Settings) -> Mapping[int, tuple[int, int]]:
    """Return the minimum and maximum version of each request that the first broker accepts."""
    options = client_options(settings)
    host, port, _ = collect_hosts(options.pop("bootstrap_servers"))[0]
    with translated():
        connection = await create_conn(host, port, **options)
    try:
        versions: Mapping[int, tuple[int, int]] = connection._versions  # noqa: SLF001 - pinned aiokafka
        return versions
    finally:
        connection.close()


def check_group(settings: Settings, members: int) -> CheckResult:
    """Compare the number of workers with that of partitions: more workers than partitions are idle."""
    if members == 0:
        return warn("group", f"group {settings.scope} has no worker", "start one: faust -A rebate_app worker")
    if members > settings.partitions:
        text = (
            f"{members} workers share {settings.partitions} partitions: {members - settings.partitions} idle"
        )
        return warn("group", text, "stop the idle ones, or plan for more partitions")
    return ok("group", f"{members} workers share {settings.partitions} partitions")


async def _group(context: Context) -> list[CheckResult]:
    try:
        context.group = await describe_group(context.client, context.settings.scope)
    except GroupAuthorizationFailedError:
        return [warn("group", "may not be described", ACL_REMEDY)]
    return [check_group(context.settings, len(context.group.members))]


CHECKS = (
    CheckSpec(
        "broker",
        "whether a broker answers at `REBATE_BROKER`, its version and the requests that it offers",
        "broker",
        (
            failure(
                "no broker answers, or it refuses the connection", "start it, or correct `REBATE_BROKER`"
            ),
            failure("it lacks requests for transactions", "use Apache Kafka 3 or newer"),
        ),
        check_broker,
    ),
    CheckSpec(
        "group",
        "the number of workers in the consumer group",
        "broker",
        (
            warning("there is no worker", "start one"),
            warning(
                "there are more workers than partitions, so some are idle",
                "stop the idle ones, or plan for more partitions ([scaling](scaling.md))",
            ),
            warning("the group may not be described", ACL_REMEDY),
        ),
        _group,
    ),
)
