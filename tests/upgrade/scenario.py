"""The life of the fixture's system in two halves: before the update, and how it goes on after it.

The old version goes through both halves when the fixture is made, so that what the new version has to
answer after the second half was answered by the old one too.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from aiokafka import AIOKafkaProducer

from tests.upgrade.product import Product
from tests.upgrade.scenario_facts import (
    NETWORKS,
    PARKED_LINE,
    PARKED_USER,
    bindings,
    facts_while_parked,
    later_facts,
    profiles,
    steps,
    write_lines,
)

LAG_SECONDS = "200"
#: Neither is a fact: the first is not UTF-8, the second has no schema.
UNREADABLE = (
    ("order_topic", b"taobao:BROKEN1", b"\xff\xfe not JSON"),
    ("rebate-user-log", b"u01", b"{}"),
)
BUG_APP = "tests.rig.faults"


def process_all(product: Product) -> None:
    """Wait until everything that was sent is in the balances."""
    product.run("lag", "--wait", LAG_SECONDS)


def import_orders(product: Product) -> None:
    """Import the sample orders of the three networks, and the steps of the scenario, in order."""
    inputs = product.folder / "inputs"
    for network in NETWORKS:
        files = sorted(str(path) for path in (inputs / network).glob("*.json"))
        product.run("orders", "import", *files, "--network", network)
    for path in sorted(inputs.glob("step-*.ndjson")):
        product.run("orders", "import", str(path), "--network", "canonical")
        process_all(product)


def import_profiles(product: Product) -> None:
    """Import the profiles of the samples and of the scenario."""
    for name in ("sample-profiles.ndjson", "profiles.ndjson"):
        product.run("profiles", "import", str(product.folder / "inputs" / name))


def write_inputs(inputs: Path) -> None:
    """Write the scenario's files beside the samples."""
    write_lines(inputs / "profiles.ndjson", profiles())
    first = [
        binding for number, user in ((1, "u01"), (3, "u02"), (4, "u06")) for binding in bindings(number, user)
    ]
    write_lines(inputs / "bindings-1.ndjson", first)
    write_lines(inputs / "bindings-2.ndjson", [*bindings(3, "u05"), *bindings(4, None)])
    write_lines(inputs / "bindings-3.ndjson", [*bindings(2, "u04"), *bindings(3, "u01"), *bindings(5, "u08")])
    for number, facts in enumerate(steps()):
        write_lines(inputs / f"step-{number}.ndjson", facts)
    write_lines(inputs / "while-parked.ndjson", facts_while_parked())
    write_lines(inputs / "later.ndjson", later_facts())


def before_the_update(product: Product) -> None:
    """First half, with a worker that runs: everything but what is parked."""
    inputs = product.folder / "inputs"
    import_profiles(product)
    product.run("attributions", "import", str(inputs / "sample-attributions.ndjson"))
    product.run("attributions", "import", str(inputs / "bindings-1.ndjson"))
    process_all(product)
    import_orders(product)
    product.run("attributions", "import", str(inputs / "bindings-2.ndjson"))
    asyncio.run(send_unreadable(product.address))
    process_all(product)


def park(product: Product) -> None:
    """First half, with a worker that fails on the parked line and the parked user."""
    product.run(
        "orders", "import", str(product.folder / "inputs" / "while-parked.ndjson"), "--network", "canonical"
    )
    process_all(product)


def go_on(product: Product) -> None:
    """Second half: bind anew, release what is parked, and import later facts."""
    inputs = product.folder / "inputs"
    product.run("attributions", "import", str(inputs / "bindings-3.ndjson"))
    for key in (PARKED_LINE, PARKED_USER):
        product.run("dlq", "release", key, "--yes")
    process_all(product)
    product.run("orders", "import", str(inputs / "later.ndjson"), "--network", "canonical")
    process_all(product)


def repeat_imports(product: Product) -> None:
    """Import all orders and profiles of the first half once more."""
    import_profiles(product)
    import_orders(product)
    park(product)


async def send_unreadable(broker: str) -> None:
    """Send the records of UNREADABLE."""
    async with AIOKafkaProducer(bootstrap_servers=broker, acks="all") as producer:
        for topic, key, value in UNREADABLE:
            await producer.send_and_wait(topic, value, key=key)
