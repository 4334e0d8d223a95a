"""Import the sample data under examples/, once into the same logs.

`samples.json` in the data folder records the content of the samples, the cluster and the end offsets of the
logs after the import. If the content changed, the cluster is another one or a log is shorter, the samples
are imported again, which does no harm.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from rebate_app.data_folder import make_private
from rebate_app.networks import NETWORKS
from rebate_app.settings import Settings
from rebate_app.streams.kafka.clients import PatientAdmin, started
from rebate_app.streams.kafka.connection import client_options
from rebate_app.wire.topics import Topics

from .import_actions import ImportReport, import_attributions, import_orders, import_profiles
from .kafka_view import KafkaView
from .terminal import Progress

EXAMPLES = Path(__file__).parents[2] / "examples"
IMPORT_RECORD = "samples.json"


def sample_files(examples: Path, network: str) -> list[Path]:
    """Return the sample responses of a network in polling order, none for a network without samples."""
    return sorted((examples / network).glob("*.json"))


async def import_samples(
    settings: Settings, report_progress: Progress, examples: Path = EXAMPLES
) -> ImportReport | None:
    """Import all samples; None if they were imported already.

    Profiles go first: they price the lines that follow (docs/spec/money.md#pricing).
    """
    record = settings.datadir / IMPORT_RECORD
    content = _content_hash(examples)
    cluster = await _cluster_id(settings)
    if await _is_imported(settings, _read_record(record), content, cluster):
        return None
    reports = [
        await import_profiles(settings, examples / "profiles.ndjson", report_progress),
        await import_attributions(settings, examples / "attributions.ndjson", report_progress),
    ]
    reports += [
        await import_orders(settings, files, network, report_progress)
        for network in NETWORKS
        if (files := sample_files(examples, network))
    ]
    make_private(record.parent)
    imported = {"content": content, "cluster": cluster, "ends": await _ends(settings)}
    record.write_text(json.dumps(imported) + "\n", encoding="utf-8")
    return _sum(reports)


def _content_hash(examples: Path) -> str:
    """Return a hash over names and content of all sample files."""
    digest = hashlib.sha256()
    for path in sorted(examples.rglob("*.*json")):
        digest.update(f"{path.relative_to(examples)}\n".encode() + path.read_bytes())
    return digest.hexdigest()


async def _cluster_id(settings: Settings) -> str:
    async with started(PatientAdmin(**client_options(settings))) as admin:
        return str((await admin.describe_cluster())["cluster_id"])


async def _ends(settings: Settings) -> dict[str, dict[str, int]]:
    """Return the end offsets of both logs by topic and partition; partitions are text, as in JSON."""
    topics = Topics.of(settings)
    async with KafkaView(settings) as view:
        return {
            topic: {str(partition): end for partition, end in (await view.ends(topic)).items()}
            for topic in topics.sources
        }


async def _is_imported(settings: Settings, record: dict[str, Any], content: str, cluster: str) -> bool:
    """Return whether the record names this content and cluster, and no log is shorter than it was."""
    if (record.get("content"), record.get("cluster")) != (content, cluster):
        return False
    ends = await _ends(settings)
    return record["ends"].keys() == ends.keys() and all(
        ends[topic].get(partition, -1) >= end
        for topic, partitions in record["ends"].items()
        for partition, end in partitions.items()
    )


def _read_record(path: Path) -> dict[str, Any]:
    """Return the record of the last import, {} without a readable one."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) and isinstance(record.get("ends"), dict) else {}


def _sum(reports: list[ImportReport]) -> ImportReport:
    total = ImportReport()
    for report in reports:
        total.read += report.read
        total.sent += report.sent
        total.unknown += report.unknown
        total.refused += report.refused
        total.warnings += report.warnings
    return total
