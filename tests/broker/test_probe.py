"""The probe: only a broker that answers in Kafka's protocol counts as one."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rebate_app.broker import free_port
from rebate_app.broker.member import answers
from rebate_app.broker.probe import API_VERSIONS, METADATA, ProbeAnswer, ask


def frame(correlation: int, body: bytes) -> bytes:
    """Return one answer of Kafka's protocol."""
    return struct.pack(">ii", 4 + len(body), correlation) + body


def text(value: str) -> bytes:
    """Return a string as Kafka writes it."""
    return struct.pack(">h", len(value)) + value.encode()


VERSIONS = frame(API_VERSIONS, struct.pack(">hi", 0, 0))
BROKER_SEVEN = struct.pack(">ii", 1, 7) + text("127.0.0.1") + struct.pack(">ih", 9092, -1) + text("here")


@contextmanager
def server(*replies: bytes) -> Iterator[int]:
    """Serve one connection: for each request the next reply, then hang up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                for reply in replies:
                    connection.recv(1000)
                    connection.sendall(reply)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(timeout=30)


class TestAsk:
    """A right answer is read; anything else is no broker, never an exception."""

    def test_nobody_listens(self) -> None:
        """A closed port is no broker."""
        assert ask(free_port()) is None

    def test_the_cluster_and_its_brokers_are_read(self) -> None:
        """Id of the cluster, ids of the brokers that serve; a missing rack is no obstacle."""
        with server(VERSIONS, frame(METADATA, BROKER_SEVEN)) as port:
            assert ask(port) == ProbeAnswer(cluster_id="here", brokers=(7,))

    @pytest.mark.parametrize(
        "reply",
        [
            b"",
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            struct.pack(">i", 2) + b"ab",
            frame(API_VERSIONS + 1, struct.pack(">hi", 0, 0)),
            frame(API_VERSIONS, struct.pack(">h", 35)),
            frame(API_VERSIONS, b""),
        ],
        ids=["hangs up", "http", "too short", "another request's", "an error", "empty"],
    )
    def test_what_is_no_answer_of_a_broker(self, reply: bytes) -> None:
        """Other programs and refusals count as nobody."""
        with server(reply) as port:
            assert ask(port) is None

    def test_an_answer_that_breaks_off(self) -> None:
        """Metadata that ends in the middle is no answer."""
        with server(VERSIONS, frame(METADATA, BROKER_SEVEN[:7])) as port:
            assert ask(port) is None

    def test_one_that_is_silent_is_given_up(self) -> None:
        """A port that accepts and says nothing costs no more than the time-out."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            assert ask(silent.getsockname()[1], timeout_seconds=0.1) is None


@pytest.mark.parametrize(
    ("node", "cluster", "expected"),
    [(7, "here", True), (7, None, True), (7, "elsewhere", False), (1, "here", False)],
)
def test_it_must_be_this_very_broker(node: int, cluster: str | None, expected: bool) -> None:
    """Another cluster's broker, or one that is not yet in its own list, does not count."""
    with server(VERSIONS, frame(METADATA, BROKER_SEVEN)) as port:
        assert answers(port, node, cluster) is expected
