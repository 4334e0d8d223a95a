"""Query parameters and ids in the path: which are declared, and what their values mean.

Each method of a route below /v1 declares the query parameters that it reads. One that it does not know, or
that is given twice and is not declared repeatable, is refused: a typing error in `at` or `limit` would
otherwise change the answer unnoticed. Every resource refuses the same mistake with the same problem code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from msgspec import Struct

from rebate_app.domain.facts import STATUS_RANK
from rebate_app.networks import NETWORKS
from rebate_app.wire.facts.identifiers import (
    USER_ID_RULE,
    match_attribution_id,
    match_border_user_id,
    match_platform,
    match_user_id,
)
from rebate_app.wire.facts.text_types import DEFINITIONS
from rebate_app.wire.moments import parse_at

from .context import HttpRequest, RequestContext
from .problems import ProblemError

LIMIT_DEFAULT: Final = 50
LIMIT_MAX: Final = 200
WAIT_MS_MAX: Final = 2_000
NAME_CHARACTERS_MAX: Final = 64
TEXT: Final[Mapping[str, Any]] = {"type": "string"}

_match_integer = re.compile(r"[0-9]{1,12}", re.ASCII).fullmatch


class Parameter(Struct, frozen=True):
    """A query parameter; `invalid` is the problem code for a value that cannot be used.

    It has one value, unless it is `repeatable`. `about`, `schema` (JSON Schema of a
    value, None: any text) and `required`
    describe it in /openapi.json; `example` is a value that can be used. `unforeseen`: why a value within the
    schema may be refused all the same, "" where it cannot.
    """

    name: str
    invalid: str
    repeatable: bool = False
    about: str = ""
    schema: Mapping[str, Any] | None = None
    example: Any = None
    required: bool = False
    unforeseen: str = ""


def _moment(name: str, about: str, invalid: str = "") -> Parameter:
    return Parameter(
        name,
        invalid or f"invalid-{name}",
        about=f"{about}, RFC 3339 with offset",
        schema=DEFINITIONS["Moment"],
        example="2026-02-01T00:00:00+08:00",
        unforeseen="a moment lies within the years 1 to 9999, in UTC",
    )


def _filter(name: str, about: str, example: str, unforeseen: str = "") -> Parameter:
    return Parameter(name, "invalid-filter", about=about, example=example, unforeseen=unforeseen)


def _integer_from(name: str, least: int, most: int, about: str, example: int) -> Parameter:
    schema = {"type": "integer", "minimum": least, "maximum": most}
    return Parameter(name, f"invalid-{name}", about=about, schema=schema, example=example)


AT = _moment("at", "answers for this moment; by default for now")
LIMIT = _integer_from("limit", 1, LIMIT_MAX, f"most items of a page; {LIMIT_DEFAULT} by default", 50)
CURSOR = Parameter(
    "cursor",
    "invalid-cursor",
    about="`next_cursor` of the page before",
    unforeseen="a cursor is opaque: only one that this list gave can be used",
)
UNBOUND_ONLY = Parameter(
    "unbound",
    "invalid-unbound",
    about="only ids whose lines belong to nobody can be listed",
    schema={"type": "string", "enum": ["true"]},
    example="true",
    required=True,
)
WAIT_MS = _integer_from("wait_ms", 0, WAIT_MS_MAX, "waits so long for the account to hold the write", 0)
SINCE = _moment("since", "not before this moment", "invalid-filter")
FILTERS = (
    _filter("topic", "of records of this topic", "order_topic", "topics are those of this installation"),
    _filter("reason", "with this reason code", "invalid-status"),
    _filter("key", "of records with this key", "taobao:1"),
    SINCE,
    Parameter(
        "open",
        "invalid-filter",
        about="true: only those about which nobody has decided",
        schema={"type": "string", "enum": ["true", "false"]},
        example="true",
    ),
)
PAGE = (LIMIT, CURSOR)
USER_IDS = Parameter(
    "user_id",
    "invalid-user_id",
    repeatable=True,
    about="whose balance, up to 100; an ill-formed id has an item of its own",
    schema={"type": "array", "minItems": 1, "maxItems": 100, "items": TEXT},
    example=["u1", "u2"],
    required=True,
)
STATUS = Parameter(
    "status",
    "invalid-status",
    about="lines of this status",
    schema={"type": "string", "enum": list(STATUS_RANK)},
    example="paid",
)
PLATFORM = Parameter(
    "platform",
    "invalid-platform",
    about="lines of this network",
    schema=DEFINITIONS["Platform"],
    example=next(iter(NETWORKS)),
)
ROLE = Parameter(
    "role",
    "invalid-role",
    about="lines of which the user is buyer or inviter",
    schema={"type": "string", "enum": ["buyer", "inviter"]},
    example="buyer",
)
PAID_FROM = _moment("paid_from", "lines paid at this moment or later")
PAID_TO = _moment("paid_to", "lines paid before this moment")
ORDER_ID = Parameter(
    "order_id",
    "invalid-order_id",
    about="id of a line, or the buyer's order number",
    schema=DEFINITIONS["OrderNumber"],
    example="390000000000000001",
    required=True,
)
LINE_FILTERS = (STATUS, PLATFORM, ROLE, PAID_FROM, PAID_TO)


def check_query(known: tuple[Parameter, ...], pairs: Iterable[tuple[str, str]]) -> None:
    """Check the names of a request's parameters, repeated ones included, and the values of integers.

    ProblemError `unknown-parameter`, or the parameter's own code when it is given more than once or is no
    integer: also of a request that comes to an answer without reading it.
    """
    by_name = {parameter.name: parameter for parameter in known}
    seen: set[str] = set()
    for name, value in pairs:
        parameter = by_name.get(name)
        if parameter is None:
            raise ProblemError("unknown-parameter", _unknown(name, by_name))
        if name in seen and not parameter.repeatable:
            raise ProblemError(parameter.invalid, f"{name} is given more than once")
        if parameter.schema is not None and parameter.schema.get("type") == "integer":
            _integer_of(value, parameter, parameter.schema["minimum"], parameter.schema["maximum"])
        seen.add(name)


def _unknown(name: str, known: Iterable[str]) -> str:
    listed = ", ".join(known)
    shown = ascii(name[:NAME_CHARACTERS_MAX])
    return f"there is no parameter {shown} here, " + (f"only {listed}" if listed else "and no other one")


def user_id_of(request: HttpRequest) -> str:
    """Return the user id of the path; ProblemError `invalid-user_id`."""
    user_id = request.params["user_id"]
    if match_user_id(user_id) is None:
        raise ProblemError("invalid-user_id", "a user id is 1-128 of A-Za-z0-9._@-")
    return user_id


def written_user_id_of(request: HttpRequest) -> str:
    """Return the user id of a write's path, neither `.` nor `..`; ProblemError `invalid-user_id`.

    Reads accept both, because old logs hold them (docs/spec/facts.md#order-facts).
    """
    user_id = request.params["user_id"]
    if match_border_user_id(user_id) is None:
        raise ProblemError("invalid-user_id", f"the path has to name {USER_ID_RULE}")
    return user_id


def attribution_id_of(request: HttpRequest) -> str:
    """Return the attribution id of the path; ProblemError `invalid-attribution_id`."""
    attribution_id = request.params["attribution_id"]
    if match_attribution_id(attribution_id) is None:
        raise ProblemError(
            "invalid-attribution_id",
            "an attribution id is platform:field:value with a known field, or platform:none",
        )
    return attribution_id


def moment_of(context: RequestContext, request: HttpRequest) -> int:
    """Return the moment `at` in µs, the wall clock without one; ProblemError `invalid-at`."""
    at = moment_or_none(request, AT)
    return context.clock() if at is None else at


def moment_or_none(request: HttpRequest, parameter: Parameter) -> int | None:
    """Return the moment of a parameter in µs, None without one; ProblemError with the parameter's code."""
    text = request.query.get(parameter.name)
    if text is None:
        return None
    try:
        return parse_at(text)
    except ValueError as error:
        detail = f"{parameter.name}: {error}, such as 2026-02-01T00:00:00+08:00"
        raise ProblemError(parameter.invalid, detail) from None


def choice_or_none(request: HttpRequest, parameter: Parameter, known: Iterable[str]) -> str | None:
    """Return a parameter's value, which has to be one of `known`, None without one; ProblemError."""
    text = request.query.get(parameter.name)
    if text is None:
        return None
    known = list(known)
    if text not in known:
        raise ProblemError(parameter.invalid, f"{parameter.name} is one of {', '.join(known)}")
    return text


def platform_or_none(request: HttpRequest) -> str | None:
    """Return the platform that is named, None without one; ProblemError `invalid-platform`."""
    text = request.query.get(PLATFORM.name)
    if text is not None and match_platform(text) is None:
        raise ProblemError(PLATFORM.invalid, "a platform is 1-16 of a-z0-9")
    return text


def values_of(request: HttpRequest, parameter: Parameter) -> list[str]:
    """Return every value of a repeatable parameter, in the order of the request."""
    every = getattr(request.query, "getall", None)  # a multi-dictionary, unless the query is empty
    return [] if every is None else list(every(parameter.name, ()))


def limit_of(request: HttpRequest) -> int:
    """Return how many items a page may have, 50 by default; ProblemError `invalid-limit`."""
    text = request.query.get("limit")
    return LIMIT_DEFAULT if text is None else _integer_of(text, LIMIT, 1, LIMIT_MAX)


def wait_ms_of(request: HttpRequest) -> int | None:
    """Return how long a write may wait to become visible, None for not at all; `invalid-wait_ms`."""
    text = request.query.get("wait_ms")
    return None if text is None else _integer_of(text, WAIT_MS, 0, WAIT_MS_MAX)


def _integer_of(text: str, parameter: Parameter, least: int, most: int) -> int:
    if _match_integer(text) and least <= int(text) <= most:
        return int(text)
    raise ProblemError(parameter.invalid, f"{parameter.name} has to be an integer from {least} to {most}")
