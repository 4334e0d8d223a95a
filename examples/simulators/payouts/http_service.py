"""The platform's own payment service, as kind `http` expects it."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import Any

from aiohttp import web

from . import book as faults
from .book import Book, Fault, Payout
from .server import Service

WINDOW_SECONDS = 300


class HttpService(Service):
    """`POST /payouts`, `GET /payouts/{number}`, both signed in both directions."""

    def __init__(self, secret: bytes, book: Book | None = None, notify_url: str = "") -> None:
        super().__init__(book, notify_url)
        self.secret = secret

    def add_routes(self, app: web.Application) -> None:
        """Add both routes."""
        app.router.add_post("/payouts", self._post)
        app.router.add_get("/payouts/{number}", self._get)

    def _signature(self, timestamp: str, method: str, path: str, body: bytes) -> str:
        text = b".".join([timestamp.encode(), method.encode(), path.encode(), body])
        return "v1=" + hmac.digest(self.secret, text, hashlib.sha256).hex()

    async def _is_signed(self, request: web.Request) -> bool:
        timestamp = request.headers.get("X-Rebate-Timestamp", "")
        body = await request.read()
        right = self._signature(timestamp, request.method, request.raw_path, body)
        fresh = timestamp.isdigit() and abs(int(timestamp) - self.book.now()) <= WINDOW_SECONDS
        signed = fresh and hmac.compare_digest(right, request.headers.get("X-Rebate-Signature", ""))
        self.refused += not signed
        return signed

    async def _post(self, request: web.Request) -> web.StreamResponse:
        if not await self._is_signed(request):
            return web.json_response({"error": "signature"}, status=401)
        fields = json.loads(await request.read())
        content = json.dumps(
            [fields["payee"], fields["user_id"], fields["withdrawal_id"], fields["currency"]]
        )
        return await self.pay(request, fields["payout_no"], fields["amount"], content)

    async def _get(self, request: web.Request) -> web.StreamResponse:
        if not await self._is_signed(request):
            return web.json_response({"error": "signature"}, status=401)
        return await self.query(request, request.match_info["number"])

    def signed(
        self, request: web.Request, status: int, members: dict[str, Any], *, wrong: bool = False
    ) -> web.Response:
        """Return a signed answer."""
        body = json.dumps(members, ensure_ascii=False).encode()
        timestamp = str(int(self.book.now()))
        signature = self._signature(timestamp, request.method, request.raw_path, body)
        if wrong:
            signature = signature[:-1] + ("0" if signature[-1] != "0" else "1")
        headers = {"X-Rebate-Timestamp": timestamp, "X-Rebate-Signature": signature}
        return web.Response(status=status, body=body, headers=headers, content_type="application/json")

    def members(self, payout: Payout, *, is_query: bool) -> dict[str, Any]:
        """Return the service's words about a payout."""
        state = payout.state(self.book.now())
        if state == "cancelling":
            state = faults.PENDING
        fields = {
            "payout_no": payout.number,
            "amount": payout.amount,
            "status": state,
            "code": payout.code or None if state == faults.FAILED else None,
            "message": "free text that nobody should keep",
            "channel_ref": payout.ref,
            "needs_user_url": None,
        }
        if state == faults.NEEDS_USER:
            fields["needs_user_url"] = f"https://pay.example/confirm/{payout.ref}"
        return fields

    def falsify(self, members: dict[str, Any], name: str) -> dict[str, Any]:
        """Speak of something else."""
        if name == faults.OTHER_AMOUNT:
            return members | {"amount": members["amount"] + 1}
        return members | {"payout_no": "0" * 32}

    def callback(self, payout: Payout) -> tuple[bytes, dict[str, str]]:
        """Return a callback, whose body is that of an answer."""
        body = json.dumps(self.members(payout, is_query=True)).encode()
        timestamp = str(int(time.time()))
        path = "/" + self.notify_url.split("/", 3)[3] if self.notify_url.count("/") > 2 else "/"
        signature = self._signature(timestamp, "POST", path, body)
        return body, {"X-Rebate-Timestamp": timestamp, "X-Rebate-Signature": signature}

    def payer(self, request: web.Request, number: str, fault: Fault | None) -> web.Response:
        """402."""
        code = (fault and fault.code) or "balance"
        return self.signed(request, 402, {"payout_no": number, "status": "payer", "code": code})

    def conflict(self, request: web.Request, number: str) -> web.Response:
        """409, which proves nothing about the first payout."""
        return self.signed(request, 409, {"payout_no": number, "status": "conflict"})

    def unknown(self, request: web.Request, number: str) -> web.Response:
        """404."""
        return self.signed(request, 404, {"status": "not-found"})
