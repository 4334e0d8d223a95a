"""The peers' programs: how they are built and started. Their settings are explained in bench/README.md."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from .orders import PARTITIONS
from .place import FOLDER, Run
from .process import CHECKOUT

HERE = Path(__file__).parent
STREAMS_THREADS = 2
BUILD_SECONDS_MAX = 900


def streams(store: str) -> Callable[[Run], tuple[list[str], dict[str, str]]]:
    """Return how Kafka Streams is started."""

    def command(run: Run) -> tuple[list[str], dict[str, str]]:
        libs = built_streams()
        java = ["java", "-Xms1g", "-Xmx1g", "-XX:+UseG1GC", "-cp", f"{libs.parent / 'classes'}:{libs}/*"]
        given = [
            run.place.broker,
            f"{run.prefix}streams",
            run.topics.orders,
            run.topics.user_log,
            store,
            str(STREAMS_THREADS),
            str(run.folder / "streams"),
        ]
        return [*java, "bench.ToyStreams", *given], {}

    return command


def streams_accounts(run: Run) -> str:
    """Return the topic in which Kafka Streams keeps its accounts."""
    return f"{run.prefix}streams-accounts-changelog"


def built_streams() -> Path:
    """Build the Java program once for its sources; return the folder of its jars."""
    sources = [HERE / "streams" / "pom.xml", *sorted((HERE / "streams" / "src").rglob("*.java"))]
    known = blake2b(b"".join(path.read_bytes() for path in sources), digest_size=6).hexdigest()
    target = FOLDER / f"streams-{known}"
    if not (target / "ready").exists():
        target.mkdir(parents=True, exist_ok=True)
        print("building the Kafka Streams program ...", file=sys.stderr)
        command = ["mvn", "-B", "-C", "-ntp", "-q", "-f", str(sources[0]), "compile"]
        options = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-Dbench.target={target}"]
        subprocess.run(
            [*command, *options, f"-DoutputDirectory={target / 'libs'}"],
            check=True,
            timeout=BUILD_SECONDS_MAX,
        )
        (target / "ready").touch()
    return target / "libs"


def quix(run: Run) -> tuple[list[str], dict[str, str]]:
    """Return how Quix Streams is started: in an environment of its own, with pinned requirements."""
    given = [
        run.place.broker,
        f"{run.prefix}quix",
        run.topics.orders,
        run.topics.user_log,
        str(run.folder / "quix"),
    ]
    return [str(quix_python()), str(HERE / "quix" / "toy_quix.py"), *given], {}


def quix_accounts(run: Run) -> str:
    """Return the topic in which Quix Streams keeps its accounts."""
    return f"changelog__{run.prefix}quix--{run.topics.user_log}--default"


def quix_python() -> Path:
    """Make the virtual environment once for its requirements; return its Python."""
    requirements = HERE / "quix" / "requirements.txt"
    known = blake2b(requirements.read_bytes(), digest_size=6).hexdigest()
    folder = FOLDER / f"quix-{known}"
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        print("making the virtual environment of Quix Streams ...", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        command = [
            str(python),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--require-hashes",
            "-r",
            str(requirements),
        ]
        subprocess.run(command, check=True, timeout=BUILD_SECONDS_MAX)
        (folder / "ready").touch()
    return python


def faust(guarantee: str) -> Callable[[Run], tuple[list[str], dict[str, str]]]:
    """Return how Faust as documented is started."""

    def command(run: Run) -> tuple[list[str], dict[str, str]]:
        from rebate_app.broker import free_port

        environment = {
            "BENCH_BROKER": run.place.broker,
            "BENCH_APP": f"{run.prefix}faust",
            "BENCH_ORDERS": run.topics.orders,
            "BENCH_USER_LOG": run.topics.user_log,
            "BENCH_GUARANTEE": guarantee,
            "BENCH_DATADIR": str(run.folder / "faust"),
        }
        worker = ["worker", "-l", "warn", "--web-port", str(free_port())]
        return [sys.executable, "-m", "faust", "-A", "bench.faust_plain", *worker], environment

    return command


def faust_accounts(run: Run) -> str:
    """Return the topic in which Faust keeps its accounts."""
    return f"{run.prefix}faust-accounts-changelog"


def faust_topics(run: Run) -> None:
    """Create what Faust expects the broker to create by itself: auto creation is off here."""
    names = [f"{run.prefix}faust-{table}-changelog" for table in ("lines", "accounts")]
    asyncio.run(_create(run.place.broker, names))


async def _create(broker: str, names: list[str]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    try:
        compacted = {"cleanup.policy": "compact"}
        await admin.create_topics([NewTopic(name, PARTITIONS, 1, topic_configs=compacted) for name in names])
    finally:
        await admin.close()


def java_version() -> str:
    """Return what java says it is."""
    said = subprocess.run(
        ["java", "-version"], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    return said.stderr.splitlines()[0]


_ = CHECKOUT
