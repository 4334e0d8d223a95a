"""The turn moves from one app to another on a real Kafka (docs/spec/money-out.md#active-app)."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rebate_app.cli.command_trail import command_record
from rebate_app.payouts.activation import Mover
from rebate_app.payouts.remembered_ends import WHY_CLOSED
from rebate_app.settings import EXIT_FINDINGS, EXIT_UNAVAILABLE, Settings, load_settings
from rebate_app.streams.state.log_memory import ENDS_BEFORE, NOBODY_REMEMBERS
from rebate_app.wire.audit_trail import encode_trail
from tests.e2e.conftest import NewSystem
from tests.e2e.test_money_out import add_payee, with_payees
from tests.kafka_fixture import SHORT_SESSION
from tests.rig.paying import RULES, send
from tests.rig.system import Answer, System, Worker, ask
from tests.rig.waiting import wait_for

pytestmark = pytest.mark.kafka

OLD, NEW = "rebate", "rebate-2"
WAIT_SECONDS = 60.0


class Crash(Exception):  # noqa: N818 - what stands for a kill -9 between two steps
    """The mover dies."""


@contextmanager
def acting_as(system: System, app: str, url: str) -> Iterator[None]:
    """Run commands of the block as an operator of the app."""
    before = system._environment
    system._environment = before | {"REBATE_APP_ID": app, "REBATE_URL": url}
    try:
        yield
    finally:
        system._environment = before


def activate(system: System, app: str, url: str, code: int = 0) -> dict[str, Any]:
    """Run the command; return what it prints."""
    with acting_as(system, app, url):
        words = ["payouts", "activate", "--reason", "moved", "--by", "lin", "--yes", "--json", "--wait", "60"]
        done = system.command(*words)
    assert done.returncode == code, done.stdout + done.stderr
    return dict(json.loads(done.stdout)) if code == 0 else {"says": done.stderr}


def settings_of(system: System, app: str) -> Settings:
    """Return the settings of an app on the system."""
    return load_settings(system._environment | {"REBATE_APP_ID": app})


async def crash_at(settings: Settings, point: str, seconds: float = WAIT_SECONDS) -> None:
    """Move the turn to the app of the settings, and die at that step."""

    def step(name: str) -> None:
        if name == point:
            raise Crash(name)

    trail = encode_trail(command_record("payouts.activate", settings.app_id, "lin", "moved"))
    async with Mover(settings, time.monotonic() + seconds, step=step) as mover:
        await mover.move("cli:lin", trail)


def request(worker: Worker, own_id: str, payee_id: str) -> int:
    """Request a withdrawal; return the status of the answer."""
    wanted = {"withdrawal_id": own_id, "amount": 1_000, "channel": "bank", "payee_id": payee_id}
    return send(worker.url, "/v1/users/mei/withdrawals?wait_ms=300", wanted).status


def ask_for_payee(worker: Worker, account: str) -> Answer:
    """Ask for a payee once; return the answer."""
    members = json.dumps({"channel": "bank", "account": account, "name": "张三丰"}).encode()
    return ask(f"{worker.url}/v1/users/mei/payees", method="POST", body=members)


def new_payee(worker: Worker, account: str) -> str:
    """Add a payee; return its id."""
    answer = wait_for(lambda: _created(ask_for_payee(worker, account)), 20, "the payee is there")
    return str(answer.body["payee_id"])


def is_refused(answer: Answer) -> bool:
    """Whether a change of payees was refused since another app keeps them; AssertionError if it was made."""
    assert answer.status in (0, 503), answer.body
    return answer.status == 503 and "another app has the turn" in answer.body["detail"]


def _created(answer: Answer) -> Answer | None:
    return answer if answer.status == 201 else None


def payees(worker: Worker) -> set[str]:
    """Return the ids of the user's payees, none while they cannot be read."""
    answer = ask(f"{worker.url}/v1/users/mei/payees")
    return {each["payee_id"] for each in answer.body["items"]} if answer.status == 200 else set()


def decided(worker: Worker, own_id: str, payee_id: str) -> None:
    """Request a withdrawal, and wait until it is accepted."""
    wait_for(lambda: request(worker, own_id, payee_id) in (200, 201), 20, f"{own_id} is decided")


def state(worker: Worker, own_id: str) -> str:
    """Return the state of a withdrawal, "" while it cannot be read."""
    answer = ask(f"{worker.url}/v1/users/mei/withdrawals/{own_id}")
    return str(answer.body["state"]) if answer.status == 200 else ""


def fund(worker: Worker) -> str:
    """Give the user money and a payee, and open the channel; return the payee's id."""
    members = {"adjustment_id": "a1", "amount": 100_000, "reason_code": "goodwill", "reason": "test"}
    send(worker.url, "/v1/users/mei/adjustments", members)
    send(worker.url, "/v1/users/mei/adjustments/a1/approve", {"reason": "test"})
    assert send(worker.url, "/v1/channels/bank/open", {"reason": "begin"}).status == 200
    return add_payee(worker.url)


def channel(worker: Worker) -> tuple[str, str]:
    """Return the channel's state, and why."""
    (item,) = ask(f"{worker.url}/v1/channels").body["items"]
    return item["state"], item["why"]


class TestActivate:
    """`rebate payouts activate`."""

    def test_there_and_back(self, new_system: NewSystem, tmp_path: Path) -> None:
        """Killed after every step, repeated, and back again while no worker of the app before is left.

        Each app dead-letters the record that nobody can use, which keeps neither audit from finding nothing.
        """
        system = new_system([RULES], REBATE_PARTITIONS="2", **SHORT_SESSION, **with_payees(tmp_path))
        old = system.start_worker(0)
        old.wait_ready()
        payee, erased = fund(old), new_payee(old, "6222021234567890999")
        system.produce(system.topics.user_log, [(b"mei", b"{")])
        new = system.start_worker(1, REBATE_APP_ID=NEW)
        decided(old, "w1", payee)
        self.refused(system, old)
        new.wait_ready()
        self.refused_by_the_audit(system, new)
        decided(old, "w2", payee)  # the app before decides on
        added = self.followed(old, new, erased)
        settings = settings_of(system, NEW)
        for point in ("ended", "folded"):
            with pytest.raises(Crash, match=point):
                asyncio.run(crash_at(settings, point))
            wait_for(lambda n=point: request(old, f"at-{n}", payee) == 202, 20, "nobody decides")  # type: ignore[misc]
        assert state(old, "at-ended") == "requested"
        assert channel(old) == ("open", "begin")
        with pytest.raises(Crash, match="named"):
            asyncio.run(crash_at(settings, "named"))
        found = activate(system, NEW, new.url)
        assert (found["active"], found["changed"], found["closed"]) == (NEW, False, [])
        for worker in (new, old):
            for own_id in ("w1", "at-ended", "at-folded"):
                wait_for(lambda w=worker, i=own_id: state(w, i) == "approved", 20, "decided")  # type: ignore[misc]
        # Its data folder was empty, and no other worker of its group remembers the log.
        wait_for(
            lambda: channel(new) == ("closed", WHY_CLOSED[NOBODY_REMEMBERS]), 20, "the channel is closed"
        )
        assert send(new.url, "/v1/channels/bank/open", {"reason": "compared"}).status == 200
        decided(new, "w3", payee)
        self.taken_over(old, new, erased, {payee, added})
        self.audited(system, new, old)
        assert len(system.read(system.topics.accounts.dead_letter)) == 2
        assert activate(system, NEW, new.url)["changed"] is False
        new.kill()  # its group has members for a while; then its producers are fenced
        assert request(old, "w4", payee) == 202
        self.remember_more(system)
        found = activate(system, OLD, old.url)
        assert (found["active"], found["before"], found["changed"]) == (OLD, NEW, True)
        assert (found["closed"], found["why_closed"]) == (["bank"], WHY_CLOSED[ENDS_BEFORE])
        assert state(old, "w4") == "approved"
        wait_for(lambda: channel(old) == ("closed", WHY_CLOSED[ENDS_BEFORE]), 20, "the channel is closed")
        self.recorded(system)

    def followed(self, old: Worker, new: Worker, erased: str) -> str:
        """Change payees with the app that has the turn: the other one follows, and changes none itself."""
        wait_for(lambda: erased in payees(new), 20, "the new app has read the payees")
        assert ask(f"{old.url}/v1/users/mei/payees/{erased}", method="DELETE").body["forgotten"]
        added = new_payee(old, "6222021234567890888")
        wait_for(lambda: is_refused(ask_for_payee(new, "6222021234567890777")), 20, "it adds none")
        erasing = f"{new.url}/v1/users/mei/payees/{added}"
        wait_for(lambda: is_refused(ask(erasing, method="DELETE")), 20, "it erases none")
        wait_for(lambda: payees(new) == payees(old), 20, "the new app follows")
        return added

    def taken_over(self, old: Worker, new: Worker, erased: str, kept: set[str]) -> None:
        """Find what the app before had at the end, erased ones left out; now the new one keeps them."""
        wait_for(lambda: payees(new) == kept, 20, "the new app has them")
        assert request(new, "to-erased", erased) == 422
        another = new_payee(new, "6222021234567890777")
        wait_for(lambda: is_refused(ask_for_payee(old, "6222021234567890666")), 20, "the old one adds none")
        wait_for(lambda: payees(old) == kept | {another}, 20, "the app before follows")

    def refused(self, system: System, old: Worker) -> None:
        """Refuse an app that does not run here, and to go on where nobody can be asked."""
        message = activate(system, "nobody", old.url, EXIT_UNAVAILABLE)["says"]
        assert "No worker of the app nobody" in message

    def refused_by_the_audit(self, system: System, new: Worker) -> None:
        """Refuse an app in whose table something is missing."""
        system.wait_idle()
        topic = system.topics.accounts.changelog.replace(f"{OLD}-", f"{NEW}-", 1)
        key = b"w mei w1"
        wait_for(lambda: any(each.key == key for each in system.read(topic)), 20, "the new app follows")
        value = [each.value for each in system.read(topic) if each.key == key][-1]
        system.produce(topic, [(key, None)])
        message = activate(system, NEW, new.url, EXIT_FINDINGS)["says"]
        assert "The audit of the app rebate-2 finds" in message
        system.produce(topic, [(key, value)])

    def remember_more(self, system: System) -> None:
        """Let the folder of whoever activates remember a longer log, as after a restored backup."""
        (file,) = (system.folder / "worker-0" / "logs").iterdir()
        memory = json.loads(file.read_bytes())
        memory["topics"][system.topics.user_log]["ends"] = {"0": 10**6, "1": 10**6}
        (system.folder / "commands" / "logs").mkdir(parents=True)
        (system.folder / "commands" / "logs" / file.name).write_text(json.dumps(memory))

    def audited(self, system: System, *workers: Worker) -> None:
        """Find nothing in either app."""
        system.wait_idle()
        for worker, app in zip(workers, (NEW, OLD), strict=True):
            with acting_as(system, app, worker.url):
                assert system.command("lag", "--wait", "30").returncode == 0
                done = system.command("audit")
                assert done.returncode == 0, done.stdout

    def recorded(self, system: System) -> None:
        """Find who activated what in the audit trail, and one end in each partition for each move."""
        trail = [json.loads(record.value) for record in system.read(system.topics.audit_trail)]
        moves = [each for each in trail if each["action"] == "payouts.activate"]
        assert [(each["actor"], each["subject"], each["reason"]) for each in moves] == [
            ("cli:lin", NEW, "moved"),
            ("cli:lin", OLD, "moved"),
        ]
        ends = [
            json.loads(record.value)["app"]
            for record in system.read(system.topics.user_log)
            if b'"payouts.ended"' in (record.value or b"")
        ]
        assert sorted(ends) == [OLD, OLD, NEW, NEW]
