"""`rebate webhooks …`: what waits to be delivered, hold it, let it go on, try the URL (docs/webhooks.md).

Law: pausing loses nothing and holds for all workers until somebody resumes; status and test change nothing.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from rebate_app.settings import EXIT_CONFIGURATION, EXIT_FINDINGS, load_settings

from .exits import EXITS, CommandError, guarded, json_option, run_with_broker
from .show import table

by_option = click.option("--by", envvar="USER", default="operator", show_envvar=True, help="Who decides.")


@click.group()
def webhooks() -> None:
    """See and steer the webhooks: events that are sent to REBATE_WEBHOOK_URL."""


@webhooks.command(epilog=EXITS)
@json_option
@guarded
def status(as_json: bool) -> None:
    """Say whether webhooks are paused, how many events wait where, and how old the oldest is.

    \b
    Example:
      rebate webhooks status --json
    """  # noqa: D301 - click's mark for text that is shown as it is
    from . import webhooks_work

    settings = load_settings()
    told = run_with_broker(settings, webhooks_work.looked_at(settings))
    if as_json:
        click.echo(json.dumps(told))
        return
    click.echo(f"url: {told['url'] or 'none: events are passed over'}")
    state = told["switch"]
    said = f"by {state['by']} at {state['at']} {state['why']}".strip() if state["at"] else ""
    click.echo(f"state: {'paused' if state['paused'] else 'running'} {said}".strip())
    click.echo(
        table(("waits in", "events"), [(row["topic"], f"{row['events']:,}") for row in told["waiting"]])
    )
    oldest = told["oldest_undelivered_seconds"]
    click.echo("nothing waits" if oldest is None else f"the oldest waits for {oldest:,.0f} s")


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

    from . import webhooks_work

    settings = load_settings()
    if not settings.webhook_url:
        raise CommandError("There is no REBATE_WEBHOOK_URL to send a test to.", EXIT_CONFIGURATION)
    told = asyncio.run(webhooks_work.tried(settings))
    if as_json:
        click.echo(json.dumps(told))
    else:
        click.echo(f"{told['outcome']}: {told['code']} after {told['seconds']:.3f} s")
        for text in (told["detail"], told["body"]):
            if text:
                click.echo(text)
    if told["outcome"] != "delivered":
        sys.exit(EXIT_FINDINGS)


def _switch(by: str, why: str, *, as_json: bool, paused: bool) -> None:
    from . import webhooks_work

    settings = load_settings()
    told: dict[str, Any] = run_with_broker(settings, webhooks_work.switched(settings, by, why, paused=paused))
    if as_json:
        click.echo(json.dumps(told))
    else:
        click.echo("Webhooks are paused; events wait." if paused else "Webhooks go on.")
