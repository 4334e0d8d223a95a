"""One contract for every kind of channel, against its simulated service."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from examples.simulators.payouts import book as faults
from examples.simulators.payouts.alipay_gateway import AlipayGateway
from examples.simulators.payouts.book import DAY_SECONDS, Fault
from examples.simulators.payouts.http_service import HttpService
from examples.simulators.payouts.wechat_gateway import WechatGateway
from rebate_app.payouts.channels import port
from rebate_app.payouts.channels.manual import ManualChannel
from rebate_app.payouts.channels.port import ChannelAnswer, NotificationRefusedError, PayoutOrder

from .services import AUTOMATIC, ORDER, Remote, remote

pytestmark = pytest.mark.asyncio


def now() -> int:
    """Return Unix seconds."""
    return int(time.time())


async def send(there: Remote, *planned: Fault, order: PayoutOrder = ORDER) -> ChannelAnswer:
    """Plan faults, then send."""
    for fault in planned:
        there.book.plan(fault)
    return await there.channel.send(order, now())


def signed_callback(there: Remote, document: object, number: object) -> tuple[bytes, dict[str, str]]:
    """Return a signed callback whose content is the document; an object of it names the number, if any."""
    if isinstance(document, dict) and number is not None:
        member = {"http": "payout_no", "alipay": "out_biz_no", "wechat": "out_bill_no"}[there.kind]
        document = document | {member: number}
    return sign_callback(there, json.dumps(document).encode())


def sign_callback(there: Remote, content: bytes) -> tuple[bytes, dict[str, str]]:
    """Return a signed callback with that content."""
    service = there.service
    if isinstance(service, HttpService):
        timestamp = str(now())
        signature = service._signature(timestamp, "POST", "/n", content)
        return content, {"X-Rebate-Timestamp": timestamp, "X-Rebate-Signature": signature}
    if isinstance(service, AlipayGateway):
        members = {"app_id": service.app_id, "biz_content": content.decode(errors="replace")}
        text = "&".join(f"{name}={value}" for name, value in sorted(members.items()) if value)
        return urlencode(members | {"sign": service._sign(text.encode())}).encode(), {}
    assert isinstance(service, WechatGateway)
    nonce, about = "0123456789ab", "mch_payment"
    sealed = AESGCM(service._api_key).encrypt(nonce.encode(), content, about.encode())
    resource = {
        "algorithm": "AEAD_AES_256_GCM",
        "ciphertext": base64.b64encode(sealed).decode(),
        "nonce": nonce,
        "associated_data": about,
    }
    body = json.dumps({"resource": resource}).encode()
    return body, service._headers(body)


@pytest.mark.parametrize("kind", AUTOMATIC)
class TestEveryKind:
    """What holds whatever the service's dialect."""

    async def test_a_payout_is_paid_once_however_often_it_is_sent(self, kind: str, keys: Path) -> None:
        """The number is the idempotency key, and the signature of both sides verifies."""
        async with remote(kind, keys) as there:
            first, again = await send(there), await send(there)
            queried = await there.channel.query(ORDER)
        assert (first.outcome, again.outcome, queried.outcome) == (port.PAID,) * 3
        assert first.channel_ref == queried.channel_ref == "ref-00000001"
        assert there.book.transfers == [(ORDER.payout_no, ORDER.amount)]
        assert there.service.refused == 0

    async def test_an_unknown_number_is_not_found(self, kind: str, keys: Path) -> None:
        """Only a question yields not-found."""
        async with remote(kind, keys) as there:
            assert (await there.channel.query(ORDER)).outcome == port.NOT_FOUND

    @pytest.mark.parametrize("name", faults.ON_ANSWER)
    async def test_no_clear_answer_is_unclear_or_a_lie(self, kind: str, name: str, keys: Path) -> None:
        """Whatever went wrong, what was paid is found out by asking, and is paid at most once."""
        hangs = name in (faults.HANG_BEFORE, faults.HANG_AFTER)
        async with remote(kind, keys, "timeout_s = 0.3\n" if hangs else "") as there:
            sent = await send(there, Fault(name, seconds=0.6))
            queried = await there.channel.query(ORDER)
        contradicts = name in (faults.OTHER_NUMBER, faults.OTHER_AMOUNT)
        assert sent.outcome == (port.MISMATCH if contradicts else port.UNCLEAR)
        before = name in (faults.LOST_BEFORE, faults.HANG_BEFORE, faults.ERROR_BEFORE)
        assert queried.outcome == (port.NOT_FOUND if before else port.PAID)
        assert len(there.book.transfers) == (0 if before else 1)

    @pytest.mark.parametrize("name", [faults.LOST_BEFORE, faults.BAD_SIGNATURE, faults.GARBAGE])
    async def test_a_query_without_a_clear_answer_proves_nothing(
        self, kind: str, name: str, keys: Path
    ) -> None:
        """The same holds of queries."""
        async with remote(kind, keys) as there:
            await send(there)
            there.book.plan(
                Fault.from_json({"name": name, "asked": True, "times": 2})
            )  # a GET may be repeated by the client
            assert (await there.channel.query(ORDER)).outcome == port.UNCLEAR

    async def test_a_query_that_is_answered_about_something_else_is_a_mismatch(
        self, kind: str, keys: Path
    ) -> None:
        """Another amount, another number."""
        async with remote(kind, keys) as there:
            await send(there)
            for name in (faults.OTHER_AMOUNT, faults.OTHER_NUMBER):
                there.book.plan(Fault(name, is_query=True))
                assert (await there.channel.query(ORDER)).outcome == port.MISMATCH

    async def test_pending_ends_as_paid_or_failed(self, kind: str, keys: Path) -> None:
        """Accepted is not paid."""
        async with remote(kind, keys) as there:
            other = PayoutOrder("b" * 32, 100, "x@example.com", "李四")
            assert (await send(there, Fault(faults.SLOW_PAID, seconds=60))).outcome == port.PENDING
            failing = Fault(faults.SLOW_FAILED, seconds=60, code="REAL_NAME_CHECK_FAIL")
            assert (await send(there, failing, order=other)).outcome == port.PENDING
            assert there.book.transfers == []
            there.book.advance(61)
            assert (await there.channel.query(ORDER)).outcome == port.PAID
            failed = await there.channel.query(other)
        assert (failed.outcome, failed.code) == (port.FAILED, "REAL_NAME_CHECK_FAIL")

    async def test_an_accepted_payout_may_stay_unknown_for_a_while(self, kind: str, keys: Path) -> None:
        """So not-found proves nothing soon after a call."""
        async with remote(kind, keys) as there:
            await send(there, Fault(faults.LATE_VISIBLE, seconds=60))
            assert (await there.channel.query(ORDER)).outcome == port.NOT_FOUND
            there.book.advance(61)
            assert (await there.channel.query(ORDER)).outcome == port.PAID

    async def test_the_service_forgets_a_number(self, kind: str, keys: Path) -> None:
        """A second request would then pay a second time, which is what the rules about not-found prevent."""
        async with remote(kind, keys) as there:
            await send(there)
            there.book.forgets_seconds = 200
            there.book.advance(201)
            assert (await there.channel.query(ORDER)).outcome == port.NOT_FOUND
            await send(there)
        assert there.book.paid_twice() == [ORDER.payout_no]

    async def test_our_empty_balance_is_not_the_users_fault(self, kind: str, keys: Path) -> None:
        """Payer: nothing was accepted."""
        async with remote(kind, keys) as there:
            there.book.balance = 10
            assert (await send(there)).outcome == port.PAYER
            assert there.book.payouts == {}

    async def test_a_known_number_with_other_content_changes_nothing(self, kind: str, keys: Path) -> None:
        """The answer proves nothing about the first payout."""
        async with remote(kind, keys) as there:
            await send(there)
            other = PayoutOrder(ORDER.payout_no, 996, ORDER.account, ORDER.name)
            assert (await send(there, order=other)).outcome == port.UNCLEAR
        assert there.book.transfers == [(ORDER.payout_no, ORDER.amount)]

    async def test_a_request_signed_long_ago_is_refused(self, kind: str, keys: Path) -> None:
        """A worker that was frozen before its call wakes up harmless."""
        async with remote(kind, keys) as there:
            answer = await there.channel.send(ORDER, now() - 660)
        assert answer.outcome == port.UNCLEAR
        assert (there.book.payouts, there.service.refused) == ({}, 1)

    async def test_no_free_text_of_the_service_passes(self, kind: str, keys: Path) -> None:
        """Codes and references have the form of ids, or are left out."""
        async with remote(kind, keys) as there:
            answer = await send(there, Fault(faults.REFUSED, code="name of Mr. Zhang\n"))
            assert (answer.outcome, answer.code) == (port.FAILED, "other") or kind != "http"
            queried = await there.channel.query(ORDER)
        assert (queried.outcome, queried.code) == (port.FAILED, "other")

    async def test_a_callback_names_its_number_if_it_is_signed(self, kind: str, keys: Path) -> None:
        """One changed byte, or another's secret, and it is refused."""
        async with remote(kind, keys) as there:
            await send(there)
            there.service.notify_url = "http://worker/v1/payout-notifications/" + kind
            body, headers = there.service.callback(there.book.payouts[ORDER.payout_no])
            path = "/v1/payout-notifications/" + kind
            verify = there.channel.verify_notification
            assert verify(path, headers, body, now()) == ORDER.payout_no
            for bad in (b"", b"{}", body.replace(b"a", b"b"), body.replace(b"9", b"8")):
                with pytest.raises(NotificationRefusedError):
                    verify(path, headers, bad, now())

    @pytest.mark.parametrize(
        "document",
        ["number", 7, {}, {"amount": "995"}, {"amount": 9.95, "status": ["paid"], "code": None, "x": {}}],
        ids=["a text", "a number", "nothing", "an amount as text", "members of other types"],
    )
    @pytest.mark.parametrize("number", [ORDER.payout_no, None, "", "n o", "x" * 65, 5, ["a"]])
    async def test_a_signature_decides_whatever_the_body(
        self, kind: str, document: object, number: object, keys: Path
    ) -> None:
        """A number of our form is taken from any object; what names none is no reason to refuse."""
        async with remote(kind, keys) as there:
            body, headers = signed_callback(there, document, number)
            found = there.channel.verify_notification("/n", headers, body, now())
        expected = ORDER.payout_no if isinstance(document, dict) and number == ORDER.payout_no else None
        assert found == expected

    @pytest.mark.parametrize("content", [b"", b"{", b"null", b'"\xff"', b"[" * 5_000, b"\x00" * 9])
    async def test_a_signed_body_that_is_no_json(self, kind: str, content: bytes, keys: Path) -> None:
        """It names no payout."""
        async with remote(kind, keys) as there:
            body, headers = sign_callback(there, content)
            assert there.channel.verify_notification("/n", headers, body, now()) is None

    async def test_nobody_there_is_unclear(self, kind: str, keys: Path) -> None:
        """A closed port, too."""
        async with remote(kind, keys) as there:
            spec = there.spec
            await there.channel.close()
        assert (await spec.channel.send(ORDER, now())).outcome == port.UNCLEAR
        assert (await spec.channel.query(ORDER)).outcome == port.UNCLEAR
        await spec.channel.close()


class TestHttp:
    """Kind `http`."""

    async def test_returned_and_needs_user(self, keys: Path) -> None:
        """Both states, with the URL where the user confirms."""
        async with remote("http", keys) as there:
            await send(there, Fault(faults.THEN_RETURNED, seconds=60))
            there.book.advance(61)
            assert (await there.channel.query(ORDER)).outcome == port.RETURNED
            other = PayoutOrder("b" * 32, 100)
            waiting = await send(there, Fault(faults.CONFIRM), order=other)
            assert waiting.needs_user_url == "https://pay.example/confirm/ref-00000002"
            there.book.confirm(other.payout_no)
            assert (await there.channel.query(other)).outcome == port.PAID

    async def test_a_callback_is_fresh(self, keys: Path) -> None:
        """An old callback is refused."""
        async with remote("http", keys) as there:
            await send(there)
            there.service.notify_url = "http://worker/n"
            body, headers = there.service.callback(there.book.payouts[ORDER.payout_no])
            with pytest.raises(NotificationRefusedError):
                there.channel.verify_notification("/n", headers, body, now() + 302)
            with pytest.raises(NotificationRefusedError):
                there.channel.verify_notification("/other", headers, body, now())


class TestAlipay:
    """Kind `alipay`."""

    async def test_a_signed_callback_of_another_app(self, keys: Path) -> None:
        """It is about none of our numbers, whatever number it names."""
        async with remote("alipay", keys) as there:
            gateway = there.service
            assert isinstance(gateway, AlipayGateway)
            gateway.app_id = "another"
            body, headers = signed_callback(there, {}, ORDER.payout_no)
            assert there.channel.verify_notification("/n", headers, body, now()) is None

    async def test_a_callback_that_is_no_form(self, keys: Path) -> None:
        """It has no signature."""
        async with remote("alipay", keys) as there:
            for body in (b"\xff", b"a", b"a=1&&b"):
                with pytest.raises(NotificationRefusedError):
                    there.channel.verify_notification("/n", {}, body, now())

    async def test_the_number_as_a_member_of_its_own(self, keys: Path) -> None:
        """Older callbacks have no content."""
        async with remote("alipay", keys) as there:
            gateway = there.service
            assert isinstance(gateway, AlipayGateway)
            members = {"app_id": gateway.app_id, "out_biz_no": ORDER.payout_no}
            text = "&".join(f"{name}={value}" for name, value in sorted(members.items()))
            body = urlencode(members | {"sign": gateway._sign(text.encode())}).encode()
            assert there.channel.verify_notification("/n", {}, body, now()) == ORDER.payout_no

    @pytest.mark.parametrize(
        ("code", "outcome"),
        [
            ("PAYEE_NOT_EXIST", port.FAILED),
            ("EXCEED_LIMIT_SM_AMOUNT", port.FAILED),
            ("PERM_PAY_CUSTOMER_DAY_QUOTA", port.PAYER),
            ("EXCEED_LIMIT_DM_AMOUNT", port.PAYER),
            ("SYSTEM_ERROR", port.UNCLEAR),
            ("BIZ_UNIQUE_EXCEPTION", port.UNCLEAR),
            ("SOMETHING_NEW", port.UNCLEAR),
        ],
    )
    async def test_codes_decide_by_the_lists(self, code: str, outcome: str, keys: Path) -> None:
        """What is on no list is unclear."""
        async with remote("alipay", keys) as there:
            answer = await send(there, Fault(faults.REFUSED, code=code))
        assert (answer.outcome, answer.code) == (outcome, code)

    async def test_the_lists_are_configured(self, keys: Path) -> None:
        """A shorter list makes a code unclear."""
        async with remote("alipay", keys, 'failed_codes = ["NEW_*"]\n') as there:
            assert (await send(there, Fault(faults.REFUSED, code="PAYEE_NOT_EXIST"))).outcome == port.UNCLEAR
            assert (await send(there, Fault(faults.REFUSED, code="NEW_ONE"))).outcome == port.FAILED

    async def test_returned_is_refund(self, keys: Path) -> None:
        """REFUND."""
        async with remote("alipay", keys) as there:
            await send(there, Fault(faults.THEN_RETURNED, seconds=60))
            there.book.advance(61)
            assert (await there.channel.query(ORDER)).outcome == port.RETURNED


class TestWechat:
    """Kind `wechat`."""

    @pytest.mark.parametrize(
        "fault",
        [{"algorithm": "other"}, {"nonce": ""}, {"ciphertext": "!"}, {"ciphertext": "AAAA"}, {"nonce": None}],
    )
    async def test_a_signed_callback_that_does_not_decrypt(
        self, fault: dict[str, object], keys: Path
    ) -> None:
        """The signature is over what is encrypted, and verifies."""
        async with remote("wechat", keys) as there:
            gateway = there.service
            assert isinstance(gateway, WechatGateway)
            body, _ = signed_callback(there, {}, ORDER.payout_no)
            document = json.loads(body)
            document["resource"] |= fault
            body = json.dumps(document).encode()
            headers = gateway._headers(body)
            assert there.channel.verify_notification("/n", headers, body, now()) is None

    async def test_the_user_confirms(self, keys: Path) -> None:
        """The package is for the app; a query does not repeat it."""
        async with remote("wechat", keys) as there:
            sent = await send(there, Fault(faults.CONFIRM))
            queried = await there.channel.query(ORDER)
            assert sent.outcome == queried.outcome == port.NEEDS_USER
            assert sent.needs_user_url is not None
            assert sent.needs_user_url.endswith("ref-00000001")
            assert queried.needs_user_url is None
            there.book.confirm(ORDER.payout_no)
            assert (await there.channel.query(ORDER)).outcome == port.PAID

    async def test_nobody_confirms(self, keys: Path) -> None:
        """After a day the service closes it."""
        async with remote("wechat", keys) as there:
            await send(there, Fault(faults.CONFIRM))
            steps = there.book.payouts[ORDER.payout_no].steps
            steps[-1] = (steps[-1][0] - DAY_SECONDS, steps[-1][1])  # signatures are as of now
            answer = await there.channel.query(ORDER)
        assert (answer.outcome, answer.code) == (port.FAILED, "OVERDUE_CLOSE")

    async def test_cancelling_races_the_confirmation(self, keys: Path) -> None:
        """CANCELING is pending; CANCELLED failed; whoever confirmed first is paid."""
        async with remote("wechat", keys) as there:
            await send(there, Fault(faults.CONFIRM))
            there.book.cancel(ORDER.payout_no, 60)
            assert (await there.channel.query(ORDER)).outcome == port.PENDING
            there.book.advance(61)
            answer = await there.channel.query(ORDER)
            assert (answer.outcome, answer.code) == (port.FAILED, "CANCELLED")
            other = PayoutOrder("b" * 32, 100)
            await send(there, Fault(faults.CONFIRM), order=other)
            there.book.confirm(other.payout_no)
            assert not there.book.cancel(other.payout_no)
            assert (await there.channel.query(other)).outcome == port.PAID

    async def test_names_are_sealed_for_the_platform(self, keys: Path) -> None:
        """And are needed from ¥2,000 on."""
        async with remote("wechat", keys) as there:
            big = PayoutOrder("c" * 32, 200_000, "openid", "张三丰")
            assert (await send(there, order=big)).outcome == port.PAID
            assert getattr(there.service, "names") == {"c" * 32: "张三丰"}  # noqa: B009

    @pytest.mark.parametrize("code", ["PARAM_ERROR", "INVALID_REQUEST"])
    async def test_an_error_is_not_final(self, code: str, keys: Path) -> None:
        """The same number has to be asked about, unless the channel's list says otherwise."""
        async with remote("wechat", keys) as there:
            assert (await send(there, Fault(faults.REFUSED, code=code))).outcome == port.UNCLEAR
        async with remote("wechat", keys, f'failed_codes = ["{code}"]\n') as there:
            assert (await send(there, Fault(faults.REFUSED, code=code))).outcome == port.FAILED


class TestManual:
    """Kind `manual`: nobody can be called."""

    async def test_nothing_is_ever_clear(self) -> None:
        """Files say what became of a payout."""
        channel = ManualChannel("bank")
        assert not channel.is_automatic
        headers: Mapping[str, str] = {}
        answers = [await channel.send(ORDER, now()), await channel.query(ORDER)]
        assert {answer.outcome for answer in answers} == {port.UNCLEAR}
        with pytest.raises(NotificationRefusedError):
            channel.verify_notification("/", headers, b"", now())
        await channel.close()
        assert channel.identity != ManualChannel("cash").identity
