"""The least rights on the broker that each role needs, as one table (`rebate topics acl`).

A role with these rights and no others works with REBATE_TOPICS=verify; the operator creates the topics. A
test runs all three roles on a broker that refuses everything else.
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
    kind: str  # topic, group, transactional-id, cluster
    names: tuple[str, ...]
    prefixed: bool = False


def grants(role: str, topics: Topics, scope: str) -> list[Grant]:
    """Return what a role needs; `scope` is the consumer group and what transactional ids begin with."""
    if role == WORKER:
        return _worker_grants(topics, scope)
    return _importer_grants(topics) if role == IMPORTER else _operator_grants(topics, scope)


def _publishing(topics: Topics) -> list[Grant]:
    return [
        Grant((READ, WRITE, CONFIGS), "topic", (topics.rule_versions,)),
        Grant((WRITE,), "transactional-id", (topics.rule_versions,)),
    ]


def _worker_grants(topics: Topics, scope: str) -> list[Grant]:
    dead = tuple(stage.dead_letter for stage in topics.stages)
    parked = tuple(stage.parked for stage in topics.stages)
    owned = (*topics.sources, *topics.changelogs, topics.rules, *dead, topics.decisions)
    events = (topics.events, *topics.events_retries, topics.events_dlt)
    return [
        Grant((READ, WRITE, CONFIGS), "topic", owned),
        Grant((WRITE, CONFIGS), "topic", parked),
        Grant((READ, WRITE, CONFIGS), "topic", events),
        Grant((READ, WRITE, CONFIGS), "topic", (topics.audit_trail, topics.fetch_cursors)),
        Grant((READ,), "group", (scope,)),
        Grant((WRITE,), "transactional-id", (f"{scope}-",), prefixed=True),
        *_publishing(topics),
        Grant((READ, WRITE, CONFIGS), "topic", (topics.active, topics.payees, topics.channels)),
        Grant((WRITE,), "transactional-id", (topics.active,)),
    ]


def _importer_grants(topics: Topics) -> list[Grant]:
    imported = tuple(stage.source for stage in topics.stages if stage.spec.importers_write)
    return [
        Grant((WRITE, CONFIGS), "topic", (*imported, topics.audit_trail)),
        Grant((READ,), "topic", (topics.rule_versions,)),  # the levels that profiles may name
    ]


def _operator_grants(topics: Topics, scope: str) -> list[Grant]:
    dead = tuple(stage.dead_letter for stage in topics.stages)
    parked = tuple(stage.parked for stage in topics.stages)
    return [
        Grant((CREATE, READ, WRITE, CONFIGS), "topic", (*topics.sources, topics.decisions)),
        Grant((CREATE, READ, CONFIGS), "topic", (*topics.changelogs, topics.rules, *dead, *parked)),
        Grant((CREATE, READ, WRITE, CONFIGS), "topic", topics.events_retries),
        Grant((CREATE, READ, WRITE, CONFIGS), "topic", (topics.audit_trail, topics.fetch_cursors)),
        Grant((CREATE,), "topic", (topics.rule_versions,)),
        Grant((CREATE, READ, WRITE, CONFIGS), "topic", (topics.active,)),
        Grant((WRITE,), "transactional-id", (topics.active,)),
        Grant((CREATE, DESCRIBE, CONFIGS), "topic", (topics.payees,)),
        Grant((CREATE, READ, WRITE, CONFIGS), "topic", (topics.channels,)),
        *_publishing(topics),
        Grant((CREATE, READ, CONFIGS), "topic", (topics.events, topics.events_dlt)),
        Grant((DESCRIBE,), "group", (scope,)),
        Grant((WRITE,), "transactional-id", (f"{scope}-dlq-",), prefixed=True),
        # `payouts activate` fences the workers of this app, once another one takes its turn.
        Grant((WRITE,), "transactional-id", (f"{scope}-{topics.user_log}-",), prefixed=True),
        Grant((DESCRIBE,), "transactional-id", ("*",)),  # doctor names whoever holds the reading back
        Grant((DESCRIBE,), "cluster", ("kafka-cluster",)),  # doctor reads the room on the brokers' disks
    ]


def command(grant: Grant, principal: str, broker: str, command_config: str | None) -> list[str]:
    """Return the words of the `kafka-acls` command that gives the rights."""
    words = ["kafka-acls", "--bootstrap-server", broker]
    words += ["--command-config", command_config] if command_config else []
    words += ["--add", "--allow-principal", principal]
    for operation in grant.operations:
        words += ["--operation", operation]
    for name in grant.names:
        words += ["--cluster"] if grant.kind == "cluster" else [f"--{grant.kind}", name]
    return words + (["--resource-pattern-type", "prefixed"] if grant.prefixed else [])


def script(commands: Sequence[tuple[str, list[list[str]]]]) -> str:
    """Return the commands as a shell script: (role, commands) with what the role does above each."""
    lines = []
    for role, listed in commands:
        lines.append(f"# {role}: {ROLES[role]}")
        lines += [shlex.join(words) for words in listed]
    return "\n".join(lines)
