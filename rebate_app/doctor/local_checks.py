"""Checks of this machine: settings, import names, folders, secret files, addresses.

They need neither a broker nor a worker. Nothing is created or changed.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import stat
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from rebate_app.data_folder import OTHERS, open_to_others
from rebate_app.import_names import OURS, wrong_import_names
from rebate_app.settings import LOOPBACK, Settings, changed_settings
from rebate_app.webhooks.special_addresses import is_special

from .check_spec import CheckSpec, Context, failure, warning
from .result import CheckResult, fail, ok, warn

FREE_BYTES_MIN = 1 << 30
SECRET_FILE = re.compile(r"REBATE_(?:SASL_PASSWORD|WEBHOOK_SECRET|WEBHOOK_URL|CLUSTER_SECRET|TOKEN)_FILE")


def check_settings(settings: Settings) -> CheckResult:
    """Return the settings that are not the defaults, secrets masked."""
    changed = changed_settings(settings)
    text = ", ".join(f"{name}={value}" for name, value in changed.items()) or "all are the defaults"
    return ok("settings", text)


def check_names() -> CheckResult:
    """Check that the packages `agents` and `tables` are this application's."""
    problems = wrong_import_names()
    if problems:
        return fail("import names", problems[0], "make a virtual environment for this application alone")
    return ok("import names", f"{' and '.join(OURS)} are this application's")


def check_web(settings: Settings) -> CheckResult:
    """Check who can reach the web server."""
    if settings.auth_required:
        over = "HTTP: put a proxy with TLS before it" if settings.web_cert is None else "TLS"
        return ok("web", f"{settings.own_url} asks for credentials, over {over}")
    if settings.web_host not in LOOPBACK:
        return warn(
            "web",
            f"{settings.web_host}:{settings.web_port} answers whoever reaches it, without authentication",
            "set REBATE_KEYS or REBATE_JWT_JWKS, or let only an authenticating proxy reach this port",
        )
    return ok("web", f"only this machine reaches {settings.own_url}")


def check_webhook(settings: Settings) -> CheckResult:
    """Check that events may be sent to REBATE_WEBHOOK_URL."""
    url = urlsplit(settings.webhook_url)
    if not url.hostname:
        return ok("webhook", "no REBATE_WEBHOOK_URL: events are passed over")
    try:
        found = {str(info[4][0]) for info in socket.getaddrinfo(url.hostname, None, type=socket.SOCK_STREAM)}
    except OSError as error:
        return warn("webhook", f"{url.hostname} has no address: {error}", "correct REBATE_WEBHOOK_URL")
    special = sorted(filter(is_special, found))
    if special and not settings.webhook_allow_private:
        remedy = "correct REBATE_WEBHOOK_URL, or set REBATE_WEBHOOK_ALLOW_PRIVATE=1"
        return fail("webhook", f"{url.hostname} leads to {special[0]}, where nothing is sent", remedy)
    if url.scheme == "http" and not special:
        return warn("webhook", f"events go to {url.hostname} unencrypted", "use https")
    return ok("webhook", f"events go to {url.hostname}")


def check_folder(settings: Settings) -> CheckResult:
    """Check that REBATE_DATADIR is writable, private and has room."""
    folder = settings.datadir.absolute()
    existing = _first_existing(folder)
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        return fail(
            "data folder", f"{folder} cannot be written", "set REBATE_DATADIR to a folder of the user"
        )
    free = shutil.disk_usage(existing).free
    if free < FREE_BYTES_MIN:
        text = f"{folder} has {free // 2**20} MiB left"
        return warn("data folder", text, "make room: the stores of tables grow with the lines")
    warning = open_to_others(folder) if existing == folder else ""
    if warning:
        return warn("data folder", warning, f"chmod 700 {folder}; a worker that owns it does so at its start")
    return ok("data folder", f"{folder} can be written, {free // 2**30} GiB are free")


def check_secret_files(environment: Mapping[str, str]) -> CheckResult:
    """Check that other users cannot read the files that `REBATE_…_FILE` name.

    A file of another user is left alone: a container platform mounts it and decides about its mode.
    """
    named = {name: path for name, path in environment.items() if SECRET_FILE.fullmatch(name)}
    for name, path in sorted(named.items()):
        found = Path(path).stat()
        if found.st_uid == os.geteuid() and found.st_mode & OTHERS:
            mode = stat.S_IMODE(found.st_mode)
            text = f"other users can use {path} ({name}): its mode is {mode:04o}"
            return warn("secret files", text, f"chmod 600 {path}")
    return ok("secret files", f"{len(named)} named, none is open to other users")


def _first_existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())


async def _settings(context: Context) -> list[CheckResult]:
    return [check_settings(context.settings)]


async def _import_names(_context: Context) -> list[CheckResult]:
    return [check_names()]


async def _data_folder(context: Context) -> list[CheckResult]:
    return [check_folder(context.settings)]


async def _secret_files(context: Context) -> list[CheckResult]:
    return [check_secret_files(context.environment)]


async def _web(context: Context) -> list[CheckResult]:
    return [check_web(context.settings)]


async def _webhook(context: Context) -> list[CheckResult]:
    return [check_webhook(context.settings)]


CHECKS = (
    CheckSpec(
        "settings",
        "the `REBATE_` variables; shows those that are not the defaults, secrets masked",
        "nothing",
        (failure("a setting is unknown or has a wrong value", "see [configuration](configuration.md)"),),
        _settings,
    ),
    CheckSpec(
        "import names",
        "the packages `agents` and `tables`",
        "nothing",
        (failure("they are another program's", "make a virtual environment for this application alone"),),
        _import_names,
    ),
    CheckSpec(
        "data folder",
        "`REBATE_DATADIR`: writable, private, at least 1 GiB free",
        "nothing",
        (
            failure("it cannot be written", "set `REBATE_DATADIR` to a folder of the user"),
            warning("less than 1 GiB is free", "make room: stores grow with the lines"),
            warning("other users can read it", "`chmod 700`"),
        ),
        _data_folder,
    ),
    CheckSpec(
        "secret files",
        "the mode of the files that `REBATE_…_FILE` name",
        "nothing",
        (warning("other users can read a file", "`chmod 600`"),),
        _secret_files,
    ),
    CheckSpec(
        "web",
        "the address of the web server",
        "nothing",
        (
            warning(
                "other machines reach it without authentication",
                "set `REBATE_KEYS` or `REBATE_JWT_JWKS`, or let only an authenticating proxy reach this port",
            ),
        ),
        _web,
    ),
    CheckSpec(
        "webhook",
        "the address to which `REBATE_WEBHOOK_URL` resolves",
        "nothing",
        (
            warning("the host has no address", "correct `REBATE_WEBHOOK_URL`"),
            failure(
                "the address is private or special, to which nothing is sent",
                "correct `REBATE_WEBHOOK_URL`, or set `REBATE_WEBHOOK_ALLOW_PRIVATE=1`",
            ),
            warning("events are sent unencrypted", "use https"),
        ),
        _webhook,
    ),
)
