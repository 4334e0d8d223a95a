"""Every reason code, provoked on a real Kafka: its dead letter, its headers, and what operators see of it."""

from __future__ import annotations

from typing import Any

import pytest

from rebate_app.domain.reasons import INTERNAL_ERROR, REASONS, reason_of
from rebate_app.web.cursors import make_cursor
from rebate_app.wire.failure_headers import texts_of
from tests.e2e.conftest import NewSystem
from tests.rig.system import Answer, System, Worker, ask
from tests.rig.waiting import wait_for
from tests.streams.failures.poison import (
    Poison,
    limit_of_suits,
    on_orders,
    on_user_log,
    order,
    profile,
    raw,
)
from tests.streams.failures.sending import audited, id_of, letters, now_ms, run_json, send, send_poison

EVERY_HEADER = {
    "rebate-error-reason",
    "rebate-error-detail",
    "rebate-error-member",
    "rebate-error-stage",
    "rebate-error-topic",
    "rebate-error-partition",
    "rebate-error-offset",
    "rebate-error-timestamp",
    "rebate-error-attempt",
    "rebate-error-first-at",
    "rebate-error-at",
    "rebate-error-app-version",
    "rebate-error-rules-hash",
    "rebate-error-worker",
    "rebate-error-app",
}


class TestReasons:
    """One worker, every way to fail."""

    def test_every_reason_has_its_dead_letter(self, new_system: NewSystem) -> None:
        """Each is there once, as it was sent, with its reason and all headers; the rest is untouched."""
        system: System = new_system()
        worker = system.start_worker(REBATE_TEST_BUG="buggy taobao:buggy")
        worker.wait_ready()
        bugs = [
            Poison("user_log", INTERNAL_ERROR, b"buggy", raw(profile("buggy"))),
            Poison("orders", INTERNAL_ERROR, b"taobao:buggy", raw(order("taobao:buggy"))),
        ]
        sent = send_poison(system, [*on_orders("taobao:1"), *on_user_log("u1"), *bugs])
        places = send(system, system.topics.orders, [(k, v, now_ms()) for k, v in limit_of_suits("taobao:2")])
        over = f"{system.topics.orders}/{places[-1].partition}/{places[-1].offset}"
        *_, (key, value) = limit_of_suits("taobao:2")
        sent[over] = Poison("orders", "limit-suit_id", key, value)
        system.send_orders([order("taobao:good", "u9")])
        system.wait_idle()
        self._compare(system, worker, sent)
        assert {covering(poison.reason) for poison in sent.values()} == {
            reason.code for reason in REASONS if reason.failure not in ("border", "receiver")
        }
        assert ask(f"{worker.url}/v1/users/u9/balance").body["estimated"] == 650
        audited(system, worker.url)
        self._look(system, worker, sent)

    def _compare(self, system: System, worker: Worker, sent: dict[str, Poison]) -> None:
        found = letters(system)
        assert sorted(map(id_of, found)) == sorted(sent)
        for letter in found:
            poison, headers = sent[id_of(letter)], texts_of(letter.headers)
            assert (letter.key, letter.value) == (poison.key, poison.value)
            assert headers["rebate-error-reason"] == poison.reason
            assert headers["rebate-error-stage"] == reason_of(poison.reason).failed_at
            assert headers["rebate-error-timestamp"] == str(letter.timestamp)
            assert headers["rebate-error-worker"] == worker.url
            trace = {"rebate-error-trace"} if poison.reason == INTERNAL_ERROR else set()
            assert set(headers) == EVERY_HEADER | trace
            assert str(letter.partition) == headers["rebate-error-partition"]

    def _look(self, system: System, worker: Worker, sent: dict[str, Poison]) -> None:
        """Operators see the same by command and over HTTP, and decide."""
        listed = run_json(system, "dlq", "list", "--open", "--limit", "1000")["items"]
        assert {row["id"]: row["reason"] for row in listed} == {
            place: poison.reason for place, poison in sent.items()
        }
        base = f"{worker.url}/v1/dead-letters"
        assert sorted(row["id"] for row in paged(base)) == sorted(sent)
        one = next(place for place, poison in sent.items() if poison.reason == "unknown-kind")
        shown = run_json(system, "dlq", "show", one, url=worker.url)
        assert shown["today"]["outcome"] == "refused"
        assert shown["today"]["reason"] == "unknown-kind"
        assert ask(f"{base}/{one.replace('/', '%2F')}").body["value"] == shown["value"]
        decided = run_json(system, "dlq", "discard", one, "--why", "a test", "--by", "ann", "--yes")["items"]
        assert decided == [{"id": one, "outcome": "discarded"}]
        assert one not in {row["id"] for row in run_json(system, "dlq", "list", "--open")["items"]}
        self._by_http(base, [place for place in sent if place != one])
        for words in (("list",), ("stats",), ("show", one)):
            result = system.command("dlq", *words, url=worker.url)
            assert result.returncode == 0, result.stderr
            assert "unknown-kind" in result.stdout
        self._count(system, worker, [place for place in sent if place != one])
        parked = run_json(system, "dlq", "parked", url=worker.url)["items"]
        assert {row["key"] for row in parked} == {"buggy", "taobao:buggy"}
        never = system.command("dlq", "release", "nobody", "--yes")
        assert never.returncode == 1
        assert ask(f"{base}?wish=1").status == ask(f"{base}/nonsense").status == 400
        self._forge(base, system)
        assert ask(f"{base}/{system.topics.orders}%2F0%2F999999").status == 404

    def _forge(self, base: str, system: System) -> None:
        """Send cursors for places that the dead letters never had: refused, whoever computed them."""
        partitions = system.settings.partitions
        for place in ((3, 0, 0), (10**17, 0, 1), (0, partitions, 0), (0, 0, 10**17), (2, 0, 1)):
            assert ask(f"{base}?cursor={make_cursor('dead-letters', *place)}").status == 400, place
        assert ask(f"{base}?cursor={make_cursor('dead-letters', 0, 1, 0)}").status == 200

    def _count(self, system: System, worker: Worker, still_open: list[str]) -> None:
        """Metrics and statistics have the letters that are still open; one was discarded."""
        open_letters = f'rebate_dead_letters_open{{topic="{system.topics.orders}"}}'
        count = sum(place.startswith(system.topics.orders) for place in still_open)
        wait_for(
            lambda: f"{open_letters} {count:.1f}".encode() in ask(f"{worker.url}/metrics").body, 30, "counted"
        )
        counted = run_json(system, "dlq", "stats")["items"]
        assert sum(row["open"] for row in counted) == len(still_open)
        assert sum(row["discarded"] for row in counted) == 1

    def _by_http(self, base: str, places: list[str]) -> None:
        """Decide by HTTP what can be decided without changing anything."""

        def post(ids: list[str], what: str, **wish: object) -> Answer:
            path = ",".join(ids).replace("/", "%2F")
            return ask(f"{base}/{path}/{what}", method="POST", body=raw(wish), seconds=20)

        some = places[:20]
        outcomes = post(some, "replay", by="ann", dry_run=True).body["items"]
        assert [row["id"] for row in outcomes] == some
        assert {row["outcome"] for row in outcomes} <= {"refused", "failed", "applied"}
        assert post(["gone/0/1"], "replay", by="ann").body["items"] == [
            {"id": "gone/0/1", "outcome": "unknown"}
        ]
        assert post(["gone/0/1"], "discard", by="ann", why="x").body["items"][0]["outcome"] == "unknown"
        for wish in ({}, {"by": " "}, {"by": "ann", "hurry": True}):
            assert post(some[:1], "replay", **wish).body["code"] == "invalid-wish"
        assert post(some[:1], "discard", by="ann").body["code"] == "invalid-wish"
        assert (
            post([*places, *(f"x/0/{n}" for n in range(30))], "replay", by="ann").body["code"] == "invalid-id"
        )


def paged(base: str) -> list[dict[str, Any]]:
    """Return all open letters, five a page."""
    rows: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = ask(f"{base}?open=true&limit=5{cursor}").body
        rows += page["items"]
        if page["next_cursor"] is None:
            return rows
        cursor = f"&cursor={page['next_cursor']}"


def covering(code: str) -> str:
    """Return the code of the row that covers a reason."""
    return reason_of(code).code


@pytest.mark.parametrize("reason", REASONS, ids=lambda reason: reason.code)
def test_no_two_rows_cover_one_code(reason: object) -> None:
    """Each code has one row."""
    code = reason.code.replace("<member>", "a.b")  # type: ignore[attr-defined]
    assert [row for row in REASONS if row.covers(code)] == [reason]
