"""Brokers start with an archive of their classes where there is one that fits, and without it otherwise."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from rebate_app.broker import LocalKafka, ensure_jars, free_port
from rebate_app.broker.class_archive import ensure_archive, fits
from rebate_app.broker.java import find_java
from rebate_app.broker.member import Member, archive_of
from tests.broker import stand_ins
from tests.kafka_fixture import JARS_HOME, guarded, start_on_a_free_port

#: Ends in order as a JVM does: what it shall archive is written then.
ARCHIVES = (
    "path = next(word.split('=', 1)[1] for word in words if word.startswith('-XX:ArchiveClassesAtExit='))\n"
    "def end(*_):\n    pathlib.Path(path).write_text('classes')\n    sys.exit(0)\n"
    "signal.signal(signal.SIGTERM, end)\nlog.write_text('listens')\ntime.sleep(120)"
)


@pytest.fixture
def libs(tmp_path: Path) -> Path:
    """Return a folder in the place of the jars'."""
    folder = tmp_path / "kafka" / "libs"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where the broker that writes the archive has its folder."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def use_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kafka: str) -> Path:
    """Put a stand-in in the place of java; return it."""
    home = stand_ins.java(tmp_path / "java", kafka=kafka)
    monkeypatch.setenv("JAVA_HOME", str(home))
    return home / "bin" / "java"


@pytest.mark.kafka
class TestReal:
    """The archive that `make jars` wrote."""

    def test_it_is_there_and_brokers_use_it(self, tmp_path: Path) -> None:
        """A broker of ours has it in its memory."""
        libs = ensure_jars(JARS_HOME)
        assert ensure_archive(libs)
        assert fits(find_java(), libs)
        with guarded(tmp_path):
            broker = start_on_a_free_port(tmp_path)
            try:
                pid = broker.status().pid
                maps = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace")
            finally:
                broker.stop()
        assert str(archive_of(libs).resolve()) in maps

    def test_it_fits_only_these_files(self, tmp_path: Path) -> None:
        """With jars that were copied later it is not used, and a broker starts all the same."""
        libs = ensure_jars(JARS_HOME)
        assert ensure_archive(libs)
        copied = tmp_path / "home" / libs.parent.name / libs.name
        shutil.copytree(libs, copied, copy_function=shutil.copyfile)
        shutil.copyfile(archive_of(libs), archive_of(copied))
        assert not fits(find_java(), copied)
        data = tmp_path / "data"
        with guarded(data), LocalKafka(data, free_port(), jars_home=tmp_path / "home") as broker:
            assert broker.status().answering


class TestWriting:
    """It is written by one broker that is started and ended, whole or not at all."""

    def test_one_start_and_one_end_write_it(
        self, tmp_path: Path, libs: Path, folders: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What the JVM writes at its end is put in its place; nothing else is left; then it is used."""
        java = use_java(tmp_path, monkeypatch, ARCHIVES)

        def listens(self: Member, *_arguments: object, **_options: object) -> None:
            stand_ins.eventually((self.node.logs / "server.log").exists)

        monkeypatch.setattr(Member, "await_answer", listens)
        says: list[str] = []
        assert ensure_archive(libs, progress=says.append)
        assert archive_of(libs).read_text(encoding="utf-8") == "classes"
        assert list(folders.iterdir()) == []
        assert fits(java, libs)
        assert ensure_archive(libs, progress=says.append)
        assert len(says) == 1
        assert not list(libs.parent.glob("*.part"))

    def test_a_broker_that_fails_leaves_none(
        self, tmp_path: Path, libs: Path, folders: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing is raised, nothing runs, and brokers start without it."""
        use_java(tmp_path, monkeypatch, stand_ins.DIES)
        assert not ensure_archive(libs)
        assert not archive_of(libs).exists()
        assert list(folders.iterdir()) == []

    def test_a_java_that_shares_no_classes_is_not_asked_to(
        self, tmp_path: Path, libs: Path, folders: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No broker is started for nothing at each call."""
        says: list[str] = []
        java = use_java(tmp_path, monkeypatch, stand_ins.DIES)
        text = java.read_text(encoding="utf-8")
        refusal = 'if "-Xshare:on" in words: sys.exit(1)\n'
        java.write_text(text.replace('if "-version"', refusal + 'if "-version"'), encoding="utf-8")
        assert not ensure_archive(libs, progress=says.append)
        assert says == []

    def test_without_java(self, libs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The jars can be fetched all the same."""
        monkeypatch.setenv("PATH", "")
        monkeypatch.delenv("JAVA_HOME", raising=False)
        assert not ensure_archive(libs)
