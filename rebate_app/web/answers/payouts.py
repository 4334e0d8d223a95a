"""Answers and bodies about payees, channels and payouts by hand (docs/payouts.md)."""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from rebate_app.domain.facts import AMOUNT_FEN_MAX
from rebate_app.domain.faults import UNDECODABLE, UNKNOWN_MEMBER
from rebate_app.domain.money_out.facts import CHANNEL_REF_PATTERN
from rebate_app.payouts.channels.channel_file import KINDS
from rebate_app.wire.channel_states import CHANNEL_STATES
from rebate_app.wire.facts.text_types import MomentText, OwnIdText

from ..operation import Operation, RequestBody
from .common import Count, Fen, Moment, Unavailable, one_of

PayeeId = Annotated[str, Meta(pattern="^[0-9a-f]{16}$", description="an HMAC of what it names")]
Masked = Annotated[str, Meta(description="masked")]
ChannelName = Annotated[str, Meta(description="of the file REBATE_CHANNELS")]
#: As the server holds them: no control characters, no spaces but plain ones.
Account = Annotated[str, Meta(min_length=1, max_length=128, description="printable text")]
PayeeName = Annotated[str, Meta(max_length=64, description="printable text")]
Reason = Annotated[str, Meta(max_length=200, description="why; for the audit trail")]
Reference = Annotated[str, Meta(pattern=f"^({CHANNEL_REF_PATTERN})?$")]
Word = Annotated[str, Meta(pattern="^[A-Za-z0-9._-]{0,64}$")]
FenInFile = Annotated[int, Meta(ge=-AMOUNT_FEN_MAX, le=AMOUNT_FEN_MAX, description="fen")]
ROWS_MAX: Final = 5_000


class PayeeItem(Struct, kw_only=True):
    """To whom withdrawals are paid; account and name masked."""

    payee_id: PayeeId
    channel: ChannelName
    account: Masked
    name: Masked


class PayeeList(Struct, kw_only=True):
    """The payees of a user, by id."""

    items: list[PayeeItem]


class Forgotten(Struct, kw_only=True):
    """Whether there was such a payee; there is none now."""

    payee_id: str
    forgotten: bool


class Rotated(Struct, kw_only=True):
    """How many payees were sealed anew, and how many no key of the ring opens."""

    rotated: Count
    unreadable: Count


class ChannelExport(Struct, kw_only=True):
    """An export, and how many of its payouts are open."""

    export_id: str
    open: Count


class ChannelMembers(Struct, kw_only=True):
    """A channel; `kind`, `identity` and `per_second` are null for one that left the file."""

    name: ChannelName
    kind: Annotated[str | None, Meta(extra_json_schema={"enum": [*KINDS, None]})]
    configured: bool
    state: Annotated[str, one_of(CHANNEL_STATES, "by which this worker acts")]
    by: str | None
    why: str | None
    since: Moment | None
    identity: Annotated[str | None, Meta(description="hash of kind, address and merchant")]
    per_second: float | None


class ChannelItem(ChannelMembers, kw_only=True):
    """A channel, and what waits there."""

    open: Count
    unknown: Count
    stuck: Count
    oldest_s: Annotated[int | None, Meta(description="since the last change of the oldest open one")]
    exports: list[ChannelExport]


class ChannelList(Struct, kw_only=True):
    """All channels; `active`: the app that decides and pays."""

    items: list[ChannelItem]
    unavailable: Unavailable
    active: str | None


class ChannelSet(ChannelMembers, kw_only=True):
    """The channel as it is now; `confirmed`: every live worker acts by it."""

    confirmed: bool


class ExportItem(Struct, kw_only=True):
    """A payout for people to carry out, in clear."""

    payout_no: str
    amount: Fen
    account: str
    name: str
    memo: str


class ExportRows(Struct, kw_only=True):
    """The payouts of an export, by number."""

    export_id: str
    rows: list[ExportItem]


class RowRefused(Struct, kw_only=True):
    """A row that was not taken; rows count from 1."""

    row: Annotated[int, Meta(ge=1)]
    code: Annotated[str, one_of(("unknown-payout", "status", "amount", "not-exported", "wrong-state"))]


class ResultsTaken(Struct, kw_only=True):
    """How many rows were taken, how many said what is known, and the others."""

    accepted: Count
    unchanged: Count
    refused: list[RowRefused]


class CallbackTaken(Struct, kw_only=True):
    """The callback is taken; it books nothing."""

    accepted: bool


class PayeeBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """The payee in clear."""

    channel: str
    account: Account
    name: PayeeName = ""


class StaffBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """Why."""

    reason: Reason | None = None


class ExportBody(StaffBody, kw_only=True, forbid_unknown_fields=True):
    """Which export; the same id gives the same rows again."""

    export_id: OwnIdText


class ResultBody(Struct, kw_only=True):
    """What became of a payout."""

    payout_no: Word
    status: Word
    amount: FenInFile
    channel_ref: Reference | None = None
    code: Word | None = None
    at: Annotated[MomentText | None, Meta(description="when it came about")] = None


class ResultsBody(StaffBody, kw_only=True, forbid_unknown_fields=True):
    """Rows of a file; `strict`: nothing is taken if any is refused, `dry_run`: nothing at all."""

    rows: Annotated[list[ResultBody], Meta(max_length=ROWS_MAX)]
    strict: bool = False
    dry_run: Annotated[bool, Meta(description="check every row, and take none")] = False


_PLAIN: Final = (UNDECODABLE, UNKNOWN_MEMBER, "invalid-reason")
_PRINTABLE: Final = "control characters and spaces but plain ones are refused"
_FILE: Final = "the channels file decides"


def _staff(type_: Any, *reasons: str) -> RequestBody:
    return RequestBody(type_, (*_PLAIN, *reasons))


_UNCONFIGURED: Final = {"unknown-channel": _FILE}
PAYEES_OF_USER = Operation(
    PayeeList, codes=("not-ready", "broker-away", "unknown-channel"), unforeseen=_UNCONFIGURED
)
PAYEE_KEEP = Operation(
    PayeeItem,
    201,
    codes=("not-ready", "too-many-payees"),
    body=RequestBody(
        PayeeBody,
        (
            UNDECODABLE,
            UNKNOWN_MEMBER,
            "unknown-channel",
            "invalid-account",
            "invalid-name",
            "invalid-user_id",
        ),
    ),
    unforeseen={
        "unknown-channel": _FILE,
        "invalid-account": _PRINTABLE,
        "invalid-name": _PRINTABLE,
        "too-many-payees": "a user has a bounded number",
    },
)
PAYEE_FORGET = Operation(
    Forgotten, codes=("not-ready", "payee-in-use", "unknown-channel"), unforeseen=_UNCONFIGURED
)
PAYEES_ROTATE = Operation(
    Rotated, codes=("not-ready", "unknown-channel"), body=_staff(StaffBody), unforeseen=_UNCONFIGURED
)
CHANNELS = Operation(ChannelList)
CHANNEL_SET = Operation(ChannelSet, codes=("unknown-channel",), body=_staff(StaffBody))
CHANNEL_EXPORT = Operation(
    ExportRows, codes=("unknown-channel", "not-ready"), body=_staff(ExportBody, "invalid-export_id")
)
#: Of one manual channel, or of all of them.
RESULTS = Operation(
    ResultsTaken,
    codes=("unknown-channel", "not-ready"),
    body=_staff(ResultsBody, "invalid-rows", "invalid-strict", "invalid-dry_run"),
    unforeseen={"invalid-rows": "JSON Schema takes 5.0 for an integer; here it is none"},
)
PAYOUT_NOTIFICATION = Operation(
    CallbackTaken, 202, codes=("invalid-signature", "unknown-channel", "too-large")
)
