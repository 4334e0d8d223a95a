"""A bad source halts its partition on a real Kafka, and nothing else, until an operator resumes it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from rebate_app.streams.failures.limits import CONSECUTIVE_MAX
from rebate_app.streams.transaction.partitioner import partition_of
from tests.e2e.conftest import NewSystem
from tests.rig.system import System, Worker, ask
from tests.rig.waiting import wait_for
from tests.streams.failures.poison import order, raw
from tests.streams.failures.sending import audited, letters, now_ms, run_json, send

PARTITIONS = 2
BAD = b"taobao:bad"
BAD_PARTITION = partition_of(BAD, PARTITIONS)
MORE = 30
UNREADABLE_KEY = b"somebody"
UNREADABLE = b'{"schema":"owner-fact/1","kind":"of-another-release"}'
SEEN_SECONDS_MAX = 60


def lines_of(partition: int, count: int) -> list[str]:
    """Return lines whose keys are in that partition."""
    every = (f"taobao:{number}" for number in range(1, 1_000))
    return [line for line in every if partition_of(line.encode(), PARTITIONS) == partition][:count]


def lines_of_users(partition: int, count: int) -> list[str]:
    """Return lines whose users' keys are in that partition."""
    every = (f"taobao:{number}" for number in range(1, 1_000))
    users = {line: line.replace(":", "-").encode() for line in every}
    return [line for line, user in users.items() if partition_of(user, PARTITIONS) == partition][:count]


def put(system: System, *lines: str) -> None:
    """Send a good fact of each line, which is its user's too."""
    rows = [(line.encode(), raw(order(line, line.replace(":", "-"))), now_ms()) for line in lines]
    send(system, system.topics.orders, rows)


def spoil(system: System, count: int) -> None:
    """Send facts that nobody can read."""
    send(system, system.topics.orders, [(BAD, b"{", now_ms())] * count)


def shown(worker: Worker, line: str) -> dict[str, Any]:
    """Return a line as the worker answers it, {} while it is unknown."""
    answer = ask(f"{worker.url}/v1/order-lines/{line.replace(':', '/')}")
    return answer.body if answer.status == 200 else {}


def estimated(worker: Worker, line: str) -> int:
    """Return the balance of the line's user."""
    return int(ask(f"{worker.url}/v1/users/{line.replace(':', '-')}/balance").body["estimated"])


def halted(worker: Worker) -> list[dict[str, Any]]:
    """Return what `/readyz` lists, which is 200 all the while."""
    answer = ask(f"{worker.url}/readyz")
    return answer.body["halted"] if answer.status == 200 else []


def halts(worker: Worker) -> list[tuple[str, str, int, int]]:
    """Return cause, topic, partition and offset of each halt."""
    return [(each["halted"], each["topic"], each["partition"], each["offset"]) for each in halted(worker)]


def gauge(worker: Worker) -> Mapping[tuple[str, str], float]:
    """Return `rebate_partition_halted` of the sources' partitions for the limit."""
    families = text_string_to_metric_families(ask(f"{worker.url}/metrics").body.decode())
    return {
        (sample.labels["topic"], sample.labels["partition"]): sample.value
        for family in families
        for sample in family.samples
        if sample.name == "rebate_partition_halted" and sample.labels["reason"] == "dlq-limit"
    }


class TestHalted:
    """100 dead letters in a row."""

    def test_one_partition_is_halted_until_it_is_resumed(self, new_system: NewSystem) -> None:
        """Everything else goes on; a crash and another owner halt at the same record; audit 0 afterwards."""
        system: System = new_system(REBATE_PARTITIONS=str(PARTITIONS))
        before, behind, late = lines_of(BAD_PARTITION, 3)
        (elsewhere,) = lines_of(1 - BAD_PARTITION, 1)
        worker = system.start_worker(0)
        worker.wait_ready()
        put(system, before)
        spoil(system, CONSECUTIVE_MAX + MORE)
        put(system, behind, elsewhere)
        wait_for(
            lambda: halted(worker) and estimated(worker, elsewhere),
            SEEN_SECONDS_MAX,
            "halted, and others go on",
        )
        self._shown_everywhere(system, worker, before, late)
        worker.kill()
        again = system.start_worker(1)
        wait_for(lambda: halted(again), SEEN_SECONDS_MAX, "halted again")
        assert [each["offset"] for each in halted(again)] == [CONSECUTIVE_MAX]
        other = system.start_worker(2)
        other.wait_ready()
        wait_for(lambda: halted(again) + halted(other), SEEN_SECONDS_MAX, "halted after the rebalance")
        self._resumed(system, again, other, behind)

    def _shown_everywhere(self, system: System, worker: Worker, before: str, late: str) -> None:
        name = f"{system.topics.orders}/{BAD_PARTITION}"
        (listed,) = halted(worker)
        assert (listed["halted"], listed["offset"]) == ("dlq-limit", CONSECUTIVE_MAX)
        assert f"with {CONSECUTIVE_MAX} it would be" in listed["reason"]
        assert f"{name} is halted (dlq-limit)" in ask(f"{worker.url}/readyz").body["reason"]
        assert len(letters(system)) == CONSECUTIVE_MAX - 1
        answer = shown(worker, before)
        assert (answer["halted"], answer["as_of"]["lag"]) == ("dlq-limit", MORE + 2)
        assert "halted" not in ask(f"{worker.url}/v1/users/{before.replace(':', '-')}/balance").body
        put(system, late)
        wait_for(lambda: shown(worker, before)["as_of"]["lag"] == MORE + 3, SEEN_SECONDS_MAX, "its lag grows")
        (item,) = ask(f"{worker.url}/v1/workers").body["items"]
        assert [each["partition"] for each in item["halted"]] == [BAD_PARTITION]
        place = (system.topics.orders, str(BAD_PARTITION))
        assert [key for key, value in gauge(worker).items() if value] == [place]
        assert len(gauge(worker)) == 2 * PARTITIONS
        lags = {(row["topic"], row["partition"]): row for row in run_json(system, "lag")["partitions"]}
        assert {key: row["halted"] for key, row in lags.items() if row["halted"]} == {
            (system.topics.orders, BAD_PARTITION): "dlq-limit"
        }
        waited = system.command("lag", "--wait", "1")
        assert (waited.returncode, f"halted: {name} (dlq-limit)" in waited.stderr) == (75, True)
        found = run_json(system, "doctor", url=worker.url, code=1)["checks"]
        assert [check["check"] for check in found if check["state"] == "fail"] == ["halted partitions"]
        audited(system, worker.url)

    def _resumed(self, system: System, again: Worker, other: Worker, behind: str) -> None:
        name = f"{system.topics.orders}/{BAD_PARTITION}"
        assert system.command("dlq", "resume", f"{system.topics.user_log}/0", "--yes").returncode == 1
        (row,) = run_json(system, "dlq", "resume", name, "--why", "mended", "--yes")["items"]
        assert row["through"] == CONSECUTIVE_MAX
        system.wait_idle()
        assert len(letters(system)) == CONSECUTIVE_MAX + MORE
        for worker in (again, other):
            assert not halted(worker)
            assert estimated(worker, behind) == 650
        spoil(system, CONSECUTIVE_MAX + MORE)
        wait_for(lambda: halted(again) + halted(other), SEEN_SECONDS_MAX, "a new halt")
        assert len(letters(system)) == 2 * CONSECUTIVE_MAX + MORE - 1
        (row,) = run_json(system, "dlq", "resume", "--waiting", "--yes")["items"]
        system.wait_idle()
        assert len(letters(system)) == 2 * (CONSECUTIVE_MAX + MORE)
        assert run_json(system, "dlq", "resume", "--yes")["items"] == []
        audited(system, again.url)

    def test_the_override_lets_one_run_through(self, new_system: NewSystem) -> None:
        """REBATE_DLQ_LIMIT_OVERRIDE_UNTIL, without any resumption."""
        system: System = new_system(REBATE_PARTITIONS="1")
        spoil(system, CONSECUTIVE_MAX + MORE)
        until = (datetime.now(UTC) + timedelta(minutes=10)).isoformat()
        worker = system.start_worker(0, REBATE_DLQ_LIMIT_OVERRIDE_UNTIL=until)
        worker.wait_ready()
        system.wait_idle()
        assert len(letters(system)) == CONSECUTIVE_MAX + MORE
        assert not halted(worker)


class TestUnreadableFact:
    """What an owner wrote has happened: no release and no operator passes over what says it."""

    def test_it_halts_its_partition_until_a_release_reads_it(self, new_system: NewSystem) -> None:
        """No dead letter; a crash and a resumption halt there again; other users' lines go on; audit 0."""
        system: System = new_system(REBATE_PARTITIONS=str(PARTITIONS))
        topic = system.topics.user_log
        partition = partition_of(UNREADABLE_KEY, PARTITIONS)
        (here,), (elsewhere,) = (lines_of_users(number, 1) for number in (partition, 1 - partition))
        worker = system.start_worker(0)
        worker.wait_ready()
        (place,) = send(system, topic, [(UNREADABLE_KEY, UNREADABLE, now_ms())])
        put(system, here, elsewhere)
        wait_for(
            lambda: halted(worker) and estimated(worker, elsewhere), SEEN_SECONDS_MAX, "the others go on"
        )
        expected = [("unreadable-fact", topic, partition, place.offset)]
        assert halts(worker) == expected
        assert estimated(worker, here) == 0
        worker.kill()
        again = system.start_worker(1)
        wait_for(lambda: halted(again), SEEN_SECONDS_MAX, "halted again")
        counted = again.log_text().count(" is halted: ")
        done = system.command("dlq", "resume", f"{topic}/{partition}", "--why", "tried", "--yes")
        assert (done.returncode, "halts there again unless a release" in done.stderr) == (0, True)
        wait_for(lambda: again.log_text().count(" is halted: ") > counted, SEEN_SECONDS_MAX, "tried again")
        wait_for(lambda: halts(again) == expected, SEEN_SECONDS_MAX, "halted at the same record")
        assert letters(system) == []
        audited(system, again.url)
