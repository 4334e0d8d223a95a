"""Who may do what on the broker: the least that each role needs, as one table (`rebate topics acl`).

Law: a role that has these rights and no others works with REBATE_TOPICS=verify; whoever creates topics is
the operator. A test runs all three roles on a broker that refuses everything else. It is separate because
it is the only place that knows which client touches what.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from msgspec import Struct

from rebate_app.wire.topics import Topics

WORKER, IMPORTER, OPERATOR = "worker", "importer", "operator"
ROLES = {
    WORKER: "runs `faust -A rebate_app worker`",
    IMPORTER: "sends facts: `rebate orders|profiles|attributions import`, or a producer of your own",
    OPERATOR: "creates topics, looks, checks and replays: `rebate topics|lag|audit|doctor|dlq|webhooks`",
}
READ, WRITE, DESCRIBE, CREATE = "Read", "Write", "Describe", "Create"
CONFIGS = "DescribeConfigs"


class Grant(Struct, frozen=True):
    """Operations on some resources of one kind; Kafka understands Describe in Read and Write."""

    operations: tuple[str, ...]
    kind: str  # topic, group, transactional-id
    names: tuple[str, ...]
    prefixed: bool = False


def grants(role: str, topics: Topics, scope: str) -> list[Grant]:
    """Return what a role needs; `scope` is the consumer group and what transactional ids begin with."""
    sources = (topics.orders, topics.user_log)
    dead = (topics.orders_dlt, topics.user_log_dlt)
    parked = (topics.orders_parked, topics.user_log_parked)
    states = (topics.lines_changelog, topics.accounts_changelog, topics.rules)
    if role == WORKER:
        return [
            Grant((READ, WRITE, CONFIGS), "topic", (*sources, *states, *dead, topics.decisions)),
            Grant((WRITE, CONFIGS), "topic", parked),
            Grant(
                (READ, WRITE, CONFIGS), "topic", (topics.events, *topics.events_retries, topics.events_dlt)
            ),
            Grant((READ,), "group", (scope,)),
            Grant((WRITE,), "transactional-id", (f"{scope}-",), prefixed=True),
        ]
    if role == IMPORTER:
        return [Grant((WRITE, CONFIGS), "topic", sources)]
    return [
        Grant((CREATE, READ, WRITE, CONFIGS), "topic", (*sources, topics.decisions)),
        Grant((CREATE, READ, CONFIGS), "topic", states + dead + parked),
        Grant((CREATE, READ, WRITE, CONFIGS), "topic", topics.events_retries),
        Grant((CREATE, READ, CONFIGS), "topic", (topics.events, topics.events_dlt)),
        Grant((DESCRIBE,), "group", (scope,)),
        Grant((WRITE,), "transactional-id", (f"{scope}-dlq-",), prefixed=True),
    ]


def command(grant: Grant, principal: str, broker: str, command_config: str | None) -> list[str]:
    """Return the words of the `kafka-acls` command that gives the rights."""
    words = ["kafka-acls", "--bootstrap-server", broker]
    words += ["--command-config", command_config] if command_config else []
    words += ["--add", "--allow-principal", principal]
    for operation in grant.operations:
        words += ["--operation", operation]
    for name in grant.names:
        words += [f"--{grant.kind}", name]
    return words + (["--resource-pattern-type", "prefixed"] if grant.prefixed else [])


def script(commands: Sequence[tuple[str, list[list[str]]]]) -> str:
    """Return the commands as a shell script: (role, commands) with what the role does above each."""
    lines = []
    for role, listed in commands:
        lines.append(f"# {role}: {ROLES[role]}")
        lines += [shlex.join(words) for words in listed]
    return "\n".join(lines)
