"""Who runs a command, for facts and the audit trail: one record a command (docs/security.md#audit-trail)."""

from __future__ import annotations

import time

import click

from rebate_app.wire.audit_trail import Requester, TrailRecord, shortened_subject
from rebate_app.wire.moments import format_moment

BY_DEFAULT = "operator"
BY_CHARACTERS_MAX = 100
REASON_CHARACTERS_MAX = 200
ACCEPTED = 202
NANOSECONDS_PER_US = 1_000

by_option = click.option(
    "--by", envvar="USER", default=BY_DEFAULT, show_envvar=True, help="Who does this, for the audit trail."
)


def requester_of(by: str) -> Requester:
    """Return who requests what a command sends."""
    return Requester(f"cli:{_text(by)[:BY_CHARACTERS_MAX] or BY_DEFAULT}")


def command_record(action: str, subject: str | None, by: str, reason: str = "") -> TrailRecord:
    """Return the record of a command that is about to change something.

    It is written before, or with, the first thing that the command changes.
    """
    return TrailRecord(
        at=format_moment(time.time_ns() // NANOSECONDS_PER_US),
        actor=requester_of(by).actor,
        via="cli",
        request_id=None,
        remote=None,
        action=action,
        subject=None if subject is None else shortened_subject(_text(subject)),
        status=ACCEPTED,
        reason=_text(reason)[:REASON_CHARACTERS_MAX] or None,
        body_hmac=None,
    )


def _text(given: str) -> str:
    """Return an argument as text that can be written: bytes that are not UTF-8 as escapes."""
    return given.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
