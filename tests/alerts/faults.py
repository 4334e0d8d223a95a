"""The scenarios of the recordings: each causes a fault in a real system, and scrapes before and after."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from aiokafka import AIOKafkaProducer
from confluent_kafka import Producer

from examples.simulators.server import fast_clock, new_network, serving
from rebate_app.auth.api_keys import new_key
from rebate_app.domain.pricing.catalogue import Activation
from rebate_app.streams.failures.limits import CONSECUTIVE_MAX
from rebate_app.streams.kafka.clients import started
from rebate_app.wire.facts.owner import encode_activated
from tests.alerts.payout_faults import open_and_pay, payout_settings, payouts_in_trouble, staff_keys
from tests.alerts.recorder import Recorder
from tests.rig.paying import simulated
from tests.rig.system import ask, frozen
from tests.streams.failures.poison import order, raw
from tests.streams.failures.sending import now_ms, send
from tests.streams.failures.test_stops import set_max_bytes
from tests.webhooks.receiver import Receiver
from tests.webhooks.test_on_kafka import webhooks

BAD = (b"taobao:bad", b"{")
HOUR_MS = 3_600_000
DAY_SECONDS = 86_400
__all__ = ["payouts_in_trouble"]
RIGGED = "tests.alerts.rigged"
CONNECTIONS = 1_040
REFUSED = 503
TRAIL_BYTES_MAX = 128  # less than any record of it, and enough for the marker that ends a transaction


def healthy_day(recorder: Recorder) -> None:
    """Two workers; orders of all networks, reads, wrong paths, and one restart after the other.

    One of them fetches an account from a network that is simulated, and one pays a withdrawal.
    """
    jd = new_network("jd", 20, int(time.time()) - DAY_SECONDS, 1)
    with Receiver() as receiver, serving(jd, time.time) as url, simulated(recorder.folder) as service:
        staff, tokens = staff_keys()
        environment = webhooks(receiver) | _credentials(recorder, staff) | _sources(recorder, jd_url=url)
        environment |= payout_settings(recorder, service)
        for number in (0, 1):
            recorder.start(number, environment)
        recorder.wait(
            lambda: any(recorder.value("rebate_source_budget_left", number) for number in (0, 1)),
            "the account is fetched",
        )
        open_and_pay(recorder, tokens)
        for _ in range(3):
            _work(recorder)
        for number in (0, 1):
            assert recorder.worker(number).stop() == 0
            recorder.scrape()
            recorder.start(number, environment)
            _work(recorder)
        for _ in range(3):
            _work(recorder)


def _sources(recorder: Recorder, *, jd_url: str) -> dict[str, str]:
    """Write a file of sources with one account, and return the setting that names it."""
    (recorder.folder / "secret").write_text("secret")
    file = recorder.folder / "sources.toml"
    head = SOURCES.partition('[[app]]\nid = "pdd"')[0]
    file.write_text(head.format(jd_url=jd_url).replace('"wrong"', '"secret"') + SINCE.format(hours_ago(2)))
    return {"REBATE_SOURCES": str(file)}


def hours_ago(hours: int) -> str:
    """Return a moment of the past in RFC 3339."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - hours * 3_600))


SINCE = "since = {}\n"


def _work(recorder: Recorder) -> None:
    recorder.send_orders(24)
    for path in ("/v1/users/u1/balance", "/v1/users/nobody/lines", "/v1/nothing"):
        _request(recorder, path, Authorization=f"Bearer {recorder.token}")
    recorder.scrape()


def _credentials(recorder: Recorder, more: str = "") -> dict[str, str]:
    """Return the settings of workers that want credentials, `more` keys too, and give the recorder one."""
    keys = recorder.folder / "keys.toml"
    key = new_key("recorder", "recorder", ["balances:read", "metrics:read"])
    keys.write_text(key.entry + more, encoding="utf-8")
    recorder.token = key.token
    return {"REBATE_KEYS": str(keys), "REBATE_CLUSTER_SECRET": f"a:{'ab' * 32}"}


def _request(recorder: Recorder, path: str, **headers: str) -> None:
    """Send a request to worker 0, whatever is answered."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(recorder.worker().url + path, headers=names)  # noqa: S310 - loopback
    with contextlib.suppress(OSError):
        urllib.request.urlopen(request, timeout=5).close()  # noqa: S310


def forged_requests(recorder: Recorder) -> None:
    """Send a request that claims to come from a worker and is not signed."""
    _begin(recorder, **_credentials(recorder))
    _request(recorder, "/v1/users/u1/balance", Rebate_Forwarded="http://127.0.0.1:1", Rebate_Signature="v1 a")
    recorder.wait(lambda: _auth_refused(recorder, "signature"), "refused")
    recorder.scrape(2)


def wrong_credentials(recorder: Recorder) -> None:
    """Guess keys."""
    _begin(recorder, **_credentials(recorder))
    for number in range(120):
        _request(recorder, "/v1/users/u1/balance", Authorization=f"Bearer rbk_guess-{number}_{'x' * 43}")
    recorder.wait(lambda: _auth_refused(recorder, "invalid-token"), "refused")
    recorder.scrape(2)


def _auth_refused(recorder: Recorder, reason: str) -> float:
    return (recorder.samples() or {}).get(f'rebate_auth_refused_total{{reason="{reason}"}}', 0)


def _begin(recorder: Recorder, **environment: str) -> None:
    """Start a worker that has work behind it, and scrape it."""
    recorder.start(0, environment)
    recorder.send_orders()
    recorder.scrape()


def _bad(recorder: Recorder, count: int, age_ms: int = 0, key: bytes = BAD[0]) -> None:
    send(recorder.system, recorder.system.topics.orders, [(key, BAD[1], now_ms() - age_ms)] * count)


def worker_killed(recorder: Recorder) -> None:
    """One of two is killed, and the other takes over."""
    recorder.start(1)
    _begin(recorder)
    recorder.worker(1).kill()
    recorder.wait(lambda: _owns_all(recorder), "worker 0 owns all partitions")
    recorder.send_orders()
    recorder.scrape(2)


def _owns_all(recorder: Recorder) -> bool:
    items = ask(f"{recorder.worker().url}/v1/workers").body["items"]
    return len(items) == 1 and bool(items[0]["partitions"])


def restart_loop(recorder: Recorder) -> None:
    """Kill and start a worker again and again."""
    _begin(recorder)
    for _ in range(5):
        recorder.worker().kill()
        recorder.start(0)
        recorder.scrape()
    recorder.scrape(2)


def broker_frozen(recorder: Recorder) -> None:
    """Freeze the broker while there is work: the lease runs out, and reading stands still."""
    pid = recorder.broker.status().pid
    assert pid is not None
    gate = recorder.folder / "gate"
    fault = {
        "REBATE_TEST_FAULT": "computed:1:freeze-broker",
        "REBATE_TEST_FAULT_PID": str(pid),
        "REBATE_TEST_FAULT_GATE": str(gate),
    }
    _begin(recorder, **fault)
    try:
        with _flood(recorder, 20_000):
            gate.touch()
            recorder.wait(lambda: recorder.value("rebate_ready") == 0, "not ready")
            recorder.scrape(3)
            os.kill(pid, signal.SIGCONT)
    finally:
        os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def _flood(recorder: Recorder, count: int) -> Iterator[None]:
    """Send many orders in the background."""
    rows = recorder.raw_orders(count)
    topic = recorder.system.topics.orders
    sending = threading.Thread(target=recorder.system.produce, args=[topic, rows])
    sending.start()
    try:
        yield
    finally:
        sending.join()


def import_flood(recorder: Recorder) -> None:
    """More comes in than one worker processes."""
    _begin(recorder)
    with _flood(recorder, 120_000):
        recorder.wait_value("rebate_consumer_lag_records", 11_000)
        recorder.scrape()
        lag, processed = _pace(recorder)
        recorder.wait(
            lambda: all(now > before for now, before in zip(_pace(recorder), (lag, processed), strict=True)),
            "both grow",
        )
        recorder.scrape()


def _pace(recorder: Recorder) -> tuple[float, float]:
    return recorder.value("rebate_consumer_lag_records"), recorder.value("rebate_records_processed_total")


def hanging_transaction(recorder: Recorder) -> None:
    """Somebody's program begins a transaction and does not end it."""
    _begin(recorder)
    asyncio.run(_hang(recorder))


async def _hang(recorder: Recorder) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=recorder.broker.address, transactional_id="forgotten", transaction_timeout_ms=60_000
    )
    async with started(producer):
        await producer.begin_transaction()
        await producer.send_and_wait(recorder.system.topics.orders, BAD[1], key=BAD[0])
        await asyncio.to_thread(recorder.wait_value, "rebate_unstable_seconds", 2)
        await asyncio.to_thread(recorder.scrape, 3)
        await producer.abort_transaction()


def orders_stop(recorder: Recorder) -> None:
    """Orders of all networks come, and then none."""
    _begin(recorder)
    for _ in range(3):
        recorder.send_orders()
        recorder.scrape()
    recorder.scrape(2)


def old_events(recorder: Recorder) -> None:
    """Facts reach the topic ten minutes after they were made, as behind a slow mirror."""
    _begin(recorder)
    for _ in range(3):
        rows = [(key, value, now_ms() - HOUR_MS // 6) for key, value in recorder.raw_orders(20)]
        send(recorder.system, recorder.system.topics.orders, rows)
        recorder.system.wait_idle()
        recorder.scrape()


def sender_ahead(recorder: Recorder) -> None:
    """Send with a clock that is a minute fast."""
    _begin(recorder)
    rows = [(key, value, now_ms() + 60_000) for key, value in recorder.raw_orders(4)]
    send(recorder.system, recorder.system.topics.orders, rows)
    recorder.system.wait_idle()
    recorder.scrape(2)


def worker_ahead(recorder: Recorder) -> None:
    """Run a worker whose clock is half a minute fast."""
    _begin(recorder, REBATE_TEST_APP=RIGGED, REBATE_TEST_RIG="clock-ahead")
    recorder.scrape(2)


def disk_almost_full(recorder: Recorder) -> None:
    """Run a worker whose data folder is on a file system of 64 MiB."""
    folder = recorder.folder / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)], check=True)
    try:
        _begin(recorder, REBATE_DATADIR=str(folder / "data"))
        recorder.scrape(2)
        recorder.worker().stop()
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def one_dead_letter(recorder: Recorder) -> None:
    """One record that is no fact."""
    _begin(recorder)
    _bad(recorder, 1)
    recorder.wait_value("rebate_dead_letters_total")
    recorder.wait_value("rebate_dead_letter_oldest_age_seconds", 0.001)
    recorder.scrape(2)


def first_record_dead(recorder: Recorder) -> None:
    """Count a dead letter before the first scrape."""
    _bad(recorder, 1)
    recorder.start()
    recorder.wait_value("rebate_dead_letters_total")
    recorder.scrape(2)


def dead_letters_pour_in(recorder: Recorder) -> None:
    """Somebody sends what is no fact, again and again, beside good orders."""
    _begin(recorder)
    for number in range(3):
        _bad(recorder, 3)
        recorder.send_orders()
        recorder.wait_value("rebate_dead_letters_open", 3 * (number + 1))
        recorder.scrape()


def parked(recorder: Recorder) -> None:
    """Our fold fails on the order of one line, two hours ago."""
    _begin(recorder, REBATE_TEST_BUG="taobao:buggy")
    row = (b"taobao:buggy", raw(order("taobao:buggy")), now_ms() - 2 * HOUR_MS)
    send(recorder.system, recorder.system.topics.orders, [row])
    recorder.wait_value("rebate_parked_oldest_age_seconds", 3_600)
    recorder.scrape(2)


def dead_letter_limit(recorder: Recorder) -> None:
    """Send a hundred bad records in a row."""
    _begin(recorder)
    _bad(recorder, CONSECUTIVE_MAX + 30)
    recorder.wait_value("rebate_partition_halted")
    recorder.scrape(2)


def unreadable_record(recorder: Recorder) -> None:
    """Somebody writes into a control topic."""
    _begin(recorder)
    recorder.system.produce(recorder.system.topics.decisions, [(b"order_topic/0/0", b"nonsense")])
    recorder.wait_value("rebate_unreadable_records_total")
    recorder.scrape(2)


def unknown_activation(recorder: Recorder) -> None:
    """Somebody writes an activation of a rule version that no worker has noted."""
    _begin(recorder)
    value = encode_activated(Activation("2026-99", "0" * 64, 0, now_ms()), recorder.system.settings.app_id)
    recorder.system.produce(recorder.system.topics.user_log, [(b"u1", value)])
    recorder.wait_value("rebate_unknown_activations_total")
    recorder.scrape(2)


def fenced(recorder: Recorder) -> None:
    """Freeze a worker in the middle of its work until another has taken its partitions over."""
    quick = {"REBATE_SESSION_TIMEOUT": "6", "REBATE_TRANSACTION_TIMEOUT": "5"}
    recorder.start(1, quick)
    _begin(recorder, **quick)
    for _ in range(3):
        with _flood(recorder, 12_000), frozen(recorder.worker()):
            recorder.wait(lambda: _owns_all_by(recorder, 1), "worker 1 owns all partitions")
        recorder.wait(
            lambda: recorder.worker().process.poll() is not None or _is_ready(recorder), "it is back"
        )
        if recorder.worker().process.poll() is not None:
            break
        recorder.scrape()
        if recorder.value("rebate_fenced_total"):
            break
    recorder.scrape()


def _is_ready(recorder: Recorder) -> bool:
    return recorder.value("rebate_ready") == 1


def _owns_all_by(recorder: Recorder, number: int) -> bool:
    items = ask(f"{recorder.worker(number).url}/v1/workers").body["items"]
    return [item["url"] for item in items if item["partitions"]] == [recorder.worker(number).url]


def broker_fails(recorder: Recorder) -> None:
    """Have the broker refuse a transaction, so that the task begins again at its fence each time."""
    _begin(recorder)
    set_max_bytes(recorder.system, recorder.system.topics.order_lines.dead_letter, 100)
    for number in range(16):
        _bad(recorder, 1, key=f"taobao:{number}".encode())
    recorder.wait_value("rebate_reopened_total", 8)
    recorder.scrape()
    recorder.wait_value("rebate_reopened_total", 12)
    recorder.scrape()


def sources_in_trouble(recorder: Recorder) -> None:
    """Fetch from a network that refuses the signature, and from one that is unknown to us, late and busy.

    The clock of both is five minutes behind.
    """
    clock = fast_clock(time.time() - 300, 1)
    day_ago = int(time.time()) - DAY_SECONDS
    jd, pdd = (new_network(name, 20, day_ago, 1) for name in ("jd", "pdd"))
    pdd.app_key = "another"
    with serving(jd, clock) as jd_url, serving(pdd, clock) as pdd_url:
        (recorder.folder / "secret").write_text("secret")
        (recorder.folder / "wrong").write_text("wrong")
        (recorder.folder / "sources.toml").write_text(
            SOURCES.format(jd_url=jd_url, pdd_url=pdd_url), encoding="utf-8"
        )
        _begin(recorder, REBATE_SOURCES=str(recorder.folder / "sources.toml"))
        recorder.wait_value("rebate_source_stopped")
        recorder.wait_value("rebate_source_unknown_answers")
        recorder.scrape()
        recorder.wait_value("rebate_source_unknown_answers", 3)
        recorder.scrape()


SOURCES = """
[[app]]
id = "jd"
network = "jd"
url = "{jd_url}"
app_key = "key"
secret_file = "wrong"
[[account]]
id = "jd-1"
app = "jd"
[[app]]
id = "pdd"
network = "pdd"
url = "{pdd_url}"
app_key = "key"
secret_file = "secret"
per_day = 4
[[account]]
id = "pdd-1"
app = "pdd"
"""


def webhook_receiver_down(recorder: Recorder) -> None:
    """Have the webhooks' receiver answer every request with 503."""
    with Receiver() as receiver:
        _begin(recorder, **webhooks(receiver))
        receiver.decide = lambda _: 503
        recorder.send_orders(24)
        recorder.wait_value("rebate_webhook_circuit_open")
        recorder.scrape(3)


def webhooks_paused(recorder: Recorder) -> None:
    """Pause webhooks."""
    with Receiver() as receiver:
        _begin(recorder, **webhooks(receiver))
        done = recorder.system.command(
            "webhooks", "pause", "--why", "the receiver is being moved", "--by", "somebody"
        )
        assert done.returncode == 0, done.stderr
        recorder.wait_value("rebate_webhook_paused")
        recorder.scrape(2)


def webhooks_given_up(recorder: Recorder) -> None:
    """Let the receiver fail for longer than REBATE_WEBHOOK_GIVE_UP_AFTER."""
    with Receiver(lambda request: 500 if b"gone" in request.body else 204) as receiver:
        _begin(recorder, **webhooks(receiver, REBATE_WEBHOOK_GIVE_UP_AFTER="1"))
        recorder.system.send_orders([order("taobao:gone", "gone")])
        recorder.wait(
            lambda: (recorder.samples() or {}).get(
                'rebate_webhook_deliveries_total{outcome="webhook-exhausted"}', 0
            ),
            "given up",
        )
        recorder.scrape(2)


def webhook_address_refused(recorder: Recorder) -> None:
    """Send webhooks to a private address, which is not allowed."""
    with Receiver() as receiver:
        recorder.start(0, webhooks(receiver, REBATE_WEBHOOK_ALLOW_PRIVATE="0"))
        recorder.scrape()
        recorder.send_orders()
        refused = 'rebate_webhook_attempts_total{outcome="address-refused"}'
        recorder.wait(lambda: (recorder.samples() or {}).get(refused, 0), "refused")
        recorder.scrape(2)


def request_fails(recorder: Recorder) -> None:
    """Ask for a balance of which reading raises."""
    _begin(recorder, REBATE_TEST_APP=RIGGED, REBATE_TEST_RIG="request-fails")
    assert ask(f"{recorder.worker().url}/v1/users/u1/balance").status == 500
    recorder.scrape(2)


def connections_exhausted(recorder: Recorder) -> None:
    """More clients than a worker takes send half a request each."""
    _begin(recorder)
    address = re.sub(r"^http://", "", recorder.worker().url).split(":")
    with contextlib.ExitStack() as stack:
        for _ in range(CONNECTIONS):
            client = stack.enter_context(socket.create_connection((address[0], int(address[1])), 5))
            client.sendall(b"GET /livez HTTP/1.1\r\n")
        recorder.wait(lambda: ask(f"{recorder.worker().url}/livez", seconds=2).status == REFUSED, "refused")
    recorder.wait(
        lambda: (recorder.samples() or {}).get(
            'rebate_http_connections_closed_total{reason="too-many-connections"}', 0
        ),
        "refused connections",
    )
    recorder.scrape(2)


def wrong_partitioner(recorder: Recorder) -> None:
    """Send with librdkafka's default partitioner."""
    _begin(recorder)
    producer = Producer({"bootstrap.servers": recorder.broker.address})
    for key, value in recorder.raw_orders(40):
        producer.produce(recorder.system.topics.orders, key=key, value=value)
    producer.flush(30)
    recorder.wait_value("rebate_rerouted_records_total")
    recorder.system.wait_idle()
    recorder.scrape(2)


def trail_not_written(recorder: Recorder) -> None:
    """Change a profile while the broker refuses records of the audit trail."""
    _begin(recorder)
    set_max_bytes(recorder.system, recorder.system.topics.audit_trail, TRAIL_BYTES_MAX)
    body = {"level": "basic", "inviter_id": None}
    answer = ask(f"{recorder.worker().url}/v1/users/u1/profile", method="PUT", body=json.dumps(body).encode())
    assert answer.status == REFUSED, answer.body
    recorder.scrape(2)


def misdirected(recorder: Recorder) -> None:
    """Send a request that names another host."""
    _begin(recorder)
    _request(recorder, "/v1/workers", Host="elsewhere.example")
    recorder.wait_value("rebate_http_refused_total")
    recorder.scrape(2)


def group_offset_behind(recorder: Recorder) -> None:
    """Let every commit of the group's offsets fail from a moment on."""
    gate = recorder.folder / "gate"
    rig = {"REBATE_TEST_RIG": "no-group-commit", "REBATE_TEST_RIG_GATE": str(gate)}
    _begin(recorder, REBATE_TEST_APP=RIGGED, **rig)
    recorder.wait(_commits_are_known(recorder), "offsets are committed")
    gate.touch()
    recorder.system.produce(recorder.system.topics.orders, recorder.raw_orders(8_000))
    recorder.wait_value("rebate_group_commit_behind_records", 8_500)
    recorder.scrape(2)


def _commits_are_known(recorder: Recorder) -> Callable[[], bool]:
    name = "rebate_group_commit_behind_records{"
    return lambda: any(series.startswith(name) for series in recorder.samples() or {})


def watched_file_refused(recorder: Recorder) -> None:
    """Replace a watched file by one that cannot be used."""
    credentials = _credentials(recorder)
    _begin(recorder, **credentials)
    Path(credentials["REBATE_KEYS"]).write_text("[[key]\n", encoding="utf-8")
    recorder.wait(lambda: recorder.value("rebate_watched_file_ok") == 0, "refused")
    recorder.scrape(2)
