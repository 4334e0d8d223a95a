"""LocalCluster: several Kafka nodes on this machine, for what one node cannot show.

A broker that dies while others live, an in-sync set that shrinks, a leader that moves. Its owner is
one process: unlike LocalKafka it is not meant to be found again by another one.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Self

from .jars import DEFAULT_JARS_HOME, ensure_jars
from .java import find_java
from .local import START_SECONDS_MAX
from .member import Member, finish, live, new_cluster_id
from .node import Node
from .ports import free_port, require_free

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from .process import Running

#: The last nodes have no quorum left to tell that they go, would wait for one, and recover anyway.
NODE_STOP_SECONDS_MAX = 5.0


class LocalCluster:
    """Kafka nodes 1, 2, ... on the given ports of 127.0.0.1, each in a folder of its own in `data_dir`.

    Topics have three replicas (or as many as there are nodes), all but one of them in sync, unless
    they or `overrides` say otherwise. The same folder started again has the same data.
    """

    def __init__(
        self,
        data_dir: Path,
        ports: Sequence[int],
        *,
        jars_home: Path = DEFAULT_JARS_HOME,
        overrides: Mapping[str, str] | None = None,
    ) -> None:
        self._jars_home = jars_home
        self._overrides = dict(overrides or {})
        taken = frozenset(ports)
        nodes: list[Node] = []
        for number, port in enumerate(ports, start=1):
            controller_port = free_port(but=taken)
            taken |= {controller_port}
            folder = data_dir.absolute() / f"node-{number}"
            nodes.append(Node(id=number, port=port, controller_port=controller_port, folder=folder))
        self.nodes = tuple(nodes)
        self._members: dict[int, Member] = {}

    @property
    def address(self) -> str:
        """The bootstrap addresses of all nodes, for `REBATE_BROKER`."""
        return ",".join(node.address for node in self.nodes)

    def start(self) -> None:
        """Return when every node serves; on a BrokerError nothing is left running."""
        for node in self.nodes:
            require_free(node.port)
        java = find_java()
        libs = ensure_jars(self._jars_home)
        self._members = {node.id: Member(node, java=java, libs=libs) for node in self.nodes}
        known = (member.cluster_id() for member in self._members.values())
        cluster_id = next(filter(None, known), None) or new_cluster_id()
        for member in self._members.values():
            if member.cluster_id() is None:
                member.format(cluster_id, self.nodes, self._overrides)
        with contextlib.ExitStack() as undo:
            undo.callback(self.stop)
            started = [(member, self._launch(member)) for member in self._members.values()]
            for member, running in started:
                member.await_answer(running, cluster_id=cluster_id, seconds_max=START_SECONDS_MAX)
            undo.pop_all()

    def start_node(self, number: int) -> None:
        """Return when node `number`, which was stopped or killed, answers again."""
        member = self._members[number]
        running = self._launch(member)
        member.await_answer(running, cluster_id=member.cluster_id(), seconds_max=START_SECONDS_MAX)

    def stop_node(self, number: int) -> bool:
        """End node `number`; the others go on. False if it did not run."""
        return finish(self.nodes[number - 1].folder, term_seconds_max=NODE_STOP_SECONDS_MAX)

    def pid(self, number: int) -> int | None:
        """Return the process id of node `number`, None while it does not run."""
        running = live(self.nodes[number - 1].folder)
        return running.pid if running else None

    def stop(self) -> None:
        """End all nodes, the last one first."""
        for node in reversed(self.nodes):
            finish(node.folder, term_seconds_max=NODE_STOP_SECONDS_MAX)

    def _launch(self, member: Member) -> Running:
        return member.launch(self.nodes, self._overrides)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
