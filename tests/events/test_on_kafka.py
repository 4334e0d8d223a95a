"""A foreign consumer hears each event once, over kills and rebuilds; what it heard last is the balance."""

from __future__ import annotations

import os
import random
import threading
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator

from rebate_app.wire.events import event_schema
from tests.conftest import SEED
from tests.kafka_fixture import SHORT_SESSION
from tests.oracle import make_feed, shuffle_with_repeats
from tests.rig.system import System, Worker, ask

KILLS = 50 if os.environ.get("REBATE_CHAOS") == "full" else 4
KILL_WITHIN_S = 1.5
BUCKETS = ("estimated", "confirmed", "held", "available", "frozen", "withdrawn", "debt")

Document = dict[str, Any]


def all_events(system: System) -> list[Document]:
    """Return what a read_committed consumer that knows nothing of ours hears, in order."""
    return [orjson.loads(record.value) for record in system.read(system.topics.events)]


def check(events: Iterable[Document], worker: Worker) -> None:
    """Each id once; versions rise; every event fits the schema; the last of each user is the balance."""
    every = list(events)
    ids = [event["event_id"] for event in every]
    assert len(ids) == len(set(ids))
    valid = Draft202012Validator(event_schema()).is_valid
    assert [event for event in every if not valid(event)] == []
    by_user: dict[str, list[Document]] = defaultdict(list)
    for event in every:
        if event["kind"] == "balance.changed":
            by_user[event["user_id"]].append(event)
    for user_id, changes in by_user.items():
        versions = [event["version"] for event in changes]
        assert versions == sorted(set(versions))
        at = changes[-1]["at"].replace("+", "%2B")
        body = ask(f"{worker.url}/v1/users/{user_id}/balance?at={at}").body
        assert {name: body[name] for name in BUCKETS} == changes[-1]["after"]
    users = ask(f"{worker.url}/v1/users?limit=200").body["items"]
    with_money = {
        user["user_id"]
        for user in users
        if any(ask(f"{worker.url}/v1/users/{user['user_id']}/balance").body[name] for name in BUCKETS)
    }
    assert with_money <= by_user.keys()


def audited(system: System, worker: Worker, **environment: str) -> Document:
    """Audit; nothing differs."""
    done = system.command("audit", "--json", url=worker.url)
    assert done.returncode == 0, done.stdout + done.stderr
    report: Document = orjson.loads(done.stdout)
    return report


@pytest.mark.longer
class TestKills:
    """Sent in the batch's transaction, an event is there exactly when its balance is."""

    def test_each_event_once_over_kills(self, kafka: str, topic_prefix: str, tmp_path: Path) -> None:
        """Killed at random moments under import; then every event is there once, and the audit agrees."""
        rng = random.Random(SEED)
        feed = make_feed(rng, 15 * KILLS, 12)
        orders = shuffle_with_repeats(rng, feed.orders)
        part = max(1, len(orders) // KILLS)
        with System(kafka, topic_prefix, tmp_path, feed.rules, **SHORT_SESSION) as system:
            system.send_users([document for document, _ in feed.users])
            system.send_orders([feed.orders[0] | {"schema": "order-event/9"}])
            worker = system.start_worker(0)
            worker.wait_ready()
            for kill in range(KILLS):
                now = orders[kill * part : (kill + 1) * part] if kill < KILLS - 1 else orders[kill * part :]
                import_ = threading.Thread(target=system.send_orders, args=(now,))
                import_.start()
                moment = rng.uniform(0.05, KILL_WITHIN_S)
                print(f"kill {kill} after {moment:.3f} s")
                threading.Event().wait(moment)
                worker.kill()
                import_.join()
                worker = system.start_worker(0)
                worker.wait_ready()
            system.wait_idle()
            events = all_events(system)
            check(events, worker)
            assert {event["kind"] for event in events} >= {"line.attributed", "dead-letter.opened"}
            assert audited(system, worker)["events"] == len(events)


class TestRebuild:
    """A new app on the same facts."""

    def test_none_for_old_facts_unless_asked_to(self, kafka: str, topic_prefix: str, tmp_path: Path) -> None:
        """It tells nothing of old facts, all of new ones; asked to, it tells old ones under the same ids."""
        feed = make_feed(random.Random(SEED), 30, 8)
        half = len(feed.orders) // 2
        with System(kafka, topic_prefix, tmp_path, feed.rules) as system:
            system.send_users([document for document, _ in feed.users])
            first = system.start_worker()
            first.wait_ready()
            system.wait_idle()
            system.send_orders(feed.orders[:half])
            system.wait_idle()
            assert first.stop() == 0
            old = all_events(system)
            rebuilt = self._rebuilt(system, tmp_path, "silent")
            with rebuilt:
                worker = rebuilt.start_worker(1)
                worker.wait_ready()
                rebuilt.wait_idle()
                assert all_events(system) == old
                audited(rebuilt, worker)
                rebuilt.send_orders(feed.orders[half:])
                rebuilt.wait_idle()
                every = all_events(system)
                ids = [event["event_id"] for event in every]
                assert len(every) > len(old)
                assert len(ids) == len(set(ids))
                audited(rebuilt, worker)
            event_policy = self._rebuilt(system, tmp_path, "telling", REBATE_EVENTS_SINCE="beginning")
            with event_policy:
                worker = event_policy.start_worker(2)
                worker.wait_ready()
                event_policy.wait_idle()
                later = [
                    orjson.loads(record.value)
                    for record in system.read(system.topics.events)
                    if (b"rebate-app", b"telling") in [(n.encode(), v) for n, v in record.headers]
                ]
                assert self._turns(later) >= self._turns(old) > set()
                audited(event_policy, worker)

    @staticmethod
    def _turns(events: list[Document]) -> set[str]:
        """Return the ids of what snapshots alone decide: a binding comes earlier or later in another fold."""
        return {
            event["event_id"]
            for event in events
            if event["kind"] == "line.attributed" and event["by"] not in ("binding", "claim")
        }

    @staticmethod
    def _rebuilt(system: System, folder: Path, app: str, **environment: str) -> System:
        """Return the same system under another app id."""
        return System(
            system.settings.broker,
            system.settings.topic_prefix,
            folder,
            [],
            REBATE_APP_ID=app,
            **environment,
        )
