"""`rebate … import`: what can be used is on the topics, the rest is named with its place and reason."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from rebate_app.broker import free_port
from rebate_app.cli import import_actions as importing
from rebate_app.wire.stages import RECORD_BYTES_MAX
from rebate_app.wire.topics import Topics
from tests.cli.cases import codes, lines, read_all, run, use_broker
from tests.kafka_fixture import guarded, start_on_a_free_port
from tests.wire.networks.exports.tables import TAOBAO_HEADER, csv_text, taobao_order
from tests.wire.samples import taobao_row

RULES = Path(__file__).parents[2] / "rules"
INPUTS = Path(__file__).parents[1] / "wire" / "networks" / "inputs"


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
        assert (outcome.code, outcome.json) == (
            0,
            {
                "read": 3,
                "sent": 3,
                "unknown": 1,
                "refused": [],
                "warnings": [],
                "unknown_statuses": [
                    {
                        "platform": "jd",
                        "code": "",
                        "file": str(path),
                        "row": 2,
                        "order_line_id": "2",
                        "rows": 1,
                    }
                ],
            },
        )
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

    def test_an_export_of_a_back_office(
        self, kafka: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its rows are sent, refusals name the line, and sums that differ stop nothing."""
        settings = use_broker(monkeypatch, kafka)
        path = tmp_path / "orders.csv"
        sums = {"创建时间": "合计", "付款预估收入": "1.00"}
        rows = [taobao_order(), taobao_order(淘宝子订单号="3.90E+17"), sums]
        path.write_bytes(csv_text(TAOBAO_HEADER, rows).encode("gb18030"))
        outcome = run("orders", "import", str(path), "--network", "taobao", "--format", "export", "--json")
        assert (outcome.code, outcome.json["read"], outcome.json["sent"]) == (1, 3, 1)
        assert codes(outcome.json["refused"]) == [
            (3, "id-damaged", "order_line_id"),
            (4, "sums-differ", "amounts.est_commission"),
        ]
        ((key, fact),) = read_all(settings, Topics.of(settings).orders)
        assert (key, fact["seq"]["fetch_seq"]) == (b"taobao:3901000000000000011", 0)

    def test_options_of_exports(self, tmp_path: Path) -> None:
        """Options that do not go together are usage errors, a bad mapping is one of configuration."""
        path = tmp_path / "file"
        path.write_text("")
        file, export = ("orders", "import", str(path)), ("--format", "export")
        for options in (
            ("--network", "jd", "--columns", str(path)),
            ("--network", "canonical", *export),
            ("--network", "jd", "--fetched-at", "1", *export),
            ("--network", "pdd", *export),
        ):
            assert run(*file, *options).code == 2
        assert run(*file, "--network", "pdd", *export, "--columns", str(path)).code == 78

    def test_the_text_names_every_refusal_by_its_place(
        self, kafka: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A person reads file, row and reason; nothing of the result is on stderr."""
        use_broker(monkeypatch, kafka)
        path = tmp_path / "facts.ndjson"
        path.write_text(lines(claim("1"), claim("2", user_id="m m")))
        outcome = run("orders", "import", str(path), "--network", "canonical")
        assert outcome.stdout.startswith("read 2, sent 1, of unknown status 0, refused 1\n")
        assert f"{path}:2: order 2: invalid-user_id: " in outcome.stdout
        assert (outcome.code, outcome.stderr) == (1, "")

    def test_refusals_and_unknown_codes_speak_the_networks_language(
        self, kafka: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The order's id and the field's own name; of each unknown code how many rows, and one of them."""
        use_broker(monkeypatch, kafka)
        rows = [
            taobao_row(trade_id="11", pub_share_pre_fee=..., alimama_share_fee="much"),
            taobao_row(trade_id="12", tk_status=77),
            taobao_row(trade_id="13", tk_status=77),
            taobao_row(trade_id="14", tk_status="9\x1b[31m"),
            taobao_row(trade_id=..., trade_parent_id="15"),
        ]
        path = tmp_path / "orders.json"
        path.write_text(json.dumps(rows))
        report = run("orders", "import", str(path), "--network", "taobao", "--json").json
        assert [
            (each["code"], each["rows"], each["order_line_id"]) for each in report["unknown_statuses"]
        ] == [
            ("77", 2, "12"),
            ("9\x1b[31m", 1, "14"),
        ]
        first, last = report["refused"]
        assert (first["order_line_id"], first["code"], first["fields"]) == (
            "11",
            "missing-amounts.est_commission",
            ["pub_share_pre_fee"],
        )
        assert first["more"][0]["fields"] == ["alimama_share_fee"]
        assert (last["order_line_id"], last["fields"]) == ("15", ["trade_id"])
        text = run("orders", "import", str(path), "--network", "taobao").stdout
        assert f"{path}:1: order 11: missing-amounts.est_commission (pub_share_pre_fee): " in text
        assert (
            f"unknown status 77 of taobao: 2 rows, worth nothing for now; for example order 12 ({path}:2)"
            in text
        )
        assert "\x1b" not in text

    def test_standard_input(
        self, kafka: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """`-` is what a pipe gives, compressed or not; refusals name it `-`; it can be read only once."""
        settings = use_broker(monkeypatch, kafka)
        rebate = f"{sys.executable} -m rebate_app.cli"
        packed = tmp_path / "facts.gz"
        packed.write_bytes(gzip.compress(lines(claim("1"), "{", claim("2")).encode()))
        command = f"cat {packed} | {rebate} orders import - --network canonical --json"
        ended = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=False)
        report = json.loads(ended.stdout)
        assert (ended.returncode, report["sent"]) == (1, 2)
        assert [(each["file"], each["row"]) for each in report["refused"]] == [("-", 2)]
        people = '{"user_id": "mei", "level": "basic", "inviter_id": null}\n'
        monkeypatch.chdir(RULES.parent)
        assert run("profiles", "import", "-", "--json", stdin=people).json["sent"] == 1
        bound = '{"attribution_id": "jd:none", "user_id": "mei"}\n'
        assert run("attributions", "import", "-", "--json", stdin=bound).json["sent"] == 1
        assert len(read_all(settings, Topics.of(settings).orders)) == 2
        assert run("orders", "import", "-", "-", "--network", "jd").code == 2

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

    def test_rows_without_modification_time_are_ordered_by_their_fetch(
        self, kafka: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """--fetched-at takes RFC 3339 and milliseconds; without it each file is later than the one before."""
        settings = use_broker(monkeypatch, kafka)
        files = [str(path) for path in sorted(INPUTS.glob("no-modified-time.*"))]
        started_ms = time.time_ns() // 1_000_000
        times: tuple[list[str], ...] = (
            ["--fetched-at", "2026-11-10T08:00:00.001+08:00"],
            ["--fetched-at", "1794268800002"],
            [],
        )
        for name, arguments in zip(files, times, strict=True):
            outcome = run("orders", "import", name, "--network", "taobao", "--json", *arguments)
            assert (outcome.code, outcome.json["sent"], outcome.stderr) == (0, 1, "")
        assert run("orders", "import", *files, "--network", "taobao", "--json").json["sent"] == 3
        found = [fact["seq"]["fetch_seq"] for _, fact in read_all(settings, Topics.of(settings).orders)]
        assert found[:2] == [1_794_268_800_001, 1_794_268_800_002]
        assert found[2:] == sorted(set(found[2:]))
        assert started_ms <= found[2] <= found[-1] <= time.time_ns() // 1_000_000 + len(files)

    @pytest.mark.parametrize(
        "text",
        [
            *(
                "",
                "yesterday",
                "2026-01-05",
                "2026-01-05T03:00:00",
                "-1",
                "1.5e12",
                "１２３",
                "9" * 20,
                "9" * 5_000,
            ),
            *("1969-12-31T23:59:59Z", " 5", "1_000", "null"),
        ],
    )
    def test_a_time_of_the_fetch_that_is_none_is_2(self, text: str) -> None:
        """A sentence names the option and what it takes; nothing is read or sent."""
        outcome = run("orders", "import", __file__, "--network", "taobao", f"--fetched-at={text}")
        assert (outcome.code, outcome.stdout) == (2, "")
        assert "--fetched-at" in outcome.stderr
        assert "ms since 1970" in outcome.stderr

    def test_what_is_odd_about_a_file_is_a_warning(
        self, kafka: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An empty file, more pages, a fetch in the future: all is sent, exit 0, stderr and JSON name it."""
        use_broker(monkeypatch, kafka)
        empty, part = tmp_path / "empty.json", tmp_path / "part.json"
        empty.write_text("")
        page = json.loads((INPUTS / "no-modified-time.1-settled-17.01.taobao.json").read_text("utf-8"))
        page["tbk_order_details_get_response"]["data"]["has_next"] = True
        part.write_text(json.dumps(page))
        command = ["orders", "import", str(empty), str(part), "--network", "taobao"]
        outcome = run(*command, "--fetched-at", "2999-01-01T00:00:00Z", "--json")
        assert (outcome.code, outcome.json["sent"]) == (0, 1)
        warnings = [(each["file"], each["code"]) for each in outcome.json["warnings"]]
        expected = [("", "fetched-in-future"), (str(empty), "empty-file"), (str(part), "more-pages")]
        assert warnings == expected
        assert len(outcome.stderr.splitlines()) == 3
        outcome = run(*command)
        assert (outcome.code, outcome.stdout) == (0, "read 1, sent 1, of unknown status 0, refused 0\n")
        first, second = outcome.stderr.splitlines()
        assert first.startswith(f"Warning: {empty}: ")
        assert second.endswith("(more-pages)")

    @pytest.mark.parametrize(
        ("fetched_at", "expected"),
        [("1767571262", ["fetched-long-ago"]), ("99999999999", ["fetched-long-ago"]), ("100000000000", [])],
    )
    def test_a_fetch_in_seconds_is_a_warning(
        self,
        fetched_at: str,
        expected: list[str],
        kafka: str,
        topic_prefix: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Seconds where milliseconds are meant lie before 1973: the rows are sent, the warning names it."""
        use_broker(monkeypatch, kafka)
        path = INPUTS / "no-modified-time.1-settled-17.01.taobao.json"
        command = ("orders", "import", str(path), "--network", "taobao", "--json")
        outcome = run(*command, "--fetched-at", fetched_at)
        assert (outcome.code, outcome.json["sent"]) == (0, 1)
        assert [each["code"] for each in outcome.json["warnings"]] == expected

    @pytest.mark.parametrize("command", ["profiles", "attributions"])
    def test_an_empty_file_of_people_is_a_warning(
        self, command: str, kafka: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An export that failed is as empty as one of nobody."""
        use_broker(monkeypatch, kafka)
        monkeypatch.setenv("REBATE_RULES", str(RULES))
        path = tmp_path / "people.ndjson"
        path.write_text("\n")
        outcome = run(command, "import", str(path), "--json")
        assert (outcome.code, [each["code"] for each in outcome.json["warnings"]]) == (0, ["empty-file"])

    @pytest.mark.parametrize(
        ("name", "network", "words"),
        [
            ("refund-business-error.taobao.json", "taobao", ("101", "开始时间不能为空")),
            ("success-false.pdd.json", "pdd", ("限流",)),
        ],
    )
    def test_an_error_is_no_empty_page(
        self,
        name: str,
        network: str,
        words: tuple[str, ...],
        kafka: str,
        topic_prefix: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """One refusal with the network's code and message, and exit code 1."""
        use_broker(monkeypatch, kafka)
        outcome = run("orders", "import", str(INPUTS / name), "--network", network, "--json")
        (refusal,) = outcome.json["refused"]
        assert (outcome.code, outcome.json["sent"], refusal["code"]) == (1, 0, "network-error")
        assert [word for word in words if word not in refusal["detail"]] == []

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


class TestWarnings:
    """Members that nothing reads."""

    def test_they_are_named_on_stderr_and_in_the_report(
        self, kafka: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The rows are sent; a hundred warnings are listed with their place, the others counted."""
        use_broker(monkeypatch, kafka)
        path = tmp_path / "facts.ndjson"
        rows = [unknown("1"), *(unknown(str(number)) | {"user_id": "mei"} for number in range(2, 107))]
        path.write_text(lines(*rows))
        outcome = run("orders", "import", str(path), "--network", "canonical", "--json")
        report = outcome.json
        assert (outcome.code, report["sent"], report["refused"]) == (0, 106, [])
        assert (len(report["warnings"]), report["warnings_left_off"]) == (100, 5)
        first = report["warnings"][0]
        assert first == {
            "file": str(path),
            "row": 2,
            "pointer": "/user_id",
            "code": "unknown-member",
            "detail": "did you mean attribution.user_id? user_id is not read here",
        }
        assert outcome.stderr.count("did you mean attribution.user_id?") == 100
        assert f"Warning: {path}:2: did you mean attribution.user_id?" in outcome.stderr
        assert "(unknown-member /user_id)" in outcome.stderr
        assert "5 more warnings are not listed" in outcome.stderr


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
                {"user_id": "tao", "level": "gold", "inviter_id": None},
                {"user_id": "lin", "level": "vip", "inviter_id": "lin"},
                {"level": "vip", "inviter_id": None},
                {"user_id": "u5", "level": "vip"},
                {"user_id": "u6", "level": "vip", "inviter": "lin"},
                {"user_id": "u7", "level": "vip", "inviter_id": None, "note": 1},
            )
        )
        outcome = run("profiles", "import", str(path), "--json")
        assert (outcome.code, outcome.json["read"], outcome.json["sent"]) == (1, 7, 1)
        assert codes(outcome.json["refused"]) == [
            (2, "unknown-level", "level"),
            (3, "self-invite", "inviter_id"),
            (4, "missing-user_id", "user_id"),
            (5, "missing-inviter_id", "inviter_id"),
            (6, "missing-inviter_id", "inviter_id"),
            (7, "unknown-member", "note"),
        ]
        (hint,) = outcome.json["refused"][4]["more"]
        assert (hint["code"], hint["member"]) == ("unknown-member", "inviter")
        assert "did you mean inviter_id?" in hint["detail"]
        ((key, value),) = read_all(settings, Topics.of(settings).user_log)
        assert key == b"mei"
        assert (value["schema"], value["kind"], value["level"]) == ("user-fact/1", "user.profile", "basic")

    def test_a_binding_names_its_user(
        self, kafka: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Null unbinds, leaving it out is refused, and so is every other member."""
        settings = use_broker(monkeypatch, kafka)
        path = tmp_path / "attributions.ndjson"
        rows: tuple[dict[str, Any], ...] = ({"user_id": None}, {}, {"user_id": "mei", "userid": "tao"})
        path.write_text(lines(*({"attribution_id": "jd:none", **row} for row in rows)))
        outcome = run("attributions", "import", str(path), "--json")
        assert codes(outcome.json["refused"]) == [
            (2, "missing-user_id", "user_id"),
            (3, "unknown-member", "userid"),
        ]
        ((key, value),) = read_all(settings, Topics.of(settings).user_log)
        assert (key, value["user_id"]) == (b"jd:none", None)

    def test_attributions_become_bindings(
        self, kafka: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Keyed by the attribution id; null as user unbinds it."""
        settings = use_broker(monkeypatch, kafka)
        path = tmp_path / "attributions.ndjson"
        one = {"attribution_id": "taobao:special_id:1", "user_id": "mei"}
        path.write_text(lines(one, one | {"user_id": None}, one | {"attribution_id": "x"}, "[1]"))
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
    """Imports that cannot begin."""

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

    def test_levels_are_those_of_the_published_rules(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without a broker they are not known, whatever the folder has, and nothing is sent."""
        use_broker(monkeypatch, f"127.0.0.1:{free_port()}")
        monkeypatch.setenv("REBATE_RULES", str(tmp_path))
        path = tmp_path / "profiles.ndjson"
        path.write_text(lines({"user_id": "mei", "level": "basic"}))
        outcome = run("profiles", "import", str(path))
        assert outcome.code == 69
        assert "no Kafka broker answers" in outcome.stderr

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
