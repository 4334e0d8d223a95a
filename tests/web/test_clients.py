"""The clients of examples/clients, run as somebody runs them, against workers with authentication on."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
import pytest_asyncio

from rebate_app.metrics.catalogue import HTTP_SECONDS
from rebate_app.web.routing.ports import Nobody
from tests.topology_driver import ACCOUNTS
from tests.web.facts import BUYER, paid
from tests.web.secured import SECRET, key_token, secured
from tests.web.worlds import World

FOLDER = Path(__file__).parents[2] / "examples" / "clients"
CLIENTS = {
    "curl": ["bash", "balance.sh"],
    "python": [sys.executable, "balance.py"],
    "java": ["java", "Balance.java"],
}
LINES_MAX = 60
WITHIN_SECONDS = 60
POLL_SECONDS = 0.02
TOKEN = key_token("admin")

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def secure() -> AsyncIterator[World]:
    """Two workers with authentication on."""
    async with World(workers=2, security=secured) as world:
        yield world


class Run:
    """One run of a client."""

    def __init__(self, world: World, client: str, folder: Path, token: str = TOKEN) -> None:
        program = CLIENTS[client][0]
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
        self.order = folder / "order.json"
        self.order.write_bytes(orjson.dumps(paid()))
        self._command = [*CLIENTS[client], str(self.order), BUYER]
        self._environment = {
            "PATH": os.environ["PATH"],
            "REBATE_URL": world.workers[0].url,
            "REBATE_TOKEN": token,
        }

    async def finish(self) -> tuple[int, str, str]:
        """Run it; return (exit code, stdout, stderr)."""
        process = await asyncio.create_subprocess_exec(
            *self._command,
            cwd=FOLDER,
            env=self._environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(), WITHIN_SECONDS)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return process.returncode or 0, out.decode(), err.decode()


async def test_they_are_short() -> None:
    """What people copy fits on a screen, and there is no client that no test runs."""
    files = {path.name: path for path in FOLDER.iterdir()}
    assert files.keys() == {command[1] for command in CLIENTS.values()}
    for name, path in files.items():
        assert len(path.read_text(encoding="utf-8").splitlines()) < LINES_MAX, name


@pytest.mark.slow
@pytest.mark.parametrize("client", CLIENTS)
class TestClient:
    """Each client by itself."""

    async def test_an_order_and_its_balance_through_a_503(
        self, secure: World, client: str, tmp_path: Path
    ) -> None:
        """It sends the order, waits while the owner is away, and shows the balance of the worked example."""
        partition = secure.stream.partition_of(BUYER)
        owner = secure.owner_of(BUYER)
        for worker in secure.workers:
            worker.placement.elsewhere[ACCOUNTS, partition] = Nobody("it is being restored")
        run = asyncio.ensure_future(Run(secure, client, tmp_path).finish())
        metrics, away = secure.workers[0].metrics, ("balance", "GET", "503")
        async with asyncio.timeout(WITHIN_SECONDS):
            while metrics.histogram(HTTP_SECONDS, away).sum == 0 and not run.done():  # noqa: ASYNC110
                await asyncio.sleep(POLL_SECONDS)  # until the client's question was refused
        assert not run.done()
        secure.give(ACCOUNTS, partition, owner)
        code, out, err = await run
        assert code == 0, err
        assert "1047" in out
        assert SECRET not in out + err

    async def test_a_problem_is_shown(self, secure: World, client: str, tmp_path: Path) -> None:
        """A bad member and wrong credentials: exit code 1, and the code on stderr."""
        wrong = Run(secure, client, tmp_path, token=TOKEN[:-1] + "y")
        code, _, err = await wrong.finish()
        assert (code, "invalid-token" in err) == (1, True), err
        bad = Run(secure, client, tmp_path)
        bad.order.write_bytes(orjson.dumps(paid() | {"status": "payed"}))
        code, _, err = await bad.finish()
        assert (code, "invalid-status" in err or "/status" in err) == (1, True), err
