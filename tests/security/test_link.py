"""TLS and SASL from settings alone: the whole way works, and what does not fit is one sentence and 69."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from uuid import uuid4

import orjson
import pytest

from rebate_app.broker import free_port
from tests.e2e.conftest import RULES
from tests.e2e.test_workers import SHARE, order
from tests.rig.system import CHECKOUT, Worker, ask
from tests.rig.waiting import wait_for
from tests.security.secured import PASSWORDS, SCRAM_USER, SecuredKafka

pytestmark = pytest.mark.kafka

REFUSED_WITHIN_S = 30.0
SECRETS = (*PASSWORDS.values(), "scram-secret")


class Place:
    """A folder with rules and names of its own, in which processes are run with given settings."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "rules").mkdir()
        (folder / "rules" / "rules.toml").write_text(RULES)
        self.prefix = f"s-{uuid4().hex[:8]}-"
        self.workers: list[Worker] = []

    def environment(self, given: Mapping[str, str]) -> dict[str, str]:
        """Return a whole environment with the given settings."""
        own = {
            "REBATE_TOPIC_PREFIX": self.prefix,
            "REBATE_RULES": str(self.folder / "rules"),
            "REBATE_PARTITIONS": "2",
        }
        return {k: v for k, v in os.environ.items() if not k.startswith("REBATE_")} | own | dict(given)

    def run(self, given: Mapping[str, str], *words: str) -> subprocess.CompletedProcess[str]:
        """Run `rebate` with these words and settings."""
        return subprocess.run(
            [sys.executable, "-m", "rebate_app.cli", *words],
            cwd=CHECKOUT,
            env=self.environment(given),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def start_worker(self, given: Mapping[str, str]) -> Worker:
        """Start a worker with these settings."""
        port, number = free_port(), len(self.workers)
        environment = self.environment(given) | {
            "REBATE_WEB_PORT": str(port),
            "REBATE_DATADIR": str(self.folder / f"worker-{number}"),
        }
        worker = Worker(environment, port, self.folder / f"worker-{number}.log")
        self.workers.append(worker)
        return worker

    def orders_file(self, *users: str) -> str:
        """Return a file with one order line of each user."""
        path = self.folder / "orders.ndjson"
        path.write_bytes(b"".join(orjson.dumps(order(user)) + b"\n" for user in users))
        return str(path)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Give a place whose workers end with the test."""
    one = Place(tmp_path)
    yield one
    for worker in one.workers:
        if worker.process.poll() is None:
            worker.stop()


class TestLink:
    """Nothing but settings makes the link secure; what does not fit ends at once, with 69 and the setting.

    One class, since tests of one class share their broker also where several processes run tests.
    """

    WRONG = (
        ({"REBATE_SASL_PASSWORD": "wrong"}, "refuses user 'admin' with PLAIN", "REBATE_SASL_PASSWORD"),
        ({"REBATE_SASL_MECHANISM": "SCRAM-SHA-256"}, "does not take SCRAM-SHA-256", "REBATE_SASL_MECHANISM"),
        (
            {"REBATE_SASL_MECHANISM": "SCRAM-SHA-512"},
            "refuses user 'admin' with SCRAM-SHA-512",
            "REBATE_SASL_USERNAME",
        ),
        ({"REBATE_TLS_CA_FILE": "another-ca.pem"}, "is not to be trusted", "REBATE_TLS_CA_FILE"),
    )

    @pytest.mark.parametrize(("user", "mechanism"), [("admin", "PLAIN"), (SCRAM_USER, "SCRAM-SHA-512")])
    def test_over_sasl_and_tls_an_order_reaches_its_balance(
        self, secured: SecuredKafka, place: Place, user: str, mechanism: str
    ) -> None:
        """Topics are created, a worker joins, an import is processed, and no secret is in any log."""
        given = secured.environment(user, mechanism)
        worker = place.start_worker(given)
        imported = place.run(given, "orders", "import", place.orders_file("u1"), "--network", "canonical")
        assert imported.returncode == 0, imported.stderr
        waited = place.run(given, "lag", "--wait", "60")
        assert waited.returncode == 0, waited.stderr + worker.log_text()[-2000:]
        worker.wait_ready()
        assert ask(f"{worker.url}/v1/users/u1/balance").body["estimated"] == SHARE
        doctor = place.run(given | {"REBATE_URL": worker.url}, "doctor", "--json")
        assert doctor.returncode == 0, doctor.stdout
        assert worker.stop() == 0
        output = worker.log_text() + imported.stderr + doctor.stdout + doctor.stderr
        assert not any(secret in output for secret in SECRETS)

    @pytest.mark.parametrize(("wrong", "message", "names"), WRONG)
    def test_each_command_says_which_setting(
        self, secured: SecuredKafka, place: Place, wrong: dict[str, str], message: str, names: str
    ) -> None:
        """A wrong password, mechanism or certificate is one sentence and 69, within seconds."""
        given = secured.environment("admin") | wrong
        given["REBATE_TLS_CA_FILE"] = str(secured.folder / given["REBATE_TLS_CA_FILE"])
        began = time.monotonic()
        done = place.run(given, "lag")
        assert time.monotonic() - began < REFUSED_WITHIN_S
        assert done.returncode == 69, done.stderr
        assert message in done.stderr
        assert names in done.stderr
        assert len(done.stderr.splitlines()) == 1

    def test_a_worker_with_a_wrong_password_ends_at_once(self, secured: SecuredKafka, place: Place) -> None:
        """It does not hang: 69, and the last line of its log says why."""
        given = secured.environment("admin") | {"REBATE_SASL_PASSWORD": "wrong"}
        worker = place.start_worker(given)
        assert worker.wait_exit(REFUSED_WITHIN_S) == 69
        assert "refuses user 'admin' with PLAIN" in worker.log_text().splitlines()[-1]

    def test_no_tls_where_the_broker_wants_it(self, secured: SecuredKafka, place: Place) -> None:
        """A plain client at a TLS listener is told what is probably missing."""
        done = place.run({"REBATE_BROKER": secured.secure}, "lag")
        assert done.returncode == 69, done.stderr
        assert "does it want TLS" in done.stderr

    def test_tls_where_the_broker_has_none(self, secured: SecuredKafka, place: Place) -> None:
        """A TLS client at a plain listener is told so."""
        given = {"REBATE_BROKER": secured.plain, "REBATE_TLS_CA_FILE": str(secured.ca_file)}
        done = place.run(given, "lag")
        assert done.returncode == 69, done.stderr
        assert "TLS" in done.stderr

    def test_three_roles_do_their_work_with_the_printed_rights_alone(
        self, secured: SecuredKafka, place: Place
    ) -> None:
        """The operator creates and audits, the importer sends, the worker works; none does another's part."""
        given = {
            role: secured.environment(f"rebate-{role}") | {"REBATE_TOPICS": "verify"}
            for role in ("worker", "importer", "operator")
        }
        printed = place.run(given["operator"], "topics", "acl")
        assert printed.returncode == 0, printed.stderr
        assert secured.run_acl_commands(printed.stdout) > 20
        missing = place.run(given["worker"], "topics", "verify")
        assert missing.returncode == 78
        assert missing.stderr.count("is missing") == 21
        refused = place.run(given["importer"], "topics", "create")
        assert refused.returncode == 78
        assert "REBATE_TOPICS=verify" in refused.stderr
        created = place.run(given["operator"], "topics", "create")
        assert created.returncode == 0, created.stderr

        worker = place.start_worker(given["worker"])
        file = place.orders_file("u1", "u2")
        imported = place.run(given["importer"], "orders", "import", file, "--network", "canonical")
        assert imported.returncode == 0, imported.stderr
        assert place.run(given["importer"], "lag").returncode != 0
        assert place.run(given["importer"], "audit", "--no-http").returncode != 0
        waited = place.run(given["operator"], "lag", "--wait", "60")
        assert waited.returncode == 0, waited.stderr + worker.log_text()[-2000:]
        worker.wait_ready()
        wait_for(
            lambda: ask(f"{worker.url}/v1/users/u2/balance").body["estimated"] == SHARE, 30, "u2's balance"
        )
        document = orjson.dumps(order("u3"))
        posted = ask(f"{worker.url}/v1/orders?wait_ms=2000", method="POST", body=document)
        assert posted.status == 202, posted.body
        url = {"REBATE_URL": worker.url}
        for words in (("audit",), ("doctor",)):
            done = place.run(given["operator"] | url, *words)
            assert done.returncode == 0, (words, done.stdout, done.stderr)
        assert worker.stop() == 0
