"""Kind `wechat`: merchant transfers that the user confirms (docs/payouts.md#wechat).

`POST …/transfer-bills` accepts a bill and `GET …/transfer-bills/out-bill-no/{no}` answers what became of it.
Every request is signed with the merchant's key, and an answer counts only with a valid signature of the
platform. Only the state of a bill ends it: an error code of a request is final only where the channel's lists
name it, and by default none is, since WeChat asks for the same number again after any error.
"""

from __future__ import annotations

import base64
import re
import secrets
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import DecodeError, Struct, ValidationError
from msgspec.json import Decoder, Encoder
from yarl import URL

from .certificates import is_signed_sha256, sign_sha256
from .code_list import CodeList
from .port import (
    FAILED,
    MISMATCH,
    NEEDS_USER,
    NOT_FOUND,
    NOT_UNDERSTOOD,
    PAID,
    PENDING,
    SIGNATURE,
    ChannelAnswer,
    NotificationRefusedError,
    PayoutOrder,
    answer_of,
    bounded_code,
    bounded_package,
    identity_of,
    named_number,
    unclear,
)
from .transport import HttpAnswer, NoAnswerError, Transport

KIND: Final = "wechat"
GATEWAY: Final = "https://api.mch.weixin.qq.com"
BILLS_PATH: Final = "/v3/fund-app/mch-transfer/transfer-bills"
SCHEME: Final = "WECHATPAY2-SHA256-RSA2048"
OFF_SECONDS_MAX: Final = 300
REMARK_CHARACTERS_MAX: Final = 32
#: Below this amount a name may not be given.
NAMED_FEN_MIN: Final = 30
NONCE_BYTES: Final = 16
ALGORITHM: Final = "AEAD_AES_256_GCM"
NOT_FOUND_CODE: Final = "NOT_FOUND"

STATES: Final = {
    "ACCEPTED": PENDING,
    "PROCESSING": PENDING,
    "WAIT_USER_CONFIRM": NEEDS_USER,
    "TRANSFERING": PENDING,
    "SUCCESS": PAID,
    "FAIL": FAILED,
    "CANCELING": PENDING,
    "CANCELLED": FAILED,
}
FAILED_CODES: Final[tuple[str, ...]] = ()
PAYER_CODES: Final = ("NOT_ENOUGH", "NO_AUTH")

_match_seconds = re.compile(r"[0-9]{1,12}", re.ASCII).fullmatch


class WechatMerchant(Struct, frozen=True):
    """Who pays. `serial_no`: of the merchant's certificate; `platform_serial`: of the platform's key.

    `api_key`: the 32 bytes of the APIv3 key, which encrypts callbacks.
    """

    mchid: str
    appid: str
    private_key: RSAPrivateKey
    serial_no: str
    platform_key: RSAPublicKey
    platform_serial: str
    api_key: bytes


class WechatTransfer(Struct, frozen=True):
    """What every transfer of a channel says; `scene_reports`: pairs of info_type and info_content."""

    scene_id: str
    remark: str
    scene_reports: tuple[tuple[str, str], ...]
    user_perception: str = ""
    notify_url: str = ""


class AnswerBody(Struct, frozen=True):
    """The members of a bill or an error that decide; `message` is not read."""

    code: str | None = None
    out_bill_no: str | None = None
    transfer_bill_no: Any = None
    transfer_amount: int | None = None
    state: str | None = None
    fail_reason: Any = None
    package_info: Any = None


class _Resource(Struct, frozen=True):
    algorithm: str
    ciphertext: str
    nonce: str
    associated_data: str = ""


class _Notification(Struct, frozen=True):
    resource: _Resource


class _Named(Struct, frozen=True):
    out_bill_no: Any = None


_encode = Encoder().encode
_decode = Decoder(AnswerBody).decode
_decode_named = Decoder(_Named).decode
_decode_notification = Decoder(_Notification).decode
BAD_JSON = (DecodeError, ValidationError, UnicodeDecodeError, RecursionError)


class WechatChannel:
    """Transfers from one merchant's account."""

    is_automatic = True

    def __init__(
        self,
        url: str,
        merchant: WechatMerchant,
        transfer: WechatTransfer,
        codes: CodeList,
        timeout_seconds: float,
        clock_seconds: Callable[[], int] = lambda: int(time.time()),
    ) -> None:
        self.identity = identity_of(KIND, url, merchant.mchid)
        self._base = url.rstrip("/") + BILLS_PATH
        self._merchant = merchant
        self._transfer = transfer
        self._codes = codes
        self._clock_seconds = clock_seconds
        self._transport = Transport(timeout_seconds)

    async def send(self, order: PayoutOrder, signed_at_seconds: int) -> ChannelAnswer:
        """Ask for a bill, signed with the moment of the attempt."""
        body = _encode(self._bill_of(order))
        answer = await self._call("POST", self._base, body, signed_at_seconds)
        if isinstance(answer, ChannelAnswer):
            return answer
        status, document = answer
        if status == HTTPStatus.OK:
            return _state(document, order)
        outcome = self._codes.outcome(document.code or "")
        if outcome is None or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return unclear(bounded_code(document.code) or NOT_UNDERSTOOD)
        return ChannelAnswer(outcome, bounded_code(document.code))

    async def query(self, order: PayoutOrder) -> ChannelAnswer:
        """Query by number; error codes of a query say nothing about the bill but NOT_FOUND."""
        url = f"{self._base}/out-bill-no/{order.payout_no}"
        answer = await self._call("GET", url, b"", self._clock_seconds())
        if isinstance(answer, ChannelAnswer):
            return answer
        status, document = answer
        if status == HTTPStatus.OK:
            return _state(document, order)
        if status == HTTPStatus.NOT_FOUND and document.code == NOT_FOUND_CODE:
            return ChannelAnswer(NOT_FOUND, NOT_FOUND_CODE)
        return unclear(bounded_code(document.code) or NOT_UNDERSTOOD)

    def verify_notification(
        self, path: str, headers: Mapping[str, str], body: bytes, now_seconds: int
    ) -> str | None:
        """Return the number of a signed and encrypted callback; None also if it does not decrypt."""
        del path
        if not self._is_signed(headers, body, now_seconds):
            raise NotificationRefusedError("the signature does not verify")
        try:
            return named_number(
                _decode_named(self._decrypted(_decode_notification(body).resource)).out_bill_no
            )
        except (ValueError, InvalidTag, *BAD_JSON):
            return None

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    def _decrypted(self, resource: _Resource) -> bytes:
        """Return the content of a callback; ValueError, InvalidTag."""
        if resource.algorithm != ALGORITHM:
            raise ValueError(f"the callback is encrypted by something else than {ALGORITHM}")
        return AESGCM(self._merchant.api_key).decrypt(
            resource.nonce.encode(),
            base64.b64decode(resource.ciphertext),
            resource.associated_data.encode(),
        )

    def _bill_of(self, order: PayoutOrder) -> dict[str, Any]:
        merchant, transfer = self._merchant, self._transfer
        bill: dict[str, Any] = {
            "appid": merchant.appid,
            "out_bill_no": order.payout_no,
            "transfer_scene_id": transfer.scene_id,
            "openid": order.account,
            "transfer_amount": order.amount,
            "transfer_remark": (order.memo or transfer.remark)[:REMARK_CHARACTERS_MAX],
            "transfer_scene_report_infos": [
                {"info_type": kind, "info_content": text} for kind, text in transfer.scene_reports
            ],
        }
        if order.name and order.amount >= NAMED_FEN_MIN:
            bill["user_name"] = self._encrypted(order.name)
        if transfer.user_perception:
            bill["user_recv_perception"] = transfer.user_perception
        if transfer.notify_url:
            bill["notify_url"] = transfer.notify_url
        return bill

    def _encrypted(self, text: str) -> str:
        """Return a text that the platform alone can read, RSAES-OAEP with SHA-1, which WeChat prescribes."""
        sha1 = hashes.SHA1()  # noqa: S303 - as a mask in OAEP, not as a digest
        oaep = padding.OAEP(padding.MGF1(sha1), sha1, None)
        return base64.b64encode(self._merchant.platform_key.encrypt(text.encode(), oaep)).decode()

    async def _call(
        self, method: str, url: str, body: bytes, at_seconds: int
    ) -> tuple[int, AnswerBody] | ChannelAnswer:
        """Return status and body of a signed answer, or an unclear outcome."""
        target = URL(url, encoded=True)
        headers = {
            "Authorization": self._authorization(method, target.raw_path, body, at_seconds),
            "Wechatpay-Serial": self._merchant.platform_serial,
            "Content-Type": "application/json",
        }
        try:
            answer = await self._transport.call(method, target, body, headers)
        except NoAnswerError as error:
            return unclear(error.code)
        return self._verified(answer)

    def _authorization(self, method: str, path: str, body: bytes, at_seconds: int) -> str:
        nonce = secrets.token_hex(NONCE_BYTES).upper()
        signed = f"{method}\n{path}\n{at_seconds}\n{nonce}\n".encode() + body + b"\n"
        members = {
            "mchid": self._merchant.mchid,
            "nonce_str": nonce,
            "signature": sign_sha256(self._merchant.private_key, signed),
            "timestamp": str(at_seconds),
            "serial_no": self._merchant.serial_no,
        }
        return f"{SCHEME} " + ",".join(f'{name}="{value}"' for name, value in members.items())

    def _verified(self, answer: HttpAnswer) -> tuple[int, AnswerBody] | ChannelAnswer:
        if not self._is_signed(answer.headers, answer.body, self._clock_seconds()):
            return unclear(SIGNATURE)
        try:
            return answer.status, _decode(answer.body)
        except BAD_JSON:
            return unclear(NOT_UNDERSTOOD)

    def _is_signed(self, headers: Mapping[str, str], body: bytes, now_seconds: int) -> bool:
        timestamp = headers.get("Wechatpay-Timestamp", "")
        if not _match_seconds(timestamp) or abs(int(timestamp) - now_seconds) > OFF_SECONDS_MAX:
            return False
        nonce = headers.get("Wechatpay-Nonce", "")
        signed = f"{timestamp}\n{nonce}\n".encode(errors="replace") + body + b"\n"
        signature = headers.get("Wechatpay-Signature", "")
        return is_signed_sha256(self._merchant.platform_key, signature, signed)


def _state(body: AnswerBody, order: PayoutOrder) -> ChannelAnswer:
    """Return what a bill states; one of another number or amount lies."""
    code, ref = bounded_code(body.fail_reason), body.transfer_bill_no
    outcome = STATES.get(body.state or "")
    other_number = body.out_bill_no is not None and body.out_bill_no != order.payout_no
    if other_number or (body.transfer_amount is not None and body.transfer_amount != order.amount):
        return answer_of(MISMATCH, code, ref)
    if outcome is None or body.out_bill_no is None:
        return unclear(NOT_UNDERSTOOD)
    if outcome == FAILED:
        code = code or bounded_code(body.state)
    package = body.package_info if outcome == NEEDS_USER else None
    return answer_of(outcome, code, ref, package, bounded_package)
