"""Record the series of `tests/alerts/recorded`: real workers on a real Kafka, healthy and in each fault.

    python -m tests.alerts.record [CASE…]

It starts its own broker and ends all that it started. As root on Linux, since one case mounts a full disk.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from rebate_app.broker import LocalKafka
from tests.alerts import faults
from tests.alerts.cases import CASES, HEALTHY
from tests.alerts.recorder import Recorder
from tests.alerts.recording import RECORDED, write
from tests.kafka_fixture import guarded, start_on_a_free_port

Scenario = Callable[[Recorder], None]


def scenarios() -> dict[str, Scenario]:
    """Return the scenario of each recording: the function of `faults` with its name."""
    return {
        name: getattr(faults, name.replace("-", "_"))
        for name in (HEALTHY, *dict.fromkeys(case.file for case in CASES))
    }


def record(name: str, scenario: Scenario, broker: LocalKafka, folder: Path) -> None:
    """Write the recording of one scenario."""
    began = time.monotonic()
    with Recorder(broker, f"{name}-{uuid4().hex[:8]}-", folder / name) as recorder:
        scenario(recorder)
        write(RECORDED / f"{name}.prom", recorder.scrapes)
    print(f"{name}: {len(recorder.scrapes)} scrapes, {time.monotonic() - began:.0f} s", flush=True)


def main(names: list[str]) -> int:
    """Record the named cases, all without names; return how many failed."""
    known = scenarios()
    failed = []
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as stack:
        folder = Path(temporary)
        stack.enter_context(guarded(folder / "kafka"))
        broker = start_on_a_free_port(folder / "kafka")
        stack.callback(broker.stop)
        for name in names or known:
            try:
                record(name, known[name], broker, folder)
            except AssertionError as error:
                failed.append(name)
                print(f"{name}: {error}", file=sys.stderr, flush=True)
    return len(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
