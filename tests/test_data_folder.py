"""Folders with orders and balances are entered by their owner only."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from rebate_app.broker import BrokerError, LocalKafka, free_port
from rebate_app.data_folder import make_private, open_to_others, tighten
from rebate_app.doctor.local_checks import check_folder, check_secret_files
from rebate_app.settings import ConfigurationError, load_settings
from rebate_app.streams.state.folder import LOCK_FILE, StoreFolder
from tests.broker.stand_ins import DIES, java
from tests.kafka_fixture import JARS_HOME

SOURCES = Path(__file__).parents[1] / "rebate_app"
SOMEBODY = 12_345


def mode(path: Path) -> int:
    """Return the permissions of a path."""
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=[0o000, 0o022])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    """Set a umask under which a plain mkdir leaves a folder open."""
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    """Return a folder that everybody can enter."""
    folder = tmp_path / "wide"
    folder.mkdir()
    folder.chmod(0o755)
    return folder


@pytest.mark.usefixtures("umask")
class TestMade:
    """A folder is private from its first moment, whatever the umask."""

    def test_with_every_missing_parent(self, wide: Path) -> None:
        """What exists keeps its mode, what is made is 0700."""
        make_private(wide / "a" / "b")
        make_private(wide / "a" / "b")
        assert [mode(path) for path in (wide, wide / "a", wide / "a" / "b")] == [0o755, 0o700, 0o700]

    def test_a_file_in_its_place_is_an_error(self, tmp_path: Path) -> None:
        """Also one in the place of a parent."""
        (tmp_path / "file").write_text("")
        for folder in (tmp_path / "file", tmp_path / "file" / "below"):
            with pytest.raises(OSError, match=r"Not a directory|File exists"):
                make_private(folder)

    def test_by_the_local_broker(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Records, logs and pid file of the broker are in folders of its user."""
        monkeypatch.setenv("JAVA_HOME", str(java(tmp_path / "java", kafka=DIES)))
        broker = LocalKafka(tmp_path / "new" / "broker", free_port(), jars_home=JARS_HOME)
        with pytest.raises(BrokerError):
            broker.start()
        made = [broker.data_dir.parent, broker.data_dir, broker.data_dir / "logs"]
        assert [mode(path) for path in made] == [0o700] * 3

    def test_by_the_stores(self, tmp_path: Path) -> None:
        """Without a worker's data folder the stores make it."""
        folder = tmp_path / "data"
        stores = StoreFolder(load_settings({"REBATE_DATADIR": str(folder)}))
        stores._take_lock()
        stores.close()
        assert (mode(folder), mode(stores.path), mode(stores.path / LOCK_FILE)) == (0o700, 0o700, 0o600)


class TestTightened:
    """A folder of ours that was open is closed; what is not ours is reported."""

    def test_ours_is_closed(self, wide: Path) -> None:
        """Without a word, since nobody has to do anything."""
        assert tighten(wide) == ""
        assert mode(wide) == 0o700
        assert open_to_others(wide) == ""

    def test_the_local_brokers_is_closed(self, wide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """One that an earlier version made is closed at the next start."""
        monkeypatch.setenv("JAVA_HOME", str(java(wide.parent / "java", kafka=DIES)))
        with pytest.raises(BrokerError):
            LocalKafka(wide, free_port(), jars_home=JARS_HOME).start()
        assert mode(wide) == 0o700

    def test_a_shared_one_stays(self, wide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A home folder and one like /tmp are used by other programs."""
        monkeypatch.setenv("HOME", str(wide))
        assert tighten(wide) == f"other users can enter the data folder {wide}: its mode is 0755, not 0700"
        monkeypatch.undo()
        wide.chmod(0o1777)
        assert "its mode is 1777" in tighten(wide)
        assert mode(wide) == 0o1777

    def test_somebody_elses_stays(self, wide: Path) -> None:
        """A volume of another user is not ours to change, even where we could."""
        if os.geteuid() == 0:
            os.chown(wide, SOMEBODY, SOMEBODY)
        else:
            wide = Path("/usr")
        before = mode(wide)
        assert str(wide) in tighten(wide)
        assert mode(wide) == before

    def test_doctor_warns(self, wide: Path) -> None:
        """Before a worker has started there, doctor shows it with the remedy."""
        settings = load_settings({"REBATE_DATADIR": str(wide)})
        check = check_folder(settings)
        assert (check.state, check.remedy.split(";")[0]) == ("warn", f"chmod 700 {wide}")
        tighten(wide)
        assert check_folder(settings).state == "ok"


class TestSecretFiles:
    """Doctor shows which file with a secret other users can read."""

    @pytest.mark.parametrize("name", ["WEBHOOK_SECRET", "SASL_PASSWORD", "WEBHOOK_URL"])
    @pytest.mark.parametrize(
        ("mode", "state"), [(0o644, "warn"), (0o640, "warn"), (0o600, "ok"), (0o400, "ok")]
    )
    def test_each_mode(self, tmp_path: Path, name: str, mode: int, state: str) -> None:
        """0600 is right."""
        (tmp_path / "secret").write_text("s")
        (tmp_path / "secret").chmod(mode)
        check = check_secret_files({f"REBATE_{name}_FILE": str(tmp_path / "secret"), "PATH": "/bin"})
        assert check.state == state
        assert (str(tmp_path / "secret") in check.remedy) == (state == "warn")

    def test_what_holds_no_secret_is_not_looked_at(self, wide: Path) -> None:
        """REBATE_TLS_CA_FILE is public, and no file need be named at all."""
        assert check_secret_files({"REBATE_TLS_CA_FILE": str(wide)}).state == "ok"
        assert check_secret_files({}).state == "ok"


def test_nothing_else_makes_folders() -> None:
    """A new place that writes files uses `make_private`, which gives its folder the right mode."""
    makes = {
        str(path.relative_to(SOURCES))
        for path in SOURCES.rglob("*.py")
        if "mkdir(" in path.read_text(encoding="utf-8") or "makedirs(" in path.read_text(encoding="utf-8")
    }
    assert makes == {"data_folder.py", "broker/jars.py"}  # jars: within a folder that was made private


def test_a_folder_that_cannot_be_used_is_a_fault_of_the_configuration(tmp_path: Path) -> None:
    """The stores report it in one sentence."""
    (tmp_path / "file").write_text("")
    stores = StoreFolder(load_settings({"REBATE_DATADIR": str(tmp_path / "file")}))
    with pytest.raises(ConfigurationError, match="REBATE_DATADIR cannot be written"):
        stores._take_lock()
