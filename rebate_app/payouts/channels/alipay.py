"""Kind `alipay`: single transfers in certificate mode (docs/payouts.md#alipay).

`alipay.fund.trans.uni.transfer` pays and `alipay.fund.trans.common.query` answers what became of it. An
answer counts only with a valid signature of Alipay's certificate over the exact bytes of its member; a code
that the channel's lists do not name proves nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from msgspec import DecodeError, Raw, Struct, ValidationError
from msgspec.json import Decoder, Encoder
from yarl import URL

from .certificates import is_signed_sha256, sign_sha256
from .code_list import CodeList
from .port import (
    FAILED,
    MISMATCH,
    NOT_FOUND,
    NOT_UNDERSTOOD,
    PAID,
    PENDING,
    RETURNED,
    SIGNATURE,
    ChannelAnswer,
    NotificationRefusedError,
    PayoutOrder,
    answer_of,
    bounded_code,
    identity_of,
    named_number,
    unclear,
)
from .transport import NoAnswerError, Transport
from .yuan import parse_yuan, yuan_of

KIND: Final = "alipay"
GATEWAY: Final = "https://openapi.alipay.com/gateway.do"
TRANSFER: Final = "alipay.fund.trans.uni.transfer"
QUERY: Final = "alipay.fund.trans.common.query"
ORDER_CHANGED: Final = "alipay.fund.trans.order.changed"
PRODUCT: Final = {"product_code": "TRANS_ACCOUNT_NO_PWD", "biz_scene": "DIRECT_TRANSFER"}
LOGON_ID: Final = "ALIPAY_LOGON_ID"
IDENTITY_TYPES: Final = (LOGON_ID, "ALIPAY_USER_ID", "ALIPAY_OPEN_ID", "USER_ID", "OPEN_ID")
SUCCESS_CODE: Final = "10000"
#: The gateway does not know itself; its sub_code decides nothing.
UNKNOWN_CODE: Final = "20000"
ORDER_NOT_EXIST: Final = "ORDER_NOT_EXIST"
CHINA_SECONDS: Final = 8 * 3_600

SEND_STATES: Final = {"SUCCESS": PAID, "FAIL": FAILED, "DEALING": PENDING}
QUERY_STATES: Final = SEND_STATES | {"WAIT_PAY": PENDING, "CLOSED": FAILED, "REFUND": RETURNED}

#: Refusals of the payee or the amount, which end the payout.
FAILED_CODES: Final = (
    "PAYEE_NOT_EXIST",
    "PAYEE_USER_INFO_ERROR",
    "PAYEE_ACC_OCUPIED",
    "PAYEE_NOT_RELNAME_CERTIFY",
    "PAYEE_ACCOUNT_STATUS_ERROR",
    "BLOCK_USER_FORBBIDEN_RECIEVE",
    "RELEASE_USER_FORBBIDEN_RECIEVE",
    "PERMIT_NON_BANK_LIMIT_PAYEE",
    "EXCEED_LIMIT_UNRN_DM_AMOUNT",
    "EXCEED_LIMIT_DC_RECEIVED",
    "EXCEED_LIMIT_SM_MIN_AMOUNT",
    "EXCEED_LIMIT_PERSONAL_SM_AMOUNT",
    "EXCEED_LIMIT_SM_AMOUNT",
    "INVALID_PARAMETER",
)
#: Refusals for our own balance, quota or contract: the money stays frozen and the channel pauses.
PAYER_CODES: Final = (
    "PAYER_BALANCE_NOT_ENOUGH",
    "BALANCE_IS_NOT_ENOUGH",
    "EXCEED_LIMIT_DM_AMOUNT",
    "EXCEED_LIMIT_DM_MAX_AMOUNT",
    "EXCEED_LIMIT_MM_AMOUNT",
    "PERM_PAY_*_QUOTA",
    "PAYER_STATUS_ERROR",
    "PRODUCT_NOT_SIGN",
)


class AlipayMerchant(Struct, frozen=True):
    """Who pays, and with which keys; `*_cert_sn` as `certificates.serial_md5` counts."""

    app_id: str
    private_key: RSAPrivateKey
    app_cert_sn: str
    root_cert_sn: str
    alipay_key: RSAPublicKey


class AlipayTransfer(Struct, frozen=True):
    """What every transfer of a channel says; `scene_reports`: pairs of info_type and info_content."""

    title: str
    identity_type: str = LOGON_ID
    scene_name: str = ""
    scene_reports: tuple[tuple[str, str], ...] = ()


class AnswerBody(Struct, frozen=True):
    """The members of both answers that decide; texts (`msg`, `sub_msg`, `fail_reason`) are not read."""

    code: str | None = None
    sub_code: str | None = None
    status: str | None = None
    out_biz_no: str | None = None
    order_id: Any = None
    error_code: Any = None
    trans_amount: str | None = None


_encode = Encoder().encode
_decode_envelope = Decoder(dict[str, Raw]).decode
_decode_text = Decoder(str).decode
_decode_body = Decoder(AnswerBody).decode
BAD_JSON = (DecodeError, ValidationError, UnicodeDecodeError, RecursionError)


class SignatureError(Exception):
    """An answer's signature does not verify."""


class AlipayChannel:
    """Transfers from one merchant's account."""

    is_automatic = True

    def __init__(
        self,
        url: str,
        merchant: AlipayMerchant,
        transfer: AlipayTransfer,
        codes: CodeList,
        timeout_seconds: float,
        clock_seconds: Callable[[], int] = lambda: int(time.time()),
    ) -> None:
        self.identity = identity_of(KIND, url, merchant.app_id)
        self._url = URL(url, encoded=True)
        self._merchant = merchant
        self._transfer = transfer
        self._codes = codes
        self._clock_seconds = clock_seconds
        self._transport = Transport(timeout_seconds)

    async def send(self, order: PayoutOrder, signed_at_seconds: int) -> ChannelAnswer:
        """Transfer, signed with the moment of the attempt."""
        body = await self._call(TRANSFER, self._content_of(order), signed_at_seconds)
        return body if isinstance(body, ChannelAnswer) else self._send_answer(body, order)

    async def query(self, order: PayoutOrder) -> ChannelAnswer:
        """Query by number; error codes of a query say nothing about the transfer but ORDER_NOT_EXIST."""
        content = PRODUCT | {"out_biz_no": order.payout_no}
        body = await self._call(QUERY, content, self._clock_seconds())
        if isinstance(body, ChannelAnswer):
            return body
        if body.code == SUCCESS_CODE:
            return _state(body, order, QUERY_STATES)
        if body.sub_code == ORDER_NOT_EXIST and body.code != UNKNOWN_CODE:
            return ChannelAnswer(NOT_FOUND, ORDER_NOT_EXIST)
        return unclear(bounded_code(body.sub_code) or NOT_UNDERSTOOD)

    def verify_notification(
        self, path: str, headers: Mapping[str, str], body: bytes, now_seconds: int
    ) -> str | None:
        """Return the number of a signed form; Alipay's callbacks carry no time that could be checked.

        None for one that is about another app of the merchant.
        """
        del path, headers, now_seconds
        try:
            members = dict(parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True))
        except ValueError as error:
            raise NotificationRefusedError("the callback is no form") from error
        if not self._is_signed(members):
            raise NotificationRefusedError("the signature does not verify")
        return _number_in(members) if members.get("app_id") == self._merchant.app_id else None

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    def _is_signed(self, members: Mapping[str, str]) -> bool:
        """Whether Alipay signed the members: its callbacks leave `sign_type` out, or sign it too."""
        key, given = self._merchant.alipay_key, members.get("sign", "")
        without = {name: value for name, value in members.items() if name != "sign_type"}
        return any(is_signed_sha256(key, given, signed_content(each)) for each in (without, members))

    def _content_of(self, order: PayoutOrder) -> dict[str, Any]:
        transfer = self._transfer
        payee = {"identity": order.account, "identity_type": transfer.identity_type}
        if order.name:
            payee["name"] = order.name
        content: dict[str, Any] = PRODUCT | {
            "out_biz_no": order.payout_no,
            "trans_amount": yuan_of(order.amount),
            "order_title": transfer.title,
            "payee_info": payee,
        }
        if order.memo:
            content["remark"] = order.memo
        if transfer.scene_name:
            content["transfer_scene_name"] = transfer.scene_name
            content["transfer_scene_report_infos"] = [
                {"info_type": kind, "info_content": text} for kind, text in transfer.scene_reports
            ]
        return content

    async def _call(
        self, method: str, content: Mapping[str, Any], at_seconds: int
    ) -> AnswerBody | ChannelAnswer:
        """Return what the gateway answers, or an unclear outcome."""
        merchant = self._merchant
        members = {
            "app_id": merchant.app_id,
            "method": method,
            "format": "JSON",
            "charset": "utf-8",
            "sign_type": "RSA2",
            "timestamp": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at_seconds + CHINA_SECONDS)),
            "version": "1.0",
            "app_cert_sn": merchant.app_cert_sn,
            "alipay_root_cert_sn": merchant.root_cert_sn,
            "biz_content": _encode(content).decode(),
        }
        members["sign"] = sign_sha256(merchant.private_key, signed_content(members))
        headers = {"Content-Type": "application/x-www-form-urlencoded;charset=utf-8"}
        try:
            answer = await self._transport.call("POST", self._url, urlencode(members).encode(), headers)
            if answer.status != HTTPStatus.OK:
                return unclear(f"status-{answer.status}")
            return self._verified(method, answer.body)
        except NoAnswerError as error:
            return unclear(error.code)
        except SignatureError:
            return unclear(SIGNATURE)
        except BAD_JSON:
            return unclear(NOT_UNDERSTOOD)

    def _verified(self, method: str, content: bytes) -> AnswerBody:
        """Return the answer's member if Alipay's certificate signed its bytes."""
        envelope = _decode_envelope(content)
        member = envelope.get(method.replace(".", "_") + "_response", envelope.get("error_response"))
        if member is None or "sign" not in envelope:
            raise SignatureError
        if not is_signed_sha256(self._merchant.alipay_key, _decode_text(envelope["sign"]), bytes(member)):
            raise SignatureError
        return _decode_body(member)

    def _send_answer(self, body: AnswerBody, order: PayoutOrder) -> ChannelAnswer:
        if body.code == SUCCESS_CODE:
            return _state(body, order, SEND_STATES)
        code = body.sub_code or ""
        outcome = None if body.code == UNKNOWN_CODE else self._codes.outcome(code)
        if outcome is None:
            return unclear(bounded_code(code) or NOT_UNDERSTOOD)
        return ChannelAnswer(outcome, bounded_code(code))


def signed_content(members: Mapping[str, str]) -> bytes:
    """Return what is signed: `name=value` of all that have a value but `sign`, by name, `&` between."""
    named = sorted((name, value) for name, value in members.items() if name != "sign" and value)
    return "&".join(f"{name}={value}" for name, value in named).encode()


def _number_in(members: Mapping[str, str]) -> str | None:
    """Return the number that a callback names in its content, or as a member of its own."""
    try:
        content = _decode_envelope(members.get("biz_content", "{}").encode())
        if "out_biz_no" in content:
            return named_number(_decode_text(content["out_biz_no"]))
    except (ValueError, *BAD_JSON):
        return None
    return named_number(members.get("out_biz_no"))


def _state(body: AnswerBody, order: PayoutOrder, states: Mapping[str, str]) -> ChannelAnswer:
    """Return what a well-formed answer states; one about another number or amount lies."""
    code, ref = bounded_code(body.error_code), body.order_id
    outcome = states.get(body.status or "")
    if body.out_biz_no is not None and body.out_biz_no != order.payout_no:
        return answer_of(MISMATCH, code, ref)
    if body.trans_amount is not None:
        amount = parse_yuan(body.trans_amount)
        if amount is None:
            return unclear(NOT_UNDERSTOOD)
        if amount != order.amount:
            return answer_of(MISMATCH, code, ref)
    if outcome is None or body.out_biz_no is None:
        return unclear(NOT_UNDERSTOOD)
    if outcome == FAILED:
        code = code or bounded_code(body.status)
    return answer_of(outcome, code, ref)
