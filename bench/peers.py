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

from bench.orders import PARTITIONS
from bench.place import FOLDER, Run

HERE = Path(__file__).parent
THREADS = 2
BUILD_SECONDS_MAX = 900


def streams(store: str, commit_ms: int = 100) -> Callable[[Run], tuple[list[str], dict[str, str]]]:
    """Return how Kafka Streams is started; it answers balances at the environment's BENCH_PORT."""

    def command(run: Run) -> tuple[list[str], dict[str, str]]:
        from rebate_app.broker import free_port

        libs = built("streams")
        java = ["java", "-Xms1g", "-Xmx1g", "-XX:+UseG1GC", "-cp", f"{libs.parent / 'classes'}:{libs}/*"]
        java.append("-Dsun.net.httpserver.nodelay=true")  # else an answer waits 40 ms for an acknowledgement
        given = [
            run.place.broker,
            f"{run.prefix}streams",
            run.topics.orders,
            run.topics.user_log,
            store,
            str(THREADS),
            str(run.folder / "streams"),
            str(commit_ms),
        ]
        return [*java, "bench.ToyStreams", *given], {"BENCH_PORT": str(free_port())}

    return command


def streams_accounts(run: Run) -> str:
    """Return the topic in which Kafka Streams keeps its accounts."""
    return f"{run.prefix}streams-accounts-changelog"


def built(name: str) -> Path:
    """Build a Java program (bench/NAME, by Maven) once for its sources; return the folder of its jars."""
    sources = [HERE / name / "pom.xml", *sorted((HERE / name / "src").rglob("*.java"))]
    known = blake2b(b"".join(path.read_bytes() for path in sources), digest_size=6).hexdigest()
    target = FOLDER / f"{name}-{known}"
    if not (target / "ready").exists():
        target.mkdir(parents=True, exist_ok=True)
        print(f"building bench/{name} ...", file=sys.stderr)
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
    return [str(python_of("quix")), str(HERE / "quix" / "toy_quix.py"), *given], {}


def quix_accounts(run: Run) -> str:
    """Return the topic in which Quix Streams keeps its accounts."""
    return f"changelog__{run.prefix}quix--{run.topics.user_log}--default"


def python_of(name: str) -> Path:
    """Make a peer's virtual environment once for its requirements (bench/NAME); return its Python."""
    requirements = HERE / name / "requirements.txt"
    known = blake2b(requirements.read_bytes(), digest_size=6).hexdigest()
    folder = FOLDER / f"{name}-{known}"
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        print(f"making the virtual environment of bench/{name} ...", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "--require-hashes"]
        subprocess.run([*command, "-r", str(requirements)], check=True, timeout=BUILD_SECONDS_MAX)
        (folder / "ready").touch()
    return python


def account_states(run: Run) -> str:
    """Return the topic into which a peer without a changelog writes its accounts."""
    return f"{run.prefix}account-states"


def account_states_topic(run: Run) -> None:
    """Create that topic."""
    asyncio.run(_create(run.place.broker, [account_states(run)]))


def bytewax(run: Run) -> tuple[list[str], dict[str, str]]:
    """Return how Bytewax is started: one worker, with its recovery store."""
    environment = {
        "BENCH_BROKER": run.place.broker,
        "BENCH_ORDERS": run.topics.orders,
        "BENCH_USER_LOG": run.topics.user_log,
        "BENCH_ACCOUNTS": account_states(run),
    }
    program = f"{HERE / 'bytewax' / 'toy_bytewax.py'}:flow"
    recovery = ["-r", str(run.folder / "bytewax"), "-s", "1", "-b", "0"]
    return [str(python_of("bytewax")), "-m", "bytewax.run", program, *recovery], environment


def bytewax_prepare(run: Run) -> None:
    """Create the topic of accounts and the recovery store, of one partition."""
    account_states_topic(run)
    folder = run.folder / "bytewax"
    folder.mkdir()
    command = [str(python_of("bytewax")), "-m", "bytewax.recovery", str(folder), "1"]
    subprocess.run(command, check=True, timeout=60)


def pathway(run: Run) -> tuple[list[str], dict[str, str]]:
    """Return how Pathway is started: two threads, one per core, with persistence."""
    given = [
        run.place.broker,
        f"{run.prefix}pathway",
        run.topics.orders,
        run.topics.user_log,
        account_states(run),
        str(run.folder / "pathway"),
    ]
    program = str(HERE / "pathway" / "toy_pathway.py")
    return [str(python_of("pathway")), program, *given], {"PATHWAY_THREADS": "2"}


def flink(run: Run) -> tuple[list[str], dict[str, str]]:
    """Return how Flink is started: a local cluster in one process, two slots."""
    libs = built("flink")
    java = ["java", "-Xms1g", "-Xmx1g", "-XX:+UseG1GC", "-cp", f"{libs.parent / 'classes'}:{libs}/*"]
    java += ["--add-opens=java.base/java.util=ALL-UNNAMED", "--add-opens=java.base/java.lang=ALL-UNNAMED"]
    java.append("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
    given = [
        run.place.broker,
        f"{run.prefix}flink",
        run.topics.orders,
        run.topics.user_log,
        account_states(run),
        str(run.folder / "flink"),
        str(THREADS),
    ]
    return [*java, "bench.ToyFlink", *given], {}


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
    done = subprocess.run(
        ["java", "-version"], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    return done.stderr.splitlines()[0]
