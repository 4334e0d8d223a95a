"""The HTTP side that all simulated services share: faults of the answer, callbacks, and the controls.

Controls, without credentials, below `/control`: `POST plan` (`Fault.from_json`), `POST chances`
(FaultsAtRandom as JSON, `{}` ends them), `POST advance` `{"seconds"}`, `POST confirm` and `cancel`
`{"number"}`, `POST balance` `{"amount"}`, `POST callback` `{"number","times"}`, `GET ledger`,
`GET bill?day=YYYY-MM-DD` (a Shanghai day's bill as CSV), `POST bill` `{"number","name"}` (how a row differs).
"""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from typing import Any

import aiohttp
from aiohttp import web

from . import book as faults
from .book import Book, Fault, FaultsAtRandom, Payout

HANG_SECONDS_MAX = 60.0


class Service(ABC):
    """One simulated payment service."""

    def __init__(self, book: Book | None = None, notify_url: str = "") -> None:
        self.book = Book() if book is None else book
        self.notify_url = notify_url
        self.refused = 0  # requests whose signature did not verify
        self._callbacks: set[asyncio.Task[None]] = set()

    def app(self) -> web.Application:
        """Return the web application."""
        app = web.Application()
        app.router.add_post("/control/{what}", self._control)
        app.router.add_get("/control/ledger", self._ledger)
        app.router.add_get("/control/bill", self._bill)
        self.add_routes(app)
        app.on_cleanup.append(self._close)
        return app

    @abstractmethod
    def add_routes(self, app: web.Application) -> None:
        """Add the routes of the kind."""

    @abstractmethod
    def signed(
        self, request: web.Request, status: int, members: dict[str, Any], *, wrong: bool = False
    ) -> web.Response:
        """Return a signed answer; `wrong`: with a signature that does not verify."""

    @abstractmethod
    def members(self, payout: Payout, *, is_query: bool) -> dict[str, Any]:
        """Return what the service answers about a payout now."""

    @abstractmethod
    def falsify(self, members: dict[str, Any], name: str) -> dict[str, Any]:
        """Return the members about another amount or number."""

    @abstractmethod
    def callback(self, payout: Payout) -> tuple[bytes, dict[str, str]]:
        """Return body and headers of a signed callback."""

    async def pay(self, request: web.Request, number: str, amount: int, content: str) -> web.StreamResponse:
        """Accept a payout, with the fault that is planned for it."""
        fault = self.book.take_fault(number)
        name = fault.name if fault else ""
        if name in (faults.LOST_BEFORE, faults.HANG_BEFORE, faults.ERROR_BEFORE):
            return await self._fail(request, fault)
        known = number in self.book.payouts
        if not known and (name == faults.PAYER or self.book.balance < amount):
            return self.payer(request, number, fault)
        payout = self.book.accept(number, amount, content, fault)
        if payout is None:
            return self.conflict(request, number)
        if name == faults.CALLBACK_FIRST:
            await self.notify(payout, fault.times if fault else 1)
        elif self.notify_url:
            self._later(self.notify(payout, 1))
        return await self._answer(request, payout, fault, is_query=False)

    async def query(self, request: web.Request, number: str) -> web.StreamResponse:
        """Answer a query, with the fault that is planned for it."""
        self.book.queries.append(number)
        fault = self.book.take_fault(number, is_query=True)
        if fault and fault.name in (faults.LOST_BEFORE, faults.HANG_BEFORE, faults.ERROR_BEFORE):
            return await self._fail(request, fault)
        payout = self.book.find(number)
        if payout is None:
            return self.unknown(request, number)
        return await self._answer(request, payout, fault, is_query=True)

    @abstractmethod
    def payer(self, request: web.Request, number: str, fault: Fault | None) -> web.Response:
        """Answer that our balance is too small."""

    @abstractmethod
    def conflict(self, request: web.Request, number: str) -> web.Response:
        """Answer that the number has another content."""

    @abstractmethod
    def unknown(self, request: web.Request, number: str) -> web.Response:
        """Answer that the number is not known."""

    async def _answer(
        self, request: web.Request, payout: Payout, fault: Fault | None, *, is_query: bool
    ) -> web.StreamResponse:
        name = fault.name if fault else ""
        if name in (faults.LOST_AFTER, faults.HANG_AFTER, faults.ERROR_AFTER):
            return await self._fail(request, fault)
        if name == faults.GARBAGE:
            return web.Response(text="<html>busy</html>")
        members = self.members(payout, is_query=is_query)
        if name in (faults.OTHER_AMOUNT, faults.OTHER_NUMBER):
            members = self.falsify(members, name)
        return self.signed(request, 200, members, wrong=name == faults.BAD_SIGNATURE)

    async def _fail(self, request: web.Request, fault: Fault | None) -> web.StreamResponse:
        if fault is None or fault.name in (faults.ERROR_BEFORE, faults.ERROR_AFTER):
            return web.Response(status=500, text="internal error")
        if fault.name in (faults.HANG_BEFORE, faults.HANG_AFTER):
            await asyncio.sleep(min(fault.seconds, HANG_SECONDS_MAX))
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("the answer is lost")

    async def notify(self, payout: Payout, times: int) -> None:
        """Send a callback some times; whether it arrives is nobody's business."""
        body, headers = self.callback(payout)
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
            for _ in range(times):
                with contextlib.suppress(aiohttp.ClientError, OSError):
                    async with session.post(self.notify_url, data=body, headers=headers) as response:
                        await response.read()

    def _later(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._callbacks.add(task)
        task.add_done_callback(self._callbacks.discard)

    async def _close(self, app: web.Application) -> None:
        for task in self._callbacks:
            task.cancel()
        await asyncio.gather(*self._callbacks, return_exceptions=True)

    async def _control(self, request: web.Request) -> web.Response:
        fields, what = await request.json(), request.match_info["what"]
        if what == "plan":
            self.book.plan(Fault.from_json(fields))
        elif what == "chances":
            self.book.chances = FaultsAtRandom(**fields) if fields else None
        elif what == "advance":
            self.book.advance(float(fields["seconds"]))
        elif what == "balance":
            self.book.balance = int(fields["amount"])
        elif what == "bill":
            if fields["name"] not in faults.BILL_DIFFERENCES:
                return web.Response(status=400)
            self.book.bill_differs[fields["number"]] = fields["name"]
        elif what == "confirm":
            return web.json_response({"done": self.book.confirm(fields["number"])})
        elif what == "cancel":
            return web.json_response({"done": self.book.cancel(fields["number"], fields.get("seconds", 0))})
        elif what == "callback":
            self.notify_url = fields.get("url", self.notify_url)
            await self.notify(self.book.payouts[fields["number"]], int(fields.get("times", 1)))
        else:
            return web.Response(status=404)
        return web.json_response({"done": True})

    async def _bill(self, request: web.Request) -> web.Response:
        return web.Response(text=self.book.bill_file(request.query.get("day", "")), content_type="text/csv")

    async def _ledger(self, request: web.Request) -> web.Response:
        self.book.settle_all()
        now = self.book.now()
        states = {number: each.state(now) for number, each in self.book.payouts.items()}
        return web.json_response(
            {
                "transfers": self.book.transfers,
                "returns": self.book.returns,
                "twice": self.book.paid_twice(),
                "payouts": states,
                "posts": self.book.posts,
                "asks": len(self.book.queries),
                "refused": self.refused,
                "bill": self.book.bill(),
            }
        )
