"""Order rows with a life: each has versions, and a network shows the newest one that is visible."""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

BEIJING_SECONDS = 8 * 3600


@dataclass
class Version:
    """What a row says from `visible` on; `at` is its modification time. Both in Unix seconds."""

    at: int
    visible: int
    fields: dict[str, Any]


@dataclass
class Line:
    """One row of a network, in the order of its versions' visibility."""

    id: str
    created: int
    versions: list[Version] = field(default_factory=list)

    def current(self, now: float) -> Version | None:
        """Return the version that the network shows."""
        shown = [version for version in self.versions if version.visible <= now]
        return max(shown, key=lambda version: version.at, default=None)


class World:
    """All rows of one account. `steps` of a row's life are statuses of the network, made by `lives`."""

    def __init__(self, lines: list[Line]) -> None:
        self.lines = {line.id: line for line in lines}
        self._index = sorted((version.at, line.id) for line in lines for version in line.versions)

    def window(self, start: int, end: int, now: float) -> list[tuple[Line, Version]]:
        """Return what the network shows of rows that changed in [start, end], the newest first."""
        first = bisect_left(self._index, (start, ""))
        last = bisect_right(self._index, (end, "\uffff"))
        found = {}
        for _, name in self._index[first:last]:
            version = self.lines[name].current(now)
            if version is not None and start <= version.at <= end:
                found[name] = (self.lines[name], version)
        return sorted(found.values(), key=lambda each: (each[1].at, each[0].id), reverse=True)

    def settled(self, start: int, end: int, now: float) -> list[tuple[Line, Version]]:
        """Return what the network shows of rows that settled in [start, end]."""
        shown = ((line, line.current(now)) for line in self.lines.values())
        return [
            (line, version)
            for line, version in shown
            if version is not None and version.fields["settled"] and start <= version.fields["settled"] <= end
        ]

    def touch(self, line: Line, now: int) -> None:
        """Give a row a newer version that says the same, as networks do."""
        current = line.current(now)
        if current is not None and current.at < now:
            line.versions.append(Version(now, now, dict(current.fields)))
            insort(self._index, (now, line.id))

    def last_versions(self, now: float) -> dict[str, Version]:
        """Return what the network shows of every row."""
        shown = ((line.id, line.current(now)) for line in self.lines.values())
        return {name: version for name, version in shown if version is not None}


def make_world(
    count: int, begin: int, days: int, statuses: list[Any], seed: int, *, late: bool = True, burst: int = 0
) -> World:
    """Return `count` versions of rows within `days` after `begin`; each row goes through some of `statuses`.

    `late`: one version in twenty becomes visible 5 to 30 minutes after its modification time. `burst`: as
    many rows change in one and the same second, in the middle of the time.
    """
    chance = random.Random(seed)
    lines = []
    made = number = 0
    while made < count:
        number += 1
        created = begin + chance.randrange(days * 86_400)
        line = Line(f"{seed}{number:012d}", created)
        at = created
        for step, status in enumerate(statuses[: chance.randint(1, len(statuses))]):
            at += chance.choice((5, 600, 86_400, 5 * 86_400)) * (step > 0) + chance.randrange(60)
            if at >= begin + days * 86_400:
                break
            delay = chance.randrange(300, 1_800) if late and chance.random() < 0.05 else 0
            amount = chance.randrange(1, 100_000)
            fields = {"status": status, "amount": amount, "fee": amount // 10, "user": chance.randrange(50)}
            fields["user"] = line.versions[0].fields["user"] if line.versions else fields["user"]
            fields["settled"] = at if status == statuses[-1] else 0
            line.versions.append(Version(at, at + delay, fields))
            made += 1
        if line.versions:
            lines.append(line)
    for index in range(burst):
        at = begin + days * 43_200
        fields = {"status": statuses[0], "amount": 100 + index, "fee": 10, "user": index % 50, "settled": 0}
        lines.append(Line(f"{seed}9{index:011d}", at, [Version(at, at, fields)]))
    return World(lines)


def make_refunds(world: World, seed: int) -> World:
    """Return disputes about every tenth row: each is opened, and decided a day later."""
    chance = random.Random(seed)
    lines: list[Line] = []
    for line in list(world.lines.values())[::10]:
        opened = line.versions[-1].at + chance.randrange(3_600)
        fields = {"line": line.id, "status": 4, "amount": chance.randrange(1, 100)}
        versions = [Version(opened, opened, fields)]
        decided = opened + 86_400
        versions.append(Version(decided, decided, {**fields, "status": chance.choice((2, 3))}))
        lines.append(Line(f"{seed}8{len(lines):011d}", opened, versions))
    return World(lines)


def text_time(seconds: int) -> str:
    """Return Unix seconds as `yyyy-MM-dd HH:mm:ss` in Beijing time."""
    return datetime.fromtimestamp(seconds + BEIJING_SECONDS, UTC).strftime("%Y-%m-%d %H:%M:%S")


def unix_time(text: str) -> int:
    """Return the Unix seconds of `yyyy-MM-dd HH:mm:ss` in Beijing time; ValueError."""
    return int(datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp()) - BEIJING_SECONDS
