"""Rows `authentication` and `crowd`: the cost of checking who sends a request, and that of a crowd.

`authentication`: balance GETs a second, as many as 8 connections get, from a worker without authentication
and from one with it, by turns. `crowd`: with authentication on, orders stream into a worker with one caller
at a steady rate; alone, and beside 200 dawdling and 900 idle connections and a client over its key's rate.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Any

from msgspec.structs import replace

from bench.contenders import BY_NAME, PRODUCT, Contender, our_command
from bench.orders import USERS
from bench.place import Place, Run, new_run
from bench.reading import Measurements, answer, apart, balance_paths, begin, fill, get
from bench.slow_clients import CONTENDER, dawdlers
from bench.throughput import measure, shown
from bench.worker import OurWorker

SECRET = "b" * 43
CALLER, FLOODER = f"rbk_caller_{SECRET}", f"rbk_flooder_{SECRET}"
FLOODER_PER_S = 50
CALLER_PER_S = 200.0
PROBES_PER_S = 10.0
IDLE_CONNECTIONS = 900
KEY = """[[key]]
id = "{name}"
name = "{name}"
sha256 = "{digest}"
scopes = ["admin"]
{rest}
"""


def authenticated(run: Run) -> dict[str, str]:
    """Write a file of keys for a run; return the settings of a worker that asks for them."""
    digest = hashlib.sha256(SECRET.encode()).hexdigest()
    rates = (("caller", ""), ("flooder", f"per_second = {FLOODER_PER_S}"))
    file = run.folder / "keys.toml"
    file.write_text(
        "".join(KEY.format(name=name, digest=digest, rest=rest) for name, rest in rates), encoding="utf-8"
    )
    return {"REBATE_KEYS": str(file), "REBATE_CLUSTER_SECRET": "bench:" + "s" * 32}


def authentication(where: Place, *, seconds: float, rounds: int) -> Measurements:
    """Return GETs a second without and with a key, medians over the rounds, and their ratio."""
    rates: dict[str, list[float]] = {"off": [], "on": []}
    with ExitStack() as stack:
        workers: dict[str, tuple[OurWorker, Path, str]] = {}
        for name in rates:
            run = stack.enter_context(new_run(where, f"auth-{name}"))
            settings, token = (authenticated(run), CALLER) if name == "on" else ({}, "")
            worker = stack.enter_context(OurWorker(run, settings=settings))
            begin(run)
            worker.wait_ready()
            fill(run, worker, 20_000)
            paths = balance_paths(run, [f"u{number}" for number in range(USERS)])
            workers[name] = (worker, paths, token)
        for number in range(rounds):
            for name in list(rates)[:: 1 if number % 2 else -1]:
                worker, paths, token = workers[name]
                figures = get(worker.port, paths, 0.0, seconds, token=token)
                if figures["not_200"]:
                    raise RuntimeError(f"authentication {name}: {figures}")
                rates[name].append(figures["per_second"])
    off, on = median(rates["off"]), median(rates["on"])
    return {"off_per_second": off, "on_per_second": on, "ratio": on / off, "rounds": rates}


def crowd(where: Place, *, orders: int, rounds: int) -> Measurements:
    """Return orders a second, the caller's p99 and the probes' answers, alone and in the crowd."""
    runs: dict[str, list[dict[str, Any]]] = {"alone": [], "crowd": []}
    for _ in range(rounds):
        for name, done in runs.items():
            seen: dict[str, Any] = {}

            def beside(
                environment: Mapping[str, str], name: str = name, seen: dict[str, Any] = seen
            ) -> AbstractContextManager[None]:
                return _callers(environment, seen, crowded=name == "crowd")

            measured = measure(where, _with_keys(BY_NAME[CONTENDER]), orders, beside)
            print(f"{name:7} {shown(measured)} {seen}", flush=True)
            done.append(seen | {"orders_per_s": measured.orders_per_s})
    figures = {
        name: {key: median(run[key] for run in each) for key in each[0]} for name, each in runs.items()
    }
    return figures | {
        "ratio": figures["crowd"]["orders_per_s"] / figures["alone"]["orders_per_s"],
        "p99_ratio": figures["crowd"]["caller_p99_ms"] / figures["alone"]["caller_p99_ms"],
        "runs": runs,
    }


def _with_keys(contender: Contender) -> Contender:
    def command(run: Run) -> tuple[list[str], dict[str, str]]:
        return our_command(run, PRODUCT, contender.store, 0, **authenticated(run))

    return replace(contender, command=command)


@contextmanager
def _callers(environment: Mapping[str, str], seen: dict[str, Any], *, crowded: bool) -> Iterator[None]:
    """Run caller and probe for some seconds beside what is measured; note what they saw."""
    port = environment["REBATE_WEB_PORT"]
    folder = Path(environment["REBATE_DATADIR"])
    balances, probes = folder.with_suffix(".balances"), folder.with_suffix(".probes")
    balances.write_text("\n".join(f"/v1/users/u{number}/balance" for number in range(USERS)))
    probes.write_text("/livez\n/readyz")
    client = {"port": port, "seconds": 5.0, "connections": 4}
    with ExitStack() as stack:
        if crowded:
            stack.enter_context(dawdlers(environment))
            stack.enter_context(apart("bench.authentication", port=port))
            stack.enter_context(
                apart("bench.client", port=port, paths=balances, token=FLOODER, seconds=600, connections=4)
            )
        caller = stack.enter_context(
            apart("bench.client", paths=balances, token=CALLER, rate=CALLER_PER_S, **client)
        )
        probe = stack.enter_context(apart("bench.client", paths=probes, rate=PROBES_PER_S, **client))
        yield
        answered = answer(caller, 60.0)
        seen |= {"caller_p99_ms": answered["p99_ms"], "caller_refused": answered["not_200"]}
        probed = answer(probe, 60.0)
        seen |= {"probes": probed["answers"], "probes_refused": probed["not_200"]}


async def _idle(port: int) -> None:
    """Hold connections that say nothing; one that is closed is opened anew."""

    async def hold() -> None:
        while True:
            with suppress(ConnectionError, OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                await reader.read()
                writer.close()
            await asyncio.sleep(1.0)

    await asyncio.gather(*(hold() for _ in range(IDLE_CONNECTIONS)))


def main() -> None:
    """Hold idle connections until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    asyncio.run(_idle(parser.parse_args().port))


if __name__ == "__main__":
    main()
