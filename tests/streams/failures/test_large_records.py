"""Records too large for their dead letter, and letters too large for their replay, on a real Kafka."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rebate_app.dead_letters.dead_letter import decode_dead_letter, replay_headers
from rebate_app.wire.failure_headers import texts_of
from rebate_app.wire.truncation import (
    COPIED_BYTES_MAX,
    HEADERS_KEPT_BYTES,
    KEY_KEPT_BYTES,
    VALUE_KEPT_BYTES,
    record_bytes,
)
from tests.doctor.test_on_kafka import administer
from tests.e2e.conftest import NewSystem
from tests.rig.system import System, Worker, ask
from tests.streams.failures.large import MIB, hash_of, padded, send_compressed, take
from tests.streams.failures.poison import order, raw
from tests.streams.failures.sending import audited, id_of, letters, run_json

BAD = "taobao:bad"
TOO_LARGE = COPIED_BYTES_MAX + MIB


@pytest.fixture
def system(new_system: NewSystem) -> System:
    """Return a system of one partition, so that whatever blocks it blocks everything."""
    return new_system(REBATE_PARTITIONS="1")


@pytest.fixture
def worker(system: System) -> Worker:
    """Return a worker that is ready."""
    worker = system.start_worker()
    worker.wait_ready()
    return worker


def goes_on(system: System, worker: Worker, line: str, estimated: int) -> None:
    """Send one more good order, and see it in the balance."""
    system.send_orders([order(line)])
    system.wait_idle()
    assert ask(f"{worker.url}/v1/users/u1/balance").body["estimated"] == estimated


def replay_by_http(worker: Worker, *ids: str, dry_run: bool = False) -> list[dict[str, Any]]:
    """Replay letters over HTTP; return the rows of the answer."""
    path = ",".join(ids).replace("/", "%2F")
    wish = raw({"by": "ann", "dry_run": dry_run})
    answer = ask(f"{worker.url}/v1/dead-letters/{path}/replay", method="POST", body=wish, seconds=60)
    assert answer.status == 200, answer.body
    items: list[dict[str, Any]] = answer.body["items"]
    return items


class TestCutLetters:
    """A record that no copy can hold."""

    def test_a_large_value_is_cut_shown_and_replayed_from_its_own_topic(
        self, system: System, worker: Worker
    ) -> None:
        """The partition goes on; place, size and hash lead to the whole record, which a replay sends."""
        value = padded(BAD, TOO_LARGE, status="lost")
        bad = send_compressed(system, system.topics.orders, BAD.encode(), value, [("x", b"kept")])
        goes_on(system, worker, "taobao:1", 650)
        self._is_cut(system, worker, bad, value)
        assert [
            row["outcome"] for row in run_json(system, "dlq", "replay", bad, "--yes", code=1)["items"]
        ] == ["too-large"]
        take(system, system.topics.orders, 32 * MIB)
        assert replay_by_http(worker, bad, dry_run=True)[0]["outcome"] == "refused"
        assert [row["outcome"] for row in run_json(system, "dlq", "replay", bad, "--yes")["items"]] == [
            "replayed"
        ]
        goes_on(system, worker, "taobao:2", 1_300)
        again = texts_of(letters(system)[-1].headers)
        assert (again["rebate-error-attempt"], again["rebate-error-origin"]) == ("2", bad)
        assert (again["rebate-error-sha256"], again["x"]) == (hash_of(value), "kept")
        audited(system, worker.url)

    def _is_cut(self, system: System, worker: Worker, bad: str, value: bytes) -> None:
        (letter,) = letters(system)
        headers = texts_of(letter.headers)
        assert (id_of(letter), headers["rebate-error-reason"], headers["x"]) == (
            bad,
            "invalid-status",
            "kept",
        )
        assert letter.value == value[:VALUE_KEPT_BYTES]
        assert headers["rebate-error-truncated"] == str(len(value))
        assert headers["rebate-error-sha256"] == hash_of(value)
        shown = run_json(system, "dlq", "show", bad, url=worker.url)
        assert shown["value_bytes"] == len(value)
        assert shown["whole_record"] == {
            "stands_at": bad,
            "value_bytes": len(value),
            "value_sha256": hash_of(value),
            "key_bytes": len(BAD),
            "headers_cut": False,
        }
        assert f"the whole record stands at {bad}" in system.command("dlq", "show", bad).stdout
        (row,) = run_json(system, "dlq", "list")["items"]
        assert (row["cut"], row["key"]) == (True, BAD)

    def test_large_keys_and_headers_are_cut_too(self, system: System, worker: Worker) -> None:
        """The letter says how large they were; the event about it has a key that its topic takes."""
        key = b"taobao:" + b"k" * TOO_LARGE
        headers = [("small", b"1"), ("large", b"h" * TOO_LARGE)]
        by_key = send_compressed(system, system.topics.orders, key, b"{", partition=0)
        by_headers = send_compressed(system, system.topics.orders, BAD.encode(), b"{", headers)
        on_user_log = send_compressed(system, system.topics.user_log, key, b"{", headers, partition=0)
        goes_on(system, worker, "taobao:1", 650)
        found = {id_of(letter): letter for letter in letters(system)}
        assert sorted(found) == sorted([by_key, by_headers, on_user_log])
        assert found[by_key].key == key[:KEY_KEPT_BYTES]
        texts = texts_of(found[by_headers].headers)
        assert (texts["small"], "large" in texts) == ("1", False)
        assert int(texts["rebate-error-headers-truncated"]) > TOO_LARGE > HEADERS_KEPT_BYTES
        assert texts_of(found[on_user_log].headers)["rebate-error-key-truncated"] == str(len(key))
        opened = system.read(system.topics.events)
        assert len([event for event in opened if event.key == key[:KEY_KEPT_BYTES]]) == 2
        assert run_json(system, "dlq", "show", by_key)["whole_record"]["key_bytes"] == len(key)
        take(system, system.topics.orders, 32 * MIB)
        for one in (by_key, by_headers):
            (row,) = run_json(system, "dlq", "replay", one, "--yes")["items"]
            assert row["outcome"] == "replayed"
        system.wait_idle()
        sent = system.read(system.topics.orders)
        assert [record.key for record in sent[-2:]] == [key, BAD.encode()]
        assert texts_of(sent[-1].headers)["large"] == "h" * TOO_LARGE
        audited(system, worker.url)

    def test_a_whole_record_that_is_gone_is_refused_for_that_letter(
        self, system: System, worker: Worker
    ) -> None:
        """The others of the same replay are sent; a dry run says the same."""
        bad = send_compressed(
            system, system.topics.orders, BAD.encode(), padded(BAD, TOO_LARGE, status="lost")
        )
        other = send_compressed(system, system.topics.orders, b"taobao:2", raw(order("taobao:2", schema="?")))
        system.wait_idle()
        cut_beginning(system, system.topics.orders)
        for rows in (
            replay_by_http(worker, bad, other, dry_run=True),
            run_json(system, "dlq", "replay", "--all", "--dry-run", url=worker.url, code=1)["items"],
        ):
            assert [(row["id"], row["outcome"]) for row in rows] == [(bad, "origin-gone"), (other, "refused")]
        rows = replay_by_http(worker, bad, other)
        assert [(row["id"], row["outcome"]) for row in rows] == [(bad, "origin-gone"), (other, "replayed")]
        assert bad in rows[0]["detail"]
        assert min(row["id"] for row in run_json(system, "dlq", "list", "--open")["items"]) == bad


def cut_beginning(system: System, topic: str) -> None:
    """Delete the first record of the topic's partition 0."""
    asyncio.run(administer(system.settings.broker, cut=topic))


class TestLargeReplays:
    """A letter that is whole, and larger than its topic takes uncompressed."""

    def test_it_is_reported_by_itself_and_the_others_are_sent(self, system: System, worker: Worker) -> None:
        """By command, over HTTP and in a dry run; once the topic takes it, it is sent."""
        large = send_compressed(
            system, system.topics.orders, BAD.encode(), padded(BAD, 3 * MIB, status="lost")
        )
        small = [
            send_compressed(
                system, system.topics.orders, f"taobao:{n}".encode(), raw(order(f"taobao:{n}", status="lost"))
            )
            for n in range(4)
        ]
        system.wait_idle()
        (letter, *_) = letters(system)
        assert len(letter.value) > 3 * MIB  # whole
        rows = replay_by_http(worker, large, small[0], dry_run=True)
        assert [row["outcome"] for row in rows] == ["too-large", "refused"]
        rows = replay_by_http(worker, large, small[0])
        assert [row["outcome"] for row in rows] == ["too-large", "replayed"]
        done = system.command("dlq", "replay", "--reason", "invalid-status", "--yes", url=worker.url)
        assert done.returncode == 1
        assert f"{large}: too-large (the record has" in done.stdout
        assert "max.message.bytes" in done.stdout
        assert "1 too-large" in done.stdout
        system.wait_idle()
        decided = {row["id"]: row["decision"] for row in run_json(system, "dlq", "list", "--all")["items"]}
        assert [decided[one] for one in (large, *small)] == [None] + 4 * ["replayed"]
        self._is_refused_by_the_broker(system, large)
        take(system, system.topics.orders, 4 * MIB)
        (row,) = run_json(system, "dlq", "replay", large, "--yes")["items"]
        assert row["outcome"] == "replayed"
        audited(system, worker.url)

    def _is_refused_by_the_broker(self, system: System, large: str) -> None:
        """Have the broker refuse what is too large only as a batch: the others of its group are sent."""
        (record,) = [each for each in letters(system) if id_of(each) == large]
        letter = decode_dead_letter(record, system.topics.orders)
        assert letter is not None
        size = record_bytes(letter.key, letter.value, replay_headers(letter, "", ""))
        take(system, system.topics.orders, size)
        small = sorted(
            row["id"] for row in run_json(system, "dlq", "list", "--all")["items"] if row["id"] != large
        )[:3]
        rows = run_json(system, "dlq", "replay", small[0], large, *small[1:], "--again", "--yes", code=1)[
            "items"
        ]
        assert [row["outcome"] for row in rows] == ["replayed", "too-large", "replayed", "replayed"]
        assert len({row["stands_at"] for row in rows if "stands_at" in row}) == 3
        system.wait_idle()
