"""WeChat Pay's merchant transfers: bills, queries, confirmation by the user, cancelling, callbacks."""

from __future__ import annotations

import base64
import json
import re
import secrets
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from . import book as faults
from .book import Book, Fault, Payout
from .keys import load_certificate, load_key
from .server import Service

BILLS = "/v3/fund-app/mch-transfer/transfer-bills"
WINDOW_SECONDS = 300
NAMED_FEN_MIN = 200_000
STATES = {
    faults.PENDING: "PROCESSING",
    "cancelling": "CANCELING",
    faults.NEEDS_USER: "WAIT_USER_CONFIRM",
    faults.PAID: "SUCCESS",
    faults.FAILED: "FAIL",
    faults.RETURNED: "SUCCESS",
}


class WechatGateway(Service):
    """Bills of one merchant; `platform_serial` names the key that signs answers."""

    def __init__(
        self, mchid: str, appid: str, keys: Path, book: Book | None = None, notify_url: str = ""
    ) -> None:
        super().__init__(book, notify_url)
        self.mchid, self.appid = mchid, appid
        self._key = load_key(keys / "service.key")
        merchant = load_certificate(keys / "merchant.crt")
        self._merchant_key = merchant.public_key()
        self.serial_no = f"{merchant.serial_number:X}"
        self.platform_serial = f"{load_certificate(keys / 'service.crt').serial_number:X}"
        self._api_key = (keys / "api_v3.key").read_bytes().strip()
        self.names: dict[str, str] = {}  # by number, as decrypted

    def add_routes(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_post(BILLS, self._post)
        app.router.add_get(BILLS + "/out-bill-no/{number}", self._get)
        app.router.add_post(BILLS + "/out-bill-no/{number}/cancel", self._cancel)

    async def _is_signed(self, request: web.Request) -> bool:
        given = request.headers.get("Authorization", "")
        members = dict(re.findall(r'(\w+)="([^"]*)"', given))
        body = (await request.read()).decode()
        at, nonce = members.get("timestamp", ""), members.get("nonce_str", "")
        text = "".join(f"{part}\n" for part in (request.method, request.raw_path, at, nonce, body))
        fresh = at.isdigit() and abs(int(at) - self.book.now()) <= WINDOW_SECONDS
        known = members.get("mchid") == self.mchid and members.get("serial_no") == self.serial_no
        signed = given.startswith("WECHATPAY2-SHA256-RSA2048 ") and fresh and known
        if signed and isinstance(self._merchant_key, rsa.RSAPublicKey):
            try:
                signature = base64.b64decode(members.get("signature", ""))
                self._merchant_key.verify(signature, text.encode(), padding.PKCS1v15(), hashes.SHA256())
            except InvalidSignature:
                signed = False
        self.refused += not signed
        return signed

    async def _post(self, request: web.Request) -> web.StreamResponse:
        if not await self._is_signed(request):
            return self._error(request, 401, "SIGN_ERROR")
        fields = json.loads(await request.read())
        number = fields["out_bill_no"]
        fault = next((each for each in self.book.faults if each.number in ("", number)), None)
        if (
            fault
            and fault.name == faults.REFUSED
            and fault.code in ("PARAM_ERROR", "INVALID_REQUEST", "NO_AUTH")
        ):
            self.book.take_fault(number)
            self.book.posts.append(number)
            return self._error(request, 403 if fault.code == "NO_AUTH" else 400, fault.code)
        if not re.fullmatch(r"[A-Za-z0-9]{1,32}", number) or fields["appid"] != self.appid:
            return self._error(request, 400, "PARAM_ERROR")
        if fields["transfer_amount"] >= NAMED_FEN_MIN and "user_name" not in fields:
            return self._error(request, 400, "PARAM_ERROR")
        name = ""
        if "user_name" in fields:
            oaep = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)
            name = self._key.decrypt(base64.b64decode(fields["user_name"]), oaep).decode()
            self.names[number] = name
        content = json.dumps([fields["openid"], fields["transfer_scene_id"], fields["transfer_remark"], name])
        return await self.pay(request, number, fields["transfer_amount"], content)

    async def _get(self, request: web.Request) -> web.StreamResponse:
        if not await self._is_signed(request):
            return self._error(request, 401, "SIGN_ERROR")
        return await self.query(request, request.match_info["number"])

    async def _cancel(self, request: web.Request) -> web.StreamResponse:
        if not await self._is_signed(request):
            return self._error(request, 401, "SIGN_ERROR")
        payout = self.book.find(request.match_info["number"])
        if payout is None:
            return self.unknown(request, request.match_info["number"])
        if not self.book.cancel(payout.number):
            return self._error(request, 400, "INVALID_REQUEST")
        members = self.members(payout, is_query=True)
        return self.signed(request, 200, members | {"state": "CANCELING"})

    def signed(
        self, request: web.Request, status: int, members: dict[str, Any], *, wrong: bool = False
    ) -> web.Response:
        """Return a signed answer."""
        body = json.dumps(members, ensure_ascii=False).encode()
        headers = self._headers(body, wrong=wrong)
        return web.Response(status=status, body=body, headers=headers, content_type="application/json")

    def _headers(self, body: bytes, *, wrong: bool = False) -> dict[str, str]:
        at, nonce = str(int(self.book.now())), secrets.token_hex(16)
        text = f"{at}\n{nonce}\n".encode() + body + (b"" if wrong else b"\n")
        signature = self._key.sign(text, padding.PKCS1v15(), hashes.SHA256())
        return {
            "Wechatpay-Timestamp": at,
            "Wechatpay-Nonce": nonce,
            "Wechatpay-Serial": self.platform_serial,
            "Wechatpay-Signature": base64.b64encode(signature).decode(),
        }

    def members(self, payout: Payout, *, is_query: bool) -> dict[str, Any]:
        """Return the bill."""
        state = payout.state(self.book.now())
        fields: dict[str, Any] = {
            "out_bill_no": payout.number,
            "transfer_bill_no": payout.ref,
            "create_time": "2026-01-10T03:25:00+08:00",
            "state": STATES[state],
        }
        if is_query:
            fields |= {"mch_id": self.mchid, "appid": self.appid, "transfer_amount": payout.amount}
        elif state == faults.NEEDS_USER:
            fields["package_info"] = f"affffddafdfafddffda=={payout.ref}"
        if state == faults.FAILED:
            if payout.code == "CANCELLED":
                fields["state"] = "CANCELLED"
            else:
                fields["fail_reason"] = payout.code or "ACCOUNT_NOT_EXIST"
        return fields

    def falsify(self, members: dict[str, Any], name: str) -> dict[str, Any]:
        """Speak of something else."""
        if name == faults.OTHER_AMOUNT:
            return members | {"transfer_amount": 1}
        return members | {"out_bill_no": "0" * 32}

    def callback(self, payout: Payout) -> tuple[bytes, dict[str, str]]:
        """Return an encrypted and signed callback."""
        nonce, about = secrets.token_hex(6), "mch_payment"
        plain = json.dumps(self.members(payout, is_query=True)).encode()
        sealed = AESGCM(self._api_key).encrypt(nonce.encode(), plain, about.encode())
        body = json.dumps(
            {
                "id": secrets.token_hex(8),
                "create_time": "2026-01-10T03:25:00+08:00",
                "event_type": "MCHTRANSFER.BILL.FINISHED",
                "resource_type": "encrypt-resource",
                "resource": {
                    "algorithm": "AEAD_AES_256_GCM",
                    "ciphertext": base64.b64encode(sealed).decode(),
                    "nonce": nonce,
                    "associated_data": about,
                    "original_type": "mch_payment",
                },
            }
        ).encode()
        return body, self._headers(body) | {"Content-Type": "application/json"}

    def _error(self, request: web.Request, status: int, code: str) -> web.Response:
        return self.signed(request, status, {"code": code, "message": "free text"})

    def payer(self, request: web.Request, number: str, fault: Fault | None) -> web.Response:
        """Our balance."""
        return self._error(request, 403, (fault and fault.code) or "NOT_ENOUGH")

    def conflict(self, request: web.Request, number: str) -> web.Response:
        """Answer that the number has another content."""
        return self._error(request, 400, "INVALID_REQUEST")

    def unknown(self, request: web.Request, number: str) -> web.Response:
        """No such bill."""
        return self._error(request, 404, "NOT_FOUND")
