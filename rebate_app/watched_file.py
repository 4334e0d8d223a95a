"""A file that may change while a worker runs (ADR 18): parsed whole, replaced whole, refused whole.

A changed file is in force within 5 s. While it is missing, unreadable, too large or invalid, the value before
stays in force, the log names the problem once, and the gauge `rebate_watched_file_ok` is 0. Reading and
parsing run in a thread, and the value is replaced in one assignment. Symbolic links are followed, so that an
atomic replacement and Kubernetes' symlink swap are both seen.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Generic, TypeVar

from rebate_app.metrics.catalogue import WATCHED_FILE_OK
from rebate_app.metrics.registry import Sample
from rebate_app.settings import ConfigurationError

POLL_SECONDS = 1.0
#: A file that still changes after this time is being written: it is read again at the next poll.
SETTLE_SECONDS = 0.5
FILE_BYTES_MAX = 4 * 1_048_576
LOAD_ATTEMPTS_MAX = 5
SECOND_NS = 1_000_000_000

#: Device, inode, size, modification time and change time (both in ns).
Signature = tuple[int, int, int, int, int]
T = TypeVar("T")

log = logging.getLogger(__name__)


class UnsettledError(Exception):
    """The file changed while it was read."""


class WatchedFile(Generic[T]):
    """The parsed value of one file. `parse` raises ValueError with a text that may be logged.

    `name` labels the gauge and the log; it is a role such as `api-keys`, not a path.
    """

    def __init__(
        self, name: str, path: Path, parse: Callable[[bytes], T], *, poll_seconds: float = POLL_SECONDS
    ) -> None:
        self._name = name
        self._path = path
        self._parse = parse
        self._poll_seconds = poll_seconds
        self._settle_seconds = min(SETTLE_SECONDS, poll_seconds / 4)
        self._loaded: tuple[T] | None = None
        self._signature: Signature | None = None
        self._problem = ""

    @property
    def value(self) -> T:
        """Return the value in force; RuntimeError before `load`."""
        if self._loaded is None:
            raise RuntimeError(f"{self._name} is used before it is loaded")
        return self._loaded[0]

    @property
    def problem(self) -> str:
        """Return why the file as it is now is not in force, "" if it is."""
        return self._problem

    def load(self) -> None:
        """Read the file at the start of a process; ConfigurationError if it cannot be used."""
        for attempt in range(1, LOAD_ATTEMPTS_MAX + 1):
            try:
                signature, value = self._read()
            except UnsettledError as error:
                if attempt == LOAD_ATTEMPTS_MAX:
                    raise ConfigurationError(f"{self._name}: {self._describe(error)}") from error
            except (OSError, ValueError) as error:
                raise ConfigurationError(f"{self._name}: {self._describe(error)}") from error
            else:
                self._accept(signature, value)
                return

    async def watch(self) -> None:
        """Follow the file until cancelled."""
        while True:
            await asyncio.sleep(self._poll_seconds)
            await self.refresh()

    async def refresh(self) -> None:
        """Take the file's new content into force if it changed and is valid."""
        try:
            changed = await asyncio.to_thread(self._read_changed)
        except UnsettledError:
            return  # the next poll reads it again
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a file must not end the worker
            self._refuse(self._describe(error))
        else:
            if changed is not None:
                self._accept(*changed)

    def gauges(self) -> Iterator[Sample]:
        """Yield 1 if the file as it is now is in force, else 0."""
        yield Sample(WATCHED_FILE_OK, (self._name,), not self._problem)

    def _read_changed(self) -> tuple[Signature, T] | None:
        """Return signature and value of a changed file, None of an unchanged one."""
        if _signature_of(self._path.stat()) == self._signature:
            return None
        return self._read()

    def _read(self) -> tuple[Signature, T]:
        """Read and parse the file once it has settled; OSError, ValueError, UnsettledError."""
        with self._path.open("rb") as file:
            signature = _signature_of(os.fstat(file.fileno()))
            content = file.read(FILE_BYTES_MAX + 1)
        if len(content) > FILE_BYTES_MAX:
            raise ValueError(f"it is larger than {FILE_BYTES_MAX} bytes")
        if time.time_ns() - signature[-1] < self._settle_seconds * SECOND_NS:
            time.sleep(self._settle_seconds)
        if _signature_of(self._path.stat()) != signature:
            raise UnsettledError("it is being written")
        return signature, self._parse(content)

    def _accept(self, signature: Signature, value: T) -> None:
        if self._loaded is not None:
            log.info("%s: the changed file %s is in force", self._name, self._path)
        self._loaded, self._signature, self._problem = (value,), signature, ""

    def _refuse(self, problem: str) -> None:
        if problem != self._problem:
            log.warning("%s: %s; the value before stays in force", self._name, problem)
        self._signature, self._problem = None, problem

    def _describe(self, error: Exception) -> str:
        if isinstance(error, OSError):
            reason = error.strerror or type(error).__name__
        else:  # the text of an unexpected error may hold a secret of the file
            reason = str(error) if isinstance(error, ValueError | UnsettledError) else type(error).__name__
        return f"{self._path} cannot be used: {reason}"


def _signature_of(stat: os.stat_result) -> Signature:
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
