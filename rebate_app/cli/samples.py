"""The sample data under examples/, and the note that says into which Kafka it was imported.

Law: the same samples are imported once into the same logs. The note names their content, the cluster
and how far the logs reached; if the content changed, or the logs are others or were cut, they are
imported again, which does no harm. Separate from the demonstration, which only asks and prints.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from rebate_app.lane.clients import PatientAdmin, started
from rebate_app.lane.connection import client_options
from rebate_app.settings import Settings
from rebate_app.wire.topics import Topics

from .importing import Report, import_attributions, import_orders, import_profiles
from .kafka_view import KafkaView
from .show import Progress

EXAMPLES = Path(__file__).parents[2] / "examples"
NETWORKS = ("taobao", "jd", "pdd")
NOTE = "samples.json"


def sample_files(examples: Path, network: str) -> list[Path]:
    """Return the sample responses of a network, in the order in which they were polled."""
    return sorted((examples / network).glob("*.json"))


async def import_samples(settings: Settings, tell: Progress, examples: Path = EXAMPLES) -> Report | None:
    """Import all samples; None if they are there already.

    Profiles go first: they price the lines that come after them (contracts.md 3).
    """
    note = settings.datadir / NOTE
    content = _content_hash(examples)
    cluster = await _cluster_id(settings)
    if await _is_imported(settings, _read_note(note), content, cluster):
        return None
    reports = [
        await import_profiles(settings, examples / "profiles.ndjson", tell),
        await import_attributions(settings, examples / "attributions.ndjson", tell),
    ]
    reports += [
        await import_orders(settings, sample_files(examples, network), network, tell) for network in NETWORKS
    ]
    note.parent.mkdir(parents=True, exist_ok=True)
    told = {"content": content, "cluster": cluster, "ends": await _ends(settings)}
    note.write_text(json.dumps(told) + "\n", encoding="utf-8")
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
    """Return how far both logs reach, with partitions as text, as JSON has them."""
    topics = Topics.of(settings)
    async with KafkaView(settings) as view:
        return {
            topic: {str(partition): end for partition, end in (await view.ends(topic)).items()}
            for topic in (topics.orders, topics.user_log)
        }


async def _is_imported(settings: Settings, note: dict[str, Any], content: str, cluster: str) -> bool:
    """Return whether the note is of this content in these logs, and they are as long as they were."""
    if (note.get("content"), note.get("cluster")) != (content, cluster):
        return False
    ends = await _ends(settings)
    return note["ends"].keys() == ends.keys() and all(
        ends[topic].get(partition, -1) >= end
        for topic, partitions in note["ends"].items()
        for partition, end in partitions.items()
    )


def _read_note(path: Path) -> dict[str, Any]:
    """Return the note, {} where there is none that can be read."""
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) and isinstance(note.get("ends"), dict) else {}


def _sum(reports: list[Report]) -> Report:
    total = Report()
    for report in reports:
        total.read += report.read
        total.sent += report.sent
        total.unknown += report.unknown
        total.refused += report.refused
    return total
