"""The table of reasons why a record fails: whose fault it is and what to do.

Every reason code of a dead letter, a refusal or a metric is covered by exactly one row; docs/failures.md is
generated from the rows.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from .faults import (
    ID_DAMAGED,
    IMPLAUSIBLE_TIME,
    KEY_MISMATCH,
    NETWORK_ERROR,
    SELF_INVITE,
    SUMS_DIFFER,
    UNDECODABLE,
    UNKNOWN_KIND,
    UNKNOWN_LEVEL,
    UNKNOWN_MEMBER,
    UNKNOWN_SCHEMA,
)

INTERNAL_ERROR = "internal-error"
WEBHOOK_REFUSED = "webhook-refused"
WEBHOOK_EXHAUSTED = "webhook-exhausted"

#: Where in the work on a record it failed (header `rebate-error-stage`).
FailedAt = Literal["decode", "validate", "rules", "fold", "payout", "deliver"]
#: permanent: it will fail again as long as record and code are the same. bug: our fold raised.
#: border: refused where facts come in (HTTP, files), never on a topic. receiver: whoever our webhook calls
#: did not take the event; the money is not touched.
Class = Literal["permanent", "bug", "border", "receiver"]

MEMBER = "<member>"


class Reason(Struct, frozen=True):
    """A row: `code` (with `<member>` for a dotted path), what it means, who is to act and how."""

    code: str
    failure: Class
    failed_at: FailedAt
    meaning: str
    cure: str

    def covers(self, code: str) -> bool:
        """Whether that code is an instance of this row."""
        stem, member, _ = self.code.partition(MEMBER)
        return code.startswith(stem) and len(code) > len(stem) if member else code == self.code


REASONS: tuple[Reason, ...] = (
    Reason(
        UNDECODABLE,
        "permanent",
        "decode",
        "no value, key, value or a header name not UTF-8, or the value is no JSON object",
        "find the producer that sends it, then discard",
    ),
    Reason(
        UNKNOWN_SCHEMA,
        "permanent",
        "decode",
        "`schema` names none that this version reads; the detail names those that it does",
        "update the workers and replay, or discard",
    ),
    Reason(
        UNKNOWN_KIND,
        "permanent",
        "decode",
        "`kind` names none that this version reads; the detail names those that it does",
        "update the workers and replay, or discard",
    ),
    Reason(
        KEY_MISMATCH,
        "permanent",
        "validate",
        "the record's key is not what its value is about",
        "have it sent with the right key, then discard",
    ),
    Reason(
        f"missing-{MEMBER}",
        "permanent",
        "validate",
        "a member that is needed at this status is absent",
        "have the whole fact sent again, then discard",
    ),
    Reason(
        f"invalid-{MEMBER}",
        "permanent",
        "validate",
        "a member has a value that cannot be used",
        "have the right fact sent, then discard",
    ),
    Reason(
        f"limit-{MEMBER}",
        "permanent",
        "fold",
        "more of its kind than a line or user keeps; `limit-record`: larger than a parked key can keep",
        "look for the source of so many, then discard; `limit-record`: release the key, then replay",
    ),
    Reason(
        IMPLAUSIBLE_TIME,
        "permanent",
        "validate",
        "`modified_at` is more than 24 h after the record's own timestamp",
        "check the clock of the source; once that time has come, replay",
    ),
    Reason(
        INTERNAL_ERROR,
        "bug",
        "fold",
        "the fold raised: a bug of ours; the key is parked and nobody else's is touched",
        "mend the bug, update the workers, then `rebate dlq release KEY`",
    ),
    Reason(
        WEBHOOK_REFUSED,
        "receiver",
        "deliver",
        "the webhook's receiver answered with a redirect or a 4xx other than 408 and 429",
        "mend the receiver or REBATE_WEBHOOK_URL, then replay, or discard",
    ),
    Reason(
        WEBHOOK_EXHAUSTED,
        "receiver",
        "deliver",
        "the webhook's receiver did not take the event within REBATE_WEBHOOK_GIVE_UP_AFTER",
        "mend the receiver, then replay; it comes after later events of its user",
    ),
    Reason(
        NETWORK_ERROR,
        "border",
        "decode",
        "a network answered with an error, or without rows and not with the empty page of its API",
        "read its code and message, and ask it again",
    ),
    Reason(
        UNKNOWN_LEVEL,
        "border",
        "validate",
        "no loaded rule version knows the level",
        "load the version, or name another level",
    ),
    Reason(
        UNKNOWN_MEMBER,
        "border",
        "validate",
        "a profile or binding has a member that nothing reads",
        "correct its name, or leave it out",
    ),
    Reason(
        ID_DAMAGED,
        "border",
        "decode",
        "an id in an export has lost its last digits in a spreadsheet",
        "export the table again with ids as text, and do not save it with a spreadsheet",
    ),
    Reason(
        SUMS_DIFFER,
        "border",
        "decode",
        "the row of sums of an export differs from the sum of its rows, which are sent all the same",
        "compare the export with the back office: rows may be missing",
    ),
    Reason(
        SELF_INVITE, "border", "validate", "a user was named as their own inviter", "name another inviter"
    ),
)


def reason_of(code: str) -> Reason:
    """Return the row that describes a reason code; KeyError for a code that the table does not have."""
    for reason in REASONS:
        if reason.covers(code):
            return reason
    raise KeyError(code)
