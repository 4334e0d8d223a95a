"""Checks of the files with API keys and with the keys of user tokens, read as a worker reads them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rebate_app.auth.api_keys import parse_keys
from rebate_app.auth.user_tokens import parse_key_set
from rebate_app.settings import Settings

from .check_spec import CheckSpec, Context, failure, warning
from .result import CheckResult, fail, ok, warn

NAME = "credentials"
REMEDY = "mend the file; workers keep what they read before, and one that starts ends with 78"


def check_credentials(settings: Settings) -> list[CheckResult]:
    """Return one result for each file, or that there is none."""
    files: list[tuple[str, Path | None, Callable[[bytes], Any]]] = [
        ("REBATE_KEYS", settings.keys, parse_keys),
        ("REBATE_JWT_JWKS", settings.jwt_jwks, parse_key_set),
    ]
    results = [_check(name, path, parse) for name, path, parse in files if path is not None]
    if not results and settings.auth_required:
        text = "authentication is on, and neither REBATE_KEYS nor REBATE_JWT_JWKS is set: nobody can ask"
        return [warn(NAME, text, "set REBATE_KEYS")]
    return results or [ok(NAME, "authentication is off")]


def _check(name: str, path: Path, parse: Callable[[bytes], Any]) -> CheckResult:
    try:
        parse(path.read_bytes())
    except OSError as error:
        return fail(NAME, f"{name}: {path} cannot be read: {error.strerror}", REMEDY)
    except ValueError as error:
        return fail(NAME, f"{name}: {path}: {error}", REMEDY)
    return ok(NAME, f"{name}: workers take {path}")


async def _credentials(context: Context) -> list[CheckResult]:
    return check_credentials(context.settings)


CHECKS = (
    CheckSpec(
        NAME,
        "the files of `REBATE_KEYS` and `REBATE_JWT_JWKS`",
        "nothing",
        (
            failure("workers would refuse a file", REMEDY),
            warning("authentication is on and nobody has credentials", "set `REBATE_KEYS`"),
        ),
        _credentials,
    ),
)
