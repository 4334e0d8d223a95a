"""Two real workers with authentication and TLS: keys, commands, forwarding, and a key file that changes."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
import time
from ipaddress import ip_address
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from rebate_app.auth.api_keys import NewKey, new_key
from tests.answer_check import check_answer
from tests.e2e.conftest import NewSystem
from tests.e2e.test_workers import SHARE, USERS, order
from tests.rig.system import System, Worker
from tests.rig.waiting import wait_for

IN_FORCE_SECONDS = 5.0
ASKING_TASKS = 4
CHANGES = 3


def write_certificate(folder: Path) -> None:
    """Write cert.pem and key.pem of 127.0.0.1; the certificate is its own authority."""
    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "key.pem").write_bytes(pem)


class Secured:
    """Two workers behind keys and TLS, with an administrator's key and one that may only read."""

    def __init__(self, new_system: NewSystem, folder: Path) -> None:
        write_certificate(folder)
        self.admin, self.reader = (
            new_key("ops", "operators", ["admin"]),
            new_key("crm", "shop", ["balances:read"]),
        )
        self.keys = folder / "keys.toml"
        self.write_keys(self.admin, self.reader)
        self.system: System = new_system(
            REBATE_KEYS=str(self.keys),
            REBATE_CLUSTER_SECRET="a:" + "s" * 40,
            REBATE_TOKEN=self.admin.token,
            REBATE_WEB_CERT=str(folder / "cert.pem"),
            REBATE_WEB_KEY=str(folder / "key.pem"),
            REBATE_WEB_CA=str(folder / "cert.pem"),
        )
        self.tls = ssl.create_default_context(cafile=folder / "cert.pem")
        self.urls: list[str] = []

    def write_keys(self, *keys: NewKey, also: str = "") -> None:
        """Replace the file of keys in one step."""
        new = self.keys.with_suffix(".new")
        new.write_text("\n".join(key.entry for key in keys) + also, encoding="utf-8")
        new.replace(self.keys)

    def start(self, count: int) -> list[Worker]:
        """Start workers and wait until each is ready and together they own everything."""
        workers = [self.system.start_worker() for _ in range(count)]
        self.urls = [worker.url.replace("http://", "https://") for worker in workers]
        for url in self.urls:
            self.wait_ready(url)
        return workers

    def wait_ready(self, url: str) -> None:
        """Wait until the worker there is ready."""
        wait_for(lambda: asyncio.run(self.get(url, "/readyz"))[0] == 200, 120, f"{url} ready")

    async def get(self, url: str, path: str, token: str | None = None) -> tuple[int, str]:
        """Return (status, body), 0 without an answer."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        try:
            async with (
                aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=self.tls)) as session,
                session.get(url + path, headers=headers) as response,
            ):
                body = await response.read()
                check_answer("GET", path, response.status, response.headers, body)
                return response.status, body.decode()
        except aiohttp.ClientError:
            return 0, ""


@pytest.fixture
def secured(new_system: NewSystem, tmp_path: Path) -> Secured:
    """Return the system, not started yet."""
    return Secured(new_system, tmp_path)


class TestSecured:
    """The system as somebody runs it on a network."""

    def test_keys_tls_forwarding_and_a_file_that_changes(self, secured: Secured) -> None:
        """Commands work with their token; every worker answers a key for every user, and nobody else."""
        workers = secured.start(2)
        system = secured.system
        system.send_orders(order(user) for user in USERS)
        system.wait_idle()
        for url in secured.urls:
            self._reads_everybody(secured, url)
            done = system.command("users", "balance", "--all", "--json", url=url)
            assert (done.returncode, len(done.stdout.splitlines())) == (0, len(USERS)), done.stderr
        done = system.command("audit", url=secured.urls[0])
        assert done.returncode == 0, done.stdout + done.stderr
        asyncio.run(self._keys_change_under_load(secured))
        log = "".join(worker.log_text() for worker in workers)
        assert secured.admin.token not in log
        assert "s" * 40 not in log

    def _reads_everybody(self, secured: Secured, url: str) -> None:
        async def read() -> None:
            for user in USERS:
                path = f"/v1/users/{user}/balance"
                status, body = await secured.get(url, path, secured.reader.token)
                assert (status, f'"estimated":{SHARE}' in body) == (200, True), body
                assert (await secured.get(url, path))[0] == 401
            assert (await secured.get(url, "/v1/workers", secured.reader.token))[0] == 403
            assert (await secured.get(url, "/metrics"))[0] == 401
            assert (await secured.get(url, "/livez"))[0] == 200

        asyncio.run(read())

    async def _keys_change_under_load(self, secured: Secured) -> None:
        """Change the file as it is asked: new keys count within 5 s, broken files do not, nothing is lost."""
        url, done, answers = secured.urls[0], asyncio.Event(), list[int]()
        headers = {"Authorization": f"Bearer {secured.admin.token}"}
        session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=secured.tls))

        async def ask(number: int) -> None:
            while not done.is_set():
                user = USERS[(number + len(answers)) % len(USERS)]
                async with session.get(f"{url}/v1/users/{user}/balance", headers=headers) as response:
                    answers.append(response.status)
                    await response.read()

        requests = [asyncio.create_task(ask(number)) for number in range(ASKING_TASKS)]
        for change in range(CHANGES):
            added = new_key(f"new-{change}", "added", ["balances:read"])
            secured.write_keys(secured.admin, added, also="[[key]\n")
            await self._watched(secured, url, "0")
            assert (await secured.get(url, "/v1/me", added.token))[0] in {401, 429}
            secured.write_keys(secured.admin, added)
            await self._until(secured, url, "/v1/me", added.token, {200})
            secured.write_keys(secured.admin)
            await self._until(secured, url, "/v1/me", added.token, {401, 429})
            await self._watched(secured, url, "1")
        done.set()
        await asyncio.gather(*requests)
        await session.close()
        assert set(answers) == {200}
        assert len(answers) > CHANGES * ASKING_TASKS

    async def _until(self, secured: Secured, url: str, path: str, token: str, statuses: set[int]) -> None:
        """Wait until the answer has such a status, no longer than a change of the file may take.

        Twenty wrong credentials of one address a minute are 401, further ones 429.
        """
        deadline = time.monotonic() + IN_FORCE_SECONDS
        while (await secured.get(url, path, token))[0] not in statuses:
            assert time.monotonic() < deadline, f"none of {statuses} within {IN_FORCE_SECONDS} s"
            await asyncio.sleep(0.1)

    async def _watched(self, secured: Secured, url: str, value: str) -> None:
        """Wait until the metric says whether the file is in force."""
        sample = f'rebate_watched_file_ok{{file="api-keys"}} {value}.0'
        deadline = time.monotonic() + IN_FORCE_SECONDS
        while sample not in (await secured.get(url, "/metrics", secured.admin.token))[1]:
            assert time.monotonic() < deadline, f"no {sample} within {IN_FORCE_SECONDS} s"
            await asyncio.sleep(0.1)

    def test_workers_with_different_secrets_do_not_answer_for_each_other(self, secured: Secured) -> None:
        """What one forwards, the other takes for a stranger's: no answer rather than a wrong one."""
        system = secured.system
        first = system.start_worker()
        second = system.start_worker(REBATE_CLUSTER_SECRET="a:" + "t" * 40)
        urls = [worker.url.replace("http://", "https://") for worker in (first, second)]
        for url in urls:
            secured.wait_ready(url)
        system.send_orders(order(user) for user in USERS)
        system.wait_idle()
        statuses = [
            asyncio.run(secured.get(urls[0], f"/v1/users/{u}/balance", secured.reader.token))[0]
            for u in USERS
        ]
        assert set(statuses) == {200, 503}
