"""The place of a snapshot in the version order (docs/spec/facts.md#version-order).

Snapshots of a line are totally ordered: by the network's moment first, then by members that make two
different snapshots of one moment unequal, so every order of arrival gives the same newest one. Moments are
in µs, dates in days since 1970-01-01, amounts in fen.
"""

from __future__ import annotations

from msgspec import Struct

from ..facts import STATUS_RANK, Snapshot

ABSENT = -(1 << 62)  # an absent moment or date comes before every other one

STATUS_OF_RANK = tuple(STATUS_RANK)


class SnapshotKey(Struct, array_like=True, frozen=True, order=True, gc=False):
    """A snapshot's place in the version order; the greater key is the newer snapshot.

    Keys compare member by member in the order of declaration, which is the version order. A store keeps a
    key as an array of the nine integers.
    """

    modified_at: int
    rank: int
    fetch_seq: int
    settled_commission: int
    est_commission: int
    service_fee: int
    paid_at: int
    settled_at: int
    expected_settle: int

    @property
    def status(self) -> str:
        """Return the status of the snapshot."""
        return STATUS_OF_RANK[self.rank]


#: Older than the key of every snapshot.
OLDEST = SnapshotKey(ABSENT, 0, 0, 0, 0, 0, 0, 0, 0)


def key_of(snapshot: Snapshot) -> SnapshotKey:
    """Return the snapshot's place in the version order."""
    paid_at, settled_at, expected_settle = snapshot.paid_at, snapshot.settled_at, snapshot.expected_settle
    return SnapshotKey(
        snapshot.modified_at,
        STATUS_RANK[snapshot.status],
        snapshot.fetch_seq,
        snapshot.settled_commission,
        snapshot.est_commission or 0,
        snapshot.service_fee,
        ABSENT if paid_at is None else paid_at,
        ABSENT if settled_at is None else settled_at,
        ABSENT if expected_settle is None else expected_settle,
    )


def moment_or_none(value: int) -> int | None:
    """Return a moment or date of a key, None where the snapshot has none."""
    return None if value == ABSENT else value
