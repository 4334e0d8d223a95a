"""The oracle: every balance from the whole set of facts at once, slowly and literally (docs/spec/money.md).

It is the judge of the product and so shares nothing with it: no import, no trick, no increment, no pin.
Its scope is the law's: profiles and rules were there before the lines, the last binding of an id holds.

Readings, where the specification leaves room:

1.  Snapshots of every status but `unknown` give attribution: created, closed, superseded, punished too.
    `unknown` ones count (attribution only) where the line has no other status, a punished one included.
2.  `""` and `"0"` are no values for every member of `attribution`, `user_id` too: never refused, just absent.
3.  Each member is merged first, then judged: a newest `sub_union_id` that is ill-formed hides an older
    well-formed one. A well-formed one on its platform names the user even where a `special_id` is there.
4.  Of two snapshots equal in the whole version order neither is newer. An absent `est_commission` comes
    before any; absent `settled_commission`, `service_fee`, `fetch_seq` are 0.
5.  An expected date stands if any of its carriers has no newer snapshot modified before it begins; `newer`
    is the version order, so an equal `modified_at` with a higher rank or `fetch_seq` is newer. Dates carried
    by snapshots that are not `received` do not settle.
6.  Settlement day: the earliest date that takes effect goes before `times.settled`, also where S is settled.
    `times.settled` is S's own only; the earliest `modified_at` is over all settled snapshots, older than a
    reopening too. Likewise the jd release: the earliest expected date over all settled snapshots.
7.  A line that has a date in effect, S being received without amounts, settles with net 0 (default 0).
8.  `settled_on` and `release_on` are None while the line is not settled at that moment (no forecast).
    A line that is confirmed as punished, or priced by no rule, keeps its dates, status and settled flag;
    one whose S is worth 0 is not settled.
9.  `net` of a line: max(0, est - fee) before settlement, max(0, net0 - R) after it (what an open suit
    disputes is in it, as held), 0 where S is worth 0 or punishment is confirmed. Without a rule version net
    is still what the facts say, and the platform keeps all of it. `platform_share` = net - all shares; of a
    line that belongs to nobody it is the whole net.
10. Punishment applies to unsettled and settled lines alike; O does not show while frozen (net0 - R is held).
    A `punished` snapshot freezes only while it is the best of all: a newer paid one lifts it.
11. A line has a version wherever S carries `times.paid`, a closed S too; there its chain is listed with 0.
    Without a version only the owner is listed, at depth 0, with level None and bps 0. `level` is the level
    that counts in the version (unknown ones show as its first). Nobody is listed for a line nobody owns.
12. `min_net_commission_fen` is compared with the argument of shares(), so held can be what the minimum cuts.
13. A suit, punishment or claim without any snapshot makes a line: S none, id `platform:none`, closed.
14. A line under a claim keeps its attribution id; it is no longer in suspense, so `lines` and `net` of that
    id (and of suspense) leave it out; `claimed_lines` and `claimed_net` show it. Bound, the id has it again.
15. Where `REBATE_USER_ID_FIELDS` names several members of a platform, the first listed that names one wins.
16. Fractions of a second count to the last digit. Days past the year 9999 are not handled.
17. Users: owners of lines (worth 0 too), all who are listed in shares, all with a profile. Neither former
    owners nor ids in `inviter_id` alone. `lines` in the balance counts lines that the user owns now.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from fractions import Fraction
from typing import Any

from tests.oracle.line_state import Document, LineFacts, LineState, state_at, time_text
from tests.oracle.moments import instant, instant_of, midnight
from tests.oracle.ownership import Owner, owner_of, parse_user_id_fields
from tests.oracle.sharing import (
    Beneficiary,
    Profile,
    RuleVersion,
    UserRecord,
    chain_of,
    read_profile,
    version_in_force,
)

OrderRecord = Document
LineKey = tuple[str, str]
BUCKETS = ("estimated", "confirmed", "available", "held")
ALL_USER_ID_FIELDS = "jd:sub_union_id,pdd:custom_uid"
_KINDS = {
    "order.snapshot": "snapshots",
    "order.refund": "refunds",
    "order.punish": "punishments",
    "order.claim": "claims",
}

__all__ = ["Oracle", "OrderRecord", "UserRecord"]


class Oracle:
    """All balances and lines as functions of the set of facts; amounts in fen."""

    def __init__(
        self,
        orders: Sequence[OrderRecord],
        users: Sequence[UserRecord],
        rules: Sequence[dict[str, Any] | str],
        user_id_fields: str = ALL_USER_ID_FIELDS,
        pinned: Mapping[LineKey, str | None] | None = None,
    ) -> None:
        """Take accepted order facts in any order, user facts with their time in log order, rule files.

        `pinned`: the version that prices each line, where not all versions were known when it came; None for
        none (tests/oracle/activations.py).
        """
        self._pinned = pinned
        self._facts: dict[LineKey, LineFacts] = {}
        self._profiles: dict[str, list[Profile]] = {}
        self._bindings: dict[str, str | None] = {}
        self._versions = [RuleVersion(source) for source in rules]
        self._user_id_fields = parse_user_id_fields(user_id_fields)
        self._answers: dict[Fraction, dict[LineKey, dict[str, Any]]] = {}
        self._owners: dict[LineKey, Owner] = {}
        for document in orders:
            key = (document["platform"], document["order_line_id"])
            facts = self._facts.setdefault(key, LineFacts(*key))
            getattr(facts, _KINDS[document["kind"]]).append(document)
        for record in users:
            document = record[0]
            if document["kind"] == "user.profile":
                self._profiles.setdefault(document["user_id"], []).append(read_profile(record))
            elif document["kind"] == "attribution.bind":
                self._bindings[document["attribution_id"]] = document.get("user_id")

    def lines(self) -> list[LineKey]:
        """Return the keys of all lines, sorted."""
        return sorted(self._facts)

    def users(self) -> set[str]:
        """Return everyone with a line, a share (of 0 too) or a profile."""
        found = set(self._profiles)
        for answer in self._all_lines(datetime.fromisoformat("2000-01-01T00:00:00+08:00")).values():
            found.update(share["user_id"] for share in answer["shares"])
        return found

    def attribution_ids(self) -> set[str]:
        """Return all attribution ids that a line waits under or was bound by, or that a binding names."""
        ids = {owner.attribution_id for owner in map(self._owner, self._facts.values())}
        return {one for one in ids if one is not None} | set(self._bindings)

    def line(self, platform: str, order_line_id: str, at: datetime) -> dict[str, Any]:
        """Return one line at a moment; KeyError if no fact names it."""
        return self._all_lines(at)[platform, order_line_id]

    def balance(self, user_id: str, at: datetime) -> dict[str, Any]:
        """Return the account of one user at a moment; zeros for a user never seen."""
        total = dict.fromkeys(BUCKETS, 0)
        counts = {"open": 0, "settled": 0, "closed": 0}
        maturing: dict[str, int] = {}
        for answer in self._all_lines(at).values():
            if answer["owner"]["user_id"] == user_id:
                counts[answer["counts_as"]] += 1
            for share in answer["shares"]:
                if share["user_id"] != user_id:
                    continue
                for bucket in BUCKETS:
                    total[bucket] += share[bucket]
                if share["confirmed"]:
                    day = answer["release_on"]
                    maturing[day] = maturing.get(day, 0) + share["confirmed"]
        return {
            **total,
            "frozen": 0,
            "withdrawn": 0,
            "debt": max(0, -total["available"]),
            "maturing": [{"on": day, "amount": maturing[day]} for day in sorted(maturing)],
            "lines": counts,
        }

    def attribution(self, attribution_id: str, at: datetime) -> dict[str, Any]:
        """Return how many lines an id has, their net and whose they are; claimed lines apart."""
        answer = {"lines": 0, "net": 0, "claimed_lines": 0, "claimed_net": 0}
        for line in self._all_lines(at).values():
            if line["owner"]["attribution_id"] == attribution_id:
                prefix = "claimed_" if line["owner"]["by"] == "claim" else ""
                answer[prefix + "lines"] += 1
                answer[prefix + "net"] += line["net"]
        return {**answer, "user_id": self._bindings.get(attribution_id)}

    def suspense(self, at: datetime) -> dict[str, dict[str, int]]:
        """Return the lines and the net of every attribution id with lines that belong to nobody."""
        found: dict[str, dict[str, int]] = {}
        for line in self._all_lines(at).values():
            if line["owner"]["user_id"] is None:
                entry = found.setdefault(line["owner"]["attribution_id"], {"lines": 0, "net": 0})
                entry["lines"] += 1
                entry["net"] += line["net"]
        return found

    def _owner(self, facts: LineFacts) -> Owner:
        """Ask once per line whose it is: no moment moves an owner."""
        key = (facts.platform, facts.order_line_id)
        if key not in self._owners:
            self._owners[key] = owner_of(facts, self._bindings, self._user_id_fields)
        return self._owners[key]

    def pricing_facts(self) -> dict[LineKey, tuple[str | None, str | None]]:
        """Return by line its owner and its paid time, on which its version depends."""
        at = instant_of(datetime.fromisoformat("2100-01-01T00:00:00+08:00"))
        found = {}
        for key, facts in self._facts.items():
            best = state_at(facts, at).best
            found[key] = self._owner(facts).user_id, None if best is None else time_text(best, "paid")
        return found

    def _version(self, facts: LineFacts, paid: Fraction | None) -> RuleVersion | None:
        if self._pinned is None or paid is None:
            return version_in_force(self._versions, paid)
        name = self._pinned.get((facts.platform, facts.order_line_id))
        return next((version for version in self._versions if version.name == name), None)

    def _all_lines(self, at: datetime) -> dict[LineKey, dict[str, Any]]:
        """Answer for every line once per moment; facts never change, so this is no shortcut in the law."""
        moment = instant_of(at)
        if moment not in self._answers:
            self._answers[moment] = {key: self._answer(facts, moment) for key, facts in self._facts.items()}
        return self._answers[moment]

    def _answer(self, facts: LineFacts, at: Fraction) -> dict[str, Any]:
        state = state_at(facts, at)
        owner = self._owner(facts)
        paid_text = None if state.best is None else time_text(state.best, "paid")
        paid = None if paid_text is None else instant(paid_text)
        version, chain = self._priced(facts, owner.user_id, paid)
        if owner.user_id is not None and not chain:
            chain = [Beneficiary(owner.user_id, 0, None, 0)]
        shares = [{**vars(one), **dict.fromkeys(BUCKETS, 0)} for one in chain]
        if version is not None and not state.worthless:
            _fill(
                shares, version.shares(chain, state.net), version.shares(chain, state.undisputed), state, at
            )
        return {
            "owner": vars(owner).copy(),
            "status": state.status,
            "counts_as": state.count_as,
            "settled": state.settled,
            "settled_on": state.settled_on and state.settled_on.isoformat(),
            "release_on": state.release_on and state.release_on.isoformat(),
            "punishment": state.punishment,
            "paid": paid_text,
            "net": state.net,
            "rule_version": None if version is None else version.name,
            "shares": shares,
            "platform_share": state.net - sum(share[bucket] for share in shares for bucket in BUCKETS),
        }

    def _priced(
        self, facts: LineFacts, owner: str | None, paid: Fraction | None
    ) -> tuple[RuleVersion | None, list[Beneficiary]]:
        """Return the version that prices a line, and who has a share of it."""
        version = self._version(facts, paid)
        if owner is None or version is None or paid is None:
            return version, []
        return version, chain_of(version, facts.platform, owner, paid, self._profiles)


def _fill(
    shares: list[dict[str, Any]], whole: list[int], undisputed: list[int], state: LineState, at: Fraction
) -> None:
    """Put the shares of a line into the buckets of docs/spec/money.md."""
    for entry, all_of_it, sure in zip(shares, whole, undisputed, strict=True):
        if state.punishment == "frozen":
            entry["held"] = all_of_it
        elif not state.settled:
            entry["estimated"] = all_of_it
        else:
            if state.release_on is None:
                raise AssertionError("a settled line has a release day")
            entry["confirmed" if at < midnight(state.release_on) else "available"] = sure
            entry["held"] = all_of_it - sure
