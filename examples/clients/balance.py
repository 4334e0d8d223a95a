"""Sends an order line and reads the buyer's balance with an API key; needs Python's own library only.

REBATE_URL=… REBATE_TOKEN=… python balance.py ORDER.json USER_ID
"""

import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

ATTEMPTS_MAX = 5


class Problem(Exception):  # noqa: N818 - as RFC 9457 calls it
    """An answer with application/problem+json: `code` is stable, `errors` names each bad member."""

    def __init__(self, problem):
        self.code = problem["code"]
        named = [f"{each['pointer']}: {each['detail']}" for each in problem.get("errors", [])]
        about = "; ".join(named) or problem["detail"]
        super().__init__(f"{problem['status']} {self.code}: {about} (request {problem['request_id']})")


def ask(path, body=None):
    """Return the JSON of an answer; a 503 is tried again after the time that it names."""
    headers = {"Authorization": f"Bearer {os.environ['REBATE_TOKEN']}", "Content-Type": "application/json"}
    for attempt in range(1, ATTEMPTS_MAX + 1):
        request = urllib.request.Request(os.environ["REBATE_URL"] + path, body, headers)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code != 503 or attempt == ATTEMPTS_MAX:
                raise Problem(json.load(error)) from None
            time.sleep(int(error.headers.get("Retry-After", "1")))
    raise AssertionError


def main():
    """Send the order of a file, and print the balance."""
    with open(sys.argv[1], "rb") as order:  # noqa: PTH123 - as short as it can be
        # Repeating does no harm: the same fact counts once. wait_ms: the balance below holds the order.
        ask("/v1/orders?wait_ms=2000", order.read())
    balance = ask(f"/v1/users/{urllib.parse.quote(sys.argv[2], safe='')}/balance")
    print(f"{balance['user_id']}: estimated {balance['estimated']} fen, available {balance['available']} fen")


if __name__ == "__main__":
    try:
        main()
    except Problem as problem:
        sys.exit(str(problem))
