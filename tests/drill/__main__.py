"""Run the operators' drill (docs/operations/drill.md).

python -m tests.drill start [--folder DIR] [--seed N]
python -m tests.drill inject N | restore N | reveal N
python -m tests.drill alerts | restart WORKER [NAME=VALUE…] | broker start|stop | stop
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.drill.faults import fault
from tests.drill.world import FAULTS, World

DEFAULT_FOLDER = Path(".rebate/drill")


def main(arguments: list[str]) -> int:
    """Carry out one command; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.drill", description=__doc__)
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("start").add_argument("--seed", type=int, default=int(time.time()))
    for name in ("inject", "restore", "reveal"):
        commands.add_parser(name).add_argument("number", type=int, choices=range(1, FAULTS + 1))
    restart = commands.add_parser("restart")
    restart.add_argument("worker", type=int)
    restart.add_argument("settings", nargs="*")
    commands.add_parser("broker").add_argument("action", choices=["start", "stop"])
    commands.add_parser("alerts")
    commands.add_parser("stop")
    given = parser.parse_args(arguments)
    world = World(given.folder.absolute())
    getattr(Commands(), given.command)(world, given)
    return 0


class Commands:
    """One method per command."""

    def start(self, world: World, given: argparse.Namespace) -> None:
        """Start the system."""
        world.start(given.seed)
        print(f"Running. Source {world.folder}/env.sh; logs are in {world.folder}.")
        print(f"Prometheus: http://127.0.0.1:{world.state['prometheus_port']}/alerts")

    def inject(self, world: World, given: argparse.Namespace) -> None:
        """Inject a fault, without saying which."""
        fault(world, given.number).inject(world)
        print(f"{time.strftime('%H:%M:%S')} fault {given.number} is in.")

    def restore(self, world: World, given: argparse.Namespace) -> None:
        """Remove what is left of a fault."""
        fault(world, given.number).restore(world)
        print(f"{time.strftime('%H:%M:%S')} fault {given.number} is out.")

    def reveal(self, world: World, given: argparse.Namespace) -> None:
        """Say what a fault was, to compare."""
        found = fault(world, given.number)
        print(f"{found.name}. Cause: {found.cause}. Cure: {found.cure}.")

    def alerts(self, world: World, given: argparse.Namespace) -> None:
        """Print what fires."""
        del given
        for alert in sorted(world.alerts(), key=lambda each: (each["state"], each["labels"]["alertname"])):
            labels = alert["labels"]
            summary, where = alert["annotations"]["summary"], alert["annotations"]["runbook_url"]
            print(f"{alert['state']:8} {labels['severity']:7} {labels['alertname']}: {summary} ({where})")

    def restart(self, world: World, given: argparse.Namespace) -> None:
        """Restart a worker, with changed settings; `NAME=` removes one."""
        settings = world.settings(given.worker)
        for pair in given.settings:
            name, _, value = pair.partition("=")
            settings.pop(name, None)
            settings |= {name: value} if value else {}
        world.write_settings(given.worker, settings)
        world.restart_worker(given.worker)

    def broker(self, world: World, given: argparse.Namespace) -> None:
        """Start or stop the broker."""
        getattr(world.broker, given.action)()

    def stop(self, world: World, given: argparse.Namespace) -> None:
        """End everything."""
        del given
        world.stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
