"""Which Java is taken, and what is installed or said if there is none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rebate_app.broker import BrokerSetupError
from rebate_app.broker.java import APT_PACKAGES, find_java, find_maven, java_version
from tests.broker.stand_ins import java, program

APT = """
import pathlib, sys
folder = pathlib.Path({folder!r})
with (folder / "asked").open("a") as file: file.write(" ".join(sys.argv[1:]) + "\\n")
if sys.argv[1] == "install":
    for name in ("java", "mvn"):
        (folder / name).write_text((folder / "later").read_text())
        (folder / name).chmod(0o755)
sys.exit({code})
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the only folder on the PATH; JAVA_HOME is not set, and we are nobody special."""
    folder = tmp_path / "path"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    return folder


class TestFindJava:
    """JAVA_HOME's before the PATH's, and never one that is too old."""

    def test_java_home_comes_first(self, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Both are new enough: JAVA_HOME was meant."""
        java(path.parent / "other")
        program(path, "java", (path.parent / "other/bin/java").read_text(encoding="utf-8"))
        monkeypatch.setenv("JAVA_HOME", str(java(tmp_path / "home", version="21.0.2")))
        assert find_java() == tmp_path / "home/bin/java"

    def test_one_that_is_too_old_is_passed_over(
        self, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An old JAVA_HOME is no reason not to use the PATH's Java."""
        monkeypatch.setenv("JAVA_HOME", str(java(tmp_path / "home", version="1.8.0_392")))
        java(tmp_path / "new", version="17")
        (path / "java").symlink_to(tmp_path / "new/bin/java")
        assert find_java() == path / "java"

    def test_only_an_old_one_is_named_with_its_version(self, path: Path, tmp_path: Path) -> None:
        """The sentence says which one was found and what it is."""
        java(tmp_path / "old", version="11.0.4")
        (path / "java").symlink_to(tmp_path / "old/bin/java")
        with pytest.raises(BrokerSetupError, match=r"java is of version 11: install it"):
            find_java()

    def test_one_that_does_not_work_is_named(self, path: Path) -> None:
        """A java that ends with an error is as good as none, but the sentence says so."""
        program(path, "java", "raise SystemExit(1)")
        with pytest.raises(BrokerSetupError, match="java does not work"):
            find_java()

    def test_no_program_has_no_version(self, path: Path) -> None:
        """What is not there tells nothing."""
        assert java_version(path / "java") is None

    def test_a_java_home_that_is_empty_is_none(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """JAVA_HOME that leads nowhere: there is no java."""
        monkeypatch.setenv("JAVA_HOME", str(path))
        with pytest.raises(BrokerSetupError, match="no java in JAVA_HOME or on the PATH"):
            find_java()


class TestInstall:
    """Root on Debian gets what is missing; nobody else's system is touched."""

    @pytest.fixture
    def apt(self, path: Path, tmp_path: Path) -> Path:
        """Put an apt-get on the PATH that installs stand-ins, and return the file of what it was asked."""
        program(path, "apt-get", APT.format(folder=str(path), code=0))
        later = java(tmp_path / "later") / "bin/java"
        (path / "later").write_text(later.read_text(encoding="utf-8"), encoding="utf-8")
        return path / "asked"

    def test_root_with_apt_gets_java_and_maven(
        self, path: Path, apt: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Both are installed, without questions, and it is said on stderr."""
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        assert find_java() == path / "java"
        assert find_maven() == path / "mvn"
        commands = apt.read_text(encoding="utf-8").splitlines()
        assert [line.split()[0] for line in commands] == ["update", "install"]
        assert commands[1].endswith(" ".join(APT_PACKAGES))
        out, err = capsys.readouterr()
        assert (out, err) == ("", "Installing maven and default-jre-headless ...\n")

    def test_maven_alone(self, path: Path, apt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What asks for Maven first gets it too."""
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        assert find_maven() == path / "mvn"

    def test_who_is_not_root_is_told(self, path: Path, apt: Path) -> None:
        """apt-get is not even called."""
        with pytest.raises(BrokerSetupError):
            find_maven()
        assert not apt.exists()

    @pytest.mark.parametrize("fault", ["raise SystemExit(100)", "import time; time.sleep(120)"])
    def test_an_installation_that_fails_is_told(
        self, path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No package, or no answer: the sentence is the same as without apt-get."""
        program(path, "apt-get", fault)
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        monkeypatch.setattr("rebate_app.broker.java.APT_SECONDS_MAX", 0.5)
        with pytest.raises(BrokerSetupError, match="Java 17"):
            find_java()
