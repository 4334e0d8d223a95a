"""Checks of the brokers' disks: a broker whose disk is full stops, and nothing is written any more."""

from __future__ import annotations

from collections.abc import Sequence

from aiokafka.errors import IncompatibleBrokerVersion

from rebate_app.streams.kafka.log_dirs import LogDir, log_dirs

from .check_spec import CheckSpec, Context, failure, warning
from .result import CheckResult, fail, ok, skip, warn

NAME = "broker disks"
GIB, MIB = 1 << 30, 1 << 20
#: A warning below either, a failure below either of the second pair.
FREE_BYTES_MIN, FREE_SHARE_MIN = GIB, 0.05
FULL_BYTES_MIN, FULL_SHARE_MIN = 128 * MIB, 0.01
REMEDY = "make room, or add a disk or a broker: logs of facts are never deleted"


async def check_disks(context: Context) -> list[CheckResult]:
    """Check that every broker has room on its disks."""
    try:
        return disk_results(await log_dirs(context.client))
    except (IncompatibleBrokerVersion, NotImplementedError):
        return [skip(NAME, "brokers before Kafka 3.3 do not report their disks")]


def disk_results(found: Sequence[LogDir]) -> list[CheckResult]:
    """Return a result for each folder of logs that is offline or has too little room, or one for all."""
    results = []
    for each in found:
        place = f"broker {each.broker}, {each.folder}"
        if each.error:
            results.append(fail(NAME, f"{place} is offline: {each.error}", "check the disk and the broker"))
        elif _has_less(each, FULL_BYTES_MIN, FULL_SHARE_MIN):
            text = (
                f"{place} is full: {each.usable_bytes // MIB} MiB of {each.total_bytes // MIB} MiB are left"
            )
            results.append(fail(NAME, text, REMEDY))
        elif _has_less(each, FREE_BYTES_MIN, FREE_SHARE_MIN):
            text = f"{place} has {each.usable_bytes // MIB} MiB of {each.total_bytes // MIB} MiB left"
            results.append(warn(NAME, text, REMEDY))
    least = min((each.usable_bytes for each in found), default=0)
    return results or [ok(NAME, f"{len(found)} folders of logs have room, at least {least // GIB} GiB each")]


def _has_less(each: LogDir, bytes_min: int, share_min: float) -> bool:
    return each.usable_bytes < max(bytes_min, share_min * each.total_bytes)


CHECKS = (
    CheckSpec(
        NAME,
        "the room on the disks of all brokers, which they report themselves",
        "broker",
        (
            warning("less than 1 GiB or 5 % is free", "make room: logs of facts are never deleted"),
            failure(
                "less than 128 MiB or 1 % is free, or a folder of logs is offline",
                "make room, or add a disk or a broker, before the broker stops",
            ),
        ),
        check_disks,
    ),
)
