"""Rows about money out: withdrawals decided a second, and what payouts cost the orders.

`withdrawals`: people ask over HTTP, each request waits until stage 2 has decided (201); alone, and beside
1,000 orders a second. `money-out`: orders a second of the product without channels, and with one that nobody
has opened and for which 1,000 withdrawals wait. The client is a process of its own:

    python -m bench.withdrawals --url U [--users 400] [--each 25] [--first 0] [--connections 48]
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from statistics import median
from typing import Any

from aiohttp import ClientSession, ClientTimeout, TCPConnector
from msgspec import to_builtins

from bench.client import percentile
from bench.contenders import BY_NAME, PRODUCT, Command, Contender, our_command
from bench.domain import RULES
from bench.place import Place, Run, new_run
from bench.reading import Measurements, answer, apart, begin, begun, fill, stream_orders
from bench.throughput import Measured, measure, shown
from bench.worker import OurWorker
from examples.simulators.payouts.__main__ import channel_entry
from examples.simulators.payouts.keys import make_keys

WITHDRAW = """
[withdraw]
channels = ["bank"]
max_per_day = 10000
max_open = 50
day_max_fen = 100000000
review_over_fen = 100000000
review_first = false
review_new_payee = false
"""
CONTENDER = "ours-life-rocksdb"
AMOUNT = 100
FUNDED = 10_000_000
CREATED = 201
BAD = 300
BESIDE_ORDERS_PER_S = 1_000.0
WAITING_USERS, WAITING_EACH = 100, 10
CONNECTIONS = 48
ANSWER_SECONDS_MAX = 600.0


def payout_settings(run: Run, *, channels: bool = True) -> dict[str, str]:
    """Return the settings of a worker whose rules allow withdrawals; with `channels`, of one that pays."""
    rules = run.folder / "withdraw-rules"
    rules.mkdir(exist_ok=True)
    (rules / "bench.toml").write_text(RULES + WITHDRAW, encoding="utf-8")
    found = {"REBATE_RULES": str(rules)}
    if channels:
        file = run.folder / "channels.toml"
        make_keys(run.folder / "keys")
        file.write_text(
            channel_entry("http", "http://127.0.0.1:1", run.folder / "keys", "bank"), encoding="utf-8"
        )
        found |= {
            "REBATE_CHANNELS": str(file),
            "REBATE_PAYEE_KEYS": "a:" + base64.b64encode(b"k" * 32).decode(),
            "REBATE_PAYEE_ID_KEY": "i" * 32,
        }
    return found


def withdrawals(where: Place, *, users: int, each: int) -> dict[str, Any]:
    """Measure requests until they are decided, alone and beside orders."""
    with (
        new_run(where, "withdrawals") as run,
        OurWorker(run, store="rocksdb", settings=payout_settings(run)) as worker,
    ):
        begin(run)
        worker.wait_ready()
        fill(run, worker, 20_000)
        found: dict[str, Any] = {}
        with client(worker.url, users=users, each=each, first=0) as requests:
            begun(requests)
            before = worker.cpu_seconds()
            alone = all_decided(answer(requests, ANSWER_SECONDS_MAX))
        spent = worker.cpu_seconds() - before
        found["alone"] = alone | {"worker_cpu_ms": spent / alone["decided"] * 1e3}
        with client(worker.url, users=users, each=each, first=users) as requests:
            begun(requests)
            seconds = users * each / 200.0
            with stream_orders(run, BESIDE_ORDERS_PER_S, seconds, 100_000) as stream:
                begun(stream)
                found["beside_orders"] = all_decided(answer(requests, ANSWER_SECONDS_MAX))
        return found


def client(url: str, **given: object) -> AbstractContextManager[subprocess.Popen[str]]:
    """Give the client of this module as a process."""
    return apart("bench.withdrawals", url=url, **given)


def all_decided(found: Measurements) -> Measurements:
    """Return what the client found; RuntimeError where a request was not accepted: little was measured."""
    if found["others"] or not found["decided"]:
        raise RuntimeError(f"not every withdrawal was accepted: {found}")
    return found


def money_out(where: Place, *, orders: int, rounds: int) -> dict[str, Any]:
    """Return orders and processor time with payouts and without, by turns, and the ratios of the medians."""
    runs: dict[str, list[Measured]] = {"without": [], "with": []}
    for _ in range(rounds):
        for name, measurements in runs.items():
            pays = name == "with"
            measured = measure(where, _contender(pays=pays), orders, _waiting_withdrawals if pays else None)
            print(f"{name:8} {shown(measured)}", flush=True)
            measurements.append(measured)
    found: dict[str, Any] = {}
    for name, each in runs.items():
        found[name] = {
            "orders_per_s": median(run.orders_per_s for run in each),
            "cpu_s_per_100k": median(run.cpu_s_per_100k for run in each),
        }
    return found | {
        "ratio": found["with"]["orders_per_s"] / found["without"]["orders_per_s"],
        "cpu_ratio": found["with"]["cpu_s_per_100k"] / found["without"]["cpu_s_per_100k"],
        "runs": to_builtins(runs),
    }


def _contender(*, pays: bool) -> Contender:
    base = BY_NAME[CONTENDER]

    def command(run: Run) -> Command:
        return our_command(run, PRODUCT, base.store, 0, **payout_settings(run, channels=pays))

    return Contender(base.name, base.title, command, base.accounts, base.store, feed=base.feed)


@contextmanager
def _waiting_withdrawals(environment: Mapping[str, str]) -> Iterator[None]:
    """Leave so many withdrawals waiting."""
    url = f"http://127.0.0.1:{environment['REBATE_WEB_PORT']}"
    with client(url, users=WAITING_USERS, each=WAITING_EACH, first=0) as waiting:
        begun(waiting)
        all_decided(answer(waiting, ANSWER_SECONDS_MAX))
    yield


class Withdrawer:
    """The client: people with money and a payee each, who withdraw again and again."""

    def __init__(self, session: ClientSession, url: str) -> None:
        self._session = session
        self._url = url
        self.latencies: list[float] = []
        self.others: dict[str, int] = {}

    async def post(self, path: str, document: dict[str, Any]) -> tuple[int, Any]:
        """Return status and body."""
        async with self._session.post(self._url + path, json=document) as response:
            return response.status, await response.json(content_type=None)

    async def prepare(self, user: str) -> str:
        """Give a user money and a payee; return the payee's id."""
        proposal = {"adjustment_id": "a1", "amount": FUNDED, "reason_code": "goodwill", "reason": "measured"}
        status, body = await self.post(f"/v1/users/{user}/adjustments", proposal)
        if status < BAD:
            status, body = await self.post(f"/v1/users/{user}/adjustments/a1/approve", {"reason": "measured"})
        if status < BAD:
            payee = {"channel": "bank", "account": f"6222{user}", "name": "张三丰"}
            status, body = await self.post(f"/v1/users/{user}/payees", payee)
        if status != CREATED:
            raise RuntimeError(f"{user} cannot be prepared: {status} {body}")
        return str(body["payee_id"])

    async def withdraw(self, user: str, number: int, payee: str) -> None:
        """Request a withdrawal, and note how long its decision took."""
        document = {
            "withdrawal_id": f"w{number}",
            "amount": AMOUNT,
            "channel": "bank",
            "payee_id": payee,
        }
        began = time.perf_counter()
        status, body = await self.post(f"/v1/users/{user}/withdrawals", document)
        if status == CREATED:
            self.latencies.append(time.perf_counter() - began)
        else:
            name = f"{status} {body.get('code', '')}"
            self.others[name] = self.others.get(name, 0) + 1


async def _run(given: argparse.Namespace) -> dict[str, Any]:
    connector = TCPConnector(limit=given.connections)
    async with ClientSession(connector=connector, timeout=ClientTimeout(60)) as session:
        withdrawer = Withdrawer(session, given.url)
        users = [f"u{number}" for number in range(given.first, given.first + given.users)]
        payees = await _bounded([withdrawer.prepare(user) for user in users], given.connections)
        wanted = [
            (user, number, payee)
            for number in range(given.each)
            for user, payee in zip(users, payees, strict=True)
        ]
        print("begins", flush=True)
        began = time.perf_counter()
        await _bounded([withdrawer.withdraw(*each) for each in wanted], given.connections)
        took = time.perf_counter() - began
    latencies = sorted(withdrawer.latencies)
    return {
        "decided": len(latencies),
        "per_second": len(latencies) / took,
        "p50_ms": percentile(latencies, 0.5) * 1e3,
        "p99_ms": percentile(latencies, 0.99) * 1e3,
        "others": withdrawer.others,
    }


async def _bounded(work: list[Any], at_once: int) -> list[Any]:
    """Await all, so many at a time; return their results in order."""
    gate = asyncio.Semaphore(at_once)

    async def one(each: Any) -> Any:
        async with gate:
            return await each

    return await asyncio.gather(*(one(each) for each in work))


def main() -> None:
    """Print what was found as JSON."""
    parser = argparse.ArgumentParser(description="withdrawals over HTTP")
    parser.add_argument("--url", required=True)
    parser.add_argument("--users", type=int, default=400)
    parser.add_argument("--each", type=int, default=25)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    print(json.dumps(asyncio.run(_run(parser.parse_args()))))


if __name__ == "__main__":
    main()
