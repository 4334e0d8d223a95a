"""Alipay's gateway, as far as single transfers in certificate mode go."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from . import book as faults
from .book import Book, Fault, Payout
from .keys import load_certificate, load_key
from .server import Service

TRANSFER, QUERY = "alipay.fund.trans.uni.transfer", "alipay.fund.trans.common.query"
CHINA = timezone(timedelta(hours=8))
CLOCK_SECONDS = 600
METHOD = web.RequestKey("method", str)
STATES = {
    faults.PENDING: "DEALING",
    "cancelling": "DEALING",
    faults.NEEDS_USER: "WAIT_PAY",
    faults.PAID: "SUCCESS",
    faults.FAILED: "FAIL",
    faults.RETURNED: "REFUND",
}


def serial(certificate: Any) -> str:
    """Return the MD5 by which Alipay names a certificate."""
    parts = [f"{each.rfc4514_attribute_name}={each.value}" for each in reversed(list(certificate.issuer))]
    text = ",".join(parts) + str(certificate.serial_number)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


class AlipayGateway(Service):
    """`POST /gateway.do`."""

    def __init__(self, app_id: str, keys: Path, book: Book | None = None, notify_url: str = "") -> None:
        super().__init__(book, notify_url)
        self.app_id = app_id
        self._key = load_key(keys / "service.key")
        self._certificate = load_certificate(keys / "service.crt")
        self._merchant = load_certificate(keys / "merchant.crt")
        self._root = load_certificate(keys / "root.crt")

    def add_routes(self, app: web.Application) -> None:
        """Add the one route."""
        app.router.add_post("/gateway.do", self._gateway)

    async def _gateway(self, request: web.Request) -> web.StreamResponse:
        members = dict(parse_qsl((await request.read()).decode(), keep_blank_values=True))
        request[METHOD] = members.get("method", "")
        problem = self._problem(members)
        if problem:
            self.refused += 1
            return self.signed(request, 200, {"code": "40002", "sub_code": problem, "msg": "Invalid"})
        content = json.loads(members["biz_content"])
        number = content["out_biz_no"]
        if members["method"] == QUERY:
            return await self.query(request, number)
        amount = int(Decimal(content["trans_amount"]) * 100)
        planned = next((each for each in self.book.faults if each.number in ("", number)), None)
        if planned and planned.name == faults.REFUSED and planned.code.isupper():
            self.book.take_fault(number)
            self.book.posts.append(number)
            return self._error(request, planned.code)
        payee = content["payee_info"]
        return await self.pay(request, number, amount, json.dumps([payee, content["order_title"]]))

    def _problem(self, members: dict[str, str]) -> str:
        key = self._merchant.public_key()
        signed = "&".join(f"{n}={v}" for n, v in sorted(members.items()) if n != "sign" and v != "")
        at = datetime.fromisoformat(members.get("timestamp", "2000-01-01 00:00:00")).replace(tzinfo=CHINA)
        off = abs(at.timestamp() - self.book.now())
        if members.get("app_id") != self.app_id or members.get("method") not in (TRANSFER, QUERY):
            return "isv.invalid-app-id"
        if members.get("app_cert_sn") != serial(self._merchant):
            return "isv.missing-app-cert-sn"
        if members.get("alipay_root_cert_sn") != serial(self._root):
            return "isv.missing-alipay-root-cert-sn"
        if off > CLOCK_SECONDS:
            return "isv.invalid-timestamp"
        if not isinstance(key, rsa.RSAPublicKey):
            return "isv.invalid-signature"
        try:
            sign = base64.b64decode(members.get("sign", ""))
            key.verify(sign, signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            return "isv.invalid-signature"
        return ""

    def _sign(self, text: bytes) -> str:
        return base64.b64encode(self._key.sign(text, padding.PKCS1v15(), hashes.SHA256())).decode()

    def signed(
        self, request: web.Request, status: int, members: dict[str, Any], *, wrong: bool = False
    ) -> web.Response:
        """Return the envelope with the signature over the exact text of its member."""
        text = json.dumps(members, ensure_ascii=False)
        sign = self._sign(text.encode() + (b" " if wrong else b""))
        name = request[METHOD].replace(".", "_") + "_response"
        body = f'{{"{name}":{text},"alipay_cert_sn":"{serial(self._certificate)}","sign":"{sign}"}}'
        return web.Response(status=status, text=body, content_type="text/html", charset="utf-8")

    def members(self, payout: Payout, *, is_query: bool) -> dict[str, Any]:
        """Return the transfer, or what a query says of it."""
        state = payout.state(self.book.now())
        fields = {
            "code": "10000",
            "msg": "Success",
            "out_biz_no": payout.number,
            "order_id": payout.ref,
            "status": STATES[state],
        }
        if is_query:
            fields["trans_amount"] = f"{payout.amount // 100}.{payout.amount % 100:02}"
            if state == faults.FAILED:
                fields |= {"error_code": payout.code or "PAYEE_CARD_INFO_ERROR", "fail_reason": "free text"}
        return fields

    def falsify(self, members: dict[str, Any], name: str) -> dict[str, Any]:
        """Speak of something else."""
        if name == faults.OTHER_AMOUNT:
            return members | {"trans_amount": "0.01"}
        return members | {"out_biz_no": "0" * 32}

    def callback(self, payout: Payout) -> tuple[bytes, dict[str, str]]:
        """Return a signed form."""
        members = {
            "notify_id": payout.ref,
            "msg_method": "alipay.fund.trans.order.changed",
            "app_id": self.app_id,
            "charset": "UTF-8",
            "version": "1.1",
            "utc_timestamp": str(int(datetime.now(UTC).timestamp() * 1_000)),
            "biz_content": json.dumps(self.members(payout, is_query=True)),
        }
        text = "&".join(f"{name}={value}" for name, value in sorted(members.items()))
        form = members | {"sign": self._sign(text.encode()), "sign_type": "RSA2"}
        return urlencode(form).encode(), {"Content-Type": "application/x-www-form-urlencoded"}

    def _error(self, request: web.Request, sub_code: str, code: str = "40004") -> web.Response:
        members = {"code": code, "msg": "Business Failed", "sub_code": sub_code, "sub_msg": "free text"}
        return self.signed(request, 200, members)

    def payer(self, request: web.Request, number: str, fault: Fault | None) -> web.Response:
        """Our balance."""
        return self._error(request, (fault and fault.code) or "PAYER_BALANCE_NOT_ENOUGH")

    def conflict(self, request: web.Request, number: str) -> web.Response:
        """Answer that the number has another content."""
        return self._error(request, "BIZ_UNIQUE_EXCEPTION")

    def unknown(self, request: web.Request, number: str) -> web.Response:
        """No such order."""
        return self._error(request, "ORDER_NOT_EXIST")
