"""A worker on RocksDB, end to end: it reads only what it missed, and heals what was lost or damaged."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from rebate_app.settings import EXIT_CONFIGURATION
from tests.e2e.conftest import RULES
from tests.e2e.test_workers import order
from tests.kafka_fixture import SHORT_SESSION
from tests.rig.system import System, Worker, ask
from tests.rig.waiting import wait_for

LINES = 400
RESTORED = re.compile(r"restored ([a-z-]+)/(\d+): (\d+) records from (\d+) to (\d+)")


@pytest.fixture
def system(kafka: str, topic_prefix: str, tmp_path: Path) -> Iterator[System]:
    """Give a system of two partitions whose workers keep their tables in RocksDB."""
    with System(
        kafka,
        topic_prefix,
        tmp_path,
        [RULES],
        REBATE_STORE="rocksdb",
        REBATE_PARTITIONS="2",
        **SHORT_SESSION,
    ) as made:
        yield made


def restored(worker: Worker, after: int) -> dict[str, tuple[int, int]]:
    """Return (records read, offset begun at) by partition, from the log after that character."""
    found = RESTORED.findall(worker.log_text()[after:])
    return {f"{stage}/{partition}": (int(count), int(begin)) for stage, partition, count, begin, _ in found}


def start(system: System) -> tuple[Worker, dict[str, tuple[int, int]]]:
    """Start worker 0 again; return it once it is ready, with what it has restored."""
    log = system.folder / "worker-0.log"
    after = len(log.read_text()) if log.exists() else 0
    worker = system.start_worker(0)
    worker.wait_ready()
    return worker, restored(worker, after)


def import_orders(system: System, first: int) -> None:
    """Send so many orders, each of a user of its own."""
    system.send_orders(order(f"u{number}") for number in range(first, first + LINES))
    system.wait_idle()


def check_balances(worker: Worker, lines: int) -> None:
    """Ask for every tenth user's balance."""
    wrong = {
        number: answer.body
        for number in range(0, lines, 10)
        if (answer := ask(f"{worker.url}/v1/users/u{number}/balance")).status != 200
        or answer.body["estimated"] != 650
    }
    assert not wrong


def total(tasks: dict[str, tuple[int, int]]) -> int:
    """Return how many records all lanes have read."""
    return sum(count for count, _ in tasks.values())


class TestRestart:
    """The state's size does not matter for how soon a worker is back; only what it missed does."""

    def test_reads_only_what_it_missed(self, system: System) -> None:
        """After SIGTERM and after kill -9 nothing has to be read that was applied before."""
        worker, tasks = start(system)
        assert (len(tasks), total(tasks)) == (4, 0)
        import_orders(system, 0)
        assert worker.stop() == 0
        worker, tasks = start(system)
        assert (len(tasks), total(tasks)) == (4, 0)
        assert all(begin > 0 for _, begin in tasks.values())
        check_balances(worker, LINES)
        import_orders(system, LINES)
        worker.kill()
        worker, tasks = start(system)
        assert total(tasks) == 0, "what was applied is not lost with the process"
        import_orders(system, 2 * LINES)
        check_balances(worker, 3 * LINES)

    def test_what_another_worker_has_done_meanwhile(self, system: System) -> None:
        """A worker that comes back reads what the other one wrote, and not what it had before."""
        first, _ = start(system)
        import_orders(system, 0)
        assert first.stop() == 0
        second = system.start_worker(1)
        second.wait_ready()
        everything = total(restored(second, 0))
        assert everything > LINES
        import_orders(system, LINES)
        assert second.stop() == 0
        first, tasks = start(system)
        assert LINES <= total(tasks) < everything + LINES // 2
        assert all(begin > 0 for _, begin in tasks.values())
        check_balances(first, 2 * LINES)

    def test_a_partition_that_moved_away_and_came_back(self, system: System) -> None:
        """What was given to another worker is kept on disk, and caught up with when it returns."""
        first, _ = start(system)
        import_orders(system, 0)
        second = system.start_worker(1)
        second.wait_ready()
        import_orders(system, LINES)
        after = len(first.log_text())
        assert second.stop() == 0
        first.wait_ready()
        import_orders(system, 2 * LINES)
        check_balances(first, 3 * LINES)
        tasks = restored(first, after)
        assert len(tasks) == 4
        assert all(begin > 0 for _, begin in tasks.values())


class TestHealing:
    """Whatever happens to the files, the changelog has the state."""

    def test_wiped_or_damaged_files(self, system: System) -> None:
        """Without files everything is read; with damaged ones too, with a warning; balances are right."""
        worker, _ = start(system)
        import_orders(system, 0)
        stores = system.folder / "worker-0" / "rocksdb"
        assert worker.stop() == 0
        shutil.rmtree(stores)
        worker, tasks = start(system)
        whole = total(tasks)
        assert whole > LINES
        assert all(begin == 0 for _, begin in tasks.values())
        check_balances(worker, LINES)
        assert worker.stop() == 0
        for manifest in stores.glob("accounts/*/MANIFEST-*"):
            manifest.write_bytes(b"rubbish" * 10)
        worker, tasks = start(system)
        assert {tasks for tasks, (_, begin) in tasks.items() if begin == 0} == {"accounts/0", "accounts/1"}
        assert "is rebuilt: Corruption" in worker.log_text()
        check_balances(worker, LINES)

    def test_damage_that_a_running_worker_finds(self, system: System) -> None:
        """The engine goes back to the fence and restores; no wrong balance is answered meanwhile."""
        worker, _ = start(system)
        import_orders(system, 0)
        assert worker.stop() == 0
        worker, _ = start(system)  # opening has moved the write-ahead log into a table file
        assert worker.stop() == 0
        for partition in system.folder.glob("worker-0/rocksdb/accounts/*"):
            table = max(partition.glob("*.sst"), key=lambda path: path.stat().st_size)
            raw = bytearray(table.read_bytes())
            for at in range(2 * 4_096, len(raw) * 2 // 3, 64):  # records, but not what is read at opening
                raw[at] ^= 0xFF
            table.write_bytes(raw)
        worker, _ = start(system)
        seen = set()

        def all_right() -> bool:
            answers = [ask(f"{worker.url}/v1/users/u{number}/balance") for number in range(0, LINES, 10)]
            balances = {(answer.status, answer.body.get("estimated")) for answer in answers}
            seen.update(balances)
            return balances == {(200, 650)}

        wait_for(all_right, 60, f"balances after damage, so far {seen}")
        assert seen <= {(503, None), (200, 650)}
        assert "is damaged and will be rebuilt: Corruption" in worker.log_text()
        import_orders(system, LINES)
        check_balances(worker, 2 * LINES)

    def test_two_workers_with_one_datadir(self, system: System) -> None:
        """The second one is refused before it joins, with a sentence and exit code 78."""
        start(system)
        second = system.start_worker(1, REBATE_DATADIR=str(system.folder / "worker-0"))
        assert second.wait_exit(30) == EXIT_CONFIGURATION
        assert "give every worker its own REBATE_DATADIR" in second.log_text().splitlines()[-1]
