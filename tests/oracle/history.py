"""The oracle of what depends on the order of user logs: terms that are pinned, late profiles, repricings.

`History` takes one fact at a time, each settled before the next, and keeps for every line and chain of users
the terms that were chosen (docs/spec/money.md#pricing, docs/spec/rules.md#repricing). Everything else is the
oracle's: state, owner, amounts and buckets are functions of the set of facts so far.

Readings, where the specification leaves room:

1.  A line that belongs to somebody else when a repricing comes keeps the terms that this user had for it.
2.  `paid_from` counts, `paid_to` does not. A line without a time of payment has no terms and is left alone.
3.  Released: the release day has begun at the record's timestamp, whatever is held or punished.
4.  All terms of a repriced line are chosen anew, those of its inviters too, each from their own profiles.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from tests.oracle.line_state import Document, LineFacts, best_snapshot, state_at, time_text
from tests.oracle.moments import MICROSECONDS_PER_SECOND, day_of, instant, optional_instant
from tests.oracle.oracle import Oracle
from tests.oracle.ownership import owner_of, parse_user_id_fields
from tests.oracle.sharing import (
    Beneficiary,
    RuleVersion,
    UserRecord,
    profile_in_force,
    read_profile,
    version_in_force,
)

LineKey = tuple[str, str]
Chain = tuple[str, ...]  # the buyer, and inviters up to the one whose terms these are


@dataclass(frozen=True)
class Terms:
    """What was chosen for one user and line."""

    paid: Fraction
    version: RuleVersion | None
    level: str
    inviter: str | None


class History:
    """Facts in the order in which they happened; `rules` are what the workers know from now on."""

    def __init__(self, rules: Sequence[str], user_id_fields: str = "jd:sub_union_id,pdd:custom_uid") -> None:
        """Begin without any fact."""
        self.orders: list[Document] = []
        self.users: list[UserRecord] = []
        self._fields = parse_user_id_fields(user_id_fields)
        self._setting = user_id_fields
        self._texts: list[str] = []
        self._versions: list[RuleVersion] = []
        self._terms: dict[tuple[LineKey, Chain], Terms] = {}
        self.know_rules(rules)

    def know_rules(self, rules: Sequence[str]) -> None:
        """Let rule files be known that were not; lines keep their terms."""
        known = {version.name: version for version in self._versions}
        self._texts += [text for text in rules if RuleVersion(text).name not in known]
        self._versions = [known.get(RuleVersion(text).name, RuleVersion(text)) for text in self._texts]

    def order(self, *documents: Document) -> None:
        """Let order facts happen, several at once where no order of theirs matters: different lines."""
        self.orders += documents
        self._choose()

    def user(self, record: UserRecord) -> None:
        """Let a user fact happen: a profile, a binding or a repricing."""
        self.users.append(record)
        if record[0]["kind"] == "account.reprice":
            self._forget(*record)
        self._choose()

    def oracle(self) -> Oracle:
        """Return the oracle of everything so far, which prices with the terms that were chosen."""
        return _PinnedOracle(self.orders, self.users, self._texts, self._setting, self._terms)

    def _forget(self, document: dict[str, Any], at_us: int) -> None:
        for key, facts, owner, paid in self._owned():
            if owner == document["user_id"] and _matches(document, at_us, key, facts, paid):
                for line, chain in list(self._terms):
                    if line == key and chain[0] == owner:
                        del self._terms[line, chain]

    def _choose(self) -> None:
        for key, _, owner, paid in self._owned():
            chain: Chain = (owner,)
            terms = self._pinned(key, chain, paid, None)
            while terms.version is not None and len(chain) <= terms.version.max_levels:
                if terms.inviter is None or terms.inviter in chain:
                    break
                chain = (*chain, terms.inviter)
                terms = self._pinned(key, chain, paid, terms.version)

    def _pinned(self, key: LineKey, chain: Chain, paid: Fraction, of_buyer: RuleVersion | None) -> Terms:
        """Return the terms of the last of the chain, chosen now unless they were and still hold."""
        known = self._terms.get((key, chain))
        if known is not None and known.paid == paid and (of_buyer is None or known.version is of_buyer):
            return known
        version = of_buyer or version_in_force(self._versions, paid)
        profiles = [read_profile(record) for record in self._profiles(chain[-1])]
        profile = profile_in_force(profiles, paid)
        level = "" if version is None else version.known_level(profile.level if profile else None)
        inviter = profile.inviter_id if profile and version is not None else None
        terms = self._terms[key, chain] = Terms(paid, version, level, inviter)
        return terms

    def _profiles(self, user_id: str) -> list[UserRecord]:
        return [
            record
            for record in self.users
            if record[0]["kind"] == "user.profile" and record[0]["user_id"] == user_id
        ]

    def _owned(self) -> list[tuple[LineKey, LineFacts, str, Fraction]]:
        """Return every line that has an owner and a time of payment."""
        bindings = {
            document["attribution_id"]: document.get("user_id")
            for document, _ in self.users
            if document["kind"] == "attribution.bind"
        }
        found = []
        for key, facts in sorted(lines_of(self.orders).items()):
            owner = owner_of(facts, bindings, self._fields).user_id
            best = best_snapshot(facts)
            text = None if best is None else time_text(best, "paid")
            if owner is not None and text is not None:
                found.append((key, facts, owner, instant(text)))
        return found


class _PinnedOracle(Oracle):
    def __init__(
        self,
        orders: Sequence[Document],
        users: Sequence[UserRecord],
        rules: Sequence[str],
        user_id_fields: str,
        terms: dict[tuple[LineKey, Chain], Terms],
    ) -> None:
        super().__init__(orders, users, rules, user_id_fields)
        self._terms = dict(terms)

    def _priced(
        self, facts: LineFacts, owner: str | None, paid: Fraction | None
    ) -> tuple[RuleVersion | None, list[Beneficiary]]:
        key = (facts.platform, facts.order_line_id)
        if owner is None or paid is None:
            return super()._priced(facts, owner, paid)
        terms = self._terms[key, (owner,)]
        version = terms.version
        if version is None:
            return None, []
        chain = [Beneficiary(owner, 0, terms.level, version.buyer_bps(terms.level, facts.platform))]
        names: Chain = (owner,)
        while len(names) <= version.max_levels and terms.inviter is not None and terms.inviter not in names:
            depth, names = len(names), (*names, terms.inviter)
            terms = self._terms[key, names]
            chain.append(
                Beneficiary(names[-1], depth, terms.level, version.bps_of_inviter(depth, terms.level))
            )
        return version, chain


def lines_of(orders: Sequence[Document]) -> dict[LineKey, LineFacts]:
    """Return the facts of every line."""
    kinds = {
        "order.snapshot": "snapshots",
        "order.refund": "refunds",
        "order.punish": "punishments",
        "order.claim": "claims",
    }
    found: dict[LineKey, LineFacts] = {}
    for document in orders:
        key = (document["platform"], document["order_line_id"])
        getattr(found.setdefault(key, LineFacts(*key)), kinds[document["kind"]]).append(document)
    return found


def _matches(document: dict[str, Any], at_us: int, key: LineKey, facts: LineFacts, paid: Fraction) -> bool:
    lines = document.get("lines")
    since, until = (optional_instant(document.get(name)) for name in ("paid_from", "paid_to"))
    if lines is not None and ":".join(key) not in lines:
        return False
    if (since is not None and paid < since) or (until is not None and paid >= until):
        return False
    at = Fraction(at_us, MICROSECONDS_PER_SECOND)
    release_on = state_at(facts, at).release_on
    return bool(document.get("released")) or release_on is None or release_on > day_of(at)
