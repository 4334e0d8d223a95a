"""The app's own messages on the user log, and what other apps that share it put there (contracts.md 2)."""

from __future__ import annotations

import json

import pytest

from rebate_app.domain.messages import Cursor
from rebate_app.domain.rules import RuleBook
from rebate_app.wire.internal import ForeignMessageError, decode_message, encode_message, is_foreign
from tests.list_lane import APP, ListLane

OURS = {"schema": "rebate-internal/1", "app": APP, "format": 1, "kind": "cursor"}
THEIRS = OURS | {"app": "rebate-2"}
NEWER = THEIRS | {"format": 2, "line": {"worth": "in another shape"}}


def spelt(document: dict[str, object], *, compact: bool = True) -> bytes:
    """Return a message as JSON, as we write it or as another program would."""
    return json.dumps(document, separators=(",", ":") if compact else None).encode()


class TestForeign:
    """Another app's messages are ignored, and only those."""

    @pytest.mark.parametrize("document", [THEIRS, NEWER, dict(reversed(NEWER.items()))])
    @pytest.mark.parametrize("compact", [True, False])
    def test_whatever_their_version_and_spelling(self, document: dict[str, object], *, compact: bool) -> None:
        """Two versions of an app share the log while one takes over: neither dead-letters the other's."""
        lane = ListLane(1, RuleBook([]))
        value = spelt(document, compact=compact)
        assert is_foreign(value, APP)
        assert decode_message(value, APP) is None
        lane.send(lane.topics.user_log, b"u1", value, 0)
        lane.run()
        assert lane.dead_letters == []

    @pytest.mark.parametrize(
        "value", [None, b"", b"\xff", b"[]", spelt(OURS), spelt({"schema": "user-fact/1", "app": "rebate-2"})]
    )
    def test_nothing_else_is(self, value: bytes | None) -> None:
        """What cannot be read, our own messages and facts of others are not."""
        assert not is_foreign(value, APP)

    def test_our_own_in_an_unknown_shape_are_faults(self) -> None:
        """A format of ours that this version does not know is no other app's business."""
        for document in (OURS | {"format": 2}, OURS | {"line": 7}):
            with pytest.raises(ForeignMessageError):
                decode_message(spelt(document), APP)

    def test_ours_come_back(self) -> None:
        """What was sent is what is read."""
        cursor = Cursor("taobao:pid:p", 3, 250)
        key, value = encode_message(cursor, APP)
        assert (key, decode_message(value, APP)) == (b"taobao:pid:p", cursor)
