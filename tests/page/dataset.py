"""What happened in the page's world: orders of three networks, invitations, disputes, junk, a parked key.

Moments are relative to now, so that charts of the next days and of what failed since yesterday have something
to show. Texts that look like markup are in every place where somebody else's text can stand.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

import orjson

Document = dict[str, Any]

ZONE = ZoneInfo("Asia/Shanghai")
MARKUP = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script><b>bold</b>&amp;'
BUYER, INVITER, GRAND = "mei.lin", "wang@shop", "old-friend"
SUSPENSE_ID = "taobao:pid:mm_1_2_3"
PARKED_LINE = "taobao:8800000000000000001"
SETTLED_LINE = "3901000000000000011"
DISPUTED_LINE = "3901000000000000012"
SUSPENSE_LINE = "3901000000000000021"
#: What the tests bind; the one above stays in suspense.
BOUND_ID, BOUND_LINE = "taobao:pid:mm_9_9_9", "3901000000000000022"
PARENT = "1660000000000000077"
MARKUP_LINE = "3901000000000000099"
TITLES = (
    "无线蓝牙耳机 降噪长续航",
    "Linen shirt, short sleeves",
    "有机燕麦片 1kg 装",
    "儿童绘本 套装 12 册",
    "Steel water bottle 750 ml",
    "全棉四件套 1.8m 床",
    "Desk lamp with USB-C",
    "东北大米 10kg",
)

RULES = """
schema = "rebate-rules/1"
version = "2026-01-r1"
effective_from = 2026-01-01T00:00:00+08:00
select_by = "paid_at"
pin = "first_paid_snapshot"
[money]
currency = "CNY"
base = "net_commission"
rounding = "floor"
min_net_commission_fen = 2
min_rebate_fen = 1
max_payout_bps = 9000
[[level]]
id = "basic"
share_bps = { default = 5000, jd = 4400 }
[[level]]
id = "vip"
share_bps = { default = 6500 }
[inviter]
max_levels = 2
base = "net_commission"
paid_by = "platform_cut"
[[inviter.level]]
depth = 1
bps = { basic = 600, vip = 1000 }
[[inviter.level]]
depth = 2
bps = { basic = 300, vip = 400 }
"""
LATER_RULES = (
    RULES.replace("2026-01-r1", "2026-07-r1")
    .replace("2026-01-01T00", "2026-07-01T00")
    .replace("jd = 4400", "jd = 4600")
    .replace("default = 6500", "default = 7000")
)


def now() -> dt.datetime:
    """Return the moment, whole seconds, in Shanghai."""
    return dt.datetime.now(ZONE).replace(microsecond=0)


def ago(days: float) -> str:
    """Return a moment so many days ago."""
    return (now() - dt.timedelta(days=days)).isoformat()


def snapshot(
    line_id: str, status: str, days_ago: float, *, platform: str = "taobao", est: int = 1_791, **members: Any
) -> Document:
    """Return an `order.snapshot`; it was paid `days_ago`, settled ones as long after that as usual."""
    paid = ago(days_ago)
    changed = {
        "paid": days_ago,
        "received": days_ago * 0.7,
        "settled": days_ago * 0.5,
        "closed": days_ago * 0.8,
    }
    modified = ago(changed.get(status, days_ago))
    times = {"paid": paid} | ({"settled": modified} if status == "settled" else {})
    settled = est - est // 20 if status == "settled" else 0
    return {
        "schema": "order-event/1",
        "kind": "order.snapshot",
        "platform": platform,
        "order_line_id": line_id,
        "seq": {"modified_at": modified},
        "status": status,
        "currency": "CNY",
        "amounts": {"est_commission": est, "settled_commission": settled, "service_fee": est // 10},
        "times": times,
        "attribution": {"user_id": BUYER},
    } | members


def item(title: str, number: int) -> Document:
    """Return members that say what was bought, and the buyer's order number."""
    return {
        "item": {"id": f"70{number:08d}", "title": title},
        "parent_order_id": f"16600000000000{number:05d}",
    }


def refund(line_id: str, status: str, days_ago: float, net_refund: int = 510) -> Document:
    """Return an `order.refund`."""
    return {
        "schema": "order-event/1",
        "kind": "order.refund",
        "platform": "taobao",
        "order_line_id": line_id,
        "suit_id": f"9{line_id[-10:]}",
        "refund_status": status,
        "net_refund": net_refund,
        "modified_at": ago(days_ago),
    }


def profile(user_id: str, inviter_id: str | None, level: str) -> Document:
    """Return a `user.profile` in force from the beginning."""
    return {
        "schema": "user-fact/1",
        "kind": "user.profile",
        "user_id": user_id,
        "level": level,
        "inviter_id": inviter_id,
        "effective_at": "2026-01-01T00:00:00+08:00",
    }


def profiles() -> list[Document]:
    """Return who invited whom."""
    people = [profile(GRAND, None, "vip"), profile(INVITER, GRAND, "vip"), profile(BUYER, INVITER, "basic")]
    return people + [
        profile(f"user-{number:03d}", INVITER if number % 3 else None, "basic") for number in range(24)
    ]


def orders() -> list[Document]:
    """Return the order facts, in the order in which they are sent."""
    return [*_examples(), *_many()]


def _examples() -> Iterator[Document]:
    bought: Document = {"item": {"id": "700001", "title": TITLES[0]}, "parent_order_id": PARENT}
    for status in ("paid", "received", "settled"):
        yield snapshot(SETTLED_LINE, status, 20, **bought)
    yield snapshot(DISPUTED_LINE, "paid", 24, est=4_210, **item(TITLES[1], 12))
    yield snapshot(DISPUTED_LINE, "settled", 24, est=4_210, **item(TITLES[1], 12))
    yield refund(DISPUTED_LINE, "open", 3, 900)
    waiting: Document = {"attribution": {"pid": "mm_1_2_3"}}
    yield snapshot(SUSPENSE_LINE, "paid", 5, est=2_600, **waiting, **item(TITLES[2], 21))
    later: Document = {"attribution": {"pid": "mm_9_9_9"}}
    yield snapshot(BOUND_LINE, "paid", 6, est=3_100, **later, **item(TITLES[3], 22))
    hostile: Document = {"item": {"id": "1", "title": MARKUP}, "parent_order_id": "<i>1</i>"}
    yield snapshot(MARKUP_LINE, "paid", 2, **hostile)
    yield snapshot(PARKED_LINE.partition(":")[2], "paid", 1, est=700)


def _many() -> Iterator[Document]:
    platforms = ("taobao", "jd", "pdd")
    for number in range(60):
        platform = platforms[number % 3]
        days = 4 + (number * 7) % 40
        status = ("paid", "settled", "settled", "received", "closed")[number % 5]
        owner: Document = {
            "attribution": {"user_id": BUYER if number % 4 == 0 else f"user-{number % 24:03d}"}
        }
        line_id = f"39020000000{number:05d}" if platform != "pdd" else f"260101-{number:015d}"
        described = item(TITLES[number % len(TITLES)], 100 + number)
        yield snapshot(line_id, "paid", days, platform=platform, est=600 + number * 97, **owner, **described)
        if status != "paid":
            yield snapshot(
                line_id, status, days, platform=platform, est=600 + number * 97, **owner, **described
            )


def junk() -> list[tuple[bytes, bytes]]:
    """Return records of the orders' topic that cannot be used: several reasons, one with markup."""
    good = snapshot("3903000000000000001", "paid", 1)
    bad = [
        good | {"status": "sleeping"},
        {name: value for name, value in good.items() if name != "amounts"},
        good | {"schema": "order-event/9"},
        good | {"kind": "order.gift"},
        good | {"status": MARKUP},
        good | {"seq": {"modified_at": (now() + dt.timedelta(days=3)).isoformat()}},
    ]
    records = [
        (
            f"taobao:39030000000000000{number:02d}".encode(),
            orjson.dumps(each | {"order_line_id": f"39030000000000000{number:02d}"}),
        )
        for number, each in enumerate(bad)
    ]
    return [*records, (b"taobao:3903000000000000050", b"no json"), (MARKUP.encode(), orjson.dumps(good))]


#: Orders that wait behind the parked line.
def waiting() -> list[Document]:
    """Return facts of the parked line that come after the one that failed."""
    line_id = PARKED_LINE.partition(":")[2]
    return [snapshot(line_id, "received", 0.8, est=700), snapshot(line_id, "settled", 0.6, est=700)]
