"""examples/webhook_receiver.py as people copy it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from rebate_app.broker import free_port
from rebate_app.settings import load_settings
from rebate_app.webhooks.post import Poster
from rebate_app.webhooks.signing import headers_of
from tests.rig.waiting import wait_for

EXAMPLE = Path(__file__).parents[2] / "examples" / "webhook_receiver.py"
EVENT = {"event_id": "0" * 32, "kind": "balance.changed", "user_id": "ann"}
BODY = json.dumps(EVENT).encode()


def status_of(url: str, headers: dict[str, str]) -> int:
    """Return what the receiver answers to these headers."""
    request = urllib.request.Request(url, data=BODY, headers=headers, method="POST")  # noqa: S310 - loopback
    try:
        with urllib.request.urlopen(request, timeout=5) as response:  # noqa: S310 - loopback
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0


class TestExample:
    """It takes what is ours, lately sent, and each event once."""

    @pytest.fixture
    def running(self) -> Iterator[tuple[str, subprocess.Popen[str]]]:
        """Return its URL and process."""
        port = free_port()
        process = subprocess.Popen(
            [sys.executable, str(EXAMPLE), str(port)],
            env=os.environ | {"SECRET": "old"},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        url = f"http://127.0.0.1:{port}/"
        try:
            wait_for(lambda: status_of(url, {}) == 401, 10, "the example listens")
            yield url, process
        finally:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()

    def test_it_takes_ours_once_and_nothing_else(self, running: tuple[str, subprocess.Popen[str]]) -> None:
        """Our own sender is believed, also in rotation; forged, old and altered requests are not."""
        url, process = running
        settings = load_settings(
            {
                "REBATE_WEBHOOK_URL": url,
                "REBATE_WEBHOOK_SECRET": "new,old",
                "REBATE_WEBHOOK_ALLOW_PRIVATE": "1",
            }
        )

        async def twice() -> list[str]:
            async with Poster(settings) as poster:
                return [(await poster.post(BODY, attempt)).code for attempt in (1, 2)]

        assert asyncio.run(twice()) == ["status-204", "status-204"]
        now = int(time.time())
        assert status_of(url, headers_of(BODY, [b"forged"], now, 1)) == 401
        assert status_of(url, headers_of(BODY, [b"old"], now - 400, 1)) == 401
        assert status_of(url, headers_of(BODY + b" ", [b"old"], now, 1)) == 401
        process.kill()
        assert process.communicate()[0] == "balance.changed ann\n"

    def test_it_is_as_short_as_it_is_said_to_be(self) -> None:
        """About thirty lines of code, of the standard library alone."""
        lines = [line for line in EXAMPLE.read_text(encoding="utf-8").splitlines() if line.strip()]
        assert len(lines) <= 36
        assert "rebate_app" not in EXAMPLE.read_text(encoding="utf-8")
