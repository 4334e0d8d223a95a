"""Follow a page in an empty folder as a reader does, with free ports in place of the default ones."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rebate_app.broker import LocalKafka, free_port
from tests.docs.commands import Step, shows, split_services
from tests.docs.pages import ROOT
from tests.kafka_fixture import JARS_HOME, guarded
from tests.rig.system import ask
from tests.rig.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND_SECONDS_MAX = 180.0
READY_SECONDS_MAX = 120.0
END_SECONDS_MAX = 45.0
WEB_PORT, SECOND_WEB_PORT, BROKER_PORT = "6066", "6067", "19092"
BROKER_DATA = ".rebate/broker"
DEMO = "make run"
DEMO_IS_READY = "Ctrl-C ends it"
WORKER_IS_READY = "worker ready: "


class Service:
    """A command that stays in the foreground of a terminal until Ctrl-C."""

    def __init__(self, command: str, folder: Path, environment: dict[str, str], log: Path) -> None:
        self._command = command
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                ["env", *shlex.split(command)],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def output(self) -> str:
        """Return what it has printed."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def is_running(self) -> bool:
        """Return True; AssertionError with its last output if it has ended."""
        code = self._process.poll()
        assert code is None, f"{self._command} ended with {code}:\n{self.output()[-3000:]}"
        return True

    def interrupt(self) -> int:
        """Press Ctrl-C and return the exit code."""
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(END_SECONDS_MAX)

    def kill(self) -> None:
        """End the process group if a failure has left it running."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(END_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait(END_SECONDS_MAX)


class Terminal:
    """Runs the steps of a page in order; `Terminal.opened` ends every process of the page."""

    def __init__(self, folder: Path, ending: ExitStack) -> None:
        self._folder = folder
        self._ending = ending
        first = free_port()
        second = free_port(but=frozenset({first}))
        web_ports = sorted((first, second))  # workers are listed in the order of their URLs
        ports = (*web_ports, free_port(but=frozenset(web_ports)))
        defaults = (WEB_PORT, SECOND_WEB_PORT, BROKER_PORT)
        self._ports = {default: str(port) for default, port in zip(defaults, ports, strict=True)}
        self._services: list[Service] = []
        for name in ("examples", "rules"):
            (folder / name).symlink_to(ROOT / name)
        (folder / ".venv").symlink_to(sys.prefix)
        (folder / ".rebate").mkdir()
        (folder / ".rebate" / "kafka").symlink_to(JARS_HOME)

    @classmethod
    @contextmanager
    def opened(cls, folder: Path) -> Iterator[Terminal]:
        """Give a terminal in `folder`, whose broker and services end with the block or with this process."""
        with guarded(folder / BROKER_DATA), ExitStack() as ending:
            yield cls(folder, ending)

    def follow(self, step: Step) -> None:
        """Run one step; AssertionError if a command fails or prints other things than the page shows."""
        if step.language == "python":
            (self._folder / "snippet.py").write_text(self._local(step.code), encoding="utf-8")
            output = self._run(".venv/bin/python snippet.py")
        else:
            output = "".join(
                self._serve(code) if stays else self._run(code) for code, stays in split_services(step.code)
            )
        if step.output is not None:
            expected = self._local(step.output)
            assert shows(expected, output), f"{step.code}\nshown:\n{expected}\nprinted:\n{output}"

    def interrupt_services(self) -> None:
        """Press Ctrl-C wherever a service runs, the newest first."""
        while self._services:
            service = self._services.pop()
            assert service.interrupt() == 0, service.output()[-3000:]

    def assert_nothing_runs(self) -> None:
        """Check that the page has ended its workers and its broker."""
        assert self._services == []
        assert not LocalKafka(self._folder / BROKER_DATA).status().running

    def _run(self, code: str) -> str:
        """Return the output of shell code, errors included, after checking that every command succeeds."""
        if ".venv/bin/rebate broker" in code:
            self.interrupt_services()  # the pages start and end the broker when no worker runs
        log = self._folder / "command.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", self._local(code)],
                cwd=self._folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            exit_code = process.wait(COMMAND_SECONDS_MAX)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(END_SECONDS_MAX)
        printed = log.read_text(encoding="utf-8", errors="replace")
        assert exit_code == 0, f"{code}\nended with {exit_code}:\n{printed[-3000:]}"
        return printed

    def _serve(self, command: str) -> str:
        """Start a service, and return what it has printed once it is ready."""
        environment = self._environment()
        log = self._folder / f"service-{len(self._services)}.log"
        local = self._local(command)
        if command == DEMO:
            del environment["REBATE_BROKER"]
        service = Service(local, self._folder, environment, log)
        self._ending.callback(service.kill)
        self._services.append(service)
        if command == DEMO:
            wait_for(
                lambda: service.is_running() and DEMO_IS_READY in service.output(), READY_SECONDS_MAX, command
            )
        else:
            port = self._ports[SECOND_WEB_PORT if SECOND_WEB_PORT in command else WEB_PORT]
            url = f"http://127.0.0.1:{port}/readyz"
            wait_for(
                lambda: (
                    service.is_running() and WORKER_IS_READY in service.output() and ask(url).status == 200
                ),
                READY_SECONDS_MAX,
                command,
            )
        return service.output()

    def _local(self, text: str) -> str:
        """Return commands or output with the ports of this test, and `make` of what other tests run dry."""
        if text == DEMO:
            text = f".venv/bin/python -m rebate_app.cli.demo --tour --broker-port {BROKER_PORT}"
        text = re.sub(r"^make ", f"make --dry-run --directory {ROOT} ", text, flags=re.MULTILINE)
        text = text.replace("rebate broker start", f"rebate broker start --port {BROKER_PORT}")
        return re.sub(rf"\b(?:{'|'.join(self._ports)})\b", lambda found: self._ports[found[0]], text)

    def _environment(self) -> dict[str, str]:
        """Return the environment without our own settings, but for the ports that replace the defaults."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("REBATE_")}
        return ours | {
            "REBATE_BROKER": f"127.0.0.1:{self._ports[BROKER_PORT]}",
            "REBATE_WEB_PORT": self._ports[WEB_PORT],
            "REBATE_URL": f"http://127.0.0.1:{self._ports[WEB_PORT]}",
        }
