"""Ports of 127.0.0.1: is this one taken, and which one is free.

Free ports are looked for below the range from which the kernel takes the local ports of outgoing
connections: there, a client that tries again and again to reach a stopped broker could be given the
broker's own port, would be connected to itself, and the broker could never come back.
"""

from __future__ import annotations

import errno
import os
import socket

from .errors import BrokerError

HOST = "127.0.0.1"
#: Linux gives 32768-60999 to outgoing connections, macOS 49152-65535.
FREE_PORT_MIN = 20_000
FREE_PORT_MAX = 32_000

_returned: set[int] = set()


def is_free(port: int) -> bool:
    """Say whether a server could listen on 127.0.0.1:`port` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As Java does it: connections that are still winding down are no obstacle, a listener is.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
        return True


def free_port(*, but: frozenset[int] = frozenset()) -> int:
    """Return a port on which nobody listens, none of `but`, and none twice while there is another.

    Whoever is given a port listens on it a while later; meanwhile it is free for everybody else. It starts to
    look at a place that the system's entropy chooses and not `random`: two test runs with the same seed must
    not choose the same ports.
    """
    count = FREE_PORT_MAX - FREE_PORT_MIN
    first = int.from_bytes(os.urandom(4)) % count
    for step in range(count):
        port = FREE_PORT_MIN + (first + step) % count
        if port not in but and port not in _returned and is_free(port):
            _returned.add(port)
            return port
    if _returned:
        _returned.clear()
        return free_port(but=but)
    raise BrokerError(f"No port between {FREE_PORT_MIN} and {FREE_PORT_MAX} of {HOST} is free.")


def require_free(port: int) -> None:
    """Raise BrokerError, saying what to do, unless 127.0.0.1:`port` is free."""
    if not is_free(port):
        raise BrokerError(
            f"Port {port} of {HOST} is taken by another program: stop that, choose another --port, "
            f"or set REBATE_BROKER={HOST}:{port} if it is the Kafka that you want to use."
        )
