"""The app's own messages on the user log, and what other apps that share it put there.

See docs/spec/facts.md#internal-messages.
"""

from __future__ import annotations

import json

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from rebate_app.domain.messages import BonusTarget, Cursor, LineTarget
from rebate_app.domain.pricing.rules import RuleBook
from rebate_app.wire.internal import (
    ForeignMessageError,
    decode_message,
    encode_message,
    is_foreign,
    without_moment,
)
from tests.topology_driver import APP, TopologyDriver

OURS = {"schema": "rebate-internal/1", "app": APP, "format": 1, "kind": "cursor"}
THEIRS = OURS | {"app": "rebate-2"}
NEWER = THEIRS | {"format": 2, "line": {"worth": "in another shape"}}


def spelt(document: dict[str, object], *, compact: bool = True) -> bytes:
    """Return a message as JSON, as we write it or as another program would."""
    return json.dumps(document, separators=(",", ":") if compact else None).encode()


#: As version 1 wrote them: before messages had the network's moment.
OLDER = (
    (
        b'{"schema":"rebate-internal/1","app":"rebate","format":1,"kind":"line","line":{"to":"u1",'
        b'"line":"taobao:1","source":"","version":0,"line_version":0,"worth":["open","paid",1767442431000000,'
        b'1612,0,0,null,null,null,""],"by":"user_id","claim":null,"cause":"snapshot-paid"}}'
    ),
    (
        b'{"schema":"rebate-internal/1","app":"rebate","format":1,"kind":"bonus","bonus":{"to":"u2",'
        b'"line":"taobao:1","chain":["u1"],"version":1,"line_version":0,"terms":["2026-01",["open","paid",'
        b'1767442431000000,1612,0,0,null,null,null,""],1612,0,0],"cause":"snapshot-paid"}}'
    ),
)


class TestMoment:
    """The network's moment in messages."""

    @pytest.mark.parametrize("value", OLDER)
    def test_messages_of_before_are_read_and_written_as_before(self, value: bytes) -> None:
        """An older message has no moment, and a message without one is byte for byte the older one."""
        message = decode_message(value, APP)
        assert isinstance(message, LineTarget | BonusTarget)
        assert message.modified_at is UNSET
        assert encode_message(message, APP)[1] == value

    @pytest.mark.parametrize("value", OLDER)
    @pytest.mark.parametrize("moment", [0, -62_135_596_799, 1_767_442_445, 253_402_300_799_999_999])
    def test_it_comes_back_and_can_be_left_aside(self, value: bytes, moment: int) -> None:
        """With its moment a message is the same but for that."""
        older = decode_message(value, APP)
        assert isinstance(older, LineTarget | BonusTarget)
        message = replace(older, modified_at=moment)
        _, written = encode_message(message, APP)
        assert decode_message(written, APP) == message
        assert without_moment(written) == value == without_moment(value)

    def test_text_that_looks_like_one_stays(self) -> None:
        """A cause that reads like a moment is text, in which quotation marks are escaped."""
        message = LineTarget("u1", "taobao:1", "", 1, 1, None, cause=',"at":7}}')
        _, written = encode_message(message, APP)
        assert without_moment(written) == written


class TestForeign:
    """Another app's messages are ignored, and only those."""

    @pytest.mark.parametrize("document", [THEIRS, NEWER, dict(reversed(NEWER.items()))])
    @pytest.mark.parametrize("compact", [True, False])
    def test_whatever_their_version_and_spelling(self, document: dict[str, object], *, compact: bool) -> None:
        """Two versions of an app share the log while one takes over: neither dead-letters the other's."""
        stream = TopologyDriver(1, RuleBook([]))
        value = spelt(document, compact=compact)
        assert is_foreign(value, APP)
        assert decode_message(value, APP) is None
        stream.send(stream.topics.user_log, b"u1", value, 0)
        stream.run()
        assert stream.dead_letters == []

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
