"""Payouts by a real worker on a real Kafka: by hand, by callback, closed; many at once: tests/chaos."""

from __future__ import annotations

import json
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.e2e.conftest import NewSystem
from tests.rig.paying import AMOUNT, RULES, control, fund, send, settings, simulated, states
from tests.rig.system import System, Worker, ask
from tests.rig.waiting import wait_for

pytestmark = pytest.mark.kafka


class TestPayouts:
    """From a request over HTTP to the service's own ledger."""

    def test_by_hand_by_callback_and_closed(self, new_system: NewSystem, tmp_path: Path) -> None:
        """A day of an operator: exports, results, a callback, a bill, and everything closed."""
        with simulated(tmp_path) as url:
            system = new_system([RULES], **settings(tmp_path, url))
            worker = system.start_worker(0)
            worker.wait_ready()
            paid_to = fund(worker, "u1", 100_000)
            payee = {"channel": "bank", "account": "6222021234567890123", "name": "=李四"}
            by_hand = send(worker.url, "/v1/users/u1/payees", payee).body["payee_id"]
            self.by_hand(system, worker, by_hand, tmp_path)
            self.by_callback(worker, url, paid_to)
            self.closed(system, worker, url, paid_to, tmp_path)
            self.rotated(system, worker)

    def by_hand(self, system: System, worker: Worker, payee_id: str, folder: Path) -> None:
        """Export, the same again, another; results, the same again."""
        for number in range(3):
            wanted = {
                "withdrawal_id": f"h{number}",
                "amount": AMOUNT,
                "channel": "bank",
                "payee_id": payee_id,
            }
            assert send(worker.url, "/v1/users/u1/withdrawals", wanted).status == 201
        assert (
            send(worker.url, "/v1/users/u1/payees/" + payee_id, {}, "DELETE").body["code"] == "payee-in-use"
        )

        def export(export_id: str, name: str) -> str:
            words = ["--channel", "bank", "--export-id", export_id, "--out", str(folder / name)]
            done = system.command("payouts", "export", *words, url=worker.url)
            assert done.returncode == 0, done.stderr
            return (folder / name).read_text(encoding="utf-8-sig")

        assert len(export("x0", "closed.csv").splitlines()) == 1  # nobody has opened the channel
        opened = system.command("payouts", "open", "bank", url=worker.url)
        assert opened.returncode == 0, opened.stderr
        first = export("x1", "first.csv")
        assert len(first.splitlines()) == 4
        assert "6222021234567890123,'=李四," in first
        assert (folder / "first.csv").stat().st_mode & 0o777 == 0o600
        assert export("x1", "again.csv") == first
        assert len(export("x2", "other.csv").splitlines()) == 1
        numbers = [line.split(",")[0] for line in first.splitlines()[1:]]
        at = datetime.now(UTC).isoformat(timespec="seconds")
        rows = [f"{numbers[0]},paid,9.90,ref1,,{at}", f"{numbers[1]},failed,9.90,,no-such-account,"]
        rows += [f"{numbers[2]},paid,9.91,ref3,,", "0123456789abcdef0123456789abcdef,paid,9.90,,,"]
        rows += [f"{numbers[2]},paid,ten,ref3,,"]
        (folder / "results.csv").write_text(
            "payout_no,status,amount_yuan,channel_ref,code,at\n" + "\n".join(rows)
        )
        words = ["payouts", "import-results", str(folder / "results.csv"), "--json"]
        for more, accepted, unchanged in ((["--strict"], 0, 0), ([], 2, 0), (["--channel", "bank"], 0, 2)):
            done = system.command(*words, *more, url=worker.url)
            found = json.loads(done.stdout)
            assert (done.returncode, found["accepted"], found["unchanged"]) == (1, accepted, unchanged)
            codes = [(each["row"], each["code"]) for each in found["refused"]]
            assert codes == [(3, "amount"), (4, "unknown-payout"), (5, "invalid-amount_yuan")]
        self.dated(system, worker, numbers[0], at, folder)
        assert sorted(states(worker, {"u1": ""}).values()) == ["failed", "paid", "sending"]
        status = json.loads(system.command("payouts", "status", "--json", url=worker.url).stdout)
        assert status["active"] == "rebate"
        assert status["exports"] == [{"channel": "bank", "export_id": "x1", "open": 1}]

    def dated(self, system: System, worker: Worker, number: str, at: str, folder: Path) -> None:
        """Find the payment in a bill that ends in the second that its file names."""
        bill = f"payout_no,amount_yuan,status,channel_ref,at\n{number},9.90,failed,r,{at}\n"
        (folder / "bank-bill.csv").write_text(bill)
        words = ["payouts", "reconcile", str(folder / "bank-bill.csv"), "--channel", "bank", "--json"]
        done = system.command(*words, url=worker.url)
        found = json.loads(done.stdout)
        assert (done.returncode, found["ignored"], found["closed"]) == (1, {"failed": 1}, False)
        assert [(each["payout_no"], each["kind"]) for each in found["differences"]] == [
            (number, "paid-here-not-there")
        ]
        own = ask(f"{worker.url}/v1/withdrawals?state=paid").body["items"]
        assert [datetime.fromisoformat(each["paid_at"]) for each in own] == [datetime.fromisoformat(at)]

    def by_callback(self, worker: Worker, url: str, payee_id: str) -> None:
        """Take callbacks that are signed, whatever they are about, and refuse others."""
        assert send(worker.url, "/v1/channels/http/open", {"reason": "begin"}).body["confirmed"] is True
        assert control(url, "plan", {"name": "slow-paid", "seconds": 1_000_000})
        wanted = {"withdrawal_id": "c1", "amount": AMOUNT, "channel": "http", "payee_id": payee_id}
        response = send(worker.url, "/v1/users/u1/withdrawals", wanted)
        number = response.body["payout_no"]
        wait_for(lambda: control(url, "ledger")["payouts"].get(number) == "pending", 20, "sent")
        wait_for(lambda: states(worker, {"u1": ""})["u1", "c1"] == "sending", 20, "pending")
        bad = ask(f"{worker.url}/v1/payout-notifications/http", method="POST", body=b"{}")
        assert (bad.status, bad.body["code"]) == (403, "invalid-signature")
        notify = f"{worker.url}/v1/payout-notifications/http"
        for _ in range(3):
            assert control(url, "callback", {"number": number, "times": 3, "url": notify})

    def closed(self, system: System, worker: Worker, url: str, payee_id: str, folder: Path) -> None:
        """Compare the service's bill, close a channel whose bill has a payout that is not ours; then all."""
        self.reconciled(system, worker, url, payee_id, folder)
        bill = "payout_no,amount_yuan,status,channel_ref,at\nffff,1.00,paid,r,2026-03-01T00:00:00+08:00\n"
        (folder / "bill.csv").write_text(bill)
        words = ["payouts", "reconcile", str(folder / "bill.csv"), "--channel", "http", "--json"]
        done = system.command(*words, url=worker.url)
        found = json.loads(done.stdout)
        assert (done.returncode, found["closed"]) == (1, True)
        assert found["differences"] == [
            {"kind": "paid-there-not-here", "payout_no": "ffff", "here": None, "there": 100}
        ]
        done = system.command("payouts", "close", "--all", "--reason", "the end", "--json", url=worker.url)
        assert done.returncode == 0, done.stderr
        assert {item["state"] for item in json.loads(done.stdout)["items"]} == {"closed"}
        wanted = {"withdrawal_id": "n1", "amount": AMOUNT, "channel": "http", "payee_id": payee_id}
        before = len(control(url, "ledger")["posts"])
        assert send(worker.url, "/v1/users/u1/withdrawals", wanted).status == 201
        gauge = 'rebate_payouts_held{reason="channel-not-open"} 1.0'
        wait_for(lambda: gauge in str(ask(f"{worker.url}/metrics").body), 20, "it waits")
        assert len(control(url, "ledger")["posts"]) == before

    def reconciled(self, system: System, worker: Worker, url: str, payee_id: str, folder: Path) -> None:
        """Find no difference in the service's own bill, and the one that is made."""
        for own_id in ("r1", "r2", "r3"):
            wanted = {"withdrawal_id": own_id, "amount": AMOUNT, "channel": "http", "payee_id": payee_id}
            number = send(worker.url, "/v1/users/u1/withdrawals", wanted).body["payout_no"]
            wait_for(lambda: states(worker, {"u1": ""})["u1", own_id] == "paid", 20, "paid")  # noqa: B023 - now
        for name, code, kinds in (("", 0, []), ("amount", 1, ["amount"])):
            if name:
                assert control(url, "bill", {"number": number, "name": name})
            with urllib.request.urlopen(f"{url}/control/bill", timeout=5) as answer:  # noqa: S310 - loopback
                (folder / "day.csv").write_bytes(answer.read())
            words = ["payouts", "reconcile", str(folder / "day.csv"), "--channel", "http", "--json"]
            done = system.command(*words, url=worker.url)
            found = json.loads(done.stdout)
            assert (done.returncode, found["rows"], found["closed"]) == (code, 3, False), done.stdout
            assert [each["kind"] for each in found["differences"]] == kinds

    def rotated(self, system: System, worker: Worker) -> None:
        """Nothing to seal anew, and payees of a closed world can be forgotten."""
        done = system.command("payees", "rotate", "--json", url=worker.url)
        assert json.loads(done.stdout) == {"rotated": 0, "unreadable": 0}
        payee = {"channel": "bank", "account": "1", "name": ""}
        payee_id = send(worker.url, "/v1/users/u9/payees", payee).body["payee_id"]
        listed = ask(f"{worker.url}/v1/users/u9/payees").body["items"]
        assert listed == [{"payee_id": payee_id, "channel": "bank", "account": "*", "name": ""}]
        assert send(worker.url, f"/v1/users/u9/payees/{payee_id}", {}, "DELETE").status == 200
        assert ask(f"{worker.url}/v1/users/u9/payees").body["items"] == []
        bad = send(worker.url, "/v1/users/u9/payees", {"channel": "x", "account": 1, "name": "\n", "z": 1})
        codes = {each["code"] for each in bad.body["errors"]}
        assert codes == {"unknown-channel", "invalid-account", "invalid-name", "unknown-member"}
