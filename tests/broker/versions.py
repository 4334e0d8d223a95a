"""A short life on other versions of Apache Kafka (docs/operations/kafka-versions.md): `make broker-versions`.

A worker on a broker of each version: topics, import, balances, a worker that is killed and comes back, dead
letters, a broker that is restarted, the audit, the doctor. The jars of other versions are downloaded by Maven
into .rebate/kafka-versions, checked by Maven's checksums alone: they are for trying only.

`python -m tests.broker.versions [VERSION …]`; exit code 1 if one fails.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from rebate_app.broker import free_port
from rebate_app.broker.java import find_java, find_maven
from rebate_app.broker.member import Member, finish, new_cluster_id
from rebate_app.broker.node import Node
from tests.e2e.conftest import RULES
from tests.e2e.test_workers import SHARE, order
from tests.kafka_fixture import guarded
from tests.rig.system import CHECKOUT, System, Worker, ask
from tests.rig.waiting import wait_for

VERSIONS = ("3.9.1", "4.0.0", "4.1.2")
HOME = CHECKOUT / ".rebate" / "kafka-versions"
DOWNLOAD_SECONDS_MAX = 900
START_SECONDS_MAX = 90
USERS = 50


def fetch(version: str) -> Path:
    """Return the folder of a version's jars, downloaded if they are not there."""
    libs = HOME / version / "libs"
    if libs.is_dir():
        return libs
    work = HOME / version
    work.mkdir(parents=True, exist_ok=True)
    text = (CHECKOUT / "rebate_app" / "broker" / "pom.xml").read_text(encoding="utf-8")
    (work / "pom.xml").write_text(text.replace("<version>4.1.2</version>", f"<version>{version}</version>"))
    part = work / "part"
    command = [str(find_maven()), "-B", "-C", "-ntp", "-f", str(work / "pom.xml")]
    options = ["dependency:copy-dependencies", f"-DoutputDirectory={part}", "-DincludeScope=runtime"]
    subprocess.run([*command, *options], cwd=work, check=True, timeout=DOWNLOAD_SECONDS_MAX)
    part.rename(libs)
    return libs


@contextmanager
def running(version: str, folder: Path) -> Iterator[tuple[Member, Node]]:
    """Give a broker of that version, formatted and not yet started."""
    node = Node(id=1, port=free_port(), controller_port=free_port(), folder=folder)
    member = Member(node, java=find_java(), libs=fetch(version))
    with guarded(folder):
        try:
            member.format(new_cluster_id(), [node], {})
            yield member, node
        finally:
            finish(folder, term_seconds_max=20)


def launch(member: Member, node: Node) -> None:
    """Start it, and return when it answers."""
    process = member.launch([node], {})
    member.await_answer(process, cluster_id=member.cluster_id(), seconds_max=START_SECONDS_MAX)


def balances(worker: Worker, users: int) -> list[int]:
    """Return what every user has."""
    answers = [ask(f"{worker.url}/v1/users/u{number}/balance") for number in range(users)]
    return [answer.body["estimated"] if answer.status == 200 else -1 for answer in answers]


def one_life(version: str, folder: Path) -> str:
    """Return what the doctor calls the broker, after a short life on it; AssertionError."""
    with running(version, folder / "broker") as (member, node):
        launch(member, node)
        prefix = f"v-{uuid4().hex[:6]}-"
        with System(node.address, prefix, folder / "system", [RULES]) as system:
            worker = system.start_worker()
            worker.wait_ready()
            system.send_orders(order(f"u{number}") for number in range(USERS))
            system.produce(system.topics.orders, [(b"pdd:bad", b"{")])
            worker.kill()
            worker = system.start_worker(0)
            worker.wait_ready()
            system.wait_idle()
            assert balances(worker, USERS) == [SHARE] * USERS
            finish(node.folder, term_seconds_max=20)
            launch(member, node)
            system.send_orders(order(f"u{number}", 1) for number in range(USERS))
            system.wait_idle()
            wait_for(lambda: balances(worker, USERS) == [2 * SHARE] * USERS, 60, "all balances")
            audited = system.command("audit", "--json", url=worker.url)
            assert audited.returncode == 0, audited.stdout + audited.stderr
            doctor = system.command("doctor", "--json", url=worker.url)
            results = json.loads(doctor.stdout)["checks"]
            unusual = [each for each in results if each["state"] in ("fail", "skip")]
            unusual += [each for each in results if each["state"] == "warn" and each["check"] != "replicas"]
            assert doctor.returncode == 0, doctor.stdout
            letters = system.command("dlq", "list", "--json", url=worker.url)
            assert "undecodable" in letters.stdout, letters.stdout + letters.stderr
            assert worker.stop() == 0
    summary = next(each["says"] for each in results if each["check"] == "broker")
    return (
        f"{summary}; else reported: {[each['check'] + ': ' + each['says'] for each in unusual] or 'nothing'}"
    )


def main(versions: list[str]) -> int:
    """Try each version; return the exit code."""
    failed = 0
    for version in versions or VERSIONS:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="kafka-") as folder:
            try:
                print(f"{version}: {one_life(version, Path(folder))}", flush=True)
            except Exception as error:  # noqa: BLE001 - the others are tried in any case
                failed += 1
                print(f"{version}: FAILED {error!r}", flush=True)
        print(f"{version}: {time.monotonic() - began:.0f} s", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
