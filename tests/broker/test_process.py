"""Processes are recognised by when they began, not by their number alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rebate_app.broker import process
from rebate_app.broker.process import Running, birth, end, read_pid_file, spawn, write_pid_file
from tests.broker.stand_ins import eventually, program

SLEEP = [sys.executable, "-c", "import time; time.sleep(120)"]


class TestBirth:
    """The same process has the same birth; what is dead has none."""

    def test_it_stays_the_same(self) -> None:
        """Asked twice, the answer is one."""
        assert birth(os.getpid()) == birth(os.getpid())
        assert birth(os.getpid()) != birth(1)

    def test_a_zombie_is_dead(self) -> None:
        """Who only waits for a parent to notice is not alive."""
        child = subprocess.Popen([sys.executable, "-c", ""])
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert birth(child.pid) is None
        child.wait()
        assert birth(child.pid) is None

    def test_without_proc_ps_is_asked(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """On macOS the start time comes from ps, and a zombie is dead there too."""
        monkeypatch.setattr(process, "_PROC", tmp_path / "none")
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
        program(tmp_path / "bin", "ps", "print('S    Mon Jan  5 10:00:00 2026')")
        assert birth(1) == "Mon Jan  5 10:00:00 2026"
        program(tmp_path / "bin", "ps", "print('Z+   Mon Jan  5 10:00:00 2026')")
        assert birth(1) is None
        program(tmp_path / "bin", "ps", "raise SystemExit(1)")
        assert birth(1) is None


class TestSpawn:
    """A session of its own, and no zombie when it ends."""

    def test_it_has_its_own_session_and_ends_when_told(self, tmp_path: Path) -> None:
        """Ctrl-C at our terminal does not reach it; end() does, and the kernel forgets it."""
        running = spawn(SLEEP, output=tmp_path / "log", port=1)
        assert os.getsid(running.pid) == running.pid
        assert running.alive()
        end(running, term_seconds_max=30)
        assert not running.alive()
        eventually(lambda: not Path(f"/proc/{running.pid}").exists())
        end(running, term_seconds_max=30)

    def test_what_it_prints_is_kept(self, tmp_path: Path) -> None:
        """Both streams are appended to the one file."""
        log = tmp_path / "log"
        spawn(
            [sys.executable, "-c", "import os; os.write(1, b'out'); os.write(2, b'err')"], output=log, port=1
        )
        eventually(lambda: log.read_bytes() == b"outerr")


class TestPidFile:
    """It names a live process, or nothing."""

    def test_a_live_process_is_read_back(self, tmp_path: Path) -> None:
        """What was written is read, port included."""
        mine = Running(pid=os.getpid(), birth=birth(os.getpid()) or "", port=19_092)
        write_pid_file(tmp_path / "broker.pid", mine)
        assert read_pid_file(tmp_path / "broker.pid") == mine

    @pytest.mark.parametrize("content", ["", "4711", "[]", '{"pid": "x"}', '{"pid": 1}', "\x00"])
    def test_one_that_cannot_be_read_names_nobody(self, tmp_path: Path, content: str) -> None:
        """A torn or foreign pid file is as good as none."""
        (tmp_path / "broker.pid").write_text(content, encoding="utf-8")
        assert read_pid_file(tmp_path / "broker.pid") is None
