"""A healthy worker's log has no warning: on its first start, through a rebalance, and at its end."""

from __future__ import annotations

import re
import stat

from tests.e2e.conftest import NewSystem
from tests.e2e.test_workers import USERS, order, owned
from tests.rig.system import System, Worker
from tests.rig.waiting import wait_for

TOKEN = "t0psecret"  # noqa: S105 - stands for one
FORMAT = re.compile(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}\] \[\d+\] \[INFO\] .*")
BANNER = re.compile(r"[+|].*[+|]")


def complaints(worker: Worker) -> list[str]:
    """Return the lines of a log that are neither the banner nor information."""
    lines = worker.log_text().splitlines()
    assert len(lines) > 20
    return [line for line in lines if not FORMAT.fullmatch(line) and not BANNER.fullmatch(line)]


def test_start_rebalance_and_end_log_nothing_above_info(new_system: NewSystem) -> None:
    """Two workers on new topics, orders, one joins and leaves: information only, and no secret in it."""
    system: System = new_system(
        REBATE_STORE="rocksdb",
        REBATE_STANDBYS="1",
        REBATE_SESSION_TIMEOUT="30",  # a machine that stands still for some seconds is not what is tested
        REBATE_TRANSACTION_TIMEOUT="25",
        REBATE_WEBHOOK_URL=f"http://127.0.0.1:9/{TOKEN}?key={TOKEN}",
        REBATE_WEBHOOK_SECRET=TOKEN,
    )
    wide = system.folder / "worker-0"
    wide.mkdir(0o755)
    first = system.start_worker(0)
    first.wait_ready()
    system.send_orders(order(user) for user in USERS)
    second = system.start_worker(1)
    second.wait_ready()
    wait_for(lambda: owned(first) == owned(second) == 4, 60, "4 of 8 partitions each")
    system.wait_idle()
    assert second.stop() == 0
    wait_for(lambda: owned(first) == 8, 60, "all partitions go back")
    system.wait_idle()
    assert first.stop() == 0
    for worker in (first, second):
        assert complaints(worker) == []
        assert "REBATE_WEBHOOK_URL=http://127.0.0.1:9 " in worker.log_text()
        assert TOKEN not in worker.log_text()
    for folder in (wide, system.folder / "worker-1"):
        inside = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
        assert {stat.S_IMODE(path.stat().st_mode) for path in inside[:2]} == {0o700}


def test_a_data_folder_that_cannot_be_made_ends_the_start(new_system: NewSystem) -> None:
    """Exit code 78 and one sentence, no traceback."""
    system: System = new_system()
    (system.folder / "file").write_text("")
    worker = system.start_worker(REBATE_DATADIR=str(system.folder / "file" / "data"))
    assert worker.wait_exit(60) == 78
    assert "REBATE_DATADIR cannot be used" in worker.log_text()
    assert "Traceback" not in worker.log_text()


def test_a_data_folder_that_stays_open_is_a_warning(new_system: NewSystem) -> None:
    """A folder that other programs use is left as it is, and the log says so."""
    system: System = new_system()
    shared = system.folder / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    worker = system.start_worker(REBATE_DATADIR=str(shared))
    worker.wait_ready()
    (line,) = complaints(worker)
    assert f"other users can enter the data folder {shared}: its mode is 1777" in line
    assert worker.stop() == 0
