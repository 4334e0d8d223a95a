"""`rebate keys new|check`: make an API key, and validate the file of keys before workers read it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from rebate_app.settings import EXIT_FINDINGS, EXIT_OK, EXIT_USAGE, load_settings

from .command_group import CommandGroup
from .exits import EXITS, CommandError, guarded, json_option
from .lists import print_list
from .terminal import print_json, print_line, print_note


@click.group(cls=CommandGroup)
def keys() -> None:
    """Make and check the API keys of REBATE_KEYS."""


@keys.command(epilog=EXITS)
@click.option("--id", "key_id", required=True, help="1-32 of a-z0-9-; shown as the actor key:ID.")
@click.option("--name", required=True, help="Who uses it.")
@click.option("--scope", "scopes", multiple=True, required=True, help="What it may do; may be repeated.")
@click.option("--not-after", help="RFC 3339 with offset; the key expires then.")
@json_option
@guarded
def new(key_id: str, name: str, scopes: tuple[str, ...], not_after: str | None, *, as_json: bool) -> None:
    """Print a new token, once, and the entry to add to the file of keys.

    The token goes to stdout and the entry to stderr, so that `rebate keys new … > token` keeps the token in a
    file for REBATE_TOKEN_FILE. The file of keys holds the token's SHA-256 only.

    \b
    Example:
      rebate keys new --id crm --name "CRM of the shop" --scope balances:read --scope orders:write
    """  # noqa: D301 - click's mark for text that is shown as it is
    from rebate_app.auth.api_keys import new_key

    try:
        made = new_key(key_id, name, scopes, _moment(not_after))
    except ValueError as error:
        raise CommandError(f"The key cannot be made: {error}.", EXIT_USAGE) from None
    if as_json:
        print_json({"token": made.token, "entry": made.entry})
        return
    print_line(made.token, cut=False)
    print_note("Add this to the file of REBATE_KEYS; workers take it within 5 s:")
    print_note("")
    for line in made.entry.split("\n"):
        print_note(line)


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(f"--not-after {text!r} is not RFC 3339.", EXIT_USAGE) from None
    if moment.utcoffset() is None:
        raise CommandError(f"--not-after {text!r} needs an offset, such as +08:00.", EXIT_USAGE)
    return moment


@keys.command(epilog=EXITS)
@click.argument("file", type=click.Path(path_type=Path), required=False)
@json_option
@guarded
def check(file: Path | None, *, as_json: bool) -> None:
    """Check FILE, default REBATE_KEYS; exit 1 with every problem if workers would refuse it.

    \b
    Example:
      rebate keys check keys.toml
    """  # noqa: D301 - click's mark for text that is shown as it is
    from rebate_app.auth.api_keys import parse_keys

    path = file or load_settings().keys
    if path is None:
        raise CommandError("Name a file, or set REBATE_KEYS.", EXIT_USAGE)
    try:
        ring, problem = parse_keys(path.read_bytes()), ""
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}.", EXIT_USAGE) from None
    except ValueError as error:
        ring, problem = None, str(error)
    items = (
        [] if ring is None else [{"id": key.id, "scopes": sorted(key.scopes)} for key in ring.keys.values()]
    )
    if as_json:
        print_list(items, file=str(path), problem=problem or None)
    elif problem:
        print_line(f"{path}: {problem}")
    else:
        print_line(f"{path}: {len(items)} keys, no problem")
    raise SystemExit(EXIT_FINDINGS if problem else EXIT_OK)
