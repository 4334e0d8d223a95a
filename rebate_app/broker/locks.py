"""One process at a time: an advisory file lock that the kernel gives back when its holder dies.

It is a lock of the kernel and not a file that exists or not, so a holder that was killed leaves
nothing behind that somebody would have to clean up.
"""

from __future__ import annotations

import fcntl
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .errors import BrokerBusyError, BrokerSetupError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

POLL_SECONDS = 0.05


@contextmanager
def held(path: Path, *, wait_seconds_max: float) -> Iterator[None]:
    """Hold the lock `path` for the block; processes and threads alike take turns.

    Raises BrokerBusyError if somebody else holds it for longer than `wait_seconds_max`, and
    BrokerSetupError if the folder cannot be written.
    """
    deadline = time.monotonic() + wait_seconds_max
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    except OSError as error:
        raise BrokerSetupError(f"The folder {path.parent} cannot be written: {error.strerror}.") from error
    with file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise BrokerBusyError(
                        f"Another process has been busy in {path.parent} for {wait_seconds_max:.0f} s; "
                        "try again when it is done."
                    ) from None
                time.sleep(POLL_SECONDS)
        yield
