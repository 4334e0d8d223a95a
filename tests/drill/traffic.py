"""Sends orders of three networks without end, as the importers of a small shop do: some each second."""

from __future__ import annotations

import itertools
import time

from rebate_app.settings import load_settings
from rebate_app.wire.topics import Topics
from tests.rig.system import produce
from tests.streams.failures.poison import order, raw

NETWORKS = ("taobao", "jd", "pdd")
EVERY_SECONDS = 1.0


def main() -> None:
    """Send until killed; a broker that is away is tried again."""
    import asyncio

    settings = load_settings()
    topic = Topics.of(settings).orders
    run = int(time.time())
    for number in itertools.count():
        lines = [f"{network}:{run}-{number}" for network in NETWORKS]
        rows = [(line.encode(), raw(order(line, f"u{number % 50}"))) for line in lines]
        try:
            asyncio.run(asyncio.wait_for(produce(settings.broker, topic, list(rows)), 20))
        except Exception as error:  # noqa: BLE001 - whatever the fault of the drill does to the broker
            print(f"not sent: {error!r}", flush=True)
        time.sleep(EVERY_SECONDS)


if __name__ == "__main__":
    main()
