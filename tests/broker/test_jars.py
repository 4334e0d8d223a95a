"""The jars are exactly the pinned ones, or there are none."""

from __future__ import annotations

import hashlib
import shutil
import threading
from pathlib import Path

import pytest

from rebate_app.broker import BrokerBusyError, BrokerSetupError, ensure_jars, jars
from tests.broker.stand_ins import program
from tests.kafka_fixture import JARS_HOME

#: An mvn that notes that it ran, and copies the real jars to where it was told to.
COPIES = """
import pathlib, shutil, sys
target = pathlib.Path(next(w for w in sys.argv if w.startswith("-DoutputDirectory=")).split("=", 1)[1])
with open({runs!r}, "a") as file: file.write("ran\\n")
shutil.copytree({libs!r}, target, copy_function=__import__("os").link)
{then}
"""


@pytest.fixture(scope="session")
def libs() -> Path:
    """Return the real jars."""
    return ensure_jars(JARS_HOME)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Return the file in which the stand-in for mvn notes its runs."""
    return tmp_path / "runs"


@pytest.fixture
def maven(tmp_path: Path, libs: Path, runs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a stand-in for mvn first on the PATH, and return its folder."""
    folder = tmp_path / "bin"
    program(folder, "mvn", COPIES.format(runs=str(runs), libs=str(libs), then=""))
    monkeypatch.setenv("PATH", str(folder))
    return folder


class TestEnsureJars:
    """Idempotent, whole or not at all, and one at a time."""

    def test_the_real_jars_are_the_pinned_ones(self, libs: Path) -> None:
        """Every file has the hash of jars.properties, and no other file is there."""
        found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in libs.iterdir()}
        assert found == dict(jars.pinned_hashes())
        assert f"kafka_2.13-{jars.KAFKA_VERSION}.jar" in found

    def test_what_is_there_is_not_downloaded_again(self, maven: Path, runs: Path, tmp_path: Path) -> None:
        """The second call finds what the first one made; only the first says that it downloads."""
        messages: list[str] = []
        first = ensure_jars(tmp_path / "home", progress=messages.append)
        assert ensure_jars(tmp_path / "home", progress=messages.append) == first
        assert runs.read_text(encoding="utf-8") == "ran\n"
        assert len(messages) == 1

    @pytest.mark.parametrize("damage", ["truncated", "missing", "stranger", "folder"])
    def test_a_broken_folder_is_repaired(self, maven: Path, libs: Path, tmp_path: Path, damage: str) -> None:
        """A jar that is cut short or missing, or a file that is not ours, is replaced by the right set."""
        home = tmp_path / "home"
        broken = home / jars.KAFKA_VERSION / "libs"
        shutil.copytree(libs, broken, copy_function=shutil.copyfile)
        victim = min(broken.glob("kafka-clients-*.jar"))
        if damage == "truncated":
            victim.write_bytes(victim.read_bytes()[:1000])
        elif damage == "missing":
            victim.unlink()
        elif damage == "stranger":
            (broken / "evil.jar").write_bytes(b"PK")
        else:
            shutil.rmtree(broken)
        assert jars.fault(broken) is not None
        assert jars.fault(ensure_jars(home)) is None
        assert sorted(path.name for path in home.iterdir()) == [jars.KAFKA_VERSION, "download.log", "lock"]

    def test_what_a_killed_download_left_is_cleared_away(self, maven: Path, tmp_path: Path) -> None:
        """A folder that was never finished is never used and does not stay."""
        (tmp_path / "home" / "part-1" / "libs").mkdir(parents=True)
        ensure_jars(tmp_path / "home")
        assert list((tmp_path / "home").glob("part-*")) == []

    def test_two_at_once_download_once(self, maven: Path, runs: Path, tmp_path: Path) -> None:
        """Who comes second waits, and takes what the first has made."""
        threads = [threading.Thread(target=ensure_jars, args=[tmp_path / "home"]) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
        assert runs.read_text(encoding="utf-8") == "ran\n"
        assert jars.fault(tmp_path / "home" / jars.KAFKA_VERSION / "libs") is None


class TestFailures:
    """A download that fails is one clear sentence, and leaves nothing that looks like jars."""

    def test_maven_says_why(self, maven: Path, tmp_path: Path) -> None:
        """The first error of its output is quoted, and its log is named."""
        program(maven, "mvn", "print('[INFO] x\\n[ERROR] No route to host -> [Help 1]'); raise SystemExit(1)")
        with pytest.raises(BrokerBusyError, match=r"failed: No route to host\. See .*download.log"):
            ensure_jars(tmp_path / "home")
        assert not (tmp_path / "home" / jars.KAFKA_VERSION).exists()

    def test_maven_says_nothing(self, maven: Path, tmp_path: Path) -> None:
        """Then the sentence says that."""
        program(maven, "mvn", "raise SystemExit(1)")
        with pytest.raises(BrokerBusyError, match="Maven says nothing"):
            ensure_jars(tmp_path / "home")

    def test_a_file_that_is_not_the_pinned_one_is_never_used(
        self, maven: Path, libs: Path, runs: Path, tmp_path: Path
    ) -> None:
        """Wrong bytes from a download that went well: refused, named, and not kept."""
        then = "jar = min(target.glob('kafka_*.jar')); jar.unlink(); jar.write_bytes(b'PK')"
        program(maven, "mvn", COPIES.format(runs=str(runs), libs=str(libs), then=then))
        with pytest.raises(BrokerBusyError, match=r"broken, kafka_.*jar is not the file"):
            ensure_jars(tmp_path / "home")
        assert not (tmp_path / "home" / jars.KAFKA_VERSION).exists()

    def test_a_download_that_hangs_is_ended(
        self, maven: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The wait has an end, and its sentence says to try again."""
        program(maven, "mvn", "import time; time.sleep(120)")
        monkeypatch.setattr(jars, "DOWNLOAD_SECONDS_MAX", 0.2)
        with pytest.raises(BrokerBusyError, match="try again"):
            ensure_jars(tmp_path / "home")

    def test_a_maven_that_cannot_be_run(self, maven: Path, tmp_path: Path) -> None:
        """A program that the system refuses to start is a sentence too."""
        (maven / "mvn").write_text("#!/no/such/interpreter\n", encoding="utf-8")
        with pytest.raises(BrokerSetupError, match="could not be run"):
            ensure_jars(tmp_path / "home")

    def test_no_maven(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """It says what to install, and that REBATE_BROKER is the other way."""
        monkeypatch.setenv("PATH", "")
        with pytest.raises(BrokerSetupError, match=r"no mvn on the PATH: install it.*REBATE_BROKER"):
            ensure_jars(tmp_path / "home")
