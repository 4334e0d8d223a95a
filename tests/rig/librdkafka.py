"""Sends records as clients built on librdkafka do: confluent-kafka, and kcat."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable

from confluent_kafka import KafkaError, Message, Producer

from tests.rig.tools import tool

SECONDS_MAX = 60.0
KEY_ENDS = "\t"  # in no key, and JSON escapes it
Pair = tuple[bytes | None, bytes | None]


def send_with_confluent(broker: str, topic: str, records: Iterable[Pair], **config: str | int) -> None:
    """Send records, with the client's own defaults but for `config`; return once all are acknowledged."""
    failures: list[str] = []

    def delivered(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            failures.append(str(error))

    options = {name.replace("_", "."): value for name, value in config.items()}
    producer = Producer({"bootstrap.servers": broker, **options})
    for key, value in records:
        producer.produce(topic, value=value, key=key, on_delivery=delivered)
        producer.poll(0)
    assert producer.flush(SECONDS_MAX) == 0
    assert failures == []


def send_with_kcat(broker: str, topic: str, records: Iterable[Pair], *options: str) -> None:
    """Send records, a line each, as `kcat -P` does; return once all are acknowledged."""
    lines = b"".join(b"%b\t%b\n" % (key or b"", value or b"") for key, value in records)
    done = subprocess.run(
        [tool("kcat"), "-P", "-b", broker, "-t", topic, "-K", KEY_ENDS, *options],
        input=lines,
        capture_output=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")
