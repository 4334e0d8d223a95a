"""`rebate profiles show`: the profile of a member that is in force, read from the workers over HTTP."""

from __future__ import annotations

from typing import Any

import click

from .command_group import CommandGroup
from .exits import EXITS, guarded, json_option
from .import_commands import import_profiles
from .lists import ask_worker, at_option
from .terminal import print_json, print_line


@click.group(cls=CommandGroup)
def profiles() -> None:
    """Members: their level and who invited them."""


profiles.add_command(import_profiles)


@profiles.command("show", epilog=EXITS)
@click.argument("user")
@at_option
@json_option
@guarded
def show_profile(user: str, at: str | None, as_json: bool) -> None:
    """Show the profile of USER that is in force: level, inviter, and since when.

    Somebody without a profile has the first level of the rules and no inviter.

    \b
    Examples:
      rebate profiles show mei
      rebate profiles show mei --at 2026-01-01T00:00:00+08:00 --json
    """  # noqa: D301 - \b is click's mark for preformatted text
    found = ask_worker(lambda client: client.get(profile_path(user), at=at))
    if as_json:
        print_json(found)
    else:
        print_profile(found)


def profile_path(user: str) -> str:
    """Return the path of a user's profile."""
    from rebate_app.wire.facts.identifiers import path_segment

    return f"/v1/users/{path_segment(user)}/profile"


def print_profile(profile: dict[str, Any]) -> None:
    """Print a profile, a line for each member."""
    print_line(f"user        {profile['user_id']}")
    print_line(f"level       {profile['level'] or 'none: there are no rules yet'}")
    print_line(f"inviter     {profile['inviter_id'] or 'none'}")
    print_line(f"since       {profile['effective_at'] or 'no profile was ever given'}")
