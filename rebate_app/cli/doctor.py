"""`rebate doctor`: look at everything around the workers, and say what to do about what is wrong."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from rebate_app.settings import (
    EXIT_CONFIGURATION,
    EXIT_FINDINGS,
    EXIT_UNAVAILABLE,
    ConfigurationError,
    Settings,
    load_settings,
)

from .exits import EXITS, guarded, json_option, run_with_broker

if TYPE_CHECKING:
    from rebate_app.doctor.findings import Check

STATE_WIDTH, NAME_WIDTH = 6, 14


@click.command(epilog=EXITS)
@click.option("--strict", is_flag=True, help="Exit with 1 for warnings too.")
@json_option
@guarded
def doctor(strict: bool, as_json: bool) -> None:
    """Check settings, rules, broker, topics, clocks and workers; nothing is changed anywhere.

    Exit code 0 without failures, 1 with any, 69 when no broker answers, 78 when the settings or rules
    cannot be used.

    \b
    Examples:
      rebate doctor
      rebate doctor --strict --json
    """  # noqa: D301 - click's mark for text that is shown as it is
    from rebate_app.doctor.findings import fail

    try:
        settings = load_settings()
    except ConfigurationError as error:
        checks = [fail("settings", str(error), "see docs/configuration.md")]
        _print(checks, as_json)
        sys.exit(EXIT_CONFIGURATION)
    checks = run_with_broker(settings, _examined(settings, as_json))
    if as_json:
        _print(checks, as_json)
    else:
        _print_summary(checks)
    sys.exit(exit_code(checks, strict=strict))


def exit_code(checks: list[Check], *, strict: bool) -> int:
    """Return 0, 1, 69 or 78: what keeps everything else from working goes first."""
    failed = {each.check for each in checks if each.state == "fail"}
    if failed & {"settings", "rules", "import names"}:
        return EXIT_CONFIGURATION
    if "broker" in failed:
        return EXIT_UNAVAILABLE
    warned = any(each.state == "warn" for each in checks)
    return EXIT_FINDINGS if failed or (strict and warned) else 0


async def _examined(settings: Settings, as_json: bool) -> list[Check]:
    """Return all checks; people see each as soon as it is known."""
    from rebate_app.doctor.examine import examine

    checks = []
    async for check in examine(settings):
        checks.append(check)
        if not as_json:
            _print_check(check)
    return checks


def _print(checks: list[Check], as_json: bool) -> None:
    from msgspec.structs import asdict

    if as_json:
        states = ("ok", "warn", "fail", "skip")
        counts = {state: sum(each.state == state for each in checks) for state in states}
        click.echo(json.dumps({"checks": [asdict(each) for each in checks]} | counts))
        return
    for check in checks:
        _print_check(check)
    _print_summary(checks)


def _print_check(check: Check) -> None:
    click.echo(f"{check.state:<{STATE_WIDTH}}{check.check:<{NAME_WIDTH}}{check.says}")
    if check.do:
        click.echo(f"{'':<{STATE_WIDTH + NAME_WIDTH}}→ {check.do}")


def _print_summary(checks: list[Check]) -> None:
    from rebate_app.doctor.examine import summary

    click.echo(summary(checks))
