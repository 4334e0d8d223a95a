"""docs/walkthrough.md and the samples, as tests read them; the oracle is the judge of both."""

from __future__ import annotations

import json
import re
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from rebate_app.cli.samples import EXAMPLES, sample_files
from rebate_app.cli.terminal import yuan
from rebate_app.networks import NETWORKS
from rebate_app.wire.networks.file_reader import RowResult, read_facts
from tests.oracle import Oracle

CHECKOUT = Path(__file__).parents[2]
PAGE = CHECKOUT / "docs" / "walkthrough.md"
#: 2026-06-01: after every sample; a fixed clock, so that no fact is ever too far in the future.
NOW_US = 1_780_243_200_000_000
USERS = ("mei", "tao", "lin", "chen")
BEFORE = "2026-02-01T00:00:00+08:00"
AFTER = "2026-04-01T00:00:00+08:00"
BUCKETS = ("estimated", "confirmed", "held", "available")

Table = list[list[str]]


def rows_of(network: str) -> list[tuple[Path, RowResult]]:
    """Return all rows of a network's sample files, as the import reads them."""
    return [
        (path, row) for path in sample_files(EXAMPLES, network) for row in read_facts(path, network, NOW_US)
    ]


@cache
def sample_facts() -> tuple[dict[str, Any], ...]:
    """Return all order facts of the samples."""
    rows = [row for network in NETWORKS for _, row in rows_of(network)]
    return tuple(row.document for row in rows if row.document is not None)


def user_facts() -> list[tuple[dict[str, Any], int]]:
    """Return profiles and bindings with the moment of their records, which decides nothing here."""
    files = (("profiles.ndjson", "user.profile"), ("attributions.ndjson", "attribution.bind"))
    return [
        ({"kind": kind, **json.loads(line)}, NOW_US)
        for name, kind in files
        for line in (EXAMPLES / name).read_text(encoding="utf-8").splitlines()
    ]


def oracle(until: str | None = None) -> Oracle:
    """Return the oracle of all samples, or of those facts that were modified until a moment."""
    moment = None if until is None else datetime.fromisoformat(until)
    facts = [fact for fact in sample_facts() if moment is None or _modified_at(fact) <= moment]
    rules = [path.read_text(encoding="utf-8") for path in sorted((CHECKOUT / "rules").glob("*.toml"))]
    return Oracle(facts, user_facts(), rules)


def _modified_at(fact: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(fact["seq"]["modified_at"] if "seq" in fact else fact["modified_at"])


def tables(page: str) -> list[Table]:
    """Return the tables of a Markdown page: header first, without the line below it."""
    found: list[Table] = []
    for block in re.findall(r"(?:^\|.*\|\n)+", page, re.MULTILINE):
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()]
        found.append([rows[0], *rows[2:]])
    return found


def balance_rows(judge: Oracle, at: str) -> Table:
    """Return the rows of a table of balances."""
    moment = datetime.fromisoformat(at)
    balances = {user: judge.balance(user, moment) for user in USERS}
    return [[user, *(yuan(balance[name]) for name in BUCKETS)] for user, balance in balances.items()]


def line_rows(judge: Oracle, at: str) -> Table:
    """Return the rows of the table of lines: line, status, net, buyer, and each user's share."""
    found = []
    for platform, order_line_id in judge.lines():
        line = judge.line(platform, order_line_id, datetime.fromisoformat(at))
        shares = {share["user_id"]: share for share in line["shares"]}
        state = line["punishment"] or ("settled" if line["settled"] else line["status"])
        cells = [_cell(shares[user]) if user in shares else "-" for user in USERS]
        buyer = line["owner"]["user_id"] or "nobody"
        found.append([f"{platform} {order_line_id}", state, yuan(line["net"]), buyer, *cells])
    return found


def _cell(share: dict[str, Any]) -> str:
    free = yuan(share["estimated"] + share["confirmed"] + share["available"])
    return f"{free} + {yuan(share['held'])}" if share["held"] else free
