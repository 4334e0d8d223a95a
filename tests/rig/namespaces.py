"""Two hosts on this machine: network namespaces with addresses of their own, and a way to the broker.

Every namespace has its own loopback interface; a bridge joins them with this machine. The broker, which
listens on this machine's loopback, is forwarded to the same address in each. All is removed with the block.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.rig.forwarder import Forwarder
from tests.rig.waiting import wait_for

CHECKOUT = Path(__file__).parents[2]


def why_not() -> str:
    """Return why network namespaces cannot be made here, "" if they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    name = f"rebate-try-{os.getpid()}"
    made = _run("ip", "netns", "add", name, check=False)
    if made.returncode != 0:
        return f"network namespaces are not permitted here: {made.stderr.strip()}"
    _run("ip", "netns", "del", name)
    return ""


class Hosts:
    """Namespaces `hosts.names`, of which number n has the address `hosts.address(n)`; 0 is this machine."""

    def __init__(self, broker: str, count: int = 2) -> None:
        self._broker = broker
        self._mark = f"{os.getpid() % 100_000:05d}"
        self._bridge = f"rb{self._mark}"
        self._net = f"10.{os.getpid() % 200 + 20}.{os.getpid() // 200 % 250}"
        self.names = [f"rebate-{self._mark}-{number}" for number in range(1, count + 1)]
        self._ends = ExitStack()

    def address(self, number: int) -> str:
        """Return the address of a host; 0: of this machine on the bridge."""
        return f"{self._net}.{number + 1}"

    def prefix(self, number: int) -> list[str]:
        """Return the words before a command that runs on a host."""
        return ["ip", "netns", "exec", self.names[number - 1]]

    def __enter__(self) -> Self:
        with ExitStack() as ends:
            self._make(ends)
            self._ends = ends.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.close()

    def _make(self, ends: ExitStack) -> None:
        _run("ip", "link", "add", self._bridge, "type", "bridge")
        ends.callback(_run, "ip", "link", "del", self._bridge)
        _run("ip", "address", "add", f"{self.address(0)}/24", "dev", self._bridge)
        _run("ip", "link", "set", self._bridge, "up")
        host, _, port = self._broker.rpartition(":")
        ends.enter_context(Forwarder((self.address(0), int(port)), (host, int(port))))
        for number, name in enumerate(self.names, start=1):
            _run("ip", "netns", "add", name)
            ends.callback(_run, "ip", "netns", "del", name)
            veth = f"{self._bridge}v{number}"
            _run("ip", "link", "add", veth, "type", "veth", "peer", "name", "eth0", "netns", name)
            _run("ip", "link", "set", veth, "master", self._bridge, "up")
            inside = ["ip", "-n", name]
            _run(*inside, "link", "set", "lo", "up")
            _run(*inside, "address", "add", f"{self.address(number)}/24", "dev", "eth0")
            _run(*inside, "link", "set", "eth0", "up")
            ends.enter_context(_broker_inside(self.prefix(number), self._broker, f"{self.address(0)}:{port}"))


class _broker_inside:  # noqa: N801 - a context manager
    """Forwards the broker's address in a namespace to the bridge."""

    def __init__(self, prefix: list[str], listen: str, target: str) -> None:
        self._prefix, self._listen = prefix, listen
        command = [*prefix, sys.executable, "-m", "tests.rig.forwarder", listen, target]
        self._process = subprocess.Popen(command, cwd=CHECKOUT, stdin=subprocess.PIPE)

    def __enter__(self) -> Self:
        host, _, port = self._listen.rpartition(":")
        probe = f"import socket; socket.create_connection(({host!r}, {port}), 1)"
        command = [*self._prefix, sys.executable, "-c", probe]
        wait_for(lambda: _run(*command, check=False).returncode == 0, 30, "the broker is reached inside")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=10)


def _run(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, timeout=30, check=check)
