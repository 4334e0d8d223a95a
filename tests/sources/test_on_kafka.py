"""Fetching on a real Apache Kafka, from simulators that are served over HTTP."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from examples.simulators.network import Network
from examples.simulators.server import fast_clock, new_network, serving
from rebate_app.broker import free_port
from rebate_app.settings import Settings
from rebate_app.wire.topics import Topics
from tests.cli.cases import read_all, run, use_broker
from tests.e2e.conftest import RULES
from tests.rig.system import System, Worker
from tests.rig.waiting import wait_for

pytestmark = pytest.mark.kafka
DAYS = 2
#: The local clock is five minutes ahead of the network's.
CLOCK_ERROR_SECONDS = 300


def write_sources(
    folder: Path, urls: dict[str, str], *, per_second: int = 500, scenes: tuple[int, ...] = (1, 3)
) -> Path:
    """Write a file of sources with one app and one account for each network, read from DAYS ago on."""
    (folder / "secret").write_text("secret\n")
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - DAYS * 86_400 - 3_600))
    lines = []
    for name, url in urls.items():
        keys = {"id": name, "network": name, "url": url, "app_key": "key", "secret_file": "secret"}
        lines += ["[[app]]", *(f'{key} = "{value}"' for key, value in keys.items())]
        lines += [f"per_second = {per_second}"]
        lines += ["[[account]]", f'id = "{name}-1"', f'app = "{name}"', f"since = {since}"]
        lines += [f"scenes = {list(scenes)}"] if name == "taobao" else []
    path = folder / "sources.toml"
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def networks() -> Iterator[dict[str, tuple[Network, str]]]:
    """Serve every network, with rows of the last days."""
    begin = int(time.time()) - DAYS * 86_400
    clock = fast_clock(time.time() - CLOCK_ERROR_SECONDS, 1)
    found = {name: new_network(name, 120, begin, DAYS) for name in ("taobao", "jd", "pdd")}
    with (
        serving(found["taobao"], clock) as taobao,
        serving(found["jd"], clock) as jd,
        serving(found["pdd"], clock) as pdd,
    ):
        urls = {"taobao": taobao, "jd": jd, "pdd": pdd}
        yield {name: (network, urls[name]) for name, network in found.items()}


@pytest.fixture
def settings(kafka: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return settings of a broker without topics of this test."""
    return use_broker(monkeypatch, kafka)


class TestPoll:
    """`rebate sources poll --once`."""

    def test_every_row_arrives_and_a_second_poll_goes_on_behind_it(
        self,
        settings: Settings,
        networks: dict[str, tuple[Network, str]],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Watermarks are kept, nothing depends on the local clock, and status shows what there is."""
        path = write_sources(tmp_path, {name: url for name, (_, url) in networks.items()})
        monkeypatch.setenv("REBATE_SOURCES", str(path))
        checked = run("sources", "check", "--json")
        assert (checked.code, {each["result"] for each in checked.json["items"]}) == (0, {"ok"})
        outcome = run("sources", "poll", "--once", "--json")
        assert outcome.code == 0, outcome
        keys = {key.decode() for key, _ in read_all(settings, Topics.of(settings).orders)}
        now = time.time() - CLOCK_ERROR_SECONDS - 120
        for name, (network, _) in networks.items():
            shown = {f"{name}:{line}" for line in network.world.last_versions(now)}
            assert shown <= keys
        calls = {name: len(network.calls) for name, (network, _) in networks.items()}
        again = run("sources", "poll", "--once", "--json")
        assert again.code == 0
        assert all(len(network.calls) - calls[name] < 12 for name, (network, _) in networks.items())
        items = {item["account"]: item for item in again.json["items"]}
        assert set(items) == {"taobao-1", "jd-1", "pdd-1"}
        assert abs(items["jd-1"]["clock_skew_s"] - CLOCK_ERROR_SECONDS) < 5
        assert items["pdd-1"]["jobs"][0]["age_seconds"] < 120


def items_of(url: str) -> dict[str, dict[str, Any]]:
    """Return what a worker answers about every account."""
    with urllib.request.urlopen(f"{url}/v1/sources", timeout=10) as answer:  # noqa: S310 - loopback
        return {item["account"]: item for item in json.loads(answer.read())["items"]}


class TestWorkers:
    """Workers fetch by themselves, and hand accounts over."""

    def test_two_workers_one_of_which_is_killed(
        self, kafka: str, networks: dict[str, tuple[Network, str]], tmp_path: Path, topic_prefix: str
    ) -> None:
        """Every account is fetched by one of them; the other goes on behind the watermark; pause holds."""
        path = write_sources(tmp_path, {name: url for name, (_, url) in networks.items()})
        with System(kafka, topic_prefix, tmp_path, [RULES], REBATE_SOURCES=str(path)) as system:
            first, second = system.start_worker(), system.start_worker()
            for worker in (first, second):
                worker.wait_ready(60)
            wait_for(lambda: self._all_read(second.url), 60, "all accounts are read")
            owners = {item["worker"] for item in items_of(first.url).values()}
            assert owners <= {first.url, second.url}
            first.kill()
            wait_for(lambda: self._are_run_by(second.url, {second.url}), 60, "the other has taken over")
            items = items_of(second.url)
            assert all(item["state"] == "running" for item in items.values())
            done = system.command("sources", "pause", "jd-1")
            assert done.returncode == 0, done.stderr
            wait_for(lambda: items_of(second.url)["jd-1"]["state"] == "paused", 20, "the account is paused")
            calls = len(networks["jd"][0].calls)
            wait_for(lambda: items_of(second.url)["pdd-1"]["state"] == "running", 20, "others go on")
            assert len(networks["jd"][0].calls) == calls
            metrics = urllib.request.urlopen(f"{second.url}/metrics", timeout=10).read().decode()  # noqa: S310
            assert 'rebate_source_watermark_age_seconds{account="pdd-1",job="increment"}' in metrics
            assert 'rebate_source_calls_total{app="pdd",method=' in metrics
            self._poll_leaves_them_to_the_worker(system, second, networks)
        keys = {key.decode() for key, _ in read_all(system.settings, system.topics.orders)}
        now = time.time() - CLOCK_ERROR_SECONDS - 300
        for name, (network, _) in networks.items():
            assert {f"{name}:{line}" for line in network.world.last_versions(now)} <= keys

    @staticmethod
    def _poll_leaves_them_to_the_worker(
        system: System, worker: Worker, networks: dict[str, tuple[Network, str]]
    ) -> None:
        """`poll --once` beside a worker makes no call of its own: an app's rate is that of all together."""
        network = networks["jd"][0]  # paused: every call to it would be the command's
        calls = len(network.calls)
        done = system.command("sources", "poll", "--once", "--json", url=worker.url)
        assert done.returncode == 0, done.stderr
        found = {item["account"]: item["worker"] for item in json.loads(done.stdout)["items"]}
        assert found == dict.fromkeys(("taobao-1", "jd-1", "pdd-1"), worker.url)
        assert f"jd-1 is fetched by {worker.url} and left to it." in done.stderr
        assert len(network.calls) == calls

    @staticmethod
    def _all_read(url: str) -> bool:
        jobs = [job for item in items_of(url).values() for job in item["jobs"]]
        return len(jobs) == 5 and all((job["age_seconds"] or 10**9) < 200 for job in jobs)

    @staticmethod
    def _are_run_by(url: str, workers: set[str]) -> bool:
        return {item["worker"] for item in items_of(url).values()} == workers


class TestDecisions:
    """Pause, resume and backfill, by what the next poll does."""

    def test_they_hold_for_the_next_poll(
        self,
        settings: Settings,
        networks: dict[str, tuple[Network, str]],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """A paused account makes no call; a backfill is read once, at the next poll.

        Pause and first backfill come from a machine whose clock is ten minutes ahead.
        """
        network, url = networks["jd"]
        monkeypatch.setenv("REBATE_SOURCES", str(write_sources(tmp_path, {"jd": url})))
        monkeypatch.setenv("REBATE_URL", f"http://127.0.0.1:{free_port()}")
        with monkeypatch.context() as ahead:
            clock = SimpleNamespace(time_ns=lambda: time.time_ns() + 600 * 10**9, monotonic=time.monotonic)
            ahead.setattr("rebate_app.cli.sources_actions.time", clock)
            assert run("sources", "pause", "jd-1", "--json").json == {"account": "jd-1", "paused": True}
        polled = run("sources", "poll", "--once", "--json")
        assert (polled.code, polled.json["items"][0]["state"], network.calls) == (0, "paused", [])
        assert run("sources", "status", "--json").json["items"][0]["state"] == "paused"
        assert run("sources", "resume", "jd-1").code == 0
        assert run("sources", "poll", "--once").code == 0
        assert run("sources", "status").code == 0
        monkeypatch.setattr("rebate_app.cli.sources_actions.TAKEN_SECONDS_MAX", 0.0)
        day = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 86_400))
        times = ("--from", f"{day}T00:00:00+08:00", "--to", f"{day}T12:00:00+08:00")
        waiting = run("sources", "backfill", "--account", "jd-1", *times)
        assert (waiting.code, "poll --once" in waiting.stderr) == (75, True)
        assert run("sources", "resume", "jd-1").code == 0  # the backfill stays asked for
        calls = len(network.calls)
        assert run("sources", "poll", "--once").code == 0
        assert len(network.calls) - calls >= 12
        done = run("sources", "backfill", "--account", "jd-1", *times, "--json")
        assert done.code == 75  # a new request for the same interval, since the last one is read
        network.secret = "another"  # noqa: S105
        assert run("sources", "poll", "--once").code == 1
