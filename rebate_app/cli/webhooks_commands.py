"""`rebate webhooks …`: status, pause, resume, and a test of the URL (docs/webhooks.md).

Pausing loses nothing and holds for all workers until `resume`. `status` and `test` change nothing.
"""

from __future__ import annotations

import sys
from typing import Any

import click

from rebate_app.settings import EXIT_CONFIGURATION, EXIT_FINDINGS, load_settings

from .command_group import CommandGroup
from .exits import EXITS, CommandError, guarded, json_option, run_with_broker
from .terminal import print_json, print_line, print_table, print_text

by_option = click.option("--by", envvar="USER", default="operator", show_envvar=True, help="Who decides.")


@click.group(cls=CommandGroup)
def webhooks() -> None:
    """See and steer the webhooks: events that are sent to REBATE_WEBHOOK_URL."""


@webhooks.command(epilog=EXITS)
@json_option
@guarded
def status(as_json: bool) -> None:
    """Say what each worker delivers, how many events wait where, and how old the oldest is.

    The workers (REBATE_URL) say where they deliver to and whether the receiver is down; what waits is read
    from the topics, as the next owner of each partition would find it.

    \b
    Example:
      rebate webhooks status --json
    """  # noqa: D301 - click's mark for text that is shown as it is
    from . import webhooks_actions

    settings = load_settings()
    found = run_with_broker(settings, webhooks_actions.read_status(settings))
    if as_json:
        print_json(found)
        return
    print_line(f"url: {found['url'] or 'none: events are passed over'}")
    _print_workers(found["workers"], settings.url)
    state = found["switch"]
    by = f"by {state['by']} at {state['at']} {state['why']}".strip() if state["at"] else ""
    print_line(f"state: {'paused' if state['paused'] else 'running'} {by}".strip())
    print_table(("waits in", "events"), [(row["topic"], f"{row['events']:,}") for row in found["waiting"]])
    oldest = found["oldest_undelivered_seconds"]
    print_line("nothing waits" if oldest is None else f"the oldest waits for {oldest:,.0f} s")


@webhooks.command(epilog=EXITS)
@click.option("--why", default="", help="For whoever comes after you.")
@by_option
@json_option
@guarded
def pause(why: str, by: str, as_json: bool) -> None:
    """Hold all webhooks, on every worker and through restarts; events wait and nothing is lost.

    \b
    Example:
      rebate webhooks pause --why "the receiver is being moved"
    """  # noqa: D301 - click's mark for text that is shown as it is
    _switch(by, why, as_json=as_json, paused=True)


@webhooks.command(epilog=EXITS)
@click.option("--why", default="", help="For whoever comes after you.")
@by_option
@json_option
@guarded
def resume(why: str, by: str, as_json: bool) -> None:
    """Let webhooks go on where they were.

    \b
    Example:
      rebate webhooks resume
    """  # noqa: D301 - click's mark for text that is shown as it is
    _switch(by, why, as_json=as_json, paused=False)


@webhooks.command(epilog=EXITS)
@json_option
@guarded
def test(as_json: bool) -> None:
    """Send one signed event of kind webhook.test from here, and print what is answered.

    Exit code 0 if the receiver takes it, 1 if not, 78 without a URL and a secret.

    \b
    Example:
      REBATE_WEBHOOK_URL=https://example.com/hook REBATE_WEBHOOK_SECRET_FILE=secret rebate webhooks test
    """  # noqa: D301 - click's mark for text that is shown as it is
    import asyncio

    from . import webhooks_actions

    settings = load_settings()
    if not settings.webhook_url:
        raise CommandError("There is no REBATE_WEBHOOK_URL to send a test to.", EXIT_CONFIGURATION)
    result = asyncio.run(webhooks_actions.send_test(settings))
    if as_json:
        print_json(result)
    else:
        print_line(f"{result['outcome']}: {result['code']} after {result['seconds']:.3f} s")
        for name in ("detail", "body"):
            if result[name]:
                print_text(name, result[name])
    if result["outcome"] != "delivered":
        sys.exit(EXIT_FINDINGS)


def _print_workers(workers: list[dict[str, Any]] | None, url: str) -> None:
    if workers is None:
        print_line(f"workers: none answers at {url} (REBATE_URL), so the url above is this environment's")
        return
    rows = []
    for each in workers:
        partitions = ",".join(map(str, each.get("partitions", ())))
        waiting = f"{each.get('waiting', 0):,}"
        rows.append((each["worker"], _state_of(each), each.get("target") or "", partitions, waiting))
    print_table(("worker", "state", "url", "partitions", "events"), rows)


def _state_of(worker: dict[str, Any]) -> str:
    """Return the state of a worker's deliveries in words."""
    if not worker["alive"]:
        return "does not answer"
    if not worker["target"]:
        return "skips events"
    if worker["paused"]:
        return "paused"
    return "receiver is down" if worker["is_down"] else "delivers"


def _switch(by: str, why: str, *, as_json: bool, paused: bool) -> None:
    from . import webhooks_actions

    settings = load_settings()
    written: dict[str, Any] = run_with_broker(
        settings, webhooks_actions.set_paused(settings, by, why, paused=paused)
    )
    if as_json:
        print_json(written)
    else:
        print_line("Webhooks are paused; events wait." if paused else "Webhooks go on.")
