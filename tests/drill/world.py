"""The system of the drill: broker, three supervised workers, a stream of orders, and Prometheus.

Everything runs in the background and is written down in `state.json` of the folder, so that each call of
`python -m tests.drill` finds it. A worker that ends with 69 or 75 is started again after a second, as a
supervisor does; any other exit code leaves it ended. Its settings are in `worker-N.env`.
"""

from __future__ import annotations

import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from rebate_app.broker import LocalKafka, free_port
from tests.kafka_fixture import JARS_HOME
from tests.rig.system import ask
from tests.rig.waiting import wait_for

CHECKOUT = Path(__file__).parents[2]
OK = 200
WORKERS = 3
FAULTS = 10
READY_SECONDS_MAX = 90.0
SUPERVISED = """
while :; do
  set -a; . {env}; set +a
  {python} -m faust -A rebate_app worker -l info >>{log} 2>&1 &
  echo $! >{pid}
  wait $!; code=$?
  echo "$(date -u +%FT%TZ) worker {number} ended with exit code $code" >>{folder}/supervisor.log
  [ $code = 69 ] || [ $code = 75 ] || exit $code
  sleep 1
done
"""
PROMETHEUS = """
global: {{scrape_interval: 5s, evaluation_interval: 5s}}
rule_files: [{rules}]
scrape_configs:
  - job_name: rebate
    static_configs: [{{targets: [{targets}]}}]
"""


class World:
    """The processes and settings of one drill, as its folder describes them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = folder / "state.json"
        self.state: dict[str, Any] = json.loads(self._file.read_text()) if self._file.exists() else {}

    def save(self) -> None:
        """Write the state down."""
        self._file.write_text(json.dumps(self.state, indent=1), encoding="utf-8")

    @property
    def broker(self) -> LocalKafka:
        """Return the broker, whose data is in a folder of its own."""
        return LocalKafka(self.folder / "kafka", self.state["broker_port"], jars_home=JARS_HOME)

    def start(self, seed: int) -> None:
        """Start everything, and fix by the seed which number stands for which fault."""
        self.folder.mkdir(parents=True, exist_ok=True)
        order = list(range(FAULTS))
        random.Random(seed).shuffle(order)
        ports = [free_port() for _ in range(WORKERS + 2)]
        self.state = {"seed": seed, "order": order, "broker_port": ports[0], "prometheus_port": ports[1]}
        self.state |= {"ports": ports[2:], "pids": {}, "small": False}
        self._mount()
        self.broker.start()
        for number in range(WORKERS):
            self._configure(number)
            self.start_worker(number)
        self._write_shell()
        for number in range(WORKERS):
            self.wait_ready(number)
        self.spawn("traffic", [sys.executable, "-m", "tests.drill.traffic"], self.environment(0))
        self._start_prometheus()
        self.save()

    def _mount(self) -> None:
        """Give the broker a small disk of its own, where that is allowed."""
        data = self.folder / "kafka"
        data.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", "size=600m,mode=0700", "tmpfs", str(data)]
        self.state["small"] = subprocess.run(command, check=False, capture_output=True).returncode == 0

    def _configure(self, number: int) -> None:
        rules = self.folder / f"rules-{number}"
        shutil.copytree(CHECKOUT / "rules", rules)
        settings = {
            "REBATE_BROKER": self.broker.address,
            "REBATE_WEB_PORT": str(self.state["ports"][number]),
            "REBATE_DATADIR": str(self.folder / f"worker-{number}"),
            "REBATE_RULES": str(rules),
            "REBATE_PARTITIONS": "6",
        }
        self.write_settings(number, settings)

    def settings(self, number: int) -> dict[str, str]:
        """Return the settings of a worker."""
        lines = (self.folder / f"worker-{number}.env").read_text(encoding="utf-8").splitlines()
        return {name: shlex.split(value)[0] for name, value in (line.split("=", 1) for line in lines)}

    def write_settings(self, number: int, settings: dict[str, str]) -> None:
        """Replace the settings of a worker; they hold from its next start on."""
        lines = [f"{name}={shlex.quote(value)}\n" for name, value in settings.items()]
        (self.folder / f"worker-{number}.env").write_text("".join(lines), encoding="utf-8")

    def environment(self, number: int) -> dict[str, str]:
        """Return the environment of a command that uses the settings of a worker."""
        others = {name: value for name, value in os.environ.items() if not name.startswith("REBATE_")}
        port = self.state["ports"][number]
        own = {"REBATE_URL": f"http://127.0.0.1:{port}", "REBATE_DATADIR": str(self.folder / "commands")}
        return others | self.settings(number) | own

    def start_worker(self, number: int) -> None:
        """Start a worker and its supervisor."""
        script = SUPERVISED.format(
            env=self.folder / f"worker-{number}.env",
            python=sys.executable,
            log=self.folder / f"worker-{number}.log",
            pid=self.folder / f"worker-{number}.pid",
            folder=self.folder,
            number=number,
        )
        environment = {name: value for name, value in os.environ.items() if not name.startswith("REBATE_")}
        self.spawn(f"supervisor-{number}", ["bash", "-c", script], environment)

    def stop_worker(self, number: int) -> None:
        """End a worker in order, and its supervisor."""
        pid = self.worker_pid(number)
        self.kill(f"supervisor-{number}", signal.SIGKILL)
        _signal(pid, signal.SIGCONT)
        _signal(pid, signal.SIGTERM)
        _wait_gone(pid)

    def restart_worker(self, number: int) -> None:
        """Stop and start a worker, with the settings that it has now."""
        self.stop_worker(number)
        self.start_worker(number)
        self.save()

    def worker_pid(self, number: int) -> int:
        """Return the process id of a worker."""
        return int((self.folder / f"worker-{number}.pid").read_text())

    def wait_ready(self, number: int) -> None:
        """Wait until a worker is ready."""
        url = f"http://127.0.0.1:{self.state['ports'][number]}/readyz"
        log = f"{self.folder}/worker-{number}.log"
        wait_for(
            lambda: ask(url, seconds=1).status == OK, READY_SECONDS_MAX, f"worker {number} ready, see {log}"
        )

    def spawn(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        """Start a process in the background under a name."""
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=CHECKOUT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.state["pids"][name] = process.pid
        self.save()

    def kill(self, name: str, number: signal.Signals = signal.SIGTERM) -> None:
        """End a process that was spawned under a name."""
        pid = self.state["pids"].pop(name, None)
        if pid is not None:
            _signal(pid, number)
            _wait_gone(pid)
        self.save()

    def alerts(self) -> list[dict[str, Any]]:
        """Return what Prometheus finds firing or pending."""
        url = f"http://127.0.0.1:{self.state['prometheus_port']}/api/v1/alerts"
        with urllib.request.urlopen(url, timeout=10) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]["alerts"]
        return found

    def stop(self) -> None:
        """End everything that the drill started."""
        for name in list(self.state["pids"]):
            if not name.startswith("supervisor-"):
                self.kill(name, signal.SIGKILL)
        for number in range(WORKERS):
            self.stop_worker(number)
        self.broker.stop()
        if self.state["small"]:
            subprocess.run(["umount", str(self.folder / "kafka")], check=False)

    def _start_prometheus(self) -> None:
        tool = subprocess.run([CHECKOUT / "scripts/promtool.sh"], capture_output=True, text=True, check=True)
        targets = ",".join(f'"127.0.0.1:{port}"' for port in self.state["ports"])
        rules = CHECKOUT / "deploy/prometheus/alerts.yml"
        config = self.folder / "prometheus.yml"
        config.write_text(PROMETHEUS.format(rules=rules, targets=targets), encoding="utf-8")
        command = [
            str(Path(tool.stdout.strip()).with_name("prometheus")),
            f"--config.file={config}",
            f"--storage.tsdb.path={self.folder / 'prometheus'}",
            f"--web.listen-address=127.0.0.1:{self.state['prometheus_port']}",
        ]
        self.spawn("prometheus", command, dict(os.environ))
        wait_for(self._is_watched, READY_SECONDS_MAX, f"Prometheus, see {self.folder}/prometheus.log")

    def _is_watched(self) -> bool:
        ready = f"http://127.0.0.1:{self.state['prometheus_port']}/-/ready"
        return ask(ready, seconds=1, is_ours=False).status == OK

    def _write_shell(self) -> None:
        """Write what an operator sources: the settings of commands, and the tools."""
        lines = [f"export {name}={shlex.quote(value)}" for name, value in self.settings(0).items()]
        lines += [
            f"export REBATE_URL=http://127.0.0.1:{self.state['ports'][0]}",
            f"export REBATE_DATADIR={self.folder / 'commands'}",
            f"export PATH={Path(sys.executable).parent}:$PATH OPERATOR=${{USER:-operator}}",
        ]
        (self.folder / "env.sh").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _wait_gone(pid: int, seconds_max: float = 15.0) -> None:
    """Wait until a process has ended; kill it after that time."""
    end = time.monotonic() + seconds_max
    while _alive(pid):
        if time.monotonic() > end:
            _signal(pid, signal.SIGKILL)
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
