"""The tour: `make run` with a simulated network and payment service, from a fetched order to money paid out.

The services are programs of `examples/`, which this package never imports: they run as processes of the
checkout, and end with the demonstration. Nothing here was tried against real services.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from rebate_app.broker.ports import HOST, free_port, is_free
from rebate_app.data_folder import make_private
from rebate_app.settings import EXIT_TRY_AGAIN, EXIT_USAGE, Settings

from .exits import CommandError
from .guardian import Guardian
from .terminal import money, print_line
from .users_commands import print_balances, read_balances
from .worker_client import WorkerClient

CHECKOUT: Final = Path(__file__).parents[2]
CHANNEL: Final = "http"
ROWS: Final = 12
DAYS: Final = 3
DAY_SECONDS: Final = 86_400
START_SECONDS_MAX: Final = 30.0
END_SECONDS_MAX: Final = 5.0
PAID_SECONDS_MAX: Final = 60.0
POLL_SECONDS: Final = 0.05
AMOUNT_FEN: Final = 2_000
SHOWN_USERS_MAX: Final = 4
USER: Final = "visitor"
SOURCES: Final = """\
[[app]]
id = "jd-app"
network = "jd"
url = "{url}"
app_key = "key"
secret_file = "jd.secret"
per_second = 50
[[account]]
id = "jd-demo"
app = "jd-app"
since = {since}
"""
CHANNELS: Final = """\
[[channel]]
name = "http"
kind = "http"
url = "{url}"
secret_file = "keys/http.secret"
"""


class Tour(Struct, frozen=True):
    """What runs: settings of the worker and of commands, as environment variables."""

    environment: dict[str, str]


@contextlib.contextmanager
def simulators(settings: Settings, guardian: Guardian) -> Iterator[Tour]:
    """Run both services while the block runs; CommandError where this is no checkout."""
    if not (CHECKOUT / "examples" / "simulators").is_dir():
        raise CommandError("The simulators are in a checkout only, below examples/.", EXIT_USAGE)
    folder = settings.datadir / "tour"
    make_private(folder)
    network_port, service_port = free_port(), free_port()
    network = tomllib.loads(SOURCES.format(url="", since=0))["app"][0]["network"]
    begin = _kept(folder / "begin", lambda: str(int(time.time()) - DAYS * DAY_SECONDS))
    with contextlib.ExitStack() as ending:
        for name, port, words in (
            (
                "network",
                network_port,
                ["server", network, "--rows", str(ROWS), "--days", str(DAYS), "--begin", begin],
            ),
            ("payouts", service_port, ["payouts", CHANNEL, "--keys", str((folder / "keys").absolute())]),
        ):
            module, *arguments = words
            ending.enter_context(
                _service(folder / f"{name}.log", module, [*arguments, "--port", str(port)], guardian)
            )
        for port in (network_port, service_port):
            _wait_listening(port)
        yield Tour(_environment(settings, folder, int(begin), network_port, service_port))


@contextlib.contextmanager
def _service(log: Path, module: str, arguments: list[str], guardian: Guardian) -> Iterator[None]:
    """Run one simulator as a process of its own session: Ctrl-C reaches only us."""
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own programs
            [sys.executable, "-m", f"examples.simulators.{module}", *arguments],
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    guardian.watch_process(process.pid)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(END_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_listening(port: int) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while is_free(port):
        if time.monotonic() >= deadline:
            raise CommandError(f"No simulator listens on port {port} of {HOST}.", EXIT_TRY_AGAIN)
        time.sleep(POLL_SECONDS)


def _kept(file: Path, make: Any) -> str:
    """Return a file's text; a text is made at the first run, so that later runs are the same."""
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(make(), encoding="utf-8")
    return file.read_text(encoding="utf-8")


def _environment(
    settings: Settings, folder: Path, begin: int, network_port: int, service_port: int
) -> dict[str, str]:
    """Write the files, and return the settings that name them."""
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begin))
    _kept(folder / "jd.secret", lambda: "secret")
    (folder / "sources.toml").write_text(
        SOURCES.format(url=f"http://{HOST}:{network_port}/", since=since), encoding="utf-8"
    )
    (folder / "channels.toml").write_text(
        CHANNELS.format(url=f"http://{HOST}:{service_port}"), encoding="utf-8"
    )
    rules = folder / "rules"
    make_private(rules)
    for source in (settings.rules, CHECKOUT / "examples" / "rules"):
        for file in source.glob("*.toml"):
            shutil.copy(file, rules / file.name)
    return {
        "REBATE_RULES": str(rules),
        "REBATE_CHANNELS": str(folder / "channels.toml"),
        "REBATE_PAYEE_KEYS": _kept(
            folder / "payee-keys", lambda: "tour:" + base64.b64encode(secrets.token_bytes(32)).decode()
        ),
        "REBATE_PAYEE_ID_KEY": _kept(folder / "payee-id-key", lambda: secrets.token_hex(16)),
        # Of the command that fetches; the worker fetches nothing, so that each step is seen.
        "TOUR_SOURCES": str(folder / "sources.toml"),
    }


def show_orders(settings: Settings, tour: Tour) -> None:
    """Fetch orders from the simulated network, as an operator would."""
    print_line()
    print_line("What follows is simulated: the network and the payment service run on this machine,")
    print_line("and nothing was tried against real ones (docs/sources.md, docs/payouts.md).")
    environment = os.environ | tour.environment
    environment |= {"REBATE_BROKER": settings.broker, "REBATE_SOURCES": environment.pop("TOUR_SOURCES")}
    for words in (["sources", "poll", "--once"], ["lag", "--wait", "60"]):
        print_line()
        print_line("$ REBATE_SOURCES=" + environment["REBATE_SOURCES"] + " rebate " + " ".join(words))
        sys.stdout.flush()
        command = [sys.executable, "-m", "rebate_app.cli", *words]
        done = subprocess.run(command, env=environment, check=False)  # noqa: S603 - our own program
        if done.returncode:
            raise CommandError(f"rebate {' '.join(words)} ended with {done.returncode}.", EXIT_TRY_AGAIN)


async def show_withdrawal(url: str) -> None:
    """Let somebody withdraw money, from the request to the payment, and print each state with its time."""
    balances = [each async for each in read_balances(url, (), None) if each["user_id"][1:].isdigit()]
    if balances:
        print_line()
        print_line("Some of the users whose orders were fetched:")
        print_line()
        print_balances(balances[:SHOWN_USERS_MAX])
    own_id = f"tour-{time.time_ns() // 1_000_000}"
    async with WorkerClient(url) as client:
        payee_id = await _prepare(client, own_id)
        wanted = {"withdrawal_id": own_id, "amount": AMOUNT_FEN, "channel": CHANNEL, "payee_id": payee_id}
        print_line()
        print_line(f"{USER} withdraws {money(AMOUNT_FEN)} through the simulated payment service:")
        print_line()
        await client.post(f"/v1/users/{USER}/withdrawals", wanted)
        await _follow(client, f"/v1/users/{USER}/withdrawals/{own_id}")


async def _prepare(client: WorkerClient, own_id: str) -> str:
    """Open the channel, give the user money and a payee, and return the payee's id."""
    await client.post(f"/v1/channels/{CHANNEL}/open", {"reason": "tour"})
    adjustment = {"adjustment_id": own_id, "amount": AMOUNT_FEN, "reason_code": "goodwill", "reason": "tour"}
    await client.post(f"/v1/users/{USER}/adjustments", adjustment)
    await client.post(f"/v1/users/{USER}/adjustments/{own_id}/approve", {"reason": "tour"})
    payee = {"channel": CHANNEL, "account": "visitor@example.com", "name": "张三丰"}
    return str((await client.post(f"/v1/users/{USER}/payees", payee))["payee_id"])


async def _follow(client: WorkerClient, path: str) -> None:
    """Print the steps until the withdrawal is paid; approve it when it is reviewed."""
    deadline, printed = time.monotonic() + PAID_SECONDS_MAX, 0
    while time.monotonic() < deadline:
        found = await client.get(path)
        steps = _steps_of(found)
        for at, state, explained in steps[printed:]:
            print_line(f"  {at}  {state:<9} {explained}".rstrip())
        printed = len(steps)
        if found["state"] == "review":
            await client.post(f"{path}/approve", {"reason": "tour"})
        if found["state"] == "paid":
            return
        await asyncio.sleep(POLL_SECONDS)
    raise CommandError(f"The withdrawal is {found['state']} after {PAID_SECONDS_MAX:g} s.", EXIT_TRY_AGAIN)


def _steps_of(item: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return time, state and explanation of each step so far: all of them, however fast they follow."""
    approved = f"{money(item['net'])} after a fee of {money(item['fee'])}" if item["net"] else ""
    steps = []
    if item["decided_at"] and item["review"]:
        review = "decided: somebody else has to approve it, which the tour does now"
        steps.append((item["decided_at"], "review", review))
        if len(item["approvals"]) >= item["approvals_needed"]:
            steps.append((item["approvals"][-1]["at"], "approved", approved))
    elif item["decided_at"]:
        steps.append((item["decided_at"], "approved", approved))
    for attempt in item["attempts"]:
        sending = f"attempt {attempt['attempt']} under payout number {item['payout_no']}"
        steps.append((attempt["at"], "sending", sending))
    if item["state"] == "paid":
        reference = (item["result"] or {}).get("channel_ref")
        steps.append((item["updated_at"], "paid", f"the service's reference is {reference}"))
    return steps
