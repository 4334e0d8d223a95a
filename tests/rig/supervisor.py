"""An operator's supervisor: a worker that ends with 75 is started again, any other end is a fault."""

from __future__ import annotations

import time

from rebate_app.settings import EXIT_TRY_AGAIN
from tests.rig.system import System, Worker

LOOK_SECONDS = 5


class Supervisor:
    """Workers by number; `tend` starts again those that ended with 75, with the same data folder."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._environments: dict[int, dict[str, str]] = {}
        self._workers: dict[int, Worker] = {}
        self.restarts = 0

    @property
    def workers(self) -> list[Worker]:
        """Return the workers that run, or ran when they were looked at last."""
        return list(self._workers.values())

    def start(self, **environment: str) -> Worker:
        """Start one more worker."""
        number = len(self._workers)
        self._environments[number] = environment
        return self._start(number)

    def _start(self, number: int) -> Worker:
        worker = self._system.start_worker(number, **self._environments[number])
        self._workers[number] = worker
        return worker

    def kill(self, number: int) -> None:
        """Kill -9 of a worker, and start it again."""
        self._workers[number].kill()
        self._start(number)

    def tend(self) -> None:
        """Start again what ended with 75; AssertionError when a worker ended otherwise."""
        for number, worker in list(self._workers.items()):
            code = worker.process.poll()
            if code is not None:
                assert code == EXIT_TRY_AGAIN, (
                    f"worker {number} ended with {code}: {worker.log_text()[-3000:]}"
                )
                self.restarts += 1
                last = [line for line in worker.log_text().splitlines() if "CRITICAL" in line][-1:]
                print(f"worker {number} ended with 75 and is started again: {last}", flush=True)
                self._start(number)

    def wait_idle(self, seconds_max: float) -> float:
        """Return after how many seconds all that was acknowledged is in the balances and all are ready."""
        began = time.monotonic()
        done = None
        while time.monotonic() - began < seconds_max:
            self.tend()
            done = self._system.command("lag", "--wait", str(LOOK_SECONDS))
            if done.returncode == 0:
                for worker in self.workers:
                    worker.wait_ready()
                return time.monotonic() - began
        logs = "\n".join(worker.log_text()[-4000:] for worker in self.workers)
        output = "" if done is None else f"{done.stdout}{done.stderr}"
        raise AssertionError(f"partitions do not go on within {seconds_max:.0f} s: {output}\n{logs}")
