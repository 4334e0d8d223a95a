"""Table `accounts`: users and attribution ids, keyed by kind, id and what the record is about (stage 2).

A head per account and a record per line, so that an event costs the same for a user with ten lines
and one with a hundred thousand. Lists need no scan: every list has an index by number, newest last.

| key | record |
|---|---|
| `h U` / `H ID` | head of a user / of an attribution id |
| `l U LINE` / `L ID LINE` | what the line contributes |
| `n U N` / `N ID N` | name of the account's N-th line |
| `e U N` | the user's N-th ledger entry |
| `p U` | profile facts |
| `r U` | repricings, under way and past |
| `q U OFFSET` | profile facts as they were, for the repricing at that offset |
| `u N` / `i N` | the partition's N-th user / attribution id |
| `#` | counters of the partition |
| `R` | from which offsets on the partition knows which rule versions |
| `v VERSION` | a rule version that the partition used before there were activations; only read |
| `I INVITER USER` | some profile fact of the user names this inviter |
| `T …`, `t` | totals of the partition (`totals.py`) |

Money out is in `money_out.py`, the figures of it in `withdrawal_counts.py`.
"""

from __future__ import annotations

from msgspec import Struct, field

from rebate_app.domain.account.account import HEAD_FORMAT, AccountLine, Head, Profiles, Repricings
from rebate_app.domain.account.attribution_account import IdHead, IdLine
from rebate_app.domain.account.ledger import Amounts, Entry
from rebate_app.domain.account.share import LineShare
from rebate_app.domain.account.totals import MoneyTotals
from rebate_app.domain.pricing.catalogue import Activation
from rebate_app.streams.state.buffer import StateTransaction, TransactionRecords
from rebate_app.streams.state.build import note_fresh, read_progress
from rebate_app.streams.state.record_kind import RecordKind
from rebate_app.streams.state.store import Readable

from .money_out import MoneyOutRecords, UndecidedRequests
from .totals import TotalsView
from .withdrawal_counts import WithdrawalCounts

NAME = "accounts"


class Counters(Struct, array_like=True):
    """How many users and ids there are, and how many moves of lines and repricings go on (format 1)."""

    format: int = 1
    users: int = 0
    ids: int = 0
    moving: int = 0


class Activations(Struct, array_like=True):
    """The activations of the partition, in the order in which they were noted (format 1)."""

    format: int = 1
    items: list[Activation] = field(default_factory=list)


HEAD = RecordKind("h", Head)
LINE = RecordKind("l", AccountLine)
LINE_NAME = RecordKind("n", str)
ENTRY = RecordKind("e", Entry)
PROFILES = RecordKind("p", Profiles)
REPRICINGS = RecordKind("r", Repricings)
KEPT_PROFILES = RecordKind("q", Profiles)
USER_NAME = RecordKind("u", str)
ID_HEAD = RecordKind("H", IdHead)
ID_LINE = RecordKind("L", IdLine)
ID_LINE_NAME = RecordKind("N", str)
ID_NAME = RecordKind("i", str)
COUNTERS = RecordKind("#", Counters)
COUNTERS_KEY = b"#"
ACTIVATIONS = RecordKind("R", Activations)
ACTIVATIONS_KEY = b"R"
USED_RULE = RecordKind("v", str)
INVITEE = RecordKind("I", str)

#: Names of the kinds that stores of an older version get by a scan (`builds.py`).
TOTALS_NAME, INVITEES_NAME = "totals", "invitees"


def is_fresh(records: Readable) -> bool:
    """Return whether no user and no attribution id was ever seen."""
    return records.get(COUNTERS_KEY) is None


class AccountsView:
    """The accounts that a batch works on."""

    def __init__(self, transaction: StateTransaction) -> None:
        note_fresh(INVITEES_NAME, is_fresh, transaction)
        note_fresh(TOTALS_NAME, is_fresh, transaction)
        self.transaction = transaction
        self.records = TransactionRecords(transaction)
        self.totals = TotalsView(transaction, read_progress(TOTALS_NAME, is_fresh, transaction))
        self.withdrawal_counts = WithdrawalCounts(self.records)
        self._users: dict[str, UserRecords] = {}

    def counters(self) -> Counters:
        """Return the partition's counters."""
        counters = self.records.get(COUNTERS, COUNTERS_KEY)
        if counters is None:
            counters = Counters()
            self.records.add(COUNTERS_KEY, counters)
        return counters

    def is_moving(self) -> bool:
        """Return whether moves of lines or repricings are unfinished in the partition."""
        counters = self.records.peek(COUNTERS, COUNTERS_KEY)
        return counters is not None and counters.moving > 0

    def user(self, user_id: str) -> UserRecords:
        """Return a user's records; a user is created when the head is first read."""
        user = self._users.get(user_id)
        if user is None:
            user = self._users[user_id] = UserRecords(self, user_id)
        return user

    def undecided(self) -> UndecidedRequests:
        """Return the requests that nobody has decided."""
        return UndecidedRequests(self.records)

    def attribution(self, attribution_id: str) -> AttributionAccountView:
        """Return an attribution id's records."""
        return AttributionAccountView(self, attribution_id)

    def flush(self) -> None:
        """Write the changed records to the state transaction."""
        self.totals.flush()
        self.withdrawal_counts.flush()
        self.records.flush()
        self._users.clear()


class UserRecords(MoneyOutRecords):
    """One user's records within a batch (the domain's ports AccountRecords and MoneyRecords)."""

    def __init__(self, batch: AccountsView, user_id: str) -> None:
        super().__init__(batch.records, batch.withdrawal_counts, user_id)
        self._batch = batch
        self._head: Head | None = None
        self._head_key = HEAD.key(user_id)
        self._profiles: Profiles | None = None

    def is_known(self) -> bool:
        """Return whether the user has an account."""
        return self._head is not None or self._records.peek(HEAD, self._head_key) is not None

    def head(self) -> Head:
        """Return the head; a fresh one makes the user known to the partition."""
        if self._head is None:
            self._head = self._first_head()
        return self._head

    def upgrade_head(self) -> None:
        """Bring a head of an older format to the newest one, and keep it."""
        head = self.head()
        head.format = HEAD_FORMAT
        self._records.add(self._head_key, head)

    def _first_head(self) -> Head:
        key = self._head_key
        head = self._records.peek(HEAD, key)
        if head is None:
            head = Head()
            self._records.add(key, head)
            counters = self._batch.counters()
            self._records.put(USER_NAME.key(counters.users), self._user_id)
            counters.users += 1
        elif head.format == HEAD_FORMAT:
            self._records.add(key, head)  # of an older format: once it is upgraded, since it changes then
        return head

    def line(self, line: str) -> AccountLine | None:
        """Return what the line contributes, None when it never came."""
        return self._records.get(LINE, LINE.key(self._user_id, line))

    def line_at(self, sequence: int) -> AccountLine:
        """Return the line that came as number `sequence`; KeyError if there is none."""
        name = self._records.peek(LINE_NAME, LINE_NAME.key(self._user_id, sequence))
        record = None if name is None else self.line(name)
        if record is None:
            raise KeyError(f"{self._user_id} has no line number {sequence}")
        return record

    def add_line(self, record: AccountLine) -> None:
        """Keep a line that came for the first time, and its place in the list."""
        self._records.add(LINE.key(self._user_id, record.line), record)
        self._records.put(LINE_NAME.key(self._user_id, record.sequence), record.line)

    def profiles(self) -> Profiles:
        """Return the profile facts."""
        if self._profiles is None:
            self._profiles = self._records.peek(PROFILES, PROFILES.key(self._user_id)) or Profiles()
        return self._profiles

    def keep_profiles(self, inviters_before: frozenset[str]) -> None:
        """Keep the profile facts, which changed, and by whom they say the user was invited."""
        profiles = self.profiles()
        self._records.add(PROFILES.key(self._user_id), profiles)
        inviters = profiles.inviters()
        for inviter in inviters - inviters_before:
            self._records.put(INVITEE.key(inviter, self._user_id), "")
        for inviter in inviters_before - inviters:
            self._batch.transaction.delete(INVITEE.key(inviter, self._user_id))

    def move_share(self, record: AccountLine, before: LineShare, after: LineShare) -> None:
        """Move the share of a line in the totals."""
        shares = before, after
        platform = record.line.partition(":")[0]
        self._batch.totals.move_share(self._user_id, self.head(), record.sequence, platform, shares)

    def move_amounts(self, amounts: Amounts) -> None:
        """Add amounts that belong to no line to the totals."""
        self._batch.totals.move_amounts(self._user_id, self.head(), amounts)

    def move_money(self, totals: MoneyTotals) -> None:
        """Add to the totals what belongs to no line and to no day."""
        self._batch.totals.move_money(totals)

    def repricings_under_way(self) -> Repricings | None:
        """Return the repricings if any is under way; they may be changed in place."""
        if not self._batch.is_moving():
            return None
        repricings = self._records.get(REPRICINGS, REPRICINGS.key(self._user_id))
        return repricings if repricings is not None and repricings.under_way else None

    def repricings(self) -> Repricings:
        """Return the repricings, under way and past; they may be changed in place."""
        key = REPRICINGS.key(self._user_id)
        repricings = self._records.get(REPRICINGS, key)
        if repricings is None:
            repricings = Repricings()
            self._records.add(key, repricings)
        return repricings

    def profiles_at(self, offset: int) -> Profiles:
        """Return the profile facts that were kept for the repricing at that offset; KeyError without any."""
        profiles = self._records.peek(KEPT_PROFILES, KEPT_PROFILES.key(self._user_id, offset))
        if profiles is None:
            raise KeyError(f"no profile facts of {self._user_id} are kept for {offset}")
        return profiles

    def keep_profiles_at(self, offset: int, profiles: Profiles) -> None:
        """Keep the profile facts of a repricing, which are about to change."""
        self._records.add(KEPT_PROFILES.key(self._user_id, offset), profiles)

    def drop_profiles_at(self, offset: int) -> None:
        """Delete the profile facts that were kept for a repricing."""
        self._records.delete(KEPT_PROFILES.key(self._user_id, offset))

    def append(self, entry: Entry, number: int) -> None:
        """Keep the user's ledger entry of that number."""
        self._records.put(ENTRY.key(self._user_id, number), entry)


class AttributionAccountView:
    """One attribution id's records within a batch (the domain's port IdRecords)."""

    def __init__(self, batch: AccountsView, attribution_id: str) -> None:
        self._batch = batch
        self._records = batch.records
        self._id = attribution_id

    def head(self) -> IdHead:
        """Return the head; a fresh one makes the id known to the partition."""
        key = ID_HEAD.key(self._id)
        head = self._records.get(ID_HEAD, key)
        if head is None:
            head = IdHead()
            self._records.add(key, head)
            counters = self._batch.counters()
            self._records.put(ID_NAME.key(counters.ids), self._id)
            counters.ids += 1
        self._batch.totals.before_id(self._id, head)
        return head

    def line(self, line: str) -> IdLine | None:
        """Return the line, None when it never came."""
        return self._records.get(ID_LINE, ID_LINE.key(self._id, line))

    def line_at(self, sequence: int) -> IdLine:
        """Return the line that came as number `seq`; KeyError if there is none."""
        name = self._records.get(ID_LINE_NAME, ID_LINE_NAME.key(self._id, sequence))
        record = None if name is None else self.line(name)
        if record is None:
            raise KeyError(f"{self._id} has no line number {sequence}")
        return record

    def add_line(self, record: IdLine) -> None:
        """Keep a line that came for the first time, and its place in the list."""
        self._records.add(ID_LINE.key(self._id, record.line), record)
        self._records.put(ID_LINE_NAME.key(self._id, record.sequence), record.line)
