"""What can be looked at without anybody else: settings, rules, folders, names.

It is separate because it needs neither a broker nor a worker, and nothing else makes sense where it fails.
"""

from __future__ import annotations

import os
import shutil
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

from rebate_app.domain.rules import RuleBook
from rebate_app.import_names import OURS, wrong_import_names
from rebate_app.settings import LOOPBACK, ConfigurationError, Settings, changed_settings
from rebate_app.webhooks.addresses import is_special
from rebate_app.wire.rule_files import load_rules

from .findings import Check, fail, ok, warn

FREE_BYTES_MIN = 1 << 30
MICROSECONDS = 1_000_000


def check_settings(settings: Settings) -> Check:
    """Say which settings are not the defaults, secrets masked."""
    changed = changed_settings(settings)
    says = ", ".join(f"{name}={value}" for name, value in changed.items()) or "all are the defaults"
    return ok("settings", says)


def check_names() -> Check:
    """Look whether `agents` and `tables` are ours."""
    problems = wrong_import_names()
    if problems:
        return fail("import names", problems[0], "make a virtual environment for this application alone")
    return ok("import names", f"{' and '.join(OURS)} are this application's")


def check_web(settings: Settings) -> Check:
    """Look who can reach the web server."""
    if settings.web_host not in LOOPBACK:
        return warn(
            "web",
            f"{settings.web_host}:{settings.web_port} answers whoever reaches it, without authentication",
            "let only a proxy that checks who asks reach this port",
        )
    return ok("web", f"only this machine reaches {settings.own_url}")


def check_webhook(settings: Settings) -> Check:
    """Look whether events may be sent where REBATE_WEBHOOK_URL says."""
    url = urlsplit(settings.webhook_url)
    if not url.hostname:
        return ok("webhook", "no REBATE_WEBHOOK_URL: events are passed over")
    try:
        found = {str(info[4][0]) for info in socket.getaddrinfo(url.hostname, None, type=socket.SOCK_STREAM)}
    except OSError as error:
        return warn("webhook", f"{url.hostname} has no address: {error}", "correct REBATE_WEBHOOK_URL")
    special = sorted(filter(is_special, found))
    if special and not settings.webhook_allow_private:
        do = "correct REBATE_WEBHOOK_URL, or set REBATE_WEBHOOK_ALLOW_PRIVATE=1"
        return fail("webhook", f"{url.hostname} leads to {special[0]}, where nothing is sent", do)
    if url.scheme == "http" and not special:
        return warn("webhook", f"events go to {url.hostname} unencrypted", "use https")
    return ok("webhook", f"events go to {url.hostname}")


def check_rules(settings: Settings) -> tuple[Check, RuleBook | None]:
    """Load the rule files."""
    try:
        rules = load_rules(settings.rules)
    except ConfigurationError as error:
        return fail("rules", str(error), "correct the files below REBATE_RULES"), None
    names = [version.version for version in rules.versions]
    in_force = rules.in_force(time.time_ns() * MICROSECONDS // 1_000_000_000)
    if in_force is None:
        says = f"none of {len(names)} versions is in force now: lines paid now are worth 0"
        return warn("rules", says, "add a version whose effective_from has come"), rules
    return ok("rules", f"{len(names)} versions, in force: {in_force.version}"), rules


def check_folder(settings: Settings) -> Check:
    """Look whether REBATE_DATADIR can be written, and has room."""
    folder = settings.datadir.absolute()
    there = _first_that_exists(folder)
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return fail(
            "data folder", f"{folder} cannot be written", "set REBATE_DATADIR to a folder of the user"
        )
    free = shutil.disk_usage(there).free
    if free < FREE_BYTES_MIN:
        says = f"{folder} has {free // 2**20} MiB left"
        return warn("data folder", says, "make room: the stores of tables grow with the lines")
    return ok("data folder", f"{folder} can be written, {free // 2**30} GiB are free")


def _first_that_exists(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())
