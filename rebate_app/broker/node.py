"""The server.properties of a Kafka node: its place in the cluster, its ports and folders.

Generated, since ports, folders and the number of nodes differ each time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .ports import HOST

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

#: More replicas than this protect nobody on one machine.
REPLICAS_MAX = 3

#: Where a cluster of one machine differs from Kafka's defaults, whatever its nodes.
ON_ONE_MACHINE: Mapping[str, object] = {
    # 50 by default, which a cluster of one machine only has to open and to close.
    "offsets.topic.num.partitions": 8,
    "transaction.state.log.num.partitions": 8,
    # A group of our workers has nobody to wait for.
    "group.initial.rebalance.delay.ms": 0,
    # Topics are made by our own admin code, with their partitions and settings, or not at all.
    "auto.create.topics.enable": "false",
    # The order log is the source of truth: on a desk nothing of it goes away after seven days.
    "log.retention.ms": -1,
    # 128 MB by default, a quarter of the heap.
    "log.cleaner.dedupe.buffer.size": 32 << 20,
    # Two cores, a handful of clients.
    "num.network.threads": 2,
    "num.io.threads": 4,
    # A broker that was killed is refused under its own name until its session is over.
    "broker.heartbeat.interval.ms": 500,
    "broker.session.timeout.ms": 4000,
}


@dataclass(frozen=True)
class Node:
    """One Kafka process that is broker and controller at once, and the folder that is all its own."""

    id: int
    port: int
    controller_port: int
    folder: Path

    @property
    def address(self) -> str:
        """Where clients reach the broker."""
        return f"{HOST}:{self.port}"

    @property
    def data(self) -> Path:
        """The records and the cluster's metadata: what makes the same folder the same Kafka."""
        return self.folder / "data"

    @property
    def logs(self) -> Path:
        """The broker's log, server.log, and the JVM's output, console.log."""
        return self.folder / "logs"

    @property
    def properties(self) -> Path:
        """The configuration that the process was started with."""
        return self.folder / "server.properties"


def server_properties(node: Node, voters: Sequence[Node], overrides: Mapping[str, str], data: Path) -> str:
    """Return the text of server.properties for `node` in a cluster of `voters`, with its data in `data`.

    `overrides` win over everything here. Only the loopback interface is ever listened on.
    """
    settings: dict[str, object] = {
        **_place(node, voters),
        "log.dirs": data,
        **_copies(len(voters)),
        **ON_ONE_MACHINE,
        **overrides,
    }
    return "".join(f"{name}={_escaped(str(value))}\n" for name, value in settings.items())


def _place(node: Node, voters: Sequence[Node]) -> dict[str, object]:
    """Return who `node` is, where it listens, and who votes."""
    return {
        "process.roles": "broker,controller",
        "node.id": node.id,
        "controller.quorum.voters": ",".join(f"{v.id}@{HOST}:{v.controller_port}" for v in voters),
        "listeners": f"PLAINTEXT://{HOST}:{node.port},CONTROLLER://{HOST}:{node.controller_port}",
        "advertised.listeners": f"PLAINTEXT://{node.address}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    }


def _copies(nodes: int) -> dict[str, object]:
    """Return how often every record is kept: a cluster of three loses one node and goes on."""
    replicas = min(REPLICAS_MAX, nodes)
    in_sync = max(1, replicas - 1)
    return {
        "default.replication.factor": replicas,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": replicas,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
    }


def _escaped(value: str) -> str:
    """Write `value` as Java's property files want it: a backslash would escape what follows it."""
    return value.replace("\\", "\\\\")
