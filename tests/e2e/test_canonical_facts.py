"""Facts of our own format on a real Kafka: what the examples are worth, and what refusals name as known.

See examples/canonical/README.md and docs/spec/facts.md#reason-codes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.e2e.conftest import NewSystem
from tests.rig.system import CHECKOUT, ask
from tests.wire.facts.test_canonical_examples import FOLDER, table
from tests.wire.samples import snapshot

RULES = (CHECKOUT / "rules" / "2026-01.toml").read_text(encoding="utf-8")
BUCKETS = ("estimated", "confirmed", "held", "available")
MISSPELT = {"schema": "order-event/2", "kind": "order.snapshto", "status": "setled"}
#: What each border says about the three misspelt members.
SCHEMA = 'schema "order-event/2" is not known here; did you mean order-event/1? known: order-event/1'
KIND = "did you mean order.snapshot? known: order.snapshot, order.refund, order.punish, order.claim"
STATUS = (
    "did you mean settled? known: created, paid, received, settled, punished, closed, superseded, unknown"
)


def misspelt(member: str) -> dict[str, Any]:
    """Return a fact with one misspelt member, of a line of its own."""
    return snapshot(order_line_id=f"x-{member}", **{member: MISSPELT[member]})


def test_examples_and_refusals(new_system: NewSystem, tmp_path: Path) -> None:
    """Imported with the commands of their page; one misspelt fact each by command, HTTP and topic."""
    system = new_system([RULES])
    worker = system.start_worker()
    worker.wait_ready()
    files = sorted(map(str, FOLDER.glob("order.*.ndjson")))
    for arguments in (
        ("profiles", "import", str(FOLDER / "user.profile.ndjson")),
        ("attributions", "import", str(FOLDER / "attribution.bind.ndjson")),
        ("orders", "import", *files, "--network", "canonical"),
    ):
        done = system.command(*arguments)
        assert (done.returncode, "refused 0" in done.stdout) == (0, True), done.stdout + done.stderr
    system.produce(system.topics.orders, [(b"taobao:x-kind", json.dumps(misspelt("kind")).encode())])
    system.wait_idle()

    at = "2026-03-01T00:00:00%2B08:00"
    for user, *figures in table("Balances on 2026-03-01"):
        body = ask(f"{worker.url}/v1/users/{user}/balance?at={at}").body
        assert [str(body[name]) for name in BUCKETS] == figures, user

    events = json.dumps({"events": [misspelt("schema"), misspelt("kind"), misspelt("status")]}).encode()
    answer = ask(f"{worker.url}/v1/orders", method="POST", body=events)
    details = {error["code"]: error["detail"] for error in answer.body["errors"]}
    assert answer.status == 422
    assert details["unknown-schema"] == SCHEMA
    assert details["unknown-kind"].endswith(KIND)
    assert details["invalid-status"].endswith(STATUS)

    path = tmp_path / "misspelt.ndjson"
    path.write_text(json.dumps(misspelt("schema")) + "\n", encoding="utf-8")
    done = system.command("orders", "import", str(path), "--network", "canonical", "--json")
    assert done.returncode == 1, done.stdout + done.stderr
    assert [refusal["detail"] for refusal in json.loads(done.stdout)["refused"]] == [SCHEMA]

    (letter,) = system.read(system.topics.stages[0].dead_letter)
    headers = dict(letter.headers)
    assert headers["rebate-error-reason"] == b"unknown-kind"
    assert headers["rebate-error-detail"].decode().endswith(KIND)
