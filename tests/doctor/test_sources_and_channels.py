"""What the doctor says of the files of sources and channels, and of the topics that go with them."""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest

from examples.simulators.payouts.__main__ import channel_entry
from examples.simulators.payouts.keys import make_keys
from rebate_app.doctor.channel_checks import (
    certificate_results,
    check_channels,
    check_payee_keys,
    state_results,
)
from rebate_app.doctor.result import CheckResult
from rebate_app.doctor.source_checks import check_sources, cursor_results
from rebate_app.settings import load_settings
from rebate_app.sources.configuration import read_sources
from rebate_app.sources.cursors import AccountDecision, CursorTopic, encode_decision
from rebate_app.sources.job import JobCursor
from rebate_app.wire.channel_states import ChannelState, encode_state
from tests.doctor.test_on_kafka import findings
from tests.e2e.conftest import NewSystem, new_system

__all__ = ["new_system"]

NOW = dt.datetime.now(dt.UTC)
SOURCES = """
[[app]]
id = "jd"
network = "jd"
app_key = "key"
secret_file = "secret"
[[account]]
id = "jd-1"
app = "jd"
"""
PAYEE_KEYS = "a:" + base64.b64encode(b"k" * 32).decode()


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """Return a file of sources that workers take."""
    secret = tmp_path / "secret"
    secret.touch(0o600)
    secret.write_text("s")
    file = tmp_path / "sources.toml"
    file.write_text(SOURCES)
    return file


@pytest.fixture
def channels(tmp_path: Path) -> Path:
    """Return a file of channels of all kinds that workers take."""
    make_keys(tmp_path / "keys")
    for file in (tmp_path / "keys").iterdir():
        file.chmod(0o600)
    file = tmp_path / "channels.toml"
    kinds = ("http", "alipay", "wechat")
    entries = [channel_entry(kind, "http://127.0.0.1:1", tmp_path / "keys") for kind in kinds]
    file.write_text("".join(entries) + '[[channel]]\nname = "bank"\nkind = "manual"\n')
    return file


def states(results: list[CheckResult]) -> list[str]:
    """Return the states of results."""
    return [result.state for result in results]


class TestSources:
    """REBATE_SOURCES."""

    def test_a_file_that_workers_take(self, sources: Path) -> None:
        """One sentence with its figures."""
        (found,) = check_sources(sources)
        assert (found.state, "1 accounts of 1 apps" in found.summary) == ("ok", True)

    @pytest.mark.parametrize(
        ("spoil", "expected"),
        [
            (lambda file: file.unlink(), "cannot be read"),
            (lambda file: file.write_text("[[app"), "sources.toml"),
            (lambda file: (file.parent / "secret").unlink(), "secret_file secret cannot be read"),
            (lambda file: file.write_text(SOURCES + SOURCES), "account jd-1 stands more than once"),
            (lambda file: file.write_text(SOURCES.replace('"jd"\napp_key', '"amazon"\napp_key')), "network"),
        ],
    )
    def test_what_workers_refuse(self, sources: Path, spoil: Callable[[Path], None], expected: str) -> None:
        """A failure that names the reason."""
        spoil(sources)
        (found,) = check_sources(sources)
        assert (found.state, expected in found.summary) == ("fail", True), found.summary

    def test_secrets_that_others_can_read(self, sources: Path) -> None:
        """A warning that names the file and its mode, and no secret."""
        (sources.parent / "secret").chmod(0o644)
        (found,) = check_sources(sources)
        assert (found.state, "secret (0644)" in found.summary) == ("warn", True)

    def test_an_app_without_accounts(self, sources: Path) -> None:
        """It fetches nothing."""
        sources.write_text(SOURCES + SOURCES.partition("[[account]]")[0].replace('id = "jd"', 'id = "idle"'))
        (found,) = check_sources(sources)
        assert (found.state, "idle" in found.summary) == ("warn", True)

    def test_what_the_topic_of_cursors_says(self, sources: Path) -> None:
        """Paused, never fetched, or fetched."""
        configuration, topic = read_sources(sources), CursorTopic("rebate-fetch-cursors")
        assert "nothing has been fetched" in cursor_results(configuration, topic)[0].summary
        topic.entries["jd-1/rows"] = JobCursor(watermark=1, at=1, day=1, calls_today=1)
        assert states(cursor_results(configuration, topic)) == ["ok"]
        topic.entries["jd-1"] = AccountDecision(paused=True, at=1)
        (found,) = cursor_results(configuration, topic)
        assert (found.state, found.summary) == ("warn", "paused: jd-1")


class TestChannels:
    """REBATE_CHANNELS."""

    def test_a_file_that_workers_take(self, channels: Path) -> None:
        """All names."""
        (found,) = check_channels(channels, NOW)
        assert (found.state, found.summary.endswith("alipay, bank, http, wechat")) == ("ok", True)

    @pytest.mark.parametrize(
        ("spoil", "expected"),
        [
            (lambda file: file.unlink(), "cannot be read"),
            (lambda file: file.write_bytes(b"\xff"), "it is not UTF-8"),
            (lambda file: (file.parent / "keys" / "http.secret").unlink(), "cannot be read"),
            (lambda file: file.write_text(file.read_text() * 2), "occurs twice"),
        ],
    )
    def test_what_workers_refuse(self, channels: Path, spoil: Callable[[Path], None], expected: str) -> None:
        """A failure that names the reason."""
        spoil(channels)
        (found,) = check_channels(channels, NOW)
        assert (found.state, expected in found.summary) == ("fail", True), found.summary

    @pytest.mark.parametrize("name", ["http.secret", "merchant.key", "api_v3.key"])
    def test_secrets_that_others_can_read(self, channels: Path, name: str) -> None:
        """A warning for each file of a secret; a certificate is none."""
        (channels.parent / "keys" / "service.crt").chmod(0o644)
        assert states(check_channels(channels, NOW)) == ["ok"]
        (channels.parent / "keys" / name).chmod(0o640)
        (found,) = check_channels(channels, NOW)
        assert (found.state, f"{name} (0640)" in found.summary) == ("warn", True)

    @pytest.mark.parametrize(("days", "state"), [(3_000, "ok"), (3_630, "warn"), (3_700, "fail")])
    def test_certificates_end(self, channels: Path, days: int, state: str) -> None:
        """30 days before the end a warning, after it a failure, with the date."""
        found = check_channels(channels, NOW + dt.timedelta(days=days))
        assert set(states(found)) == {state}
        assert state == "ok" or all(".crt" in each.summary and "end" in each.summary for each in found)

    def test_a_bare_public_key_does_not_end(self, channels: Path) -> None:
        """WeChat hands those out beside certificates."""
        file = channels.parent / "keys" / "bare"
        file.write_text("-----BEGIN PUBLIC KEY-----")
        assert list(certificate_results([("platform_key_file", file)], NOW)) == []

    def test_keys_of_payees(self, channels: Path) -> None:
        """One that is no key is a failure, without its text."""
        given = {"REBATE_CHANNELS": str(channels), "REBATE_PAYEE_ID_KEY": "i" * 32}
        assert check_payee_keys(load_settings(given | {"REBATE_PAYEE_KEYS": PAYEE_KEYS})).state == "ok"
        found = check_payee_keys(load_settings(given | {"REBATE_PAYEE_KEYS": "a:hidden"}))
        assert (found.state, "hidden" in found.summary) == ("fail", False)

    def test_what_the_topic_of_states_says(self) -> None:
        """Who closed what, why and since when."""
        known = {
            "a": ChannelState("open", "key:x", "", 1),
            "b": ChannelState("paused", "rebate", "payer", 1_000),
        }
        found = state_results(["a", "b", "c"], known)
        assert states(found) == ["ok", "warn", "warn"]
        assert found[1].summary == "b is paused since 1970-01-01T08:00:01+08:00 by rebate: payer"
        assert found[2].summary == "c is closed: nobody has opened it"


@pytest.mark.kafka
class TestOnKafka:
    """All of it, on a real cluster."""

    def test_files_and_topics(self, new_system: NewSystem, sources: Path, channels: Path) -> None:
        """Nothing is read without the settings; with them, what is open, paused and never fetched."""
        system = new_system()
        names = {"sources", "source cursors", "channels", "channel states", "payee keys"}
        unset = findings(system)
        assert names & unset.keys() == {"sources", "channels", "payee keys"}
        assert all("not set" in unset[name][0]["says"] for name in ("sources", "channels"))
        system._environment |= {
            "REBATE_SOURCES": str(sources),
            "REBATE_CHANNELS": str(channels),
            "REBATE_PAYEE_KEYS": PAYEE_KEYS,
            "REBATE_PAYEE_ID_KEY": "i" * 32,
        }
        opened = encode_state("bank", ChannelState("open", "key:x", "", 1))
        system.produce(system.topics.channels, [opened])
        system.produce(
            system.topics.fetch_cursors, [encode_decision("jd-1", AccountDecision(paused=True, at=1))]
        )
        found = findings(system)
        assert {name: [each["state"] for each in found[name]] for name in names} == {
            "sources": ["ok"],
            "source cursors": ["warn"],
            "channels": ["ok"],
            "channel states": ["warn", "ok", "warn", "warn"],
            "payee keys": ["ok"],
        }
        channels.write_text("[[channel]")
        assert findings(system, code=1)["channels"][0]["state"] == "fail"
