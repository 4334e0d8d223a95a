"""What the three simulators share: the check of signature, clock and budget, and faults by chance."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .world import BEIJING_SECONDS, Line, Version, World

LOOK_BACK_SECONDS = 90 * 86_400


@dataclass
class Answer:
    """What a call gets: `status` 0 stands for an answer that did not come in time."""

    status: int = 200
    body: bytes = b""

    @property
    def json(self) -> Any:
        """Return the body as a value."""
        return json.loads(self.body)


class RefusedError(Exception):
    """The network answers with an error of its own."""

    def __init__(self, document: dict[str, Any]) -> None:
        super().__init__(str(document))
        self.document = document


@dataclass
class Switches:
    """What goes wrong. `chances`: of each fault of the network's `FAULTS`, from 0 to 1, at every call.

    `away`: spans of Unix seconds in which the server answers 502. `quota`: calls of one Shanghai day.
    `per_second`: calls in any 10 s are at most eleven times as many. `expired`: spans in which the
    credential is no longer valid. `changing`: a row changes whenever a page with a following one is read.
    """

    chances: dict[str, float] = field(default_factory=dict)
    away: list[tuple[int, int]] = field(default_factory=list)
    quota: int = 10**9
    per_second: float = 1_000.0
    expired: list[tuple[int, int]] = field(default_factory=list)
    changing: bool = False
    short_days: list[tuple[int, int]] = field(default_factory=list)


class Network:
    """One simulated network with one app and one account."""

    FAULTS: tuple[str, ...] = ()
    TOLERANCE_SECONDS = 600
    PAGE_ROWS_MAX = 100

    def __init__(
        self, world: World, secret: str, app_key: str, switches: Switches | None = None, seed: int = 1
    ) -> None:
        self.world = world
        self.secret = secret
        self.app_key = app_key
        self.switches = switches or Switches()
        self.calls: list[tuple[float, dict[str, str]]] = []
        self.calls_by_day: Counter[int] = Counter()
        self.over_budget = 0
        self.faults: Counter[str] = Counter()
        self.problems: Counter[str] = Counter()
        self._chance = random.Random(seed)
        self._recent: deque[float] = deque()
        self._previous_page = b""

    def handle(self, form: dict[str, str], now: float) -> Answer:
        """Answer a call at a moment, in Unix seconds of the network."""
        self.calls.append((now, form))
        self._count(now)
        if any(start <= now < end for start, end in self.switches.away):
            return Answer(502, b"<html>bad gateway</html>")
        fault = self._fault()
        if fault in ("502", "empty", "slow"):
            return {"502": Answer(502, b"bad gateway"), "empty": Answer(200, b""), "slow": Answer(0)}[fault]
        try:
            self.check_call(form, now)
            if fault:
                self.refuse_by_chance(fault)
            self.is_count_wrong = fault == "count"
            document = self.page(form, now)
        except RefusedError as refused:
            self.problems[json.dumps(refused.document, sort_keys=True, ensure_ascii=False)] += 1
            return Answer(200, json.dumps(refused.document, ensure_ascii=False).encode())
        body = json.dumps(document, ensure_ascii=False).encode()
        if fault == "cut":
            return Answer(200, body[: len(body) // 2])
        if fault == "duplicated":
            body, self._previous_page = self._previous_page or body, body
        self._previous_page = body
        return Answer(200, body)

    # -- what a network of its own defines

    def check_call(self, form: dict[str, str], now: float) -> None:
        """Raise RefusedError for a wrong signature, clock, permission or window."""
        raise NotImplementedError

    def refuse_by_chance(self, fault: str) -> None:
        """Raise RefusedError for the network's own faults."""
        raise NotImplementedError

    def page(self, form: dict[str, str], now: float) -> dict[str, Any]:
        """Return the answer with one page of rows."""
        raise NotImplementedError

    # -- what they share

    def _count(self, now: float) -> None:
        self._recent.append(now)
        while self._recent and self._recent[0] <= now - 10:
            self._recent.popleft()
        self.is_too_fast = len(self._recent) > self.switches.per_second * 11
        day = int(now + BEIJING_SECONDS) // 86_400
        self.calls_by_day[day] += 1
        self.is_over_quota = self.calls_by_day[day] > self.switches.quota
        self.over_budget += self.is_too_fast

    def _fault(self) -> str:
        for name, chance in self.switches.chances.items():
            if name not in self.FAULTS:
                raise ValueError(f"{name} is no fault of this network")
            if self._chance.random() < chance:
                self.faults[name] += 1
                return name
        return ""

    def is_expired(self, now: float) -> bool:
        """Return whether the credential is no longer valid."""
        return any(start <= now < end for start, end in self.switches.expired)

    def signature(self, form: dict[str, str], method: str = "md5") -> str:
        """Return the signature over everything that was received but itself."""
        text = "".join(key + form[key] for key in sorted(form) if key != "sign" and form[key])
        key = self.secret.encode()
        if method == "hmac":
            return hmac.new(key, text.encode(), "md5").hexdigest().upper()
        if method == "hmac-sha256":
            return hmac.new(key, text.encode(), "sha256").hexdigest().upper()
        return hashlib.md5(key + text.encode() + key, usedforsecurity=False).hexdigest().upper()

    def shown(self, start: int, end: int, now: float, *, settled: bool = False) -> list[tuple[Line, Version]]:
        """Return the rows of a window within the look-back, by modification or by settlement time."""
        if settled:
            return self.world.settled(start, end, now)
        return self.world.window(max(start, int(now) - LOOK_BACK_SECONDS), end, now)

    def change_between_pages(
        self, rows: Iterable[tuple[Line, Version]], now: float, *, more: bool, world: World | None = None
    ) -> None:
        """Let a row of this page change, so that it leaves the window before the next page is read.

        `world`: the rows' own, by default the one of the orders.
        """
        if self.switches.changing and more:
            for line, _ in list(rows)[:1]:
                (world or self.world).touch(line, int(now))
