"""What `rebate payouts …` does: requests to a worker, and files."""

from __future__ import annotations

import os
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
    result_rows,
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
    client: WorkerClient, names: tuple[str, ...], verb: str, reason: str
) -> dict[str, Any]:
    """Open, pause or close channels, all of them without names."""
    if not names:
        names = tuple(item["name"] for item in (await client.get("/v1/channels"))["items"])
    paths = [f"/v1/channels/{path_segment(name)}/{verb}" for name in names]
    return {"items": [await client.post(path, {"reason": reason}) for path in paths]}


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


async def import_results(client: WorkerClient, channel: str, file: Path, *, strict: bool) -> dict[str, Any]:
    """Send the rows of a file; return how many were accepted, and each refusal with its row."""
    rows = _usable(lambda: result_rows(file.read_bytes()))
    if strict and len(rows) > ROWS_AT_ONCE:
        raise CommandError(f"With --strict a file has at most {ROWS_AT_ONCE:,} rows.", EXIT_USAGE)
    total: dict[str, Any] = {"read": len(rows), "accepted": 0, "unchanged": 0, "refused": []}
    path = f"/v1/channels/{path_segment(channel)}/results"
    for start in range(0, len(rows), ROWS_AT_ONCE):
        part = rows[start : start + ROWS_AT_ONCE]
        found = await client.post(path, {"rows": part, "strict": strict, "reason": file.name[:200]})
        total["accepted"] += found["accepted"]
        total["unchanged"] += found["unchanged"]
        total["refused"] += [each | {"row": each["row"] + start} for each in found["refused"]]
    return total


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
    return {"rows": len(bill), "differences": [asdict(each) for each in differences], "closed": closes}


def _ours(item: dict[str, Any]) -> Ours:
    paid = item["state"] in ("paid", "returned")
    return Ours(item["payout_no"], item["net"], item["state"], parse_at(item["updated_at"]) if paid else None)


def _usable(read: Any) -> Any:
    try:
        return read()
    except BadFileError as error:
        raise CommandError(f"{error}.", EXIT_USAGE) from error
