"""Sources on a real Apache Kafka that restarts, under workers that are killed and frozen.

What tests/sources/test_runs.py shows on a fast clock, with nothing simulated but the networks.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import orjson
import pytest

from examples.simulators.network import Network, Switches
from examples.simulators.server import NETWORKS, fast_clock, new_network, serving
from rebate_app.broker import LocalKafka
from tests.chaos.conftest import FAST, FULL
from tests.conftest import SEED
from tests.e2e.conftest import RULES
from tests.rig.system import System, Worker, frozen
from tests.rig.waiting import wait_for
from tests.sources.runs import Log, missing
from tests.sources.test_on_kafka import DAYS, items_of, write_sources
from tests.sources.test_runs import balances, truth

pytestmark = pytest.mark.chaos
ROWS, HARMS = (5_000, 30) if FULL else (1_700, 4)
WORKERS = 2
CALLS_PER_S = 25
#: Of each fault but the one that keeps a call waiting for half a minute, and the empty answer that only a
#: re-scan hours later finds out.
CHANCE = 0.02
LEFT_OUT = ("slow", "empty-result")
READY_SECONDS_MAX = 90.0
READ_SECONDS_MAX = 240.0
PASS_SECONDS = 90.0
#: What changed this long ago has arrived: windows end a minute before now.
LATE_SECONDS = 300


@pytest.fixture
def networks() -> Iterator[dict[str, tuple[Network, str]]]:
    """Serve every network, with the rows of the last days and faults."""
    begin = int(time.time()) - DAYS * 86_400 - 1_800  # no row changes while the test runs
    clock = fast_clock(time.time(), 1)
    with ExitStack() as stack:
        found = {}
        for name in NETWORKS:
            network = new_network(name, ROWS, begin, DAYS)
            faults = [fault for fault in network.FAULTS if fault not in LEFT_OUT]
            network.switches = Switches(chances=dict.fromkeys(faults, CHANCE), per_second=CALLS_PER_S)
            found[name] = network, stack.enter_context(serving(network, clock))
        yield found


class Harms:
    """Two workers under somebody who starts what has ended, and what is done to them."""

    def __init__(self, system: System, broker: LocalKafka) -> None:
        self._system = system
        self._broker = broker
        self.workers = {number: system.start_worker(number) for number in range(WORKERS)}

    def tend(self) -> bool:
        """Start anew whoever has ended; return whether all are ready."""
        for number, worker in self.workers.items():
            if worker.process.poll() is not None:
                self.workers[number] = self._system.start_worker(number)
        return all(worker.process.poll() is None and worker.ready() for worker in self.workers.values())

    def have_read(self, moment: float) -> bool:
        """Return whether every job has read to that moment, give or take the overlap of one pass."""
        items = items_of(self.workers[0].url)
        ages = [job["age_seconds"] for item in items.values() for job in item["jobs"]]
        return (
            len(items) == len(NETWORKS)
            and None not in ages
            and max(ages) < time.time() - moment + PASS_SECONDS
        )

    def do(self, kind: str, number: int) -> None:
        """Do one harm to the broker or to a worker, once all are ready."""
        wait_for(self.tend, READY_SECONDS_MAX, "all workers are ready")
        worker = self.workers[number]
        if kind == "restart":
            self._broker.stop()
            self._broker.start()
        elif kind == "freeze":
            other = self.workers[1 - number]
            with frozen(worker):
                wait_for(lambda: _owns_all(other), READY_SECONDS_MAX, "the other one has taken over")
        else:
            worker.kill()


def _owns_all(worker: Worker) -> bool:
    try:
        return {item["worker"] for item in items_of(worker.url).values()} == {worker.url}
    except OSError:
        return False


def test_every_last_version_arrives(
    chaos_kafka: LocalKafka, networks: dict[str, tuple[Network, str]], topic_prefix: str, tmp_path: Path
) -> None:
    """Balances are those that the oracle computes from what the networks show, and no budget is exceeded."""
    rng = random.Random(f"{SEED} sources")
    urls = {name: url for name, (_, url) in networks.items()}
    sources = write_sources(tmp_path, urls, per_second=CALLS_PER_S, scenes=(1,))
    environment = FAST | {"REBATE_SOURCES": str(sources)}
    harms = ["restart"] + [rng.choice(("kill", "freeze")) for _ in range(HARMS - 1)]
    rng.shuffle(harms)
    print(f"seed {SEED}: {harms}")
    system = System(chaos_kafka.address, topic_prefix, tmp_path, [RULES], **environment)
    with system:
        here = Harms(system, chaos_kafka)
        for kind in harms:
            here.do(kind, rng.randrange(WORKERS))
        began = time.time()
        wait_for(lambda: here.tend() and here.have_read(began), READ_SECONDS_MAX, "all jobs have read to now")
        log = Log([(r.key, r.value) for r in system.read(system.topics.orders) if r.key and r.value])
        for name, (network, _) in networks.items():
            assert missing(name, network, log, began - LATE_SECONDS) == [], items_of(here.workers[0].url)[
                f"{name}-1"
            ]
        wait_for(here.tend, READY_SECONDS_MAX, "all workers are ready")
        system.wait_idle()
        assert system.command("audit", url=here.workers[0].url).returncode == 0
    facts = list(map(orjson.loads, {value for _, value in log.facts}))
    moment = began - LATE_SECONDS
    shown = [fact for name, (network, _) in networks.items() for fact in truth(name, network, moment)]
    assert balances(facts) == balances(shown)
    assert [name for name, (network, _) in networks.items() if network.over_budget] == []
