"""Facts that arrive all the while, in small parts, each sent again until it is acknowledged."""

from __future__ import annotations

import random
import threading
import time
from typing import Any, Self

from tests.rig.system import System

PART_FACTS = 3
BURSTS = 3  # quick ones, so that a partition has a batch waiting while another is being committed
PAUSE_S = (0.05, 0.4)


class Importing:
    """Sends orders over and over from the block's start; at its end, what is left of the round."""

    def __init__(
        self, system: System, orders: list[dict[str, Any]], rng: random.Random, refused_seconds_max: float
    ) -> None:
        self.sent: list[dict[str, Any]] = []
        self._system = system
        self._orders = orders
        self._rng = random.Random(rng.random())  # a thread of its own must not draw from the caller's
        self._refused_seconds_max = refused_seconds_max
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._error: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._enough.set()
        self._thread.join()
        if kind is None:
            self.check()

    def check(self) -> None:
        """Raise what has ended the import before its time."""
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        try:
            self._send_all()
        except BaseException as error:  # noqa: BLE001 - it is raised where the campaign looks
            self._error = error

    def _send_all(self) -> None:
        position = 0
        while not self._enough.is_set() or position < len(self._orders):
            part = self._orders[position : position + PART_FACTS]
            self._send(part)
            self.sent += part
            position += PART_FACTS
            if position >= len(self._orders) and not self._enough.is_set():
                self._rng.shuffle(self._orders)
                position = 0  # networks report everything again and again
            if not self._enough.is_set() and position % (PART_FACTS * BURSTS) == 0:
                self._enough.wait(self._rng.uniform(*PAUSE_S))

    def _send(self, part: list[dict[str, Any]]) -> None:
        deadline = time.monotonic() + self._refused_seconds_max
        while True:
            try:
                return self._system.send_orders(part)
            except Exception:
                if time.monotonic() > deadline:
                    raise
                self._enough.wait(0.5)
