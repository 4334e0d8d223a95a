"""Members that nothing reads: refused in profiles and bindings, warned about in order facts.

An order fact may carry any member besides those of the contract, so only a name that resembles one of these
is reported: another spelling, or the right name in the wrong place. A profile or binding has few
members and replaces the previous one, so every other member is refused (docs/spec/http.md#writes).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from rebate_app.domain.facts import ATTRIBUTION_FIELDS
from rebate_app.domain.faults import UNKNOWN_MEMBER, Fault

from .order_check import CLAIM, PUNISH, REFUND, SNAPSHOT

#: How many warnings of one request or import are listed; the others are counted.
WARNINGS_MAX = 100
#: How many unknown members of a profile or binding are named; the last one says how many follow.
FAULTS_MAX = 20
#: How many different names of one request or import are compared letter by letter, which is slow.
NAMES_COMPARED_MAX = 200
NAME_CHARACTERS_MAX = 100
SIMILARITY_MIN = 0.8
#: Where the member is refused anyway, a worse guess is better than none.
SIMILARITY_REFUSED_MIN = 0.7

_SHARED = frozenset({"schema", "kind", "platform", "order_line_id", "parent_order_id", "platform_status"})
_SHARED_DISPLAY = frozenset({"event_id", "source", "raw", "trace_id", "status_reason"})
_SNAPSHOT = frozenset({"seq", "status", "attribution", "currency", "amounts", "times", "item", "order_id"})
_SNAPSHOT_DISPLAY = frozenset({"rates", "quantity", "flags"})
#: The members of each kind that docs/spec/facts.md#order-facts names, those of all kinds aside.
_OF_KIND: Mapping[str, frozenset[str]] = {
    SNAPSHOT: _SNAPSHOT,
    REFUND: frozenset({"suit_id", "refund_status", "net_refund", "modified_at"}),
    PUNISH: frozenset({"punish_status", "modified_at"}),
    CLAIM: frozenset({"user_id", "claimed_at"}),
}
#: Objects of a snapshot: the members that are read.
_READ: Mapping[str, frozenset[str]] = {
    "seq": frozenset({"modified_at", "fetch_seq"}),
    "attribution": frozenset({"user_id", *ATTRIBUTION_FIELDS}),
    "amounts": frozenset({"est_commission", "settled_commission", "service_fee"}),
    "times": frozenset({"paid", "settled", "expected_settle"}),
    "item": frozenset({"title", "category", "shop"}),
}
#: Members of the same objects, and of others, that are named (docs/spec/facts.md#display-members) and decide
#: nothing.
_DISPLAY: Mapping[str, frozenset[str]] = {
    "seq": frozenset({"status_rank"}),
    "attribution": frozenset({"claimed_user_id"}),
    "amounts": frozenset({"paid", "settled_base", "subsidy", "net_commission"}),
    "times": frozenset({"click", "created", "received"}),
    "item": frozenset({"id"}),
    "rates": frozenset({"commission_ppm", "service_fee_ppm"}),
    "quantity": frozenset({"bought", "returned", "in_after_sale"}),
    "flags": frozenset({"refund_tag", "self_buy", "presale", "price_compare", "punish"}),
    "source": frozenset({"api", "query_type", "scene", "batch_id", "fetched_at"}),
}
#: Objects in which only their own members are looked for: all other members are for display.
_DISPLAY_OBJECTS = frozenset({"item", "rates", "quantity", "flags", "source"})
#: Names that are often written for a member and do not resemble it, in bare form: abbreviations, and the
#: networks' own names.
_ALIASES: Mapping[str, str] = {
    "uid": "userid",
    "attrib": "attribution",
    "fee": "servicefee",
    "alimamasharefee": "servicefee",
    "duoidservicefee": "servicefee",
    "actualfee": "settledcommission",
    "pubsharefee": "settledcommission",
    "estimatefee": "estcommission",
    "pubshareprefee": "estcommission",
    "promotionamount": "estcommission",
    "fetchedat": "fetchseq",
    "modifiedtime": "modifiedat",
    "modifytime": "modifiedat",
    "ordermodifyat": "modifiedat",
}


class _Place(Struct, frozen=True):
    """An object of a fact: the names that it may have, and what other names may stand for.

    `same` maps a bare name to the paths of that very name, `near` the bare names that others are compared
    with to their paths.
    """

    known: frozenset[str]
    same: dict[str, list[str]]
    near: dict[str, str]


def _bare(name: str) -> str:
    return "".join(filter(str.isalnum, name)).casefold()


def _paths(parent: str, names: Iterable[str]) -> list[tuple[str, str]]:
    return [(_bare(name), f"{parent}.{name}" if parent else name) for name in sorted(names)]


def _place(known: frozenset[str], *tiers: list[tuple[str, str]], near: list[tuple[str, str]]) -> _Place:
    """Return a place; of a name in several tiers the first one counts."""
    same: dict[str, list[str]] = {}
    for tier in tiers:
        found: dict[str, list[str]] = {}
        for bare, path in tier:
            found.setdefault(bare, []).append(path)
        same = found | same
    return _Place(known, same, dict(reversed(near)))


def _deciding() -> list[tuple[str, str]]:
    return [
        path for parent in _READ if parent not in _DISPLAY_OBJECTS for path in _paths(parent, _READ[parent])
    ]


def _of_fact(kind: str) -> _Place:
    """Return the place of a fact's own members."""
    own = _SHARED | _OF_KIND[kind]
    beside, elsewhere, deciding = _paths("", own), [], []
    if kind == SNAPSHOT:
        elsewhere = [path for parent, names in _READ.items() for path in _paths(parent, names)]
        deciding = _deciding()
    others = [
        (_bare(name), f"{name} of {other}")
        for other, names in _OF_KIND.items()
        if other not in (kind, SNAPSHOT)
        for name in sorted(names)
    ]
    known = own | _SHARED_DISPLAY | _SNAPSHOT | _SNAPSHOT_DISPLAY
    return _place(known, beside, elsewhere, others, near=beside + deciding)


def _of_object(parent: str) -> _Place:
    """Return the place of the members of a snapshot's object."""
    read, display = _READ.get(parent, frozenset()), _DISPLAY.get(parent, frozenset())
    if parent in _DISPLAY_OBJECTS:
        beside = _paths(parent, read | display)
        return _place(read | display, beside, near=beside)
    elsewhere = [path for name, names in _READ.items() for path in _paths(name, names)]
    above = _paths("", _SHARED | _SNAPSHOT)
    beside = _paths(parent, read)
    return _place(
        read | display, _paths(parent, read | display), elsewhere + above, near=beside + _deciding()
    )


def _of_envelope() -> _Place:
    """Return the place of the members beside `events`; those of facts belong inside of it."""
    top = _SHARED.union(*_OF_KIND.values()) - _DISPLAY_OBJECTS
    deciding, own = _deciding(), _paths("", top)
    inside = [[(bare, f"{path} of each fact") for bare, path in tier] for tier in (deciding, own)]
    events = _paths("", ["events"])
    near = events + inside[1] + inside[0]
    return _place(frozenset({"events", "schema"}), events, *inside, near=near)


_FACTS = {kind: _of_fact(kind) for kind in _OF_KIND}
_OBJECTS = {parent: _of_object(parent) for parent in {**_READ, **_DISPLAY}}
_ENVELOPE = _of_envelope()


class MemberWarning(Struct, frozen=True):
    """A member that is not read; `pointer` is a JSON pointer within its fact or body."""

    pointer: str
    detail: str
    code: str = UNKNOWN_MEMBER


class MemberCheck:
    """Finds such members in the order facts of one request or import."""

    def __init__(self) -> None:
        self._compared: dict[tuple[str, str, str], str | None] = {}

    def warnings(self, fact: Mapping[str, Any]) -> list[MemberWarning]:
        """Return a warning for each member of a checked fact that looks like one that is read."""
        kind = fact["kind"]
        found = self._inside(kind, "", _FACTS[kind], fact)
        if kind == SNAPSHOT:
            for parent, place in _OBJECTS.items():
                members = fact.get(parent)
                if isinstance(members, dict):
                    found += self._inside(kind, parent, place, members)
        return found

    def envelope_warnings(self, body: Mapping[str, Any]) -> list[MemberWarning]:
        """Return a warning for each member beside `events` that looks like it or like a fact's member."""
        return self._inside("", "", _ENVELOPE, body)

    def _inside(
        self, kind: str, parent: str, place: _Place, members: Mapping[str, Any]
    ) -> list[MemberWarning]:
        unread = members.keys() - place.known
        if not unread:
            return []
        at = f"/{parent}" if parent else ""
        found: list[MemberWarning] = []
        for name in members:
            if name in unread and members[name] is not None:  # null is absent
                detail = self._detail((kind, parent, name), place)
                if detail is not None:
                    found.append(MemberWarning(f"{at}/{escaped(name)}", detail))
        return found

    def _detail(self, where: tuple[str, str, str], place: _Place) -> str | None:
        """Return a question that names the member that was probably meant; None if none resembles it."""
        if where in self._compared:
            return self._compared[where]
        name = where[2]
        closely = len(self._compared) < NAMES_COMPARED_MAX
        bare = _bare(name[:NAME_CHARACTERS_MAX])
        candidates = place.same.get(bare) or place.same.get(_ALIASES.get(bare, bare), [])
        if not candidates and closely:
            candidates = _near(name, place.near, SIMILARITY_MIN)
        detail = (
            f"did you mean {' or '.join(candidates)}? {printable(name)} is not read here"
            if candidates
            else None
        )
        if closely:
            self._compared[where] = detail
        return detail


def unknown_members(document: Mapping[str, Any], known: Iterable[str]) -> list[Fault]:
    """Return the faults of all members that are not known, the first FAULTS_MAX of them."""
    names = sorted(known)
    unknown = [name for name in document if name not in names]
    faults = [Fault(UNKNOWN_MEMBER, printable(name), _refused(name, names)) for name in unknown[:FAULTS_MAX]]
    if len(unknown) > FAULTS_MAX:
        last, left_off = faults[-1], len(unknown) - FAULTS_MAX
        faults[-1] = Fault(last.code, last.member, f"{last.detail}; {left_off} more are not known either")
    return faults


def printable(name: str) -> str:
    """Return a member's name as text that can be sent: shortened, half surrogate pairs as escapes."""
    short = name if len(name) <= NAME_CHARACTERS_MAX else f"{name[:NAME_CHARACTERS_MAX]}..."
    return short.encode("utf-8", "backslashreplace").decode()


def escaped(name: str) -> str:
    """Return a member's name as part of a JSON pointer (RFC 6901)."""
    return printable(name).replace("~", "~0").replace("/", "~1")


def _refused(name: str, known: list[str]) -> str:
    near = _near(name, {_bare(each): each for each in known}, SIMILARITY_REFUSED_MIN)
    hint = f"did you mean {near[0]}?" if near else f"the members here are {', '.join(known)}"
    return f"{printable(name)} is not a member of this: {hint}"


def _near(name: str, paths: Mapping[str, str], least: float) -> list[str]:
    """Return the path of the most similar name, none below that similarity."""
    if len(name) > NAME_CHARACTERS_MAX:
        return []
    return [paths[near] for near in difflib.get_close_matches(_bare(name), paths, 1, least)]
