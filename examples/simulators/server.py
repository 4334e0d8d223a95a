"""Serves a simulated network over HTTP, with a clock that can run fast and a `Date` header of its time.

python -m examples.simulators.server taobao --rows 500 --speed 60
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from urllib.parse import parse_qsl

from .jd import STATUSES as JD_STATUSES
from .jd import Jd
from .network import Network
from .pdd import STATUSES as PDD_STATUSES
from .pdd import Pdd
from .taobao import STATUSES as TAOBAO_STATUSES
from .taobao import Taobao
from .world import make_refunds, make_world

NETWORKS = {"taobao": (Taobao, TAOBAO_STATUSES), "jd": (Jd, JD_STATUSES), "pdd": (Pdd, PDD_STATUSES)}
SLOW_SECONDS = 30
BODY_BYTES_MAX = 2**20


def fast_clock(begin: float, speed: float) -> Callable[[], float]:
    """Return a clock that shows `begin` now and goes `speed` times as fast as the real one."""
    started = time.monotonic()
    return lambda: begin + (time.monotonic() - started) * speed


def new_network(name: str, rows: int, begin: int, days: int, *, seed: int = 7) -> Network:
    """Return a network whose rows change within `days` after `begin`; secret `secret`, app key `key`."""
    kind, statuses = NETWORKS[name]
    world = make_world(rows, begin, days, statuses, seed, late=False)
    network = kind(world, "secret", "key")
    if isinstance(network, Taobao):
        network.refunds = make_refunds(world, seed)
    return network


@contextmanager
def serving(network: Network, clock: Callable[[], float], port: int = 0) -> Iterator[str]:
    """Serve a network on a port of 127.0.0.1, 0 for a free one; yield its URL."""
    lock = Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            size = min(int(self.headers.get("Content-Length", "0")), BODY_BYTES_MAX)
            form = dict(parse_qsl(self.rfile.read(size).decode(), keep_blank_values=True))
            with lock:
                answer = network.handle(form, clock())
            if answer.status == 0:
                time.sleep(SLOW_SECONDS)
            self.send_response_only(answer.status or 200)
            self.send_header("Date", formatdate(clock(), usegmt=True))
            self.send_header("Content-Type", "application/json;charset=utf-8")
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            with suppress(OSError):  # a client that gave up
                self.wfile.write(answer.body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


def main() -> None:
    """Serve one network until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("--rows", type=int, default=500, help="versions of rows within the days")
    parser.add_argument("--days", type=int, default=30, help="how many days before now the rows begin")
    parser.add_argument("--begin", type=int, help="since when, in Unix seconds; default: --days before now")
    parser.add_argument("--speed", type=float, default=1.0, help="how fast the network's clock goes")
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    options = parser.parse_args()
    begin = options.begin or int(time.time()) - options.days * 86_400
    network = new_network(options.network, options.rows, begin, options.days)
    with serving(network, fast_clock(time.time(), options.speed), options.port) as url:
        print(
            f"{options.network} is simulated at {url}, app_key key, secret secret; Ctrl-C ends it", flush=True
        )
        try:
            while True:
                time.sleep(3_600)
        except KeyboardInterrupt:
            print(f"{len(network.calls)} calls")


if __name__ == "__main__":
    main()
