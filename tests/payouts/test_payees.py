"""Payees: nothing in clear, the same id for the same payee, and erased means erased."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import pytest

from rebate_app.payouts.payees.book import (
    PAYEES_MAX,
    FollowedPayeesError,
    PayeeBook,
    TooManyPayeesError,
    key_of,
)
from rebate_app.payouts.payees.cipher import PayeeCipher, parse_payee_keys
from rebate_app.payouts.payees.masking import mask_account, mask_name
from rebate_app.payouts.ports import Payee
from rebate_app.streams.transaction.collector import OutgoingRecord
from rebate_app.wire.unreadable import UnreadableValueError

K1, K2 = base64.b64encode(b"1" * 32).decode(), base64.b64encode(b"2" * 32).decode()
ID_KEY = b"i" * 32
PAYEE = Payee("bank", "6222021234567890123", "张三丰")


def cipher(ring: str = f"a:{K1}") -> PayeeCipher:
    """Return a cipher."""
    return PayeeCipher(parse_payee_keys(ring), ID_KEY)


class Topic:
    """The topic of a partition, compacted at once."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self.fails = False

    async def write(self, records: Sequence[OutgoingRecord]) -> None:
        """Take records."""
        if self.fails:
            raise OSError("away")
        for record in records:
            assert record.key is not None
            assert record.partition == 3
            if record.value is None:
                self.values.pop(record.key, None)
            else:
                self.values[record.key] = record.value

    def book(self, ring: str = f"a:{K1}") -> PayeeBook:
        """Return a book as it is after a take-over."""
        return PayeeBook("rebate-payees", 3, cipher(ring), self.values.items(), self.write)


class TestCipher:
    """Sealing and ids."""

    def test_opens_what_it_sealed(self) -> None:
        """Under the same place only."""
        value = cipher().seal(b"u1 p1", PAYEE)
        assert cipher(f"b:{K2},a:{K1}").open(b"u1 p1", value) == PAYEE
        for place, ring in ((b"u2 p1", f"a:{K1}"), (b"u1 p1", f"a:{K2}"), (b"u1 p1", f"b:{K1}")):
            with pytest.raises(UnreadableValueError):
                cipher(ring).open(place, value)

    def test_nothing_in_clear(self) -> None:
        """And never twice the same text."""
        one, other = cipher().seal(b"u", PAYEE), cipher().seal(b"u", PAYEE)
        assert one != other
        assert b"6222" not in one
        assert "张".encode() not in one

    def test_ids_do_not_depend_on_the_key_that_encrypts(self) -> None:
        """16 hex digits of the HMAC over user, channel, account, name."""
        import hashlib
        import hmac

        text = "u1\nbank\n6222021234567890123\n张三丰".encode()
        wanted = hmac.new(ID_KEY, text, hashlib.sha256).hexdigest()[:16]
        assert cipher().payee_id("u1", PAYEE) == cipher(f"b:{K2}").payee_id("u1", PAYEE) == wanted

    @pytest.mark.parametrize(
        "text", ["", "a", f"a b:{K1}", "a:!!", "a:" + base64.b64encode(b"x").decode(), f"a:{K1},a:{K2}"]
    )
    def test_wrong_rings(self, text: str) -> None:
        """No problem repeats a key."""
        with pytest.raises(ValueError, match=r"key|id") as caught:
            parse_payee_keys(text)
        assert K1 not in str(caught.value)

    def test_other_values(self) -> None:
        """What is no sealed payee cannot be read."""
        for value in (b"", b"{}", b'{"schema":"x","key":"a","nonce":"","sealed":""}'):
            with pytest.raises(UnreadableValueError):
                cipher().open(b"u", value)


class TestMasking:
    """What is shown."""

    @pytest.mark.parametrize(
        ("account", "shown"),
        [
            ("6222021234567890123", "622************0123"),
            ("13800138000", "13******000"),
            ("1234", "**34"),
            ("12", "*2"),
            ("1", "*"),
            ("zhang@example.com", "z***@example.com"),
            ("@x", "*x"),
        ],
    )
    def test_accounts(self, account: str, shown: str) -> None:
        """Never more than half."""
        masked = mask_account(account)
        assert masked.replace("*", "") == shown.replace("*", "")
        if "@" not in account:
            assert len(masked) == len(account)
            assert sum(c != "*" for c in masked) <= max(len(account) / 2, 0)

    @pytest.mark.parametrize(("name", "shown"), [("张三丰", "**丰"), ("张", "*"), ("", "")])
    def test_names(self, name: str, shown: str) -> None:
        """The last character."""
        assert mask_name(name) == shown


@pytest.mark.asyncio
class TestBook:
    """The payees of a partition."""

    async def test_kept_listed_and_forgotten(self) -> None:
        """Over a take-over too."""
        topic = Topic()
        book = topic.book()
        payee_id = await book.add("u1", PAYEE)
        assert await book.add("u1", PAYEE) == payee_id
        again = topic.book()
        assert again.list("u1") == [(payee_id, PAYEE)]
        assert (again.find("u2", payee_id), len(again)) == (None, 1)
        assert await again.forget("u1", payee_id)
        assert not await again.forget("u1", payee_id)
        assert (topic.values, again.list("u1"), len(again)) == ({}, [], 0)

    async def test_rotation_and_tombstones(self) -> None:
        """Attack 13: what was erased stays so; what is sealed anew has the same id."""
        topic = Topic()
        book = topic.book()
        kept, gone = await book.add("u1", PAYEE), await book.add("u1", Payee("bank", "1", ""))
        newer = topic.book(f"b:{K2},a:{K1}")
        await newer.forget("u1", gone)
        assert await newer.rotate() == (1, 0)
        assert await newer.rotate() == (0, 0)
        assert list(topic.values) == [key_of("u1", kept)]
        assert topic.book(f"b:{K2}").find("u1", kept) == PAYEE
        assert topic.book().find("u1", kept) is None

    async def test_what_cannot_be_decrypted(self) -> None:
        """Is not shown, is counted by a rotation, and can be erased."""
        topic = Topic()
        payee_id = await topic.book().add("u1", PAYEE)
        other = topic.book(f"b:{K2}")
        assert (other.list("u1"), await other.rotate()) == ([], (0, 1))
        assert await other.forget("u1", payee_id)

    async def test_a_failed_write_makes_it_stale(self) -> None:
        """Whether it was written is not known: the book is read anew."""
        topic = Topic()
        book = topic.book()
        topic.fails = True
        with pytest.raises(OSError, match="away"):
            await book.add("u1", PAYEE)
        assert book.is_stale
        assert book.list("u1") == []

    async def test_another_apps_payees_are_followed(self) -> None:
        """What the app that has the turn writes is taken; nothing is changed, also what is not there."""
        topic = Topic()
        book = topic.book()
        kept, erased = await book.add("u1", PAYEE), await book.add("u1", Payee("bank", "1", ""))
        follower = PayeeBook("rebate-payees", 3, cipher(f"a:{K1}"), topic.values.items(), None)
        follower.take(key_of("u1", erased), None)
        follower.take(key_of("u9", erased), None)
        assert (follower.list("u1"), len(follower)) == ([(kept, PAYEE)], 1)
        for change in (
            follower.add("u1", PAYEE),
            follower.forget("u1", kept),
            follower.forget("u1", "no"),
            follower.rotate(),
        ):
            with pytest.raises(FollowedPayeesError):
                await change
        assert not follower.is_stale

    async def test_a_user_has_a_bounded_number(self) -> None:
        """A hundred."""
        book = Topic().book()
        for number in range(PAYEES_MAX):
            await book.add("u1", Payee("bank", str(number), ""))
        with pytest.raises(TooManyPayeesError):
            await book.add("u1", PAYEE)
