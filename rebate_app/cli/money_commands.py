"""What commands about withdrawals and adjustments share: a reason, sending, and what is printed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from rebate_app.settings import load_settings

from .command_trail import by_option
from .exits import EXITS, guarded, json_option, run_with_broker
from .terminal import print_json, print_line

reason_option = click.option("--reason", metavar="TEXT", required=True, help="Why; it is kept with the fact.")
optional_reason_option = click.option(
    "--reason", metavar="TEXT", help="Why, if you say it; kept with the fact."
)


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


def verdict_command(
    group: click.Group,
    subject: str,
    path_of: Callable[[str, str, str], str],
    name: str,
    about: str,
    reasoned: Callable[[Any], Any] = reason_option,
) -> click.Command:
    """Return the command of a group by which a person decides about one of its subjects, for a reason.

    `subject`: such as `withdrawal`, as in the kinds of its facts and in their member `withdrawal_id`.
    `path_of` returns the path of the request for user, id and verdict. `reasoned` adds the option `--reason`.
    """

    @group.command(name, epilog=EXITS, help=_verdict_help(f"{group.name} {name} mei {subject[0]}1", about))
    @click.argument("user")
    @click.argument("subject_id", metavar="ID")
    @reasoned
    @by_option
    @json_option
    @guarded
    def command(user: str, subject_id: str, reason: str | None, by: str, as_json: bool) -> None:
        document = {"user_id": user, f"{subject}_id": subject_id, "reason": reason}
        sent = send(f"{subject}.{name}", document, path_of(user, subject_id, name), by)
        print_sent(sent, "state", as_json=as_json)

    return command


def _verdict_help(example: str, about: str) -> str:
    return f"""{about}

    With a token (REBATE_TOKEN) the worker says who you are; without one, --by does.

    \b
    Example:
      rebate {example} --reason "checked" --by wang
    """
