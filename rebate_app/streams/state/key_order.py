"""The keys of a dictionary in byte order, for a store in memory: sorted when they are first listed.

Keys are kept by the kind of record, the text up to a key's first space. New and deleted keys are put in and
taken out when their kind is listed again, so that a listing costs what has changed and not what the store
holds. A kind that is never listed costs nothing.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Mapping

#: A kind with so many changes since it was last listed is forgotten, and sorted anew when it is needed.
CHANGES_MAX = 50_000
#: So many deleted keys are taken out one by one; more, in one pass over the kind.
SINGLE_DELETES_MAX = 64


class KeyOrder:
    """The keys of the kinds that were listed, in order."""

    def __init__(self) -> None:
        self._sorted: dict[bytes, list[bytes]] = {}
        self._changed: dict[bytes, dict[bytes, bool]] = {}  # by kind: key → whether it is there now

    def clear(self) -> None:
        """Forget everything."""
        self._sorted.clear()
        self._changed.clear()

    def note(self, changes: Mapping[bytes, bytes | None], keys: Collection[bytes]) -> None:
        """Note changes before they are made to a dictionary with these keys; None deletes."""
        for kind in list(self._sorted):
            changed = self._changed[kind]
            for key, value in changes.items():
                is_change = key.startswith(kind) and (key in keys) == (value is None)
                if is_change and changed.pop(key, None) is None:  # else it is as when the kind was listed
                    changed[key] = value is not None
            if len(changed) > CHANGES_MAX:
                del self._sorted[kind], self._changed[kind]

    def after(self, keys: Collection[bytes], prefix: bytes, after: bytes, limit: int) -> list[bytes]:
        """Return the first keys with this beginning that come after `after`."""
        found = self._of_kind(keys, prefix[: prefix.find(b" ") + 1])
        start = bisect_right(found, max(prefix, after))
        if found[start - 1 : start] == [prefix] and prefix > after:
            start -= 1  # the prefix itself is a key
        end = start
        while end < len(found) and end - start < limit and found[end].startswith(prefix):
            end += 1
        return found[start:end]

    def _of_kind(self, keys: Collection[bytes], kind: bytes) -> list[bytes]:
        found = self._sorted.get(kind)
        if found is None:
            found = self._sorted[kind] = sorted(key for key in keys if key.startswith(kind))
            self._changed[kind] = {}
        elif changed := self._changed[kind]:
            found = self._sorted[kind] = _with_changes(found, changed)
            changed.clear()
        return found


def _with_changes(found: list[bytes], changed: Mapping[bytes, bool]) -> list[bytes]:
    """Return the keys in order, with the new ones and without the deleted ones; the list may be changed."""
    deleted = [key for key, is_there in changed.items() if not is_there]
    if len(deleted) <= SINGLE_DELETES_MAX:
        for key in deleted:
            del found[bisect_left(found, key)]
    else:
        gone = set(deleted)
        found = [key for key in found if key not in gone]
    if len(deleted) < len(changed):
        found += [key for key, is_there in changed.items() if is_there]
        found.sort()  # two runs, of which the first is in order: a merge
    return found
