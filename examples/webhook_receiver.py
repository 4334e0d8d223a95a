"""Receive webhooks: check who sent them, take each event once. `SECRET=… python webhook_receiver.py 8080`."""

import hashlib
import hmac
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = os.environ.get("SECRET", "").encode()
WINDOW_S, BODY_MAX = 300, 4 * 2**20
seen: set[str] = set()  # in earnest: a unique key in your database, in the transaction that acts on the event


def is_genuine(headers, body: bytes, now: float) -> bool:
    """Whether we were sent this, and lately: the signature is over the timestamp and the body as it came."""
    timestamp = headers.get("Rebate-Timestamp", "")
    if not timestamp.isdigit() or abs(now - int(timestamp)) > WINDOW_S:
        return False
    right = "v1=" + hmac.new(SECRET, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    given = headers.get("Rebate-Signature", "").split(",")  # two while the secret is changed
    return any(hmac.compare_digest(right.encode(), one.encode()) for one in given)


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(min(int(self.headers.get("Content-Length", "0")), BODY_MAX))
        status = 204 if is_genuine(self.headers, body, time.time()) else 401
        if status == 204 and (event := json.loads(body))["event_id"] not in seen:
            seen.add(event["event_id"])
            print(event["kind"], event["user_id"], flush=True)
        self.send_response(status)
        self.end_headers()


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
