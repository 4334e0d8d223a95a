"""What a worker's data folder remembers of its logs: their ids, and the highest end of each partition.

A cluster that was restored from an older backup has the same ids and lower ends, and changelogs as old as its
sources: only somebody outside of it can tell. The file is `<datadir>/logs/<scope>.json`, replaced in
one step; it is as old as the last look, some seconds.

A memory that begins with a log that is not empty cannot tell what happened before. It is `unsettled` until
somebody who pays has acted on that (docs/spec/money-out.md#channel-states).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

from msgspec import DecodeError, Struct, ValidationError
from msgspec.json import Decoder, encode
from msgspec.structs import replace

from rebate_app.data_folder import make_private

from .log_identity import LogIds

FOLDER = "logs"
FORMAT = 1
#: Why a memory is unsettled: it began with a log that others had written, or that had been longer.
NOBODY_REMEMBERS = "nobody-remembers"
ENDS_BEFORE = "ends-before"

log = logging.getLogger(__name__)


class RememberedTopic(Struct, frozen=True):
    """One topic: its id ("" if the broker has none), and the highest end seen by partition."""

    id: str
    ends: dict[int, int]


class RememberedLogs(Struct, frozen=True):
    """The cluster's id, and the topics by name (format 1).

    `unsettled`: why nothing may be paid by this memory yet, "" where nothing is in doubt.
    """

    cluster: str
    topics: dict[str, RememberedTopic]
    format: int = FORMAT
    unsettled: str = ""


_decode = Decoder(RememberedLogs).decode


def memories(datadir: Path) -> list[RememberedLogs]:
    """Return what a data folder remembers, of all apps. OSError: it cannot be read."""
    scopes = sorted(path.stem for path in (datadir / FOLDER).glob("*.json"))
    found = [LogMemory(datadir, scope).remembered for scope in scopes]
    return [each for each in found if each is not None]


class LogMemory:
    """The file of one app in a data folder. OSError: the folder cannot be read or written."""

    def __init__(self, datadir: Path, scope: str) -> None:
        self.path = datadir / FOLDER / f"{scope}.json"
        self.remembered = self._read()

    def _read(self) -> RememberedLogs | None:
        """Return what is remembered, None where nothing is, or what this version cannot read."""
        try:
            remembered = _decode(self.path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (DecodeError, ValidationError) as error:
            log.warning("%s cannot be read and is written anew: %s", self.path, error)
            return None
        if remembered.format != FORMAT:
            log.warning("%s has format %d and is written anew", self.path, remembered.format)
            return None
        return remembered

    def begin(self, ids: LogIds, ends: Mapping[tuple[str, int], int], unsettled: str) -> None:
        """Begin a memory where there is none."""
        self.remembered = RememberedLogs(ids.cluster, {}, unsettled=unsettled)
        self.remember(ids, ends)

    def settle(self, topic: str, ends: Mapping[int, int]) -> None:
        """Take ends of a topic that others remember; nothing is in doubt any more."""
        if self.remembered is None:
            return
        before = self.remembered.topics.get(topic) or RememberedTopic("", {})
        highest = {n: max(before.ends.get(n, 0), ends.get(n, 0)) for n in {*before.ends, *ends}}
        topics = self.remembered.topics | {topic: RememberedTopic(before.id, highest)}
        self.remembered = replace(self.remembered, topics=topics, unsettled="")
        self._write(self.remembered)

    def remember(self, ids: LogIds, ends: Mapping[tuple[str, int], int]) -> None:
        """Take the ids, and ends that are higher than those remembered; write the file if it changes."""
        unsettled = NOBODY_REMEMBERS if self.remembered is None else self.remembered.unsettled
        topics = {} if self.remembered is None else dict(self.remembered.topics)
        for (name, number), end in sorted(ends.items()):
            before = topics.get(name) or RememberedTopic("", {})
            highest = before.ends | {number: max(end, before.ends.get(number, 0))}
            topics[name] = RememberedTopic(ids.topics.get(name) or before.id, highest)
        after = RememberedLogs(ids.cluster, topics, unsettled=unsettled)
        if after != self.remembered or not self.path.exists():
            self._write(after)
            self.remembered = after

    def _write(self, remembered: RememberedLogs) -> None:
        make_private(self.path.parent)
        new = self.path.with_suffix(f".{os.getpid()}.new")
        new.write_bytes(encode(remembered))
        new.replace(self.path)
