"""`rebate … import`: what can be used is on the topics, the rest is named with its place and reason."""

from __future__ import annotations

import gzip
import os
import re
import threading
from pathlib import Path
from typing import Any

import pytest

from rebate_app.broker import free_port
from rebate_app.cli import importing
from rebate_app.wire.topics import RECORD_BYTES_MAX, Topics
from tests.kafka_fixture import guarded, start_on_a_free_port

from .cases import codes, lines, read_all, run, use_broker

RULES = Path(__file__).parents[2] / "rules"


def claim(line: str = "1", **more: Any) -> dict[str, Any]:
    """Return a claim: the smallest fact."""
    return {
        "schema": "order-event/1",
        "kind": "order.claim",
        "platform": "taobao",
        "order_line_id": line,
        "user_id": "mei",
        "claimed_at": "2026-01-01T00:00:00+08:00",
        **more,
    }


def unknown(line: str) -> dict[str, Any]:
    """Return a snapshot in a status that nobody knows."""
    return {
        "schema": "order-event/1",
        "kind": "order.snapshot",
        "platform": "jd",
        "order_line_id": line,
        "seq": {"modified_at": "2026-01-01T00:00:00+08:00"},
        "status": "unknown",
        "currency": "CNY",
    }


class TestOrders:
    """`rebate orders import`."""

    def test_a_fresh_broker_is_enough(
        self, kafka: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Topics are made on the way, facts arrive keyed by their line, and the report adds up."""
        settings = use_broker(monkeypatch, kafka)
        path = tmp_path / "facts.ndjson"
        path.write_text(lines(claim("1"), unknown("2"), claim("1")))
        outcome = run("orders", "import", str(path), "--network", "canonical", "--json")
        assert (outcome.code, outcome.json) == (0, {"read": 3, "sent": 3, "unknown": 1, "refused": []})
        records = read_all(settings, Topics.of(settings).orders)
        assert sorted(key for key, _ in records) == [b"jd:2", b"taobao:1", b"taobao:1"]
        assert (b"taobao:1", claim("1")) in records

    def test_a_bad_row_does_not_hold_up_its_neighbours(
        self, kafka: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A refusal has file, row, code, member and a sentence; the rest is sent, and the exit code is 1."""
        settings = use_broker(monkeypatch, kafka)
        path = tmp_path / "facts.ndjson"
        path.write_text(lines(claim("1"), "{", "", claim("2", user_id="m m", claimed_at=None), claim("3")))
        outcome = run("orders", "import", str(path), "--network", "canonical", "--json")
        report = outcome.json
        assert outcome.code == 1
        assert (report["read"], report["sent"], report["unknown"]) == (4, 2, 0)
        assert codes(report["refused"]) == [(2, "undecodable", ""), (4, "missing-claimed_at", "claimed_at")]
        assert {each["file"] for each in report["refused"]} == {str(path)}
        assert [each["code"] for each in report["refused"][1]["more"]] == ["invalid-user_id"]
        assert len(read_all(settings, Topics.of(settings).orders)) == 2

    def test_the_text_names_every_refusal_by_its_place(
        self, kafka: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A person reads file, row and reason; nothing of the result is on stderr."""
        use_broker(monkeypatch, kafka)
        path = tmp_path / "facts.ndjson"
        path.write_text(lines(claim("1"), claim("2", user_id="m m")))
        outcome = run("orders", "import", str(path), "--network", "canonical")
        assert outcome.stdout.startswith("read 2, sent 1, of unknown status 0, refused 1\n")
        assert f"{path}:2: invalid-user_id: " in outcome.stdout
        assert (outcome.code, outcome.stderr) == (1, "")

    def test_several_files_and_compressed_ones(
        self, kafka: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Files are read one after the other; `.gz` is unpacked on the way."""
        use_broker(monkeypatch, kafka)
        plain, packed = tmp_path / "a.ndjson", tmp_path / "b.ndjson.gz"
        plain.write_text(lines(claim("1")))
        packed.write_bytes(gzip.compress(lines(claim("2"), "[]").encode()))
        report = run("orders", "import", str(plain), str(packed), "--network", "canonical", "--json").json
        assert (report["read"], report["sent"], report["refused"]) == (2, 2, [])

    def test_an_error_of_the_network_is_one_refusal(
        self, kafka: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """HTTP 200 with an error inside is no empty page: the network's own code and words are shown."""
        use_broker(monkeypatch, kafka)
        path = tmp_path / "page.json"
        path.write_text(
            '{"error_response": {"code": 15, "msg": "Remote service error", "sub_code": "isv.x"}}'
        )
        outcome = run("orders", "import", str(path), "--network", "taobao", "--json")
        refused = outcome.json["refused"]
        assert (outcome.code, [each["code"] for each in refused]) == (1, ["network-error"])
        assert "15" in refused[0]["detail"]
        assert "Remote service error" in refused[0]["detail"]

    def test_a_fact_beyond_the_limit_is_refused(
        self, kafka: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A record that no broker would take is named like any other refusal, and the next one is sent."""
        use_broker(monkeypatch, kafka)
        path = tmp_path / "facts.ndjson"
        path.write_text(lines(claim("1", note="x" * RECORD_BYTES_MAX), claim("2")))
        report = run("orders", "import", str(path), "--network", "canonical", "--json").json
        assert (report["read"], report["sent"]) == (2, 1)
        assert codes(report["refused"]) == [(1, "limit-fact", "fact")]

    def test_more_than_can_be_in_flight(
        self, kafka: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What is reported as sent is on the topic, to the last record, in the order of the file."""
        settings = use_broker(monkeypatch, kafka)
        path = tmp_path / "facts.ndjson"
        path.write_text(lines(*(claim(str(number % 5), note=number) for number in range(12_000))))
        report = run("orders", "import", str(path), "--network", "canonical", "--json").json
        assert (report["read"], report["sent"]) == (12_000, 12_000)
        records = read_all(settings, Topics.of(settings).orders)
        assert sorted(value["note"] for _, value in records) == list(range(12_000))
        for line in range(5):
            notes = [value["note"] for key, value in records if key == f"taobao:{line}".encode()]
            assert notes == sorted(notes)


class TestUsers:
    """`rebate profiles import` and `rebate attributions import`."""

    def test_profiles_become_facts_of_the_user_log(
        self, kafka: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Keyed by the user; a level that no rule version has, and oneself as inviter, are refused here."""
        settings = use_broker(monkeypatch, kafka)
        monkeypatch.setenv("REBATE_RULES", str(RULES))
        path = tmp_path / "profiles.ndjson"
        path.write_text(
            lines(
                {"user_id": "mei", "level": "basic", "inviter_id": "lin"},
                {"user_id": "tao", "level": "gold"},
                {"user_id": "lin", "level": "vip", "inviter_id": "lin"},
                {"level": "vip"},
            )
        )
        outcome = run("profiles", "import", str(path), "--json")
        assert (outcome.code, outcome.json["read"], outcome.json["sent"]) == (1, 4, 1)
        assert codes(outcome.json["refused"]) == [
            (2, "unknown-level", "level"),
            (3, "self-invite", "inviter_id"),
            (4, "missing-user_id", "user_id"),
        ]
        ((key, value),) = read_all(settings, Topics.of(settings).user_log)
        assert key == b"mei"
        assert (value["schema"], value["kind"], value["level"]) == ("user-fact/1", "user.profile", "basic")

    def test_attributions_become_bindings(
        self, kafka: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Keyed by the attribution id; no user unbinds it."""
        settings = use_broker(monkeypatch, kafka)
        path = tmp_path / "attributions.ndjson"
        one = {"attribution_id": "taobao:special_id:1", "user_id": "mei"}
        path.write_text(lines(one, {"attribution_id": "taobao:special_id:1"}, {"attribution_id": "x"}, "[1]"))
        outcome = run("attributions", "import", str(path), "--json")
        assert (outcome.code, outcome.json["sent"]) == (1, 2)
        assert codes(outcome.json["refused"]) == [
            (3, "invalid-attribution_id", "attribution_id"),
            (4, "undecodable", ""),
        ]
        records = read_all(settings, Topics.of(settings).user_log)
        assert [(key, value["user_id"]) for key, value in records] == [
            (b"taobao:special_id:1", "mei"),
            (b"taobao:special_id:1", None),
        ]


class TestFailure:
    """What an import says when it cannot even begin."""

    def test_no_broker_is_69_and_one_sentence(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The address that was tried is in the sentence; there is no traceback and no result."""
        address = f"127.0.0.1:{free_port()}"
        use_broker(monkeypatch, address)
        path = tmp_path / "facts.ndjson"
        path.write_text(lines(claim()))
        outcome = run("orders", "import", str(path), "--network", "canonical")
        assert (outcome.code, outcome.stdout) == (69, ""), outcome.stderr
        assert outcome.stderr.startswith("Error: ")
        assert address in outcome.stderr
        assert outcome.stderr.count("\n") == 1

    @pytest.mark.kafka
    def test_a_broker_that_goes_away_meanwhile_is_69_and_says_how_far_it_was(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What was acknowledged before is counted, and importing again is what to do: repeats do no harm."""
        monkeypatch.setattr(importing, "SEND_SECONDS_MAX", 3.0)
        with guarded(tmp_path / "kafka"):
            broker = start_on_a_free_port(tmp_path / "kafka")
            use_broker(monkeypatch, broker.address)
            path = tmp_path / "facts.ndjson"
            os.mkfifo(path)

            def feed() -> None:
                with path.open("w") as pipe:
                    pipe.write(lines(*(claim(str(number)) for number in range(8_000))))
                    pipe.flush()
                    broker.stop()
                    pipe.write(lines(*(claim(str(number)) for number in range(100))))

            feeder = threading.Thread(target=feed)
            feeder.start()
            outcome = run("orders", "import", str(path), "--network", "canonical")
            feeder.join()
        assert (outcome.code, outcome.stdout) == (69, ""), outcome.stderr
        known = re.search(r"([0-9]+) records were acknowledged before; import again", outcome.stderr)
        assert known is not None, outcome.stderr
        assert 2_000 < int(known[1]) <= 8_000

    def test_a_folder_without_rules_is_78(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Levels cannot be checked without rules: that is configuration, said before anything is sent."""
        use_broker(monkeypatch, f"127.0.0.1:{free_port()}")
        monkeypatch.setenv("REBATE_RULES", str(tmp_path))
        path = tmp_path / "profiles.ndjson"
        path.write_text(lines({"user_id": "mei", "level": "basic"}))
        outcome = run("profiles", "import", str(path))
        assert outcome.code == 78
        assert "rule files" in outcome.stderr

    def test_partitions_that_differ_are_78(
        self, kafka: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A topic that has another number of partitions is never written to: keys would be elsewhere."""
        use_broker(monkeypatch, kafka)
        assert run("topics", "create").code == 0
        monkeypatch.setenv("REBATE_PARTITIONS", "4")
        path = tmp_path / "facts.ndjson"
        path.write_text(lines(claim()))
        outcome = run("orders", "import", str(path), "--network", "canonical")
        assert outcome.code == 78
        assert "REBATE_PARTITIONS" in outcome.stderr
