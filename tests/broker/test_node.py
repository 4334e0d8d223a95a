"""What a node is told depends on its cluster only where it has to."""

from __future__ import annotations

from pathlib import Path

import pytest

from rebate_app.broker import BrokerError, free_port, ports
from rebate_app.broker.node import Node, server_properties


def node(number: int) -> Node:
    """Return node `number` of a cluster."""
    return Node(id=number, port=20_000 + number, controller_port=21_000 + number, folder=Path(f"/n{number}"))


def settings(nodes: int, overrides: dict[str, str] | None = None, data: str = "/n1/data") -> dict[str, str]:
    """Return the properties of the first of `nodes` nodes."""
    members = [node(number) for number in range(1, nodes + 1)]
    text = server_properties(members[0], members, overrides or {}, Path(data))
    return dict(line.split("=", 1) for line in text.splitlines())


class TestServerProperties:
    """One node needs nobody, three keep every record three times."""

    def test_one_node_has_one_replica_of_everything(self) -> None:
        """Else nothing could be written at all."""
        properties = settings(1)
        assert {properties[name] for name in properties if "replica" in name or "min.isr" in name} == {"1"}
        assert properties["controller.quorum.voters"] == "1@127.0.0.1:21001"

    def test_three_nodes_lose_one_and_go_on(self) -> None:
        """Three replicas, two of them in sync, for the broker's own topics too; all vote."""
        properties = settings(3)
        assert (
            properties["default.replication.factor"] == properties["offsets.topic.replication.factor"] == "3"
        )
        assert properties["min.insync.replicas"] == properties["transaction.state.log.min.isr"] == "2"
        assert properties["controller.quorum.voters"].count("@") == 3

    def test_topics_are_never_made_by_accident(self) -> None:
        """A misspelt name is an error and not a new topic."""
        assert settings(1)["auto.create.topics.enable"] == "false"

    def test_overrides_win(self) -> None:
        """What the caller says holds."""
        assert settings(1, {"num.io.threads": "9"})["num.io.threads"] == "9"

    def test_a_backslash_survives(self) -> None:
        """Java's property files would swallow it."""
        assert settings(1, data="/a\\b")["log.dirs"] == "/a\\\\b"


class TestPorts:
    """A free port can be listened on, and is not one that the kernel gives to clients."""

    def test_it_is_below_the_range_of_outgoing_connections(self) -> None:
        """Else a client of a stopped broker could be connected to itself on the broker's port."""
        assert ports.FREE_PORT_MIN <= free_port() < 32_768

    def test_none_is_left(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Then it is said, and not tried for ever."""
        monkeypatch.setattr(ports, "FREE_PORT_MIN", ports.FREE_PORT_MAX - 2)
        taken = frozenset({ports.FREE_PORT_MAX - 2, ports.FREE_PORT_MAX - 1})
        with pytest.raises(BrokerError, match="No port"):
            free_port(but=taken)

    def test_an_address_that_is_not_ours_is_an_error_of_the_system(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Taken means taken; any other refusal is not hidden."""
        monkeypatch.setattr(ports, "HOST", "192.0.2.1")
        with pytest.raises(OSError, match="assign"):
            ports.is_free(20_000)
