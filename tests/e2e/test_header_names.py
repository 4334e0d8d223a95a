"""A record whose header name is not UTF-8 is a dead letter, and its partition goes on."""

from __future__ import annotations

import json

import orjson

from tests.e2e.conftest import NewSystem
from tests.e2e.test_workers import SHARE, estimated, order
from tests.rig.header_names import ESCAPED_NAME, PLACEHOLDER, produce_with_names

GOOD_NAME = "näme"


def test_it_is_refused_and_what_follows_is_folded(new_system: NewSystem) -> None:
    """In both sources, between good records of a batch: undecodable, with place and value; audit clean."""
    system = new_system(REBATE_PARTITIONS="1")
    broker, topics = system.settings.broker, system.topics
    worker = system.start_worker()
    worker.wait_ready()
    lines = [
        (f"pdd:{user}-0".encode(), orjson.dumps(order(user)), [name])
        for user, name in (("first", GOOD_NAME), ("bad", PLACEHOLDER), ("last", GOOD_NAME))
    ]
    produce_with_names(broker, topics.orders, 0, lines)
    profile = {"schema": "user-fact/1", "kind": "user.profile", "user_id": "bad", "level": "basic"}
    produce_with_names(broker, topics.user_log, 0, [(b"bad", orjson.dumps(profile), [PLACEHOLDER])])
    system.wait_idle()
    assert [estimated(worker, user) for user in ("first", "last")] == [(200, SHARE)] * 2
    assert estimated(worker, "bad") == (200, 0)
    (letter,) = system.read(topics.order_lines.dead_letter)
    headers = dict(letter.headers)
    assert (letter.key, letter.value) == lines[1][:2]
    assert headers["rebate-error-reason"] == b"undecodable"
    assert headers["rebate-error-offset"] == b"1"
    assert headers[ESCAPED_NAME] == b"1"
    (letter,) = system.read(topics.accounts.dead_letter)
    assert letter.value == orjson.dumps(profile)
    audited = system.command("audit", url=worker.url)
    assert audited.returncode == 0, audited.stdout + audited.stderr
    listed = system.command("dlq", "list", "--json")
    assert json.dumps(listed.stdout).count("undecodable") >= 2, listed.stdout + listed.stderr
    assert worker.stop() == 0
