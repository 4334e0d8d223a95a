"""Money out on a real Kafka: one decision for each request, whoever asks how often and wherever."""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from rebate_app.wire.facts.owner import decode_owner_fact
from rebate_app.wire.facts.payouts import AuthoredFact
from tests.e2e.conftest import RULES, NewSystem
from tests.rig.system import Answer, System, Worker, ask
from tests.rig.waiting import POLL_S, wait_for

WITHDRAW = """
[withdraw]
channels = ["bank"]
max_per_day = 1000
max_open = 1000
review_over_fen = 1000000000
review_first = false
review_new_payee = false
"""
IDS, REPEATS, AMOUNT, FUNDED = 40, 5, 1_000, 20_000
MOVED_SECONDS_MAX = 60.0
ANSWERED_SECONDS_MAX = 240.0
#: A channel by hand: nobody pays while nobody exports.
CHANNELS = '[[channel]]\nname = "bank"\nkind = "manual"\n'


def with_payees(folder: Path) -> dict[str, Any]:
    """Return the settings of workers that keep payees."""
    (folder / "channels.toml").write_text(CHANNELS)
    return {
        "REBATE_CHANNELS": str(folder / "channels.toml"),
        "REBATE_PAYEE_KEYS": "a:" + base64.b64encode(b"k" * 32).decode(),
        "REBATE_PAYEE_ID_KEY": "i" * 32,
    }


def add_payee(url: str) -> str:
    """Give mei a payee once its owner answers for payees; return its id."""
    body = orjson.dumps({"channel": "bank", "account": "6222020200112233", "name": "Mei Li"})

    def added() -> str:
        answer = ask(f"{url}/v1/users/mei/payees", method="POST", body=body)
        return str(answer.body["payee_id"]) if answer.status == 201 else ""

    return wait_for(added, 60, "a payee is kept")


async def ask_all(workers: list[Worker], payee_id: str) -> list[tuple[str, int, str]]:
    """Send every request five times at once, over all workers; return id, status and code of each."""
    limit = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        connector=limit, timeout=aiohttp.ClientTimeout(ANSWERED_SECONDS_MAX)
    ) as client:

        async def post(number: int) -> tuple[str, int, str]:
            own_id = f"w{number % IDS}"
            body = {"withdrawal_id": own_id, "amount": AMOUNT, "channel": "bank", "payee_id": payee_id}
            url = f"{workers[number % len(workers)].url}/v1/users/mei/withdrawals"
            async with asyncio.timeout(ANSWERED_SECONDS_MAX):
                while True:  # a 503 says that nothing is known yet: to be asked again with the same id
                    async with client.post(url, json=body) as response:
                        answer = await response.json()
                        if response.status != 503:
                            return own_id, response.status, answer.get("code", answer.get("state", ""))
                    await asyncio.sleep(POLL_S)

        return await asyncio.gather(*(post(number) for number in range(IDS * REPEATS)))


def decisions(system: System) -> Counter[str]:
    """Return how many decisions each withdrawal has in the log."""
    found: Counter[str] = Counter()
    for record in system.read(system.topics.user_log):
        if b'"withdrawal.decided"' in (record.value or b""):
            fact = decode_owner_fact(record.value, record.key, "")
            assert isinstance(fact, AuthoredFact)
            found[fact.fact.withdrawal_id] += 1
    return found


def fund(system: System, url: str) -> None:
    """Give mei money by the commands, which go to the log without a token."""
    amount = ("--amount", str(FUNDED), "--reason-code", "goodwill")
    propose = ("adjustments", "propose", "mei", "a1", *amount, "--reason", "start", "--by", "lin", "--json")
    done = system.command(*propose, url=url)
    assert (done.returncode, orjson.loads(done.stdout)) == (0, {"sent": 1}), done.stderr
    for by in ("lin", "wang"):  # one person cannot do both
        command = ("adjustments", "approve", "mei", "a1", "--reason", "start", "--by", by)
        assert system.command(*command, url=url).returncode == 0
        system.wait_idle()
        expected = 0 if by == "lin" else FUNDED
        assert ask(f"{url}/v1/users/mei/balance").body["available"] == expected


def brought_along(system: System, url: str) -> None:
    """Import and approve an opening by the commands: the trail says why, also where nobody said it."""
    file = system.folder / "openings.ndjson"
    opening = {"user_id": "li", "opening_id": "o1", "source": "old", "as_of": "2026-01-01", "available": 5}
    file.write_bytes(orjson.dumps(opening | {"confirmed": [], "withdrawn": 0}))
    batch = ("--batch", "b1", "--yes", "--by")
    done = system.command("openings", "import", str(file), *batch, "lin", url=url)
    assert done.returncode == 0, done.stderr
    system.wait_idle()
    done = system.command("openings", "approve", *batch, "wang", url=url)
    assert (done.returncode, done.stdout) == (0, "sent 1\n"), done.stderr
    trail = [orjson.loads(record.value) for record in system.read(system.topics.audit_trail)]
    assert [(each["actor"], each["subject"], each["reason"], each["status"]) for each in trail[-2:]] == [
        ("cli:lin", "b1", None, 202),
        ("cli:wang", "b1", "batch b1 approved", 202),
    ]


def states(url: str) -> dict[str, Any]:
    """Return state and reason of every withdrawal."""
    page = ask(f"{url}/v1/users/mei/withdrawals?limit=200").body
    return {item["withdrawal_id"]: (item["state"], item["reason"]) for item in page["items"]}


def cancelled(url: str) -> Answer | None:
    """Ask to cancel w0; None while its partition moves to a worker that lives (503, to be repeated)."""
    body = orjson.dumps({"reason": "not now"})
    reply = ask(f"{url}/v1/users/mei/withdrawals/w0/cancel", method="POST", body=body, seconds=30)
    return None if reply.status == 503 else reply


class TestWithdrawals:
    """200 requests of one user at once, over three workers; then a rebuild."""

    def test_each_is_decided_once(self, new_system: NewSystem) -> None:
        """As many are accepted as there is money, and every app comes to the same."""
        system: System = new_system([RULES + WITHDRAW])
        workers = [system.start_worker(**with_payees(system.folder)) for _ in range(3)]
        for worker in workers:
            worker.wait_ready()
        url = workers[0].url
        fund(system, url)
        brought_along(system, url)
        answers = asyncio.run(ask_all(workers, add_payee(url)))
        by_id: dict[str, list[int]] = {}
        for own_id, status, _ in answers:
            by_id.setdefault(own_id, []).append(status)
        assert set(map(len, by_id.values())) == {REPEATS}
        for statuses in by_id.values():
            assert set(statuses) <= {200, 201, 202, 422}, answers
            assert statuses.count(201) + statuses.count(422) <= 1
        system.wait_idle()
        balance = ask(f"{url}/v1/users/mei/balance").body
        assert (balance["available"], balance["frozen"], balance["debt"]) == (0, FUNDED, 0)
        counts = Counter(state for state, _ in states(url).values())
        assert counts == {"approved": FUNDED // AMOUNT, "refused": IDS - FUNDED // AMOUNT}
        assert set(decisions(system).values()) == {1}
        assert len(decisions(system)) == IDS
        assert system.command("audit", url=url).returncode == 0
        self.another_app_follows(system, workers)

    def another_app_follows(self, system: System, workers: list[Worker]) -> None:
        """Build the accounts anew under another id: it decides nothing, and has the same states."""
        expected = states(workers[0].url)
        rebuilt = system.start_worker(REBATE_APP_ID="rebuilt", REBATE_DATADIR=str(system.folder / "other"))
        rebuilt.wait_ready()
        workers[1].kill()
        reply = wait_for(lambda: cancelled(workers[0].url), MOVED_SECONDS_MAX, "an owner that answers")
        assert reply.status in (200, 202, 409), reply.body
        system.wait_idle()
        found = states(rebuilt.url)
        assert found.keys() == expected.keys()
        assert {own_id: state for own_id, state in found.items() if own_id != "w0"} == {
            own_id: state for own_id, state in expected.items() if own_id != "w0"
        }
        assert set(decisions(system).values()) == {1}
