"""Receive webhooks: check who sent them, take each event once. `SECRET=… python webhook_receiver.py 8080`."""

import hashlib
import hmac
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = os.environ.get("SECRET", "").strip().encode()
WINDOW_S, BODY_MAX, READ_S = 300, 4 * 2**20, 10
seen: set[str] = set()  # in earnest: a unique key in your database, in the transaction that acts on the event


def number(text: str) -> int | None:
    """Return a header's number; None unless it is plain decimal digits (int() takes "-1" and "1_0" too)."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 12 else None


def is_genuine(headers, body: bytes, now: float) -> bool:
    """Whether we were sent this, and lately: the signature is over the timestamp and the body as it came."""
    timestamp = headers.get("Rebate-Timestamp", "")
    if (at := number(timestamp)) is None or abs(now - at) > WINDOW_S:
        return False
    right = "v1=" + hmac.new(SECRET, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    given = headers.get("Rebate-Signature", "").split(",")  # two while the secret is changed
    return any(hmac.compare_digest(right.encode(), one.encode()) for one in given)


class Receiver(BaseHTTPRequestHandler):
    timeout = READ_S  # of a sender that falls silent

    def do_POST(self) -> None:
        self.send_response(self.take())
        self.end_headers()

    def take(self) -> int:
        size = number(self.headers.get("Content-Length", ""))
        if size is None or "Transfer-Encoding" in self.headers:
            return 411 if "Content-Length" not in self.headers else 400
        if size > BODY_MAX:
            return 413
        body = self.rfile.read(size)
        if len(body) < size or not is_genuine(self.headers, body, time.time()):
            return 401
        try:
            event = json.loads(body)
            event_id, kind, user_id = event["event_id"], event["kind"], event.get("user_id")
        except (ValueError, KeyError, TypeError, RecursionError):
            return 400
        if str(event_id) not in seen:
            seen.add(str(event_id))
            print(kind, user_id, flush=True)
        return 204


class Server(ThreadingHTTPServer):
    def handle_error(self, _, client_address) -> None:
        print(f"{client_address[0]}: {sys.exc_info()[1]!r}", file=sys.stderr)  # it hung up, for example


if __name__ == "__main__":
    port = number(sys.argv[1]) if len(sys.argv) == 2 else None
    if not SECRET or port is None or not 0 < port < 65536:
        print("usage: SECRET=… webhook_receiver.py PORT: the secret that signs, not empty", file=sys.stderr)
        sys.exit(2)
    sys.stdout.reconfigure(errors="backslashreplace")
    Server(("127.0.0.1", port), Receiver).serve_forever()
