"""Texts, amounts and members that several answers have."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Final

from msgspec import UNSET, Meta, Struct, UnsetType

from rebate_app.domain.facts import LINE_ID_PATTERN, PLATFORM_PATTERN, STATUS_RANK, USER_ID_PATTERN
from rebate_app.streams.task.halt import HALT_CODES


def one_of(values: Iterable[str], about: str = "") -> Meta:
    """Return the annotation of a text that is one of the values."""
    return Meta(description=about or None, extra_json_schema={"enum": list(values)})


def matching(pattern: str, about: str) -> Meta:
    """Return the annotation of a text that matches the whole pattern."""
    return Meta(pattern=f"^{pattern}$", description=about)


_DAY: Final = r"[0-9]{4,}-[0-9]{2}-[0-9]{2}"
_MOMENT: Final = _DAY + r"T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{6})?\+08:00"

Fen = Annotated[int, Meta(description="fen")]
Count = Annotated[int, Meta(ge=0)]
Moment = Annotated[str, matching(_MOMENT, "RFC 3339, in +08:00")]
#: As whoever wrote the record gave it.
AnyMoment = Annotated[str, Meta(description="RFC 3339")]
Day = Annotated[str, matching(_DAY, "a day in Asia/Shanghai")]
UserId = Annotated[str, matching(USER_ID_PATTERN, "a user id")]
Platform = Annotated[str, matching(PLATFORM_PATTERN, "a network: taobao, jd, pdd or another")]
LineId = Annotated[str, matching(LINE_ID_PATTERN, "the id of the line at its network")]
LineStatus = Annotated[str, one_of(STATUS_RANK, "status of the snapshot that counts")]
Role = Annotated[str, one_of(("buyer", "inviter"))]
Depth = Annotated[int, Meta(ge=0, le=2, description="0: the buyer; 1, 2: the inviters above")]
HaltCode = Annotated[str, one_of(HALT_CODES, "only while a limit has halted the partition")]
Cursor = Annotated[str | None, Meta(description="for `cursor` of the next request; null at the end")]
Stale = Annotated[bool, Meta(description="only while the owner cannot answer: older records do")]
UnderReview = Annotated[bool, Meta(description="only while a record waits that our code failed on")]
Away = Annotated[bool, Meta(description="only where the owner of these records cannot be asked")]
Unavailable = Annotated[list[Count], Meta(description="partitions whose owner cannot be reached")]


#: The withdrawal, as docs/money-out.md#over-http has it.
Refused = Annotated[dict[str, Any], Meta(description="422: the withdrawal that is refused")]


class AsOf(Struct, kw_only=True):
    """Up to where the answer holds: the last offset in it, and how many records may follow."""

    topic: str
    partition: Count
    offset: Annotated[int, Meta(ge=-1)]
    lag: Count
    unstable: Annotated[int, Meta(ge=1, description="held back by an open transaction")] | UnsetType = UNSET


class Marked(Struct, kw_only=True):
    """Members of every answer from one owner's records."""

    as_of: AsOf
    stale: Stale | UnsetType = UNSET
    halted: HaltCode | UnsetType = UNSET


class Warned(Struct, kw_only=True):
    """A member of the request that nothing reads."""

    pointer: Annotated[str, Meta(description="JSON pointer")]
    code: Annotated[str, one_of(("unknown-member", "set-by-server"))]
    detail: str


class FactError(Struct, kw_only=True):
    """One bad member of a request."""

    pointer: Annotated[str, Meta(description="JSON pointer")]
    code: str
    detail: str


class BuildProgress(Struct, kw_only=True):
    """How far a scan that builds records has come."""

    kind: str
    partition: Count
    visited: Count


class Problem(Struct, kw_only=True):
    """Every error (RFC 9457); `code` is stable."""

    type: Annotated[str, Meta(pattern="^urn:rebate:problem:", description="urn:rebate:problem:<code>")]
    title: str
    status: Annotated[int, Meta(ge=400, le=599)]
    code: str
    detail: str
    request_id: str
    errors: Annotated[list[FactError], Meta(description="422: each bad member")] | UnsetType = UNSET
    withdrawal: (
        Annotated[dict[str, Any], Meta(description="422: the withdrawal that is refused")] | UnsetType
    ) = UNSET
    progress: Annotated[BuildProgress, Meta(description="503 building")] | UnsetType = UNSET
    ready: Annotated[bool, Meta(description="503 of /readyz")] | UnsetType = UNSET
    reason: Annotated[str, Meta(description="503 of /readyz")] | UnsetType = UNSET


AnyJson = Any
