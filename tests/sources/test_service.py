"""A worker's sources beside the engine: what a changed file does to accounts that are stopped."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rebate_app.sources.account import AccountRun
from rebate_app.sources.apis.api import load_api
from rebate_app.sources.app import AppRun
from rebate_app.sources.configuration import read_sources
from rebate_app.sources.job import Stop
from rebate_app.sources.service import READ_FILE_SECONDS, SourceService

FILE = """
[[app]]
id = "app"
network = "taobao"
app_key = "key"
secret_file = "secret"
[[account]]
id = "a"
app = "app"
session_file = "session"
[[account]]
id = "b"
app = "app"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a file of two accounts, one with a session."""
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "session").write_text("session")
    path = tmp_path / "sources.toml"
    path.write_text(FILE)
    return path


def a_service(path: Path) -> tuple[SourceService, AppRun, list[AccountRun]]:
    """Return a service that runs the accounts of a file, which nobody drives."""
    settings: Any = SimpleNamespace(sources=path, app_id="rebate", partitions=2, own_url="http://w")
    tasks: Any = SimpleNamespace(skipped=lambda _skip: None)
    topics: Any = SimpleNamespace(fetch_cursors="cursors")
    other: Any = None
    service = SourceService(settings, topics, tasks, other, other)
    configuration = read_sources(path)
    app = AppRun(configuration.apps["app"], time.monotonic())
    runs = [AccountRun(each, app, load_api("taobao")) for each in configuration.accounts.values()]
    for run in runs:
        running: Any = SimpleNamespace(fetcher=SimpleNamespace(run=run))
        service._running[run.configuration.id] = running
    return service, app, runs


def read_again(service: SourceService) -> None:
    """Let the service look at its file."""
    service._read_at = time.monotonic() - READ_FILE_SECONDS
    asyncio.run(service._read_file())


class TestStops:
    """What stops ends when the content of the file, of a secret or of a session changes."""

    @pytest.mark.parametrize(
        ("name", "content"),
        [("session", "renewed"), ("secret", "renewed"), ("sources.toml", f"{FILE}\n# a note\n")],
    )
    def test_a_changed_content_lifts_the_stop_of_an_app(self, path: Path, name: str, content: str) -> None:
        """Whichever of them it is, and of all accounts; a file that is written as it was lifts nothing."""
        service, app, runs = a_service(path)
        app.stopped = runs[1].stopped = Stop("25", "Invalid signature", 1)
        changed = path.parent / name
        changed.write_text(changed.read_text())
        read_again(service)
        assert len(runs[0].stops()) == 1
        assert len(runs[1].stops()) == 2
        changed.write_text(content)
        read_again(service)
        assert [run.stops() for run in runs] == [[], []]
