"""A real Kafka with a SASL_SSL listener beside the plain one, and an authorizer that refuses by default.

It is separate from LocalKafka because its listeners are more than overrides of one property: the broker
itself and the controller stay on plain loopback, where nobody is asked who they are.
"""

from __future__ import annotations

import argparse
import shlex
import socket
import struct
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rebate_app.broker import ensure_jars, free_port
from rebate_app.broker.java import find_java
from rebate_app.broker.member import Member, finish, new_cluster_id
from rebate_app.broker.node import Node
from rebate_app.broker.probe import _call
from tests.kafka_fixture import JARS_HOME, guarded

#: PLAIN users; the SCRAM user is made over the plain listener.
PASSWORDS = {
    name: f"{name}-secret" for name in ("rebate-worker", "rebate-importer", "rebate-operator", "admin")
}
SCRAM_USER, SCRAM_PASSWORD = "scram-admin", "scram-secret-ümlaut"
START_SECONDS_MAX = 60.0
TOOL_SECONDS_MAX = 60.0

#: Kafka's numbers (org.apache.kafka.common.resource and .acl).
RESOURCES = {"topic": 2, "group": 3, "cluster": 4, "transactional_id": 5}
OPERATIONS = {"Read": 3, "Write": 4, "Create": 5, "Describe": 8, "DescribeConfigs": 10}
PATTERNS = {"literal": 3, "prefixed": 4}
ALLOW = 3
CREATE_ACLS, CREATE_ACLS_VERSION = 30, 1


def make_certificates(folder: Path) -> None:
    """Make ca.pem, another-ca.pem, and server.pem: key and certificate for 127.0.0.1, signed by ca.pem."""

    def openssl(*words: str) -> None:
        subprocess.run(
            ["openssl", *words], cwd=folder, check=True, capture_output=True, timeout=TOOL_SECONDS_MAX
        )

    for name in ("ca", "another-ca"):
        new = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}")
        openssl(*new, "-keyout", f"{name}.key", "-out", f"{name}.pem")
    openssl(
        "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=broker", "-keyout", "s.key", "-out", "s.csr"
    )
    (folder / "san").write_text("subjectAltName=IP:127.0.0.1\n")
    sign = ("x509", "-req", "-in", "s.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial")
    openssl(*sign, "-days", "2", "-extfile", "san", "-out", "s.pem")
    key, certificate = (folder / "s.key").read_text(), (folder / "s.pem").read_text()
    (folder / "server.pem").write_text(key + certificate)


class SecuredKafka:
    """Two listeners of one broker: `plain` for whoever sets it up, `secure` for everybody else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        make_certificates(folder)
        port, secure, controller = free_port(), free_port(), free_port()
        self.plain, self.secure = f"127.0.0.1:{port}", f"127.0.0.1:{secure}"
        self._port = port
        self._node = Node(id=1, port=port, controller_port=controller, folder=folder / "broker")
        self._overrides = {
            "listeners": f"PLAINTEXT://{self.plain},SECURE://{self.secure},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.plain},SECURE://{self.secure}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SECURE:SASL_SSL,CONTROLLER:PLAINTEXT",
            "listener.name.secure.ssl.keystore.type": "PEM",
            "listener.name.secure.ssl.keystore.location": str(folder / "server.pem"),
            "listener.name.secure.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
            "listener.name.secure.plain.sasl.jaas.config": _plain_users(PASSWORDS),
            "listener.name.secure.scram-sha-512.sasl.jaas.config": (
                "org.apache.kafka.common.security.scram.ScramLoginModule required;"
            ),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:ANONYMOUS;User:admin;User:{SCRAM_USER}",
            "allow.everyone.if.no.acl.found": "false",
        }

    @property
    def ca_file(self) -> Path:
        """The certificate that signed the broker's."""
        return self.folder / "ca.pem"

    def environment(self, user: str, mechanism: str = "PLAIN") -> dict[str, str]:
        """Return the settings with which that user connects."""
        password = SCRAM_PASSWORD if user == SCRAM_USER else PASSWORDS[user]
        return {
            "REBATE_BROKER": self.secure,
            "REBATE_SASL_MECHANISM": mechanism,
            "REBATE_SASL_USERNAME": user,
            "REBATE_SASL_PASSWORD": password,
            "REBATE_TLS_CA_FILE": str(self.ca_file),
        }

    def start(self) -> None:
        """Return when it answers, the SCRAM user made."""
        libs = ensure_jars(JARS_HOME)
        java = find_java()
        cluster = new_cluster_id()
        member = Member(self._node, java=java, libs=libs)
        member.format(cluster, [self._node], self._overrides)
        running = member.launch([self._node], self._overrides)
        member.await_answer(running, cluster_id=cluster, seconds_max=START_SECONDS_MAX)
        self._make_scram_user(java, libs)

    def _make_scram_user(self, java: Path, libs: Path) -> None:
        tool = ["kafka.admin.ConfigCommand", "--bootstrap-server", self.plain, "--alter"]
        what = ["--add-config", f"SCRAM-SHA-512=[password={SCRAM_PASSWORD}]"]
        who = ["--entity-type", "users", "--entity-name", SCRAM_USER]
        command = [str(java), "-XX:TieredStopAtLevel=1", "-cp", f"{libs}/*", *tool, *what, *who]
        subprocess.run(command, check=True, capture_output=True, timeout=TOOL_SECONDS_MAX)

    def stop(self) -> None:
        """End it."""
        finish(self._node.folder, term_seconds_max=10)

    def run_acl_commands(self, script: str) -> int:
        """Do what `kafka-acls` would do with each line of a script; return how many rights were given."""
        given = 0
        for line in script.splitlines():
            if not line.startswith("#"):
                given += self._run_acl_command(shlex.split(line))
        return given

    def _run_acl_command(self, words: list[str]) -> int:
        parser = argparse.ArgumentParser(exit_on_error=False)
        parser.add_argument("--bootstrap-server", required=True)
        parser.add_argument("--add", action="store_true", required=True)
        parser.add_argument("--allow-principal", required=True)
        parser.add_argument("--operation", action="append", required=True)
        parser.add_argument("--resource-pattern-type", default="literal")
        parser.add_argument("--cluster", action="append_const", const="kafka-cluster", default=[])
        for kind in RESOURCES.keys() - {"cluster"}:
            parser.add_argument("--" + kind.replace("_", "-"), action="append", default=[])
        assert words[0] == "kafka-acls"
        options = parser.parse_args(words[1:])
        pattern = PATTERNS[options.resource_pattern_type]
        rights = [
            struct.pack(">b", number) + _text(name) + struct.pack(">b", pattern)
            + _text(options.allow_principal) + _text("*")
            + struct.pack(">bb", OPERATIONS[operation], ALLOW)
            for kind, number in RESOURCES.items()
            for name in getattr(options, kind)
            for operation in options.operation
        ]  # fmt: skip
        body = struct.pack(">i", len(rights)) + b"".join(rights)
        with socket.create_connection(("127.0.0.1", self._port), timeout=30) as connection:
            reply = _call(connection, CREATE_ACLS, CREATE_ACLS_VERSION, body)
        _throttle, count = struct.unpack_from(">ii", reply)
        assert count == len(rights)
        at = 8
        for _ in range(count):
            code, size = struct.unpack_from(">hh", reply, at)
            assert code == 0, reply
            at += 4 + max(size, 0)
        return int(count)


@contextmanager
def secured_kafka(folder: Path) -> Iterator[SecuredKafka]:
    """Run one within the block; it ends also if this process is killed."""
    broker = SecuredKafka(folder)
    with guarded(folder / "broker"):
        try:
            broker.start()
            yield broker
        finally:
            broker.stop()


def _plain_users(passwords: Mapping[str, str]) -> str:
    users = " ".join(f'user_{name}="{password}"' for name, password in passwords.items())
    return f"org.apache.kafka.common.security.plain.PlainLoginModule required {users};"


def _text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack(">h", len(raw)) + raw
