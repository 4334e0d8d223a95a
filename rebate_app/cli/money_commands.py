"""What commands about withdrawals and adjustments share: a reason, sending, and what is printed."""

from __future__ import annotations

from typing import Any

import click

from rebate_app.settings import load_settings

from .exits import run_with_broker
from .terminal import print_json, print_line

reason_option = click.option("--reason", metavar="TEXT", required=True, help="Why; it is kept with the fact.")


def send(kind: str, document: dict[str, Any], path: str, by: str) -> dict[str, Any] | None:
    """Send one fact; return what a worker answered, None where it was sent to the log."""
    from . import money_actions as actions

    present = {name: value for name, value in document.items() if value is not None}
    command = actions.checked(actions.MoneyCommand(kind, present, path, kind), by)
    subject = "/".join(str(value) for name, value in present.items() if name.endswith("_id"))
    work = actions.send_all(load_settings(), [command], by, subject, str(present.get("reason", "")))
    answers = run_with_broker(load_settings(), work)
    return answers[0] if answers else None


def print_sent(answer: dict[str, Any] | None, member: str, *, as_json: bool) -> None:
    """Print what came of a fact, or that it was sent."""
    if as_json:
        print_json({"sent": 1} if answer is None else answer)
    elif answer is None:
        print_line("sent 1; rebate lag --wait 60 waits for it")
    else:
        print_line(str(answer.get(member, "sent 1")))
