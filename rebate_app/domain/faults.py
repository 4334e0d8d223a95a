"""Faults of facts: values with a stable reason code.

A fact can have many faults: an HTTP client gets all of them at once, a dead letter the first in contract
order.
"""

from __future__ import annotations

from msgspec import Struct

UNDECODABLE = "undecodable"
UNKNOWN_SCHEMA = "unknown-schema"
UNKNOWN_KIND = "unknown-kind"
KEY_MISMATCH = "key-mismatch"
IMPLAUSIBLE_TIME = "implausible-time"
NETWORK_ERROR = "network-error"
UNKNOWN_LEVEL = "unknown-level"
SELF_INVITE = "self-invite"
UNKNOWN_MEMBER = "unknown-member"
ID_DAMAGED = "id-damaged"
SUMS_DIFFER = "sums-differ"


class Fault(Struct, frozen=True):
    """One reason why a fact is refused.

    `code` is one of the reason codes of docs/spec/facts.md#reason-codes, `member` the dotted path inside the
    fact (empty when the whole fact is meant), `detail` one sentence for a person.
    """

    code: str
    member: str
    detail: str


def missing(member: str) -> Fault:
    """Return the fault of a member that is needed and absent (null counts as absent)."""
    return Fault(f"missing-{member}", member, f"{member} is needed here and is absent")


def invalid(member: str, detail: str) -> Fault:
    """Return the fault of a member that is there but cannot be used."""
    return Fault(f"invalid-{member}", member, detail)


def limit(member: str, detail: str) -> Fault:
    """Return the fault of a fact that would exceed a limit on how many of its member are kept."""
    return Fault(f"limit-{member}", member, detail)


class RefusedError(ValueError):
    """The fact cannot be used: `faults` has at least one reason, in contract order."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("; ".join(f"{fault.code}: {fault.detail}" for fault in faults))
        self.faults = faults
