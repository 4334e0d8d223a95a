"""Taobao: `taobao.tbk.order.details.get` and `taobao.tbk.order.refund.get`."""

from __future__ import annotations

import json
from typing import Any

from .network import LOOK_BACK_SECONDS, Network, RefusedError
from .world import Line, Version, World, text_time, unix_time

ORDERS, REFUNDS = "taobao.tbk.order.details.get", "taobao.tbk.order.refund.get"
HOURS_3, MINUTES_20 = 3 * 3600, 20 * 60
PAGES_MAX = 100
STATUSES = [12, 14, 3]


def error(code: int, message: str, sub_code: str = "", sub_message: str = "") -> RefusedError:
    """Return an `error_response`."""
    fields = {"code": code, "msg": message, "sub_code": sub_code, "sub_msg": sub_message, "request_id": "r"}
    return RefusedError({"error_response": fields})


class Taobao(Network):
    """Orders come newest first; scene 1 has all rows, scenes 2 and 3 the same with other ids shown.

    `refunds` is the world of the disputes.
    """

    refunds = World([])

    FAULTS = ("502", "empty", "slow", "cut", "duplicated", "isp", "limited")

    def check_call(self, form: dict[str, str], now: float) -> None:
        """Check the call as TOP does."""
        if form.get("app_key") != self.app_key:
            raise error(29, "Invalid app Key", "isv.appkey-not-exists")
        if self.signature(form, form.get("sign_method", "md5")) != form.get("sign"):
            raise error(25, "Invalid signature", "isv.invalid-signature")
        if abs(unix_time(form["timestamp"]) - now) > self.TOLERANCE_SECONDS:
            raise error(31, "Invalid timestamp", "isv.invalid-timestamp")
        if self.is_over_quota:
            raise error(7, "App Call Limited", "accesscontrol.limited-by-app-access-count")
        if self.is_too_fast:
            self._ban(3)
        if self.is_expired(now):
            raise error(27, "Invalid session", "isv.invalid-session")
        if form.get("method") not in (ORDERS, REFUNDS):
            raise error(22, "Invalid method", "isv.invalid-method")

    @staticmethod
    def _ban(seconds: int) -> None:
        text = f"This ban will last for {seconds} more seconds"
        raise error(7, "App Call Limited", "accesscontrol.limited-by-api-access-count", text)

    def refuse_by_chance(self, fault: str) -> None:
        """Fail as the remote side of TOP does, or ban for a moment."""
        if fault == "isp":
            raise error(15, "Remote service error", "isp.top-remote-connection-timeout", "timed out")
        if fault == "limited":
            self._ban(2)

    def page(self, form: dict[str, str], now: float) -> dict[str, Any]:
        """Return one page."""
        is_refund = form["method"] == REFUNDS
        query = json.loads(form["publisher_refund_order_query_option"]) if is_refund else form
        start, end = unix_time(query["start_time"]), unix_time(query["end_time"])
        number, size = int(query["page_no"]), int(query.get("page_size", 20))
        self._check_query(query, start, end, number, size, now)
        settled = int(query["query_type"]) == (2 if is_refund else 3)
        rows = (
            self.refunds.window(start, end, now)
            if is_refund
            else self.shown(start, end, now, settled=settled)
        )
        part = rows[(number - 1) * size : number * size]
        more = len(rows) > number * size
        self.change_between_pages(part, now, more=more, world=self.refunds if is_refund else self.world)
        scene = int(form.get("order_scene", 1))
        shown = [self.refund_row(*each) if is_refund else self.order_row(*each, scene) for each in part]
        found = shown[0] if len(shown) == 1 and number % 2 else shown
        member = "result" if is_refund else "results"
        results = (
            {("publisher_refund_order_dto" if is_refund else "publisher_order_dto"): found} if shown else {}
        )
        data = {
            "has_next": more,
            "has_pre": number > 1,
            "page_no": number,
            "page_size": size,
            "position_index": f"{start}_{end}_{number}",
            member: results,
        }
        name = "tbk_order_refund_get_response" if is_refund else "tbk_order_details_get_response"
        return {name: {"data": data, "request_id": "r"}}

    def _check_query(
        self, query: dict[str, Any], start: int, end: int, number: int, size: int, now: float
    ) -> None:
        short = any(first <= start < last for first, last in self.switches.short_days)
        if not 0 < end - start <= (MINUTES_20 if short else HOURS_3):
            raise error(
                15, "Remote service error", "isv.param-error", "查询时间跨度过长 (start_time, end_time)"
            )
        if start < now - LOOK_BACK_SECONDS:
            raise error(15, "Remote service error", "isv.param-error", "start_time is more than 90 days ago")
        if not 1 <= size <= self.PAGE_ROWS_MAX or not 1 <= number <= PAGES_MAX:
            raise error(15, "Remote service error", "isv.invalid-parameter", "page_no, page_size")
        if number > 1 and query.get("position_index") != f"{start}_{end}_{number - 1}":
            raise error(15, "Remote service error", "isv.invalid-parameter", "position_index")

    @staticmethod
    def refund_row(line: Line, version: Version) -> dict[str, Any]:
        """Return a row of the refund API."""
        fields = version.fields
        return {
            "refund_suit_id": line.id,
            "tb_trade_id": fields["line"],
            "refund_status": fields["status"],
            "modified_time": text_time(version.at),
            "tk_refund_time": text_time(line.created),
            "tk_commission_fee_refund": f"{fields['amount'] / 100:.2f}",
            "tk_subsidy_fee_refund": "0.00",
        }

    @staticmethod
    def order_row(line: Line, version: Version, scene: int) -> dict[str, Any]:
        """Return a row of the order API."""
        fields = version.fields
        paid, settled = text_time(line.created), fields["status"] == 3
        amount, fee = f"{fields['amount'] / 100:.2f}", f"{fields['fee'] / 100:.2f}"
        return {
            "trade_id": line.id,
            "trade_parent_id": line.id,
            "tk_status": fields["status"],
            "modified_time": text_time(version.at),
            "tk_create_time": paid,
            "tb_paid_time": paid,
            "tk_paid_time": paid,
            "tk_earning_time": text_time(fields["settled"]) if settled else "--",
            "alipay_total_price": "100.00",
            "pub_share_pre_fee": amount,
            "pub_share_fee": amount if settled else "0.00",
            "alimama_share_fee": fee,
            "special_id": 5_000 + fields["user"] if scene in (1, 3) else 0,
            "relation_id": 7_000 + fields["user"] if scene == 2 else 0,
        }
