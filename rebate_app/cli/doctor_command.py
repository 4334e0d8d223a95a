"""`rebate doctor`: results everything around the workers, and names the remedies."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, get_args

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
from .terminal import print_json, print_line

if TYPE_CHECKING:
    from rebate_app.doctor.result import CheckResult

STATE_WIDTH, NAME_WIDTH = 6, 19


@click.command(epilog=EXITS)
@click.option("--strict", is_flag=True, help="Exit with 1 for warnings too.")
@click.option("--deep", is_flag=True, help="Read whole logs, too: minutes for millions of records.")
@json_option
@guarded
def doctor(strict: bool, deep: bool, as_json: bool) -> None:
    """Check settings, rules, broker, topics, clocks and workers; nothing is changed anywhere.

    Exit code 0 without failures, 1 with any, 69 when no broker answers, 78 when the settings or rules
    cannot be used.

    \b
    Examples:
      rebate doctor
      rebate doctor --strict --json
      rebate doctor --deep
    """  # noqa: D301 - click's mark for text that is shown as it is
    from rebate_app.doctor.result import fail

    try:
        settings = load_settings()
    except ConfigurationError as error:
        results = [fail("settings", str(error), "see docs/configuration.md")]
        _print(results, as_json)
        sys.exit(EXIT_CONFIGURATION)
    results = run_with_broker(settings, _examine(settings, deep, as_json))
    if as_json:
        _print(results, as_json)
    else:
        _print_summary(results)
    sys.exit(exit_code(results, strict=strict))


def exit_code(results: list[CheckResult], *, strict: bool) -> int:
    """Return 0, 1, 69 or 78: what prevents everything else goes first."""
    failed = {each.check for each in results if each.state == "fail"}
    if failed & {"settings", "rules", "import names"}:
        return EXIT_CONFIGURATION
    if "broker" in failed:
        return EXIT_UNAVAILABLE
    warned = any(each.state == "warn" for each in results)
    return EXIT_FINDINGS if failed or (strict and warned) else 0


async def _examine(settings: Settings, deep: bool, as_json: bool) -> list[CheckResult]:
    """Return all results; unless they are printed as JSON, each is printed as soon as it is known."""
    from rebate_app.doctor.examine import examine

    results = []
    async for result in examine(settings, deep=deep):
        results.append(result)
        if not as_json:
            _print_result(result)
    return results


def _print(results: list[CheckResult], as_json: bool) -> None:
    from msgspec import to_builtins

    from rebate_app.doctor.result import State, count

    if as_json:
        counts = {state: count(results, state) for state in get_args(State)}
        print_json({"checks": [to_builtins(each) for each in results]} | counts)
        return
    for result in results:
        _print_result(result)
    _print_summary(results)


def _print_result(result: CheckResult) -> None:
    print_line(f"{result.state:<{STATE_WIDTH}}{result.check:<{NAME_WIDTH}}{result.summary}")
    if result.remedy:
        print_line(f"{'':<{STATE_WIDTH + NAME_WIDTH}}→ {result.remedy}")


def _print_summary(results: list[CheckResult]) -> None:
    from rebate_app.doctor.examine import summary

    print_line(summary(results))
