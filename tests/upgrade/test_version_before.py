"""Folders and topics that the version before wrote are opened by this version, which goes on with them."""

from __future__ import annotations

import json
import os
import re
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kafka_fixture import JARS_HOME, guarded
from tests.upgrade.answers import BY_ARRIVAL, LEFT_OUT, MOMENTS, amounts, collect, differences
from tests.upgrade.product import Product, Worker, this_checkout
from tests.upgrade.scenario import go_on, process_all, repeat_imports

pytestmark = [pytest.mark.kafka, pytest.mark.longer]

FULL = os.environ.get("REBATE_CHAOS") == "full"
ARCHIVE = Path(__file__).parents[1] / "fixtures" / "version-before" / "version-before.tar.xz"
RESTORED = re.compile(r"restored \S+/\d+: (\d+) records from (\d+) to (\d+)")
LANES = 8  # two stages of four partitions
SHOWN_MAX = 20
RELEASED = MOMENTS[2]
#: (user, available, held) of each share, by taobao line. Rates: buyers 50 % (52 % by the second rule version)
#: and 65 %, inviters 8 %, 3.5 %, 10 % and 4 %.
BY_HAND = {
    # 13.51 - 1.00 fee - 2.10 refunded = 10.41; its id was bound to nobody before
    "TAOBAO003": [("u04", 520, 0), ("u05", 83, 0), ("u06", 41, 0)],
    # a new line, by the second rule version: 18.99 - 1.00 = 17.99
    "NEW0": [("u01", 935, 0), ("u02", 143, 0), ("u03", 71, 0)],
    # was parked: 16.25 - 1.00 = 15.25, of which 2.10 are disputed
    "PARKED1": [("u02", 854, 137), ("u03", 131, 21), ("u04", 39, 6)],
}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Give the unpacked fixture; its broker ends with the test, however that ends."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    with guarded(tmp_path / "broker"):
        yield tmp_path
    shutil.rmtree(tmp_path / "broker" / "data", ignore_errors=True)


def product_of(folder: Path, store: str) -> Product:
    """Return this version over the unpacked folders; a store in memory has no folder of its own."""
    if store == "memory":
        shutil.rmtree(folder / "worker")
    return Product(*this_checkout(), folder, store=store, jars=JARS_HOME)


def check_restored(worker: Worker, store: str) -> None:
    """RocksDB goes on from its folder and reads nothing again; memory reads all changelogs."""
    log = worker.log_text()
    restored = [(int(count), int(begin), int(end)) for count, begin, end in RESTORED.findall(log)]
    assert len(restored) == LANES, log[-3_000:]
    assert "is rebuilt" not in log
    assert log.count(" adopts ") == LANES  # the ids of their logs, which the version before did not keep
    if store == "rocksdb":
        assert all(count == 0 and begin == end > 0 for count, begin, end in restored), restored
    else:
        assert all(count > 0 and begin == 0 for count, begin, _ in restored), restored


def check_amounts(expected: dict[str, Any], worker: Worker) -> None:
    """Compare with what the old version came to after the second half, and with figures by hand."""
    found = differences(amounts(expected["after"]), amounts(collect(worker)), LEFT_OUT | BY_ARRIVAL)
    assert not found, report(found)
    for line, shares in BY_HAND.items():
        answer = worker.get(f"/v1/order-lines/taobao/{line}", at=RELEASED)
        assert [(x["user_id"], x["available"], x["held"]) for x in answer["shares"]] == shares, line


def check_rules(worker: Worker) -> None:
    """Compare: the folder is published, and what a partition used is known there from the beginning."""
    items = worker.get("/v1/rules")["items"]
    assert [len(item["activated"]) for item in items] == [LANES // 2] * len(items)
    assert -1 in items[0]["activated"].values()


def report(found: list[str]) -> str:
    """Return some of the differences, for a message."""
    return f"{len(found)} differences, among them:\n" + "\n".join(found[:SHOWN_MAX])


@pytest.mark.parametrize("store", ["rocksdb", "memory"])
def test_opens_what_the_version_before_wrote_and_goes_on(folder: Path, store: str) -> None:
    """No rebuild, the same answers; later facts give the old version's amounts; repeats change nothing.

    The repeats, which are half of the commands, with one of the stores: no store knows what a repeat is.
    """
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    product = product_of(folder, store)
    with product.broker():
        with product.worker() as worker:
            check_restored(worker, store)
            found = differences(expected["before"], collect(worker))
            assert not found, report(found)
            product.run("audit")
            check_rules(worker)
            go_on(product)
            check_amounts(expected, worker)
            if store == "rocksdb" or FULL:
                repeat_imports(product)
                check_amounts(expected, worker)
            product.run("audit")
        with product.worker() as worker:
            process_all(product)
            check_amounts(expected, worker)
