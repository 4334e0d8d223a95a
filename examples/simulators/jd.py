"""JD Union: `jd.union.open.order.row.query`."""

from __future__ import annotations

import json
from typing import Any

from .network import Network, RefusedError
from .world import Line, Version, text_time, unix_time

METHOD = "jd.union.open.order.row.query"
HOUR = 3600
ROWS_MAX = 10_000
STATUSES = [16, 17, 18]
ENVELOPE = "jd_union_open_order_row_query_responce"  # their spelling


def outer(code: str, text: str) -> RefusedError:
    """Return an error of the gateway."""
    return RefusedError({"error_response": {"code": code, "zh_desc": text, "en_desc": text}})


def inner(code: int, text: str) -> RefusedError:
    """Return an error of the query."""
    return RefusedError({ENVELOPE: {"code": "0", "queryResult": json.dumps({"code": code, "message": text})}})


class Jd(Network):
    """Order rows; `queryResult` is JSON text."""

    FAULTS = ("502", "empty", "slow", "cut", "duplicated", "inner-500", "empty-result", "limited")
    TOLERANCE_SECONDS = 360
    PAGE_ROWS_MAX = 200

    def check_call(self, form: dict[str, str], now: float) -> None:
        """Check the call as the gateway does."""
        if form.get("app_key") != self.app_key:
            raise outer("21", "无效app_key")
        if self.signature(form) != form.get("sign"):
            raise outer("12", "无效签名")
        if abs(unix_time(form["timestamp"][:19]) - now) > self.TOLERANCE_SECONDS:
            raise outer("8", "无效时间戳")
        if form.get("method") != METHOD:
            raise outer("15", "无效方法")
        if self.is_too_fast or self.is_over_quota:
            raise inner(429, "接口超频")
        if self.is_expired(now):
            raise inner(403, "无访问权限")

    def refuse_by_chance(self, fault: str) -> None:
        """Fail within a good answer."""
        if fault == "inner-500":
            raise inner(500, "服务端异常")
        if fault == "limited":
            raise inner(429, "接口超频")
        if fault == "empty-result":
            raise RefusedError({ENVELOPE: {"code": "0", "queryResult": ""}})

    def page(self, form: dict[str, str], now: float) -> dict[str, Any]:
        """Return one page."""
        query = json.loads(form["360buy_param_json"])["orderReq"]
        start, end = unix_time(query["startTime"]), unix_time(query["endTime"])
        number, size = int(query["pageIndex"]), int(query["pageSize"])
        if not 0 < end - start <= HOUR:
            raise inner(2002453, "查询时间范围超过1小时")
        rows = [each for each in self.shown(start, end, now) if each[0].created >= now - 90 * 86_400]
        if len(rows) > ROWS_MAX:
            raise inner(2002452, "数据量超过10000")
        size = min(size, self.PAGE_ROWS_MAX)  # a greater page is cut silently
        part = rows[(number - 1) * size : number * size]
        more = len(rows) > number * size
        self.change_between_pages(part, now, more=more)
        result: dict[str, Any] = {"code": 200, "message": "success", "hasMore": more, "requestId": "r"}
        if part:
            result["data"] = [self.order_row(line, version) for line, version in part]
        return {ENVELOPE: {"code": "0", "queryResult": json.dumps(result, ensure_ascii=False)}}

    @staticmethod
    def order_row(line: Line, version: Version) -> dict[str, Any]:
        """Return a row."""
        fields = version.fields
        is_late = fields["status"] in (17, 18)
        return {
            "id": line.id,
            "orderId": int(line.id),
            "parentId": 0,
            "orderTime": text_time(line.created),
            "modifyTime": text_time(version.at),
            "validCode": fields["status"],
            "estimateFee": fields["amount"] / 100,
            "actualFee": fields["amount"] / 100 if is_late else 0.0,
            "payMonth": 0,
            "subUnionId": f"u{fields['user']}",
            "positionId": 3_000_000_001,
        }
