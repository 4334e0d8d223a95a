"""The id under which a request is found in the log: the client's `X-Request-Id`, or a new one."""

from __future__ import annotations

import random
import re

_match_request_id = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII).fullmatch
_random_bits = random.Random().getrandbits  # a request id is no secret


def request_id_of(given: str | None) -> str:
    """Return the client's id if it is 1-128 of A-Za-z0-9._-, else a random one of 16 hex digits."""
    return given if given and _match_request_id(given) else f"{_random_bits(64):016x}"
