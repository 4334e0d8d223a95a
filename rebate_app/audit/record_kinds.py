"""Keys of the tables' records, as the audit counts them; `tables.kinds` knows the kinds.

Nothing here raises: an unknown key has no kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from rebate_app.streams.state.record_kind import RecordKind
from tables import accounts, kinds


def kind_of(table: str, key: bytes) -> RecordKind[Any] | None:
    """Return the kind of a table's record, None for a key of no known kind or one without typed value."""
    spec = kinds.kind_of(table, key)
    return None if spec is None else spec.record


def is_ledger_entry(key: bytes) -> bool:
    """Return whether a key of table `accounts` is that of a ledger entry."""
    return kinds.kind_of(accounts.NAME, key) is kinds.ENTRY


def is_account_line(key: bytes) -> bool:
    """Return whether a key of table `accounts` is that of a user's line."""
    return kinds.kind_of(accounts.NAME, key) is kinds.ACCOUNT_LINE


def is_user_head(key: bytes) -> bool:
    """Return whether a key of table `accounts` is that of a user's head."""
    return kinds.kind_of(accounts.NAME, key) is kinds.HEAD


def is_profiles(key: bytes) -> bool:
    """Return whether a key of table `accounts` is that of a user's profile facts, or of a copy of them."""
    return kind_of(accounts.NAME, key) in (accounts.PROFILES, accounts.KEPT_PROFILES)


def count_lines(keys: Iterable[bytes]) -> int:
    """Return how many keys of table `order_lines` are those of lines."""
    return sum(map(kinds.is_order_line, keys))


def count_accounts(keys: Iterable[bytes]) -> int:
    """Return how many keys of table `accounts` are heads, of users or of attribution ids."""
    return sum(kinds.kind_of(accounts.NAME, key) in (kinds.HEAD, kinds.ID_HEAD) for key in keys)


def users_of(keys: Iterable[bytes]) -> Iterator[str]:
    """Iterate over the users who have an account, given the keys of table `accounts`."""
    cut = len(kinds.HEAD.key)
    return (key[cut:].decode() for key in keys if is_user_head(key))
