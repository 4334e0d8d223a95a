"""Every kind of record in the tables' changelogs: which keys it has, its type, its formats (ADR 13).

No key belongs to two kinds of one table: `KindTable` refuses rows that would allow it. A record kind is
added as docs/how-to/add-a-record-kind.md describes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from msgspec import Struct

from rebate_app.streams.failures import record_kinds as failures
from rebate_app.streams.state import build
from rebate_app.streams.state.record_kind import RecordKind
from rebate_app.streams.state.store import WATERMARK_FORMAT, WATERMARK_KEY

from . import accounts, money_out, order_lines, order_numbers, totals, withdrawal_counts

EVERY_TABLE = ""

#: How `KindSpec.key` is compared with a key: equal, its beginning, or contained in keys of no other kind.
Match = Literal["exact", "prefix", "contains"]


class KindSpec(Struct, frozen=True):
    """One kind of record.

    `table`: its table, `EVERY_TABLE` for those that the engine keeps beside every table. `record`: decodes
    the values, None where they are read as they are. `format`: the format that is written, None for values
    without one; `formats`: those that are read. `from_log`: whether the table's log alone decides the
    record, so that an audit can compare it; the others tell people about a worker's run.
    """

    name: str
    table: str
    match: Match
    key: bytes
    record: RecordKind[Any] | None
    format: int | None = 1
    formats: tuple[int, ...] = (1,)
    from_log: bool = True


class KindTable:
    """Kinds by table and key. ValueError for rows by which a key could belong to two kinds of a table."""

    def __init__(self, specs: Iterable[KindSpec]) -> None:
        self.specs = tuple(specs)
        tables = {spec.table for spec in self.specs} - {EVERY_TABLE}
        self._by_table = {table: _TableKinds(self._of(table)) for table in tables}

    def _of(self, table: str) -> list[KindSpec]:
        return [spec for spec in self.specs if spec.table in (table, EVERY_TABLE)]

    def of(self, table: str, key: bytes) -> KindSpec | None:
        """Return the kind of a key in a table, None for a key of no kind. KeyError for an unknown table."""
        return self._by_table[table].of(key)


class _TableKinds:
    """The kinds of one table, by exact key and by prefix."""

    def __init__(self, specs: Sequence[KindSpec]) -> None:
        refuse_collisions(specs)
        self._exact = {spec.key: spec for spec in specs if spec.match == "exact"}
        self._prefixes = {spec.key: spec for spec in specs if spec.match == "prefix"}
        self._lengths = sorted({len(prefix) for prefix in self._prefixes})
        self._contained = [spec for spec in specs if spec.match == "contains"]

    def of(self, key: bytes) -> KindSpec | None:
        found = self._exact.get(key)
        if found is not None:
            return found
        for length in self._lengths:
            found = self._prefixes.get(key[:length])
            if found is not None:
                return found
        return next((spec for spec in self._contained if spec.key in key), None)


def refuse_collisions(specs: Sequence[KindSpec]) -> None:
    """Raise ValueError when a key could belong to two of the kinds of one table."""
    for number, first in enumerate(specs):
        for second in specs[number + 1 :]:
            if _collide(first, second) or _collide(second, first):
                raise ValueError(f"a key could be both {first.name} and {second.name}: {second.key!r}")


def _collide(first: KindSpec, second: KindSpec) -> bool:
    if first.match == "contains":
        return second.match == "contains"  # else it is looked up last
    return second.key.startswith(first.key) if first.match == "prefix" else second.key == first.key


def _typed(
    name: str,
    record: RecordKind[Any],
    format_: int = 1,
    formats: tuple[int, ...] = (1,),
    *,
    table: str = accounts.NAME,
) -> KindSpec:
    return KindSpec(name, table, "prefix", record.prefix, record, format_, formats)


def _text(name: str, record: RecordKind[Any], *, table: str = accounts.NAME) -> KindSpec:
    return KindSpec(name, table, "prefix", record.prefix, record, None, ())


def _engine(
    name: str, match: Match, key: bytes, record: RecordKind[Any], *, from_log: bool = True
) -> KindSpec:
    return KindSpec(name, EVERY_TABLE, match, key, record, from_log=from_log)


ACCOUNT_LINE = _typed("line of an account", accounts.LINE)
HEAD = _typed("account head", accounts.HEAD, 2, (1, 2))
ENTRY = _typed("ledger entry", accounts.ENTRY, 3, (1, 2, 3))
ID_HEAD = _typed("attribution account head", accounts.ID_HEAD)
TOTALS = _typed("totals of a day", totals.TOTALS, 2, (1, 2))
TOTALS_BLOCKS = KindSpec("blocks of totals", accounts.NAME, "exact", totals.BLOCKS_KEY, totals.BLOCKS)
WITHDRAWAL = _typed("withdrawal", money_out.WITHDRAWAL)
INVITEE = _text("invitee", accounts.INVITEE)
ORDER_NUMBER = _text("order number of a line", order_numbers.ORDER_NUMBER, table=order_lines.NAME)
PROGRESS = KindSpec("progress of a scan", EVERY_TABLE, "prefix", build.PROGRESS.prefix, build.PROGRESS)
#: A line's key is `platform:order_line_id`; every other prefix has a character that no platform has.
ORDER_LINE = KindSpec("order line", order_lines.NAME, "contains", b":", order_lines.LINE)

KINDS = KindTable(
    (
        HEAD,
        ACCOUNT_LINE,
        _text("name of an account's line", accounts.LINE_NAME),
        ENTRY,
        _typed("profile facts", accounts.PROFILES),
        _typed("repricings", accounts.REPRICINGS),
        _typed("profile facts of a repricing", accounts.KEPT_PROFILES),
        _text("name of a user", accounts.USER_NAME),
        ID_HEAD,
        _typed("line of an attribution id", accounts.ID_LINE),
        _text("name of an attribution id's line", accounts.ID_LINE_NAME),
        _text("name of an attribution id", accounts.ID_NAME),
        KindSpec("rule activations", accounts.NAME, "exact", accounts.ACTIVATIONS_KEY, accounts.ACTIVATIONS),
        # Of older releases; what the log makes no longer depends on it.
        KindSpec(
            "used rule version",
            accounts.NAME,
            "prefix",
            accounts.USED_RULE.prefix,
            accounts.USED_RULE,
            None,
            (),
            from_log=False,
        ),
        KindSpec("counters", accounts.NAME, "exact", accounts.COUNTERS_KEY, accounts.COUNTERS),
        _typed("summary of money out", money_out.SUMMARY),
        _typed("requests of a day", money_out.DAY_COUNT),
        WITHDRAWAL,
        _text("id of a user's withdrawal", money_out.WITHDRAWAL_ID),
        _text("withdrawal by state", money_out.WITHDRAWAL_BY_STATE),
        _text("payee who was paid", money_out.PAID_PAYEE),
        _typed("adjustment", money_out.ADJUSTMENT),
        _text("id of a user's adjustment", money_out.ADJUSTMENT_ID),
        _text("adjustment by state", money_out.ADJUSTMENT_BY_STATE),
        _typed("opening", money_out.OPENING),
        _text("opening by batch", money_out.OPENING_BY_BATCH),
        _typed("alarm of a channel", money_out.ALARM),
        _text("undecided request", money_out.UNDECIDED),
        KindSpec("queue of undecided requests", accounts.NAME, "exact", money_out.QUEUE_KEY, money_out.QUEUE),
        KindSpec(
            "counts of waiting withdrawals",
            accounts.NAME,
            "exact",
            withdrawal_counts.WAITING_KEY,
            withdrawal_counts.WAITING,
        ),
        _text("unanswered payout", withdrawal_counts.UNANSWERED),
        _typed("ends of a channel's payouts", withdrawal_counts.PAYOUT_ENDS),
        KindSpec(
            "turn of the app",
            accounts.NAME,
            "exact",
            money_out.TURN_KEY,
            money_out.TURN,
            from_log=False,
        ),
        TOTALS,
        TOTALS_BLOCKS,
        INVITEE,
        ORDER_NUMBER,
        PROGRESS,
        ORDER_LINE,
        KindSpec("use of user-id fields", order_lines.NAME, "exact", order_lines.USED_KEY, None, None, ()),
        _engine("parked key", "prefix", failures.PARKED_PREFIX, failures.PARKED),
        _engine("waiting record", "prefix", failures.WAITING_PREFIX, failures.WAITING),
        _engine("list of parked keys", "exact", failures.PARKED_KEYS_KEY, failures.PARKED_KEYS),
        _engine("totals of parked keys", "exact", failures.PARKED_TOTALS_KEY, failures.PARKED_TOTALS),
        _engine(
            "failure counts",
            "exact",
            failures.DEAD_LETTER_WINDOW_KEY,
            failures.DEAD_LETTER_WINDOW,
            from_log=False,
        ),
        _engine("rerouted copies", "prefix", failures.REROUTED_PREFIX, failures.REROUTED_COPIES),
        _engine("start of rerouting", "exact", failures.REROUTING_KEY, failures.REROUTING, from_log=False),
        KindSpec(
            "first failure", EVERY_TABLE, "prefix", failures.FIRST_AT_PREFIX, None, None, (), from_log=False
        ),
        KindSpec(
            "watermark",
            EVERY_TABLE,
            "exact",
            WATERMARK_KEY,
            None,
            WATERMARK_FORMAT,
            (WATERMARK_FORMAT,),
            from_log=False,
        ),
    )
)


def kind_of(table: str, key: bytes) -> KindSpec | None:
    """Return the kind of a record in a table, None for a key of no kind."""
    return KINDS.of(table, key)


#: Kinds that stores of an older version get by a scan, by the name of their progress record.
BUILT_KINDS = {
    accounts.TOTALS_NAME: (TOTALS, TOTALS_BLOCKS),
    accounts.INVITEES_NAME: (INVITEE,),
    order_numbers.ORDER_NUMBERS_NAME: (ORDER_NUMBER,),
}


def is_order_line(key: bytes) -> bool:
    """Return whether a record of table `order_lines` is a line."""
    return kind_of(order_lines.NAME, key) is ORDER_LINE
