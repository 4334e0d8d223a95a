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
| `u N` / `i N` | the partition's N-th user / attribution id |
| `#` | counters of the partition |
| `v VERSION` | a rule version that the partition has used |
"""

from __future__ import annotations

from msgspec import Struct

from rebate_app.domain.account import AccountLine, Head, Profiles
from rebate_app.domain.ledger import Entry
from rebate_app.domain.suspense import IdHead, IdLine
from rebate_app.lane.store import Overlay

from .records import ChunkRecords, RecordKind

NAME = "accounts"


class Counters(Struct, array_like=True):
    """How many users and ids the partition has, and how many ids are still moving lines (format 1)."""

    format: int = 1
    users: int = 0
    ids: int = 0
    moving: int = 0


HEAD = RecordKind("h", Head)
LINE = RecordKind("l", AccountLine)
LINE_NAME = RecordKind("n", str)
ENTRY = RecordKind("e", Entry)
PROFILES = RecordKind("p", Profiles)
USER_NAME = RecordKind("u", str)
ID_HEAD = RecordKind("H", IdHead)
ID_LINE = RecordKind("L", IdLine)
ID_LINE_NAME = RecordKind("N", str)
ID_NAME = RecordKind("i", str)
COUNTERS = RecordKind("#", Counters)
COUNTERS_KEY = b"#"
USED_RULE = RecordKind("v", str)


class AccountsChunk:
    """The accounts that a chunk works on."""

    def __init__(self, overlay: Overlay) -> None:
        self.records = ChunkRecords(overlay)
        self._users: dict[str, UserRecords] = {}

    def counters(self) -> Counters:
        """Return the partition's counters."""
        counters = self.records.get(COUNTERS, COUNTERS_KEY)
        if counters is None:
            counters = Counters()
            self.records.add(COUNTERS_KEY, counters)
        return counters

    def first_use(self, version: str) -> bool:
        """Note that the partition used a rule version; return whether it is the first time."""
        key = USED_RULE.key(version)
        if self.records.look(USED_RULE, key) is not None:
            return False
        self.records.put(key, version)
        return True

    def user(self, user_id: str) -> UserRecords:
        """Return a user's records; a user comes to be when the head is first asked for."""
        user = self._users.get(user_id)
        if user is None:
            user = self._users[user_id] = UserRecords(self, user_id)
        return user

    def attribution(self, attribution_id: str) -> IdChunk:
        """Return an attribution id's records."""
        return IdChunk(self, attribution_id)

    def flush(self) -> None:
        """Write the changed records to the overlay."""
        self.records.flush()
        self._users.clear()


class UserRecords:
    """One user's records within a chunk (the domain's port AccountRecords)."""

    def __init__(self, chunk: AccountsChunk, user_id: str) -> None:
        self._chunk = chunk
        self._records = chunk.records
        self._user_id = user_id
        self._head: Head | None = None
        self._profiles: Profiles | None = None

    def head(self) -> Head:
        """Return the head; a fresh one makes the user known to the partition."""
        if self._head is None:
            self._head = self._first_head()
        return self._head

    def _first_head(self) -> Head:
        key = HEAD.key(self._user_id)
        head = self._records.get(HEAD, key)
        if head is None:
            head = Head()
            self._records.add(key, head)
            counters = self._chunk.counters()
            self._records.put(USER_NAME.key(counters.users), self._user_id)
            counters.users += 1
        return head

    def line(self, line: str) -> AccountLine | None:
        """Return what the line contributes, None when it never came."""
        return self._records.get(LINE, LINE.key(self._user_id, line))

    def add_line(self, record: AccountLine) -> None:
        """Keep a line that came for the first time, and its place in the list."""
        self._records.add(LINE.key(self._user_id, record.line), record)
        self._records.put(LINE_NAME.key(self._user_id, record.seq), record.line)

    def profiles(self) -> Profiles:
        """Return the profile facts."""
        if self._profiles is None:
            self._profiles = self._records.look(PROFILES, PROFILES.key(self._user_id)) or Profiles()
        return self._profiles

    def keep_profiles(self) -> None:
        """Keep the profile facts, which changed."""
        self._records.add(PROFILES.key(self._user_id), self.profiles())

    def append(self, entry: Entry, number: int) -> None:
        """Keep the user's ledger entry of that number."""
        self._records.put(ENTRY.key(self._user_id, number), entry)


class IdChunk:
    """One attribution id's records within a chunk (the domain's port IdRecords)."""

    def __init__(self, chunk: AccountsChunk, attribution_id: str) -> None:
        self._chunk = chunk
        self._records = chunk.records
        self._id = attribution_id

    def head(self) -> IdHead:
        """Return the head; a fresh one makes the id known to the partition."""
        key = ID_HEAD.key(self._id)
        head = self._records.get(ID_HEAD, key)
        if head is None:
            head = IdHead()
            self._records.add(key, head)
            counters = self._chunk.counters()
            self._records.put(ID_NAME.key(counters.ids), self._id)
            counters.ids += 1
        return head

    def line(self, line: str) -> IdLine | None:
        """Return the line, None when it never came."""
        return self._records.get(ID_LINE, ID_LINE.key(self._id, line))

    def line_at(self, seq: int) -> IdLine:
        """Return the line that came as number `seq`; KeyError if there is none."""
        name = self._records.get(ID_LINE_NAME, ID_LINE_NAME.key(self._id, seq))
        record = None if name is None else self.line(name)
        if record is None:
            raise KeyError(f"{self._id} has no line number {seq}")
        return record

    def add_line(self, record: IdLine) -> None:
        """Keep a line that came for the first time, and its place in the list."""
        self._records.add(ID_LINE.key(self._id, record.line), record)
        self._records.put(ID_LINE_NAME.key(self._id, record.seq), record.line)
