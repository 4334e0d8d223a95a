"""One process at a time: an advisory file lock that the kernel gives back when its holder dies.

A holder that is killed leaves nothing to clean up.
"""

from __future__ import annotations

import fcntl
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rebate_app.data_folder import make_private

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
        make_private(path.parent)
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
