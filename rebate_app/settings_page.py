"""docs/configuration.md, written from the settings; a test proves it fresh.

`python -m rebate_app.settings_page > docs/configuration.md`
"""

from __future__ import annotations

import sys
from typing import Any, Literal, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from rebate_app.settings import FOREIGN_PREFIXES, PREFIX, Settings

HEAD = f"""\
<!-- Generated: python -m rebate_app.settings_page > docs/configuration.md -->
# Configuration

From the environment only, for workers and commands alike. All problems are listed at once (exit code 78);
an unknown `{PREFIX}…` is an error too, with a guess at what was meant. Every variable can also be given as
`…_FILE`, the name of a file that holds the value: meant for secrets. A worker logs its settings when it
starts, and `rebate doctor` shows those that are not the defaults: secrets masked both times, of
`REBATE_WEBHOOK_URL` scheme, host and port. No URL and no broker may contain a user or a password.
Durations are in seconds.

`REBATE_DATADIR` is made with mode 0700, as is the folder of the local broker. One that exists and is open to
other users is changed to 0700 if it belongs to the worker's user; a home folder, one with the sticky bit
(`/tmp`) and another user's stay as they are, with a warning at the start and in `rebate doctor`.

| variable | default | values | meaning |
|---|---|---|---|
"""
TAIL = f"""
Left to others: {" and ".join(f"`{prefix}…`" for prefix in FOREIGN_PREFIXES)} (Faust's own settings, the test
suite). TLS is on when `REBATE_TLS_CA_FILE` is set: to the file of your own authority, or to the system's
(Debian: `/etc/ssl/certs/ca-certificates.crt`) for a broker whose certificate everybody trusts. Host names are
always checked.
"""


def page() -> str:
    """Return the whole page."""
    return HEAD + "".join(_row(name, field) for name, field in Settings.model_fields.items()) + TAIL


def _row(name: str, field: FieldInfo) -> str:
    about = field.description or ""
    return f"| `{PREFIX}{name.upper()}` | {_default(field)} | {_values(field)} | {about} |\n"


def _default(field: FieldInfo) -> str:
    value = field.default
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, bool):
        value = int(value)
    return "" if value in (None, "") else f"`{value}`"


def _values(field: FieldInfo) -> str:
    kind: Any = field.annotation
    if get_origin(kind) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(kind) if value)
    if kind is bool:
        return "`0`, `1`"
    if kind is SecretStr:
        return "secret"
    least = next((limit.ge for limit in field.metadata if hasattr(limit, "ge")), None)
    most = next((limit.le for limit in field.metadata if hasattr(limit, "le")), None)
    if least is not None:
        return f"{least} or more" if most is None else f"{least} to {most}"
    return ""


if __name__ == "__main__":
    sys.stdout.write(page())
