"""`rebate rules …`: check, publish, list, show and compare rule versions (docs/spec/rules.md#commands).

A published version never changes, and nothing removes one: a correction is a new version that replaces it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from rebate_app.settings import EXIT_FINDINGS, load_settings

from .command_group import CommandGroup
from .exits import EXITS, guarded, json_option, run_with_broker
from .terminal import print_json, print_line, print_note, print_table

by_option = click.option("--by", envvar="USER", default="operator", show_envvar=True, help="Who decides.")
files_argument = click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)


@click.group(cls=CommandGroup)
def rules() -> None:
    """Check, publish and see rule versions: what shares are from which moment on."""


@rules.command(epilog=EXITS)
@files_argument
@json_option
@guarded
def check(files: tuple[Path, ...], as_json: bool) -> None:
    """Check rule files, each alone, with each other, and with those of REBATE_RULES. Sends nothing.

    Exit code 0 if all can be published, 1 with every problem.

    \b
    Example:
      rebate rules check rules/*.toml
    """  # noqa: D301 - click's mark for text that is shown as it is
    from . import rules_actions

    result = rules_actions.check_rule_files(load_settings(), files)
    if as_json:
        print_json(result)
    else:
        for item in result["items"]:
            print_line(f"{item['file']}: {item['version']} from {item['effective_from']}")
            for warning in item["warnings"]:
                print_line(f"  warning: {warning}")
        for problem in result["problems"]:
            print_line(problem)
    if result["problems"]:
        sys.exit(EXIT_FINDINGS)


@rules.command(epilog=EXITS)
@files_argument
@by_option
@click.option("--reason", required=True, help="For whoever comes after you.")
@json_option
@guarded
def publish(files: tuple[Path, ...], by: str, reason: str, as_json: bool) -> None:
    """Publish rule files for all workers, all or none. A published version never changes.

    Workers take it within a second. Lines that are priced already keep their version.

    \b
    Example:
      rebate rules publish rules/2026-07.toml --reason "summer shares"
    """  # noqa: D301 - click's mark for text that is shown as it is
    from . import rules_actions

    settings = load_settings()
    result = run_with_broker(settings, rules_actions.publish_files(settings, files, by, reason))
    if as_json:
        print_json(result)
        return
    for each in result["published"]:
        print_line(f"published {each['version']} from {each['effective_from']}")
    for name in result["unchanged"]:
        print_line(f"unchanged {name}")
    for each in result["warnings"]:
        print_note(f"warning: {each['version']}: {each['detail']}")


@rules.command("list", epilog=EXITS)
@json_option
@guarded
def list_rules(as_json: bool) -> None:
    """List the published versions: which is in force, who published it, which partitions know it.

    \b
    Example:
      rebate rules list
    """  # noqa: D301 - click's mark for text that is shown as it is
    from . import rules_actions

    settings = load_settings()
    found = run_with_broker(settings, rules_actions.list_versions(settings))
    if as_json:
        print_json(found)
        return
    heads = ("version", "effective from", "", "replaces", "by", "at", "known to")
    print_table(heads, [_row(item, settings.partitions) for item in found["items"]])


def _row(item: dict[str, Any], partitions: int) -> tuple[str, ...]:
    activated = item["activated"]
    known = "no worker answers" if activated is None else f"{len(activated)} of {partitions} partitions"
    mark = "in force" if item["in_force"] else ""
    by, at, replaces = item["by"], item["at"], item["replaces"] or ""
    return item["version"], item["effective_from"], mark, replaces, by, at, known


@rules.command(epilog=EXITS)
@click.argument("version")
@json_option
@guarded
def show(version: str, as_json: bool) -> None:
    """Print the file of a published version.

    \b
    Example:
      rebate rules show 2026-01-r3
    """  # noqa: D301 - click's mark for text that is shown as it is
    from . import rules_actions

    settings = load_settings()
    published = run_with_broker(settings, rules_actions.published_version(settings, version))
    if as_json:
        print_json(rules_actions.shown(published))
        return
    for line in published.content.rstrip("\n").split("\n"):
        print_line(line, cut=False)


@rules.command(epilog=EXITS)
@click.argument("version")
@click.argument("other")
@json_option
@guarded
def diff(version: str, other: str, as_json: bool) -> None:
    """Compare two published versions: shares and minimums side by side, differences marked.

    \b
    Example:
      rebate rules diff 2026-01-r3 2026-07
    """  # noqa: D301 - click's mark for text that is shown as it is
    from . import rules_actions

    settings = load_settings()
    one = run_with_broker(settings, rules_actions.published_version(settings, version))
    two = run_with_broker(settings, rules_actions.published_version(settings, other))
    rows = rules_actions.compare(one.rule, two.rule)
    if as_json:
        items = [{"what": what, "values": [first, second]} for what, first, second in rows]
        print_json({"items": items, "next_cursor": None})
        return
    marked = [(what, first, second, "" if first == second else "*") for what, first, second in rows]
    print_table(("", version, other, ""), marked)
