"""A real HTTP server for a test, which fails as receivers do: at random, by silence, by being away."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from msgspec import Struct

from rebate_app.broker import free_port

SILENCE_S_MAX = 20.0


class Request(Struct):
    """What came, and what was answered: `status` 0 for silence."""

    headers: dict[str, str]
    body: bytes
    status: int = 0

    @property
    def event(self) -> dict[str, Any]:
        """Return the event that it brought."""
        event: dict[str, Any] = json.loads(self.body)
        return event


class Receiver:
    """Listens on a free port while it is `up`; `decide` says the status of each request, 0 for silence."""

    def __init__(self, decide: Callable[[Request], int] = lambda _: 204, **headers: str) -> None:
        self.port = free_port()
        self.decide = decide
        self.headers = headers
        self.requests: list[Request] = []
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None
        self._over = threading.Event()

    @property
    def url(self) -> str:
        """Return where it listens."""
        return f"http://127.0.0.1:{self.port}/hook"

    def up(self) -> None:
        """Listen."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", "0"))
                request = Request(dict(self.headers.items()), self.rfile.read(length))
                with receiver._lock:
                    request.status = receiver.decide(request)
                    receiver.requests.append(request)
                if not request.status:
                    receiver._over.wait(SILENCE_S_MAX)
                    self.close_connection = True
                    return
                self.send_response(request.status)
                for name, value in receiver.headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                """Say nothing of connections that a killed worker has left."""

        self._server = Server(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def down(self) -> None:
        """Listen no more: connections are refused."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    def taken(self) -> list[Request]:
        """Return the requests that were answered with 2xx, as they came."""
        with self._lock:
            return [request for request in self.requests if request.status // 100 == 2]

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self.down()


def failing(rng: random.Random, failures: float, silences: float) -> Callable[[Request], int]:
    """Return a decision that fails so often, and says nothing so often."""

    def decide(_: Request) -> int:
        drawn = rng.random()
        return 0 if drawn < silences else 500 if drawn < silences + failures else 204

    return decide
