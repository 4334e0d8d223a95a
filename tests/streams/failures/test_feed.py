"""A long feed with poison of every kind, killed in the middle; then all of it replayed, twice.

20,000 lines with REBATE_CHAOS=full, a few hundred by default.
"""

from __future__ import annotations

import random
from collections import Counter

import pytest

from rebate_app.wire.failure_headers import texts_of
from tests.chaos.conftest import FULL
from tests.conftest import SEED
from tests.e2e.conftest import NewSystem
from tests.kafka_fixture import SHORT_SESSION
from tests.rig.faults import POINTS
from tests.rig.system import System, Worker, ask
from tests.streams.failures.poison import Poison, on_orders, on_user_log, order, raw
from tests.streams.failures.sending import Row, audited, id_of, letters, now_ms, reasons, run_json, send

LINES = 20_000 if FULL else 300
POISON_ONE_IN = 100 if FULL else 10  # 1 % of the long feed; every kind at least once in the short one
USERS = 200 if FULL else 30
KILLS = ("acknowledged", "commit-sent", "sent", "committed") if FULL else ("acknowledged",)
PERCENT = 6_500
ONE = 10_000
MENDED_FEN = 3_000 * PERCENT // ONE  # what a record with an implausible time brings once it is replayed


class Feed:
    """Good lines of users, and poison among them, spread."""

    def __init__(self, rng: random.Random) -> None:
        self.right: Counter[str] = Counter()
        self.rows: list[tuple[str, Row, str | None]] = []  # source, row, reason
        self.mends: Counter[str] = Counter()  # what the replay of a mended record brings
        kinds = 0
        for number in range(LINES):
            user, est = f"u{rng.randrange(USERS)}", rng.randint(100, 100_000)
            line = f"pdd:{number}"
            self.right[user] += est * PERCENT // ONE
            self.rows.append(("orders", (line.encode(), raw(order(line, user, est)), now_ms()), None))
            if number % POISON_ONE_IN == 0:
                owner = f"u{number % USERS}"
                poisons = [*on_orders(f"pdd:bad{number}"), *on_user_log(owner)]
                self._add(poisons[kinds % len(poisons)])
                kinds += 1

    def _add(self, poison: Poison) -> None:
        row = (poison.key, poison.value, now_ms() - poison.age_ms)
        self.rows.append((poison.source, row, poison.reason))
        if poison.reason == "implausible-time":
            self.mends["u1"] += MENDED_FEN

    @property
    def poison(self) -> Counter[str]:
        """Return the reasons that the dead letters have to have."""
        return Counter(reason for _, _, reason in self.rows if reason is not None)


def estimates(worker: Worker, users: list[str]) -> dict[str, int]:
    """Return what each user has, over HTTP."""
    return {user: ask(f"{worker.url}/v1/users/{user}/balance").body["estimated"] for user in users}


@pytest.mark.longer
class TestFeed:
    """All good lines right to the fen, every poison record in the dead letters exactly once."""

    def test_poison_kill_and_two_replays(self, new_system: NewSystem) -> None:
        """Killed between the dead letters' send and their commit; replayed twice: only mends change it."""
        rng = random.Random(SEED)
        feed = Feed(rng)
        system: System = new_system(**SHORT_SESSION)
        self._send_in_parts(system, feed)
        worker = system.start_worker(0)
        worker.wait_ready()
        system.wait_idle(400)
        users = sorted({*feed.right, "u1"})
        assert estimates(worker, users) == {user: feed.right[user] for user in users}
        found = letters(system)
        assert reasons(found) == feed.poison
        assert max(Counter(map(id_of, found)).values()) == 1
        audited(system, worker.url)
        after = feed.right + feed.mends
        for attempt in ("2", "3"):
            again = run_json(system, "dlq", "replay", "--all", "--rate", "5000", "--by", "ann", "--yes")[
                "items"
            ]
            assert {row["outcome"] for row in again} == {"replayed"}
            system.wait_idle(400)
            assert estimates(worker, users) == {user: after[user] for user in users}
            newest = letters(system)[-1]
            assert texts_of(newest.headers)["rebate-error-attempt"] == attempt
        failing = sum(feed.poison.values()) - feed.poison["implausible-time"]
        assert len(letters(system)) == sum(feed.poison.values()) + 2 * failing
        audited(system, worker.url)

    def _send_in_parts(self, system: System, feed: Feed) -> None:
        """Send the feed while workers die at their fault points, one after the other."""
        assert set(KILLS) <= set(POINTS)
        part = len(feed.rows) // (len(KILLS) + 1) + 1
        for number in range(len(KILLS) + 1):
            some = feed.rows[number * part : (number + 1) * part]
            faulty = None
            if number < len(KILLS):
                faulty = system.start_worker(0, REBATE_TEST_FAULT=f"{KILLS[number]}:3:kill")
            for source in ("orders", "user_log"):
                rows = [row for of, row, _ in some if of == source]
                send(system, getattr(system.topics, source), rows)
            if faulty is not None:
                assert faulty.wait_exit(90) == -9
