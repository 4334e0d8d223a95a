"""What `rebate payouts …` does: requests to a worker, and files."""

from __future__ import annotations

import os
from operator import itemgetter
from pathlib import Path
from typing import Any

from msgspec.structs import asdict

from rebate_app.payouts.files import (
    PAID_THERE,
    BadFileError,
    Ours,
    bill_rows,
    compare,
    export_file,
    ignored_rows,
    read_results,
)
from rebate_app.settings import EXIT_USAGE
from rebate_app.wire.facts.identifiers import path_segment
from rebate_app.wire.moments import parse_at

from .exits import CommandError
from .worker_client import WorkerClient

PRIVATE_MODE = 0o600
#: Rows that one request carries.
ROWS_AT_ONCE = 2_000


async def read_status(client: WorkerClient) -> dict[str, Any]:
    """Return the channels, which app is active as far as this worker knows, and open exports."""
    found = await client.get("/v1/channels")
    channels = found["items"]
    names = ("name", "state", "why", "since", "open", "oldest_s", "unknown", "stuck")
    exports = [{"channel": item["name"], **each} for item in channels for each in item["exports"]]
    return {
        "active": found["active"],
        "channels": [{name: item[name] for name in names} for item in channels],
        "exports": exports,
    }


async def set_channels(
    client: WorkerClient, names: tuple[str, ...], verb: str, reason: str | None
) -> dict[str, Any]:
    """Open, pause or close channels, all of them without names."""
    if not names:
        names = tuple(item["name"] for item in (await client.get("/v1/channels"))["items"])
    paths = [f"/v1/channels/{path_segment(name)}/{verb}" for name in names]
    body = {} if reason is None else {"reason": reason}
    return {"items": [await client.post(path, body) for path in paths]}


async def export(client: WorkerClient, channel: str, export_id: str, out: Path) -> dict[str, Any]:
    """Write an export to a file that its owner alone can read; return how much it holds."""
    path = f"/v1/channels/{path_segment(channel)}/exports"
    found = await client.post(path, {"export_id": export_id, "reason": f"export to {out.name}"[:200]})
    descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_MODE)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
        os.fchmod(file.fileno(), PRIVATE_MODE)
        file.write(export_file(found["rows"]))
    amount = sum(row["amount"] for row in found["rows"])
    return {"export_id": export_id, "rows": len(found["rows"]), "amount": amount, "file": str(out)}


async def import_results(
    client: WorkerClient, channel: str | None, file: Path, *, strict: bool
) -> dict[str, Any]:
    """Send the rows of a file; return how many were accepted, and each refusal with its row.

    `channel` None: a number finds its payout in whatever manual channel it has. `strict`: a refused row, also
    one that cannot be read and is not sent, leaves all as it is.
    """
    found = _usable(lambda: read_results(file.read_bytes()))
    rows, refused = found.rows, found.refused
    if strict and len(rows) > ROWS_AT_ONCE:
        raise CommandError(f"With --strict a file has at most {ROWS_AT_ONCE:,} rows.", EXIT_USAGE)
    path = "/v1/payouts/results" if channel is None else f"/v1/channels/{path_segment(channel)}/results"
    body = {"strict": strict, "dry_run": strict and bool(refused), "reason": file.name[:200]}
    total = {"read": len(rows) + len(refused), "accepted": 0, "unchanged": 0}
    for start in range(0, len(rows), ROWS_AT_ONCE):
        part = rows[start : start + ROWS_AT_ONCE]
        answer = await client.post(path, body | {"rows": [members for _, members in part]})
        total["accepted"] += answer["accepted"]
        total["unchanged"] += answer["unchanged"]
        refused += [each | {"row": part[each["row"] - 1][0]} for each in answer["refused"]]
    return total | {"refused": sorted(refused, key=itemgetter("row"))}


async def reconcile(client: WorkerClient, channel: str, file: Path) -> dict[str, Any]:
    """Compare a bill with the withdrawals of a channel; close it if it paid what is not paid here."""
    bill = _usable(lambda: bill_rows(file.read_bytes()))
    ours = []
    cursor: str | None = None
    while True:
        page = await client.page("/v1/withdrawals", 1_000, cursor, channel=channel)
        ours += [_ours(item) for item in page["items"] if item["payout_no"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    differences = compare(bill, ours)
    closes = any(each.kind == PAID_THERE for each in differences)
    if closes:
        path = f"/v1/channels/{path_segment(channel)}/close"
        await client.post(path, {"reason": f"reconcile {file.name}: paid there, not here"[:200]})
    listed = [asdict(each) for each in differences]
    return {"rows": len(bill), "ignored": ignored_rows(bill), "differences": listed, "closed": closes}


def _ours(item: dict[str, Any]) -> Ours:
    paid_at, returned_at = (
        None if item[name] is None else parse_at(item[name]) for name in ("paid_at", "returned_at")
    )
    return Ours(item["payout_no"], item["net"], paid_at, returned_at)


def _usable(read: Any) -> Any:
    try:
        return read()
    except BadFileError as error:
        raise CommandError(f"{error}.", EXIT_USAGE) from error
