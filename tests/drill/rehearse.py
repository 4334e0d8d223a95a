"""Inject every fault once, and print what names it after how many seconds: the drill without an operator.

    python -m tests.drill.rehearse FOLDER [NUMBER…]

An alert that is pending counts, since its rule waits on purpose. Of the doctor's checks those count whose
result has changed, numbers aside.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.drill.faults import fault
from tests.drill.world import FAULTS, World

SEED = 1
POLL_SECONDS = 2.0
FINE = {"ok", "skip"}
SHOWN_LENGTH = 200
NUMBER = re.compile(r"\d+")


def doctor(world: World) -> dict[str, str]:
    """Return what each check of the doctor that is not fine says."""
    done = subprocess.run(
        [sys.executable, "-m", "rebate_app.cli", "doctor", "--json"],
        env=world.environment(0),
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        checks: list[dict[str, Any]] = json.loads(done.stdout)["checks"]
    except ValueError:
        return {"doctor": done.stderr.strip()}
    return {each["check"]: each["says"] for each in checks if each["state"] not in FINE}


def named(world: World, seconds_max: float, known_alerts: set[str], known_checks: dict[str, str]) -> None:
    """Print what names the fault that has just been injected, once by an alert and once by the doctor."""
    began = time.monotonic()
    alert = check = ""
    while time.monotonic() - began < seconds_max and not (alert and check):
        if not alert:
            new = {each["labels"]["alertname"] for each in world.alerts()} - known_alerts
            alert = ", ".join(sorted(new))
            if alert:
                print(f"  alert  {time.monotonic() - began:4.0f} s  {alert}", flush=True)
        if not check:
            found = doctor(world)
            new = {
                name
                for name, summary in found.items()
                if NUMBER.sub("", known_checks.get(name, "")) != NUMBER.sub("", summary)
            }
            check = "; ".join(f"{name}: {found[name][:SHOWN_LENGTH]}" for name in sorted(new))
            if check:
                print(f"  doctor {time.monotonic() - began:4.0f} s  {check}", flush=True)
        time.sleep(POLL_SECONDS)
    if not alert:
        print("  alert  none", flush=True)
    if not check:
        print("  doctor none", flush=True)


def main(arguments: list[str]) -> None:
    """Run the rehearsal in a folder."""
    world = World(Path(arguments[0]).absolute())
    world.start(SEED)
    try:
        for number in [int(each) for each in arguments[1:]] or range(1, FAULTS + 1):
            known_alerts = {each["labels"]["alertname"] for each in world.alerts()}
            known_checks = doctor(world)
            found = fault(world, number)
            print(f"{number} {found.name}", flush=True)
            found.inject(world)
            named(world, found.alert_seconds, known_alerts, known_checks)
            found.restore(world)
            for worker in range(len(world.state["ports"])):
                try:
                    world.wait_ready(worker)
                except (AssertionError, OSError) as error:
                    print(f"  after  {error}", flush=True)
    finally:
        world.stop()


if __name__ == "__main__":
    main(sys.argv[1:])
