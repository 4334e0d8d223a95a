"""Random rule files that pass every check of docs/spec/rules.md#checks, as TOML text."""

import random
from datetime import datetime, timedelta

from tests.oracle.feed_clock import random_moment, spell

LEVELS = ("basic", "vip", "gold")
STRANGE_LEVELS = ("platinum", "nobody")  # profiles name them, no version knows them
PRICED_PLATFORMS = ("taobao", "jd", "pdd")


def make_rules(rng: random.Random) -> list[str]:
    """Return one to three versions that begin at different moments, the first mostly early."""
    starts: set[datetime] = set()
    wanted = rng.choice((1, 2, 2, 3))
    if rng.random() < 0.8:
        starts.add(random_moment(rng) - timedelta(days=150))
    while len(starts) < wanted:
        starts.add(random_moment(rng) - timedelta(days=rng.choice((0, 20, 60))))
    names = [f"2026-{rng.choice('abc')}{number}" for number in range(wanted)]
    return [_make_version(rng, name, start) for name, start in zip(names, sorted(starts), strict=True)]


def _make_version(rng: random.Random, name: str, start: datetime) -> str:
    levels = rng.sample(LEVELS, rng.randint(1, len(LEVELS)))
    generous = rng.random() < 0.15  # all of the net to the buyer: no inviter then
    lines = [
        'schema = "rebate-rules/1"',
        f'version = "{name}"',
        f"effective_from = {spell(rng, start)}",
    ]
    if rng.random() < 0.5:
        lines += ['select_by = "paid_at"', 'pin = "first_paid_snapshot"']
    lines += _money(rng, generous)
    for level in levels:
        lines += ["[[level]]", f'id = "{level}"', f"share_bps = {_shares(rng, generous)}"]
    if not generous and rng.random() < 0.9:
        lines += _inviter(rng, levels)
    return "\n".join(lines) + "\n"


def _money(rng: random.Random, generous: bool) -> list[str]:
    if not generous and rng.random() < 0.4:
        return []
    lines = ["[money]", 'currency = "CNY"', 'base = "net_commission"', 'rounding = "floor"']
    lines.append(f"min_net_commission_fen = {rng.choice((0, 1, 2, 100, 500))}")
    lines.append(f"min_rebate_fen = {rng.choice((0, 1, 2, 30, 100))}")
    lines.append(f"max_payout_bps = {10000 if generous else rng.choice((9000, 10000))}")
    return lines


def _shares(rng: random.Random, generous: bool) -> str:
    def share() -> int:
        if rng.random() < 0.06:
            return rng.choice((0, 1))
        return 10_000 if generous else rng.choice((3333, 5000, 6500, 7000, rng.randrange(7001)))

    parts = [f"default = {share()}"]
    parts += [f"{platform} = {share()}" for platform in PRICED_PLATFORMS if rng.random() < 0.4]
    return "{ " + ", ".join(parts) + " }"


def _inviter(rng: random.Random, levels: list[str]) -> list[str]:
    depths = rng.choice((0, 1, 1, 2, 2, 2))
    lines = [
        "[inviter]",
        f"max_levels = {depths}",
        f'base = "{rng.choice(("net_commission", "buyer_rebate"))}"',
    ]
    if rng.random() < 0.3:
        lines.append('paid_by = "platform_cut"')
    for depth in range(1, depths + 1):
        if rng.random() < 0.1:
            continue  # a depth without a share: 0
        known = [level for level in levels if rng.random() < 0.85] or levels[:1]
        shares = ", ".join(
            f"{level} = {rng.choice((0, 1, 300, 300, 600, 600, 1000, 1000))}" for level in known
        )
        lines += ["[[inviter.level]]", f"depth = {depth}", f"bps = {{ {shares} }}"]
    return lines
