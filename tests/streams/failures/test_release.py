"""A bug for one user and one line on a real Kafka: nobody else waits; after the fix all is as if never."""

from __future__ import annotations

import json

from rebate_app.wire.failure_headers import texts_of
from tests.e2e.conftest import NewSystem
from tests.rig.system import System, Worker, ask
from tests.streams.failures.poison import order, profile
from tests.streams.failures.sending import audited, letters, run_json

BUGGY, BUGGY_LINE = "u1", "pdd:7"


def balance(worker: Worker, user: str) -> dict[str, object]:
    """Return a user's balance."""
    body = ask(f"{worker.url}/v1/users/{user}/balance").body
    assert isinstance(body, dict)
    return body


class TestRelease:
    """Park, mend, release."""

    def test_one_user_and_one_line_wait_and_nobody_else(self, new_system: NewSystem) -> None:
        """The others' lag is 0 and their money right; released, the user's is what it has to be."""
        system: System = new_system(REBATE_STORE="rocksdb")
        bug = f"{BUGGY} {BUGGY_LINE}"
        worker = system.start_worker(0, REBATE_TEST_BUG=bug)
        worker.wait_ready()
        system.send_users([profile(BUGGY, inviter_id="boss"), profile("u2")])
        system.wait_idle()
        lines = [f"pdd:{number}" for number in range(40)]
        system.send_orders(order(line, f"u{number % 4}") for number, line in enumerate(lines))
        system.send_orders([order(BUGGY_LINE, "u3", 3_000, seq={"modified_at": "2026-01-04T00:00:00Z"})])
        system.wait_idle()
        assert run_json(system, "lag")["total"] == 0
        self._reviewed(system, worker)
        run_json(system, "dlq", "release", BUGGY, "--by", "ann", "--yes")
        system.wait_idle()
        assert balance(worker, BUGGY)["under_review"] is True  # the bug is still there
        found = [x for x in letters(system) if x.key == BUGGY.encode()]
        assert [texts_of(x.headers)["rebate-error-attempt"] for x in found] == ["1", "2"]
        assert len({texts_of(x.headers)["rebate-error-offset"] for x in found}) == 1
        assert worker.stop() == 0
        self._mended(system)

    def _reviewed(self, system: System, worker: Worker) -> None:
        assert balance(worker, "u2")["estimated"] == 10 * 650
        assert balance(worker, "u3")["estimated"] == 9 * 650  # line 7 waits
        assert "under_review" not in balance(worker, "u2")
        held = balance(worker, BUGGY)
        assert (held["estimated"], held["under_review"]) == (0, True)
        parked = run_json(system, "dlq", "parked", url=worker.url)["items"]
        assert {(row["key"], row["waiting"], row["releasing"]) for row in parked} == {
            (BUGGY, 11, False),  # profile and ten lines
            (BUGGY_LINE, 2, False),
        }
        (letter,) = [x for x in letters(system) if x.key == BUGGY.encode()]
        shown = run_json(system, "dlq", "show", _id(letter), url=worker.url)
        assert shown["today"]["outcome"] == "failed"
        assert shown["state"]["under_review"] is True
        run_json(system, "dlq", "replay", "--key", BUGGY, "--dry-run", url=worker.url, code=1)
        not_replayed = run_json(system, "dlq", "replay", "--key", BUGGY, "--yes")["items"]
        assert [row["outcome"] for row in not_replayed] == ["parked"]
        metrics = _scrape(worker)
        assert _metric(metrics, "rebate_parked_keys", system.topics.user_log) == 1
        assert _metric(metrics, "rebate_parked_records", system.topics.user_log) == 11
        copies = system.read(system.topics.accounts.parked)
        assert [copy.key for copy in copies] == [BUGGY.encode()] * 11
        waiting = ask(
            f"{worker.url}/v1/orders?wait_ms=300",
            method="POST",
            body=json.dumps(order(BUGGY_LINE, "u3")).encode(),
        )
        assert waiting.body["visible"] is False

    def _mended(self, system: System) -> None:
        worker = system.start_worker(0)
        worker.wait_ready()
        for key in (BUGGY, BUGGY_LINE):
            run_json(system, "dlq", "release", key, "--by", "ann", "--yes")
        system.wait_idle()
        assert run_json(system, "dlq", "parked", url=worker.url)["items"] == []
        assert balance(worker, BUGGY)["estimated"] == 10 * 650
        assert balance(worker, "boss")["estimated"] == 10 * 100
        assert balance(worker, "u3")["estimated"] == 9 * 650 + 1_950
        assert "under_review" not in balance(worker, BUGGY)
        assert {row["decision"] for row in run_json(system, "dlq", "list", "--all")["items"]} == {"replayed"}
        audited(system, worker.url)


def _id(letter: object) -> str:
    headers = texts_of(letter.headers)  # type: ignore[attr-defined]
    return "/".join(headers[f"rebate-error-{name}"] for name in ("topic", "partition", "offset"))


def _scrape(worker: Worker) -> str:
    raw = ask(f"{worker.url}/metrics").body
    assert isinstance(raw, bytes)
    return raw.decode()


def _metric(text: str, name: str, topic: str) -> float:
    (line,) = [row for row in text.splitlines() if row.startswith(f'{name}{{topic="{topic}"}}')]
    return float(line.rpartition(" ")[2])
