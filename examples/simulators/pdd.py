"""PDD: `pdd.ddk.order.list.increment.get`, and the call over all authorised accounts."""

from __future__ import annotations

from typing import Any

from .network import LOOK_BACK_SECONDS, Network, RefusedError
from .world import Line, Version

METHOD, METHOD_OF_ALL = "pdd.ddk.order.list.increment.get", "pdd.ddk.all.order.list.increment.get"
DAY = 86_400
STATUSES = [1, 2, 3, 5]


def error(code: int, text: str) -> RefusedError:
    """Return an `error_response`."""
    return RefusedError({"error_response": {"error_code": code, "error_msg": text, "request_id": "r"}})


class Pdd(Network):
    """Amounts are in fen; without `return_count` there is no total, and never a `has_next`."""

    FAULTS = ("502", "empty", "slow", "cut", "duplicated", "maintenance", "limited", "count")

    def check_call(self, form: dict[str, str], now: float) -> None:
        """Check the call as the gateway does."""
        if self.signature(form) != form.get("sign"):
            raise error(20004, "签名错误")
        if abs(int(form["timestamp"]) - now) > self.TOLERANCE_SECONDS:
            raise error(20002, "timestamp")
        if form.get("client_id") != self.app_key:
            raise error(10001, "client_id")
        if self.is_over_quota:
            raise error(70036, "测试状态应用调用次数超限")
        if self.is_too_fast:
            raise error(52101, "接口限流")
        if self.is_expired(now):
            raise error(10019, "access_token已过期")

    def refuse_by_chance(self, fault: str) -> None:
        """Limit for a moment, or switch the call off."""
        if fault == "maintenance":
            raise error(52102, "接口暂不可用")
        if fault == "limited":
            raise error(52101, "接口限流")

    def page(self, form: dict[str, str], now: float) -> dict[str, Any]:
        """Return one page."""
        start, end = int(form["start_update_time"]), int(form["end_update_time"])
        number, size = int(form["page"]), int(form["page_size"])
        if not 0 < end - start <= DAY or start < now - LOOK_BACK_SECONDS:
            raise error(10001, "查询时间跨度不能超过24小时, 仅支持90天内")
        if not 10 <= size <= self.PAGE_ROWS_MAX or number < 1:
            raise error(10001, "page_size")
        rows = self.shown(start, end, now)
        part = rows[(number - 1) * size : number * size]
        self.change_between_pages(part, now, more=len(rows) > size)
        answer: dict[str, Any] = {
            "order_list": [self.order_row(line, version) for line, version in part],
            "request_id": "r",
        }
        if form.get("return_count") == "true" and form["type"] == METHOD:
            answer["total_count"] = len(rows) + (3 if self.is_count_wrong else 0)
        return {"order_list_get_response": answer}

    @staticmethod
    def order_row(line: Line, version: Version) -> dict[str, Any]:
        """Return a row."""
        fields = version.fields
        return {
            "order_sn": line.id,
            "order_status": fields["status"],
            "order_create_time": line.created,
            "order_pay_time": line.created,
            "order_modify_at": version.at,
            "order_settle_time": fields["settled"],
            "promotion_amount": fields["amount"],
            "duo_id_service_fee": fields["fee"],
            "custom_parameters": f'{{"uid":"u{fields["user"]}"}}',
            "p_id": "8600001_250000001",
        }
