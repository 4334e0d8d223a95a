"""`POST /v1/orders`, `PUT` profile and attribution (docs/spec/http.md#writes)."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tests.web.facts import BUYER, INVITER, LINE, LINE_ID, bind, paid, profile, settled, us
from tests.web.worlds import World, problem

pytestmark = pytest.mark.asyncio

JSON = {"Content-Type": "application/json"}

BOM = b"\xef\xbb\xbf"
NO_JSON = [b"", b"{", b"nul", b'{"a":1}x', b"\xff", BOM + b"{}", b"NaN", b'{"a":NaN}', b'"\x00"', b"[" * 500]
Errors = list[tuple[str, str]]
NO_JSON += [b"[" * 500 + b"]" * 500, b"[" * 200_000 + b"]" * 200_000]


def errors(answer: Any) -> list[tuple[str, str]]:
    """Return (pointer, code) of each error; each has a sentence too."""
    assert all(isinstance(error["detail"], str) and error["detail"] for error in answer["errors"])
    return [(error["pointer"], error["code"]) for error in answer["errors"]]


class TestOrders:
    """What `POST /v1/orders` takes."""

    async def test_one_fact_is_accepted_and_located(self, world: World) -> None:
        """A fact by itself is 202 with its line, and `Location` is where to read it."""
        reply = await world.send("POST", "/v1/orders", paid())
        assert (reply.status, reply.json) == (202, {"accepted": 1, "lines": [LINE], "warnings": []})
        assert reply.headers["Location"] == f"/v1/order-lines/taobao/{LINE_ID}"
        assert (await world.read(reply.headers["Location"]))["status"] == "paid"

    @pytest.mark.parametrize(("line_id", "segment"), [(".", "%2E"), ("..", "%2E%2E"), ("a..b", "a..b")])
    async def test_a_location_is_percent_encoded(self, world: World, line_id: str, segment: str) -> None:
        """No client resolves the path, and the line is found under it."""
        reply = await world.send("POST", "/v1/orders", paid(line_id=line_id))
        assert reply.headers["Location"] == f"/v1/order-lines/taobao/{segment}"
        assert (await world.read(reply.headers["Location"]))["order_line_id"] == line_id

    async def test_a_batch_is_accepted_in_order(self, world: World) -> None:
        """A batch is answered with the count of facts and its lines, each once; one line has a `Location`."""
        facts = [paid(), paid(line_id="2"), settled(), paid(line_id="3")]
        reply = await world.send("POST", "/v1/orders", {"events": facts})
        lines = [LINE, "taobao:2", "taobao:3"]
        assert (reply.status, reply.json) == (202, {"accepted": 4, "lines": lines, "warnings": []})
        assert "Location" not in reply.headers
        assert (await world.read("/v1/users/u1/balance"))["confirmed"] == 995
        reply = await world.send("POST", "/v1/orders", {"events": [paid(), settled()]})
        assert reply.headers["Location"] == f"/v1/order-lines/taobao/{LINE_ID}"

    async def test_five_hundred_facts_go_and_one_more_does_not(self, world: World) -> None:
        """A batch has at most 500 facts; more is 413 and nothing is sent."""
        facts = [paid(line_id=str(number)) for number in range(501)]
        assert (await world.send("POST", "/v1/orders", {"events": facts[:500]})).json["accepted"] == 500
        problem(await world.send("POST", "/v1/orders", {"events": facts}), 413, "too-large")
        assert world.workers[0].sender.sent == 500

    async def test_an_empty_batch_is_no_fault(self, world: World) -> None:
        """A poller that found nothing may say so."""
        reply = await world.send("POST", "/v1/orders", {"events": []})
        assert (reply.status, reply.json) == (202, {"accepted": 0, "lines": [], "warnings": []})

    async def test_repeating_does_no_harm(self, world: World) -> None:
        """The same fact again changes no balance, nor its version."""
        await world.send("POST", "/v1/orders", paid())
        before = await world.read("/v1/users/u1/balance")
        assert (await world.send("POST", "/v1/orders", paid())).status == 202
        assert (await world.read("/v1/users/u1/balance"))["version"] == before["version"]

    async def test_members_that_decide_nothing_may_be_anything(self, world: World) -> None:
        """Unknown members, `events` that is no list, huge numbers, half surrogate pairs are accepted."""
        huge = b',"x":1e999,"y":123456789012345678901234567890,"z":"\\ud800"}'
        fact = orjson.dumps(paid() | {"events": {"seen": [1]}})[:-1] + huge
        reply = await world.ask("POST", "/v1/orders", headers=JSON, body=fact)
        assert reply.status == 202
        assert (await world.read(f"/v1/order-lines/taobao/{LINE_ID}"))["net"] == 1_612
        assert world.stream.dead_letters == []


class TestWarnings:
    """Members of facts that are taken and that nobody reads."""

    async def test_what_looks_like_a_member_is_named(self, world: World) -> None:
        """202 with a warning for each, by JSON pointer; the fact counts as it stands."""
        fact = paid(times={"settle": "2026-01-10T03:21:00+08:00"}) | {"user_id": "u9", "note": 1}
        answer = (await world.send("POST", "/v1/orders", fact)).json
        assert (answer["accepted"], [each["pointer"] for each in answer["warnings"]]) == (
            1,
            ["/user_id", "/times/settle"],
        )
        for warning, suggestion in zip(
            answer["warnings"], ("attribution.user_id", "times.settled"), strict=True
        ):
            assert warning["code"] == "unknown-member"
            assert warning["detail"].startswith(f"did you mean {suggestion}?")
        assert (await world.read("/v1/users/u1/balance"))["estimated"] == 1_047

    async def test_the_envelope_has_events_only(self, world: World) -> None:
        """What looks like a member beside `events` is named, others are not; pointers go into the body."""
        body = {"events": [paid(), paid(line_id="2") | {"userid": "u9"}], "user/id": 5, "a/b": {}}
        answer = (await world.send("POST", "/v1/orders", body)).json
        assert [each["pointer"] for each in answer["warnings"]] == ["/user~1id", "/events/1/userid"]
        assert "warnings_left_off" not in answer

    async def test_many_are_counted(self, world: World) -> None:
        """A hundred are listed, the others counted."""
        facts = [paid(line_id=str(number)) | {"user_id": "u9"} for number in range(250)]
        answer = (await world.send("POST", "/v1/orders", {"events": facts})).json
        assert (len(answer["warnings"]), answer["warnings_left_off"]) == (100, 150)

    async def test_what_cannot_be_sent_as_text_is_escaped(self, world: World) -> None:
        """A name of half a surrogate pair is shown as an escape."""
        body = orjson.dumps({"events": [], "x": 1}).replace(b'"x"', b'"event\\ud800"')
        reply = await world.ask("POST", "/v1/orders", headers=JSON, body=body)
        assert [each["pointer"] for each in reply.json["warnings"]] == ["/event\\ud800"]
        profile_body = b'{"level":"vip","inviter_id":null,"\\ud800":1}'
        reply = await world.ask("PUT", "/v1/users/u1/profile", headers=JSON, body=profile_body)
        assert errors(problem(reply, 422, "unknown-member")) == [("/\\ud800", "unknown-member")]


class TestRefusals:
    """What `POST /v1/orders` refuses, and how."""

    async def test_each_bad_member_of_each_fact_is_named(self, world: World) -> None:
        """422 has an error for every bad member with a JSON pointer; `code` is that of the first."""
        bad = paid() | {"seq": {"modified_at": "yesterday"}, "status": "lost"}
        worse = paid(line_id="ä")
        del worse["currency"], worse["amounts"]
        reply = await world.send("POST", "/v1/orders", {"events": [paid(), bad, worse, 7]})
        answer = problem(reply, 422, "invalid-seq.modified_at")
        assert errors(answer) == [
            ("/events/1/seq/modified_at", "invalid-seq.modified_at"),
            ("/events/1/status", "invalid-status"),
            ("/events/2/currency", "missing-currency"),
            ("/events/2/amounts/est_commission", "missing-amounts.est_commission"),
            ("/events/2/order_line_id", "invalid-order_line_id"),
            ("/events/3", "undecodable"),
        ]

    async def test_all_or_nothing(self, world: World) -> None:
        """One bad fact among many: nothing is sent."""
        facts = [paid(line_id=str(number)) for number in range(50)]
        reply = await world.send("POST", "/v1/orders", {"events": [*facts, paid() | {"kind": "order.gift"}]})
        assert errors(problem(reply, 422, "unknown-kind"))[0] == ("/events/50/kind", "unknown-kind")
        assert world.workers[0].sender.sent == 0

    async def test_a_single_fact_has_pointers_from_the_top(self, world: World) -> None:
        """Without `events` a pointer begins at the fact."""
        answer = problem(
            await world.send("POST", "/v1/orders", paid(est=1.5)), 422, "invalid-amounts.est_commission"
        )
        assert errors(answer) == [("/amounts/est_commission", "invalid-amounts.est_commission")]
        assert errors(problem(await world.send("POST", "/v1/orders", []), 422, "undecodable")) == [
            ("", "undecodable")
        ]
        assert (await world.send("POST", "/v1/orders", {})).json["code"] == "missing-schema"

    async def test_events_has_to_be_a_list(self, world: World) -> None:
        """`events` that is no list is 422."""
        reply = await world.send("POST", "/v1/orders", {"events": {"0": paid()}})
        assert errors(problem(reply, 422, "invalid-events")) == [("/events", "invalid-events")]

    @pytest.mark.parametrize("events", [[], [paid(line_id="2")], [1, "seen"]])
    async def test_a_fact_beside_events_is_refused(self, world: World, events: list[Any]) -> None:
        """A body is one fact or a batch: with both, one of them would be lost."""
        for fact in (paid(), {"kind": "order.gift"}, {"order_line_id": "1"}, paid() | {"kind": None}):
            reply = await world.send("POST", "/v1/orders", fact | {"events": events})
            assert errors(problem(reply, 422, "invalid-events")) == [("/events", "invalid-events")]
        assert world.workers[0].sender.sent == 0

    async def test_a_schema_beside_events_is_harmless(self, world: World) -> None:
        """An envelope with the schema of its facts, and with null members, is a batch without warnings."""
        body = {"schema": "order-event/1", "kind": None, "order_line_id": None, "events": [paid()]}
        reply = await world.send("POST", "/v1/orders", body)
        assert (reply.status, reply.json) == (202, {"accepted": 1, "lines": [LINE], "warnings": []})

    async def test_a_time_too_far_ahead_is_refused(self, world: World) -> None:
        """A `modified_at` more than 24 h after now is `implausible-time`; 24 h ahead is not."""
        world.clock.now = us("2026-01-02T20:14:05+08:00")
        assert (await world.send("POST", "/v1/orders", paid())).status == 202
        world.clock.now -= 1
        answer = problem(await world.send("POST", "/v1/orders", paid()), 422, "implausible-time")
        assert errors(answer) == [("/seq/modified_at", "implausible-time")]

    @pytest.mark.parametrize("body", NO_JSON)
    async def test_what_is_no_json_is_400(self, world: World, body: bytes) -> None:
        """A body that is not JSON is 400 `invalid-json`."""
        problem(await world.ask("POST", "/v1/orders", headers=JSON, body=body), 400, "invalid-json")

    @pytest.mark.parametrize(
        "kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""]
    )
    async def test_another_type_is_415(self, world: World, kind: str) -> None:
        """Only `application/json` is taken; else 415."""
        reply = await world.ask(
            "POST", "/v1/orders", headers={"Content-Type": kind}, body=orjson.dumps(paid())
        )
        problem(reply, 415, "unsupported-media-type")

    @pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "APPLICATION/JSON"])
    async def test_the_type_may_have_parameters(self, world: World, kind: str) -> None:
        """Letter case and parameters of the type do not matter."""
        reply = await world.ask(
            "POST", "/v1/orders", headers={"Content-Type": kind}, body=orjson.dumps(paid())
        )
        assert reply.status == 202

    async def test_a_mebibyte_goes_and_one_byte_more_does_not(self, world: World) -> None:
        """A body has at most 1 MiB, whether its length is said beforehand or not."""
        padding = b" " * (1_048_576 - len(orjson.dumps(paid())))
        whole = orjson.dumps(paid()) + padding
        assert (await world.ask("POST", "/v1/orders", headers=JSON, body=whole)).status == 202
        problem(await world.ask("POST", "/v1/orders", headers=JSON, body=whole + b" "), 413, "too-large")

    async def test_a_fact_that_grows_on_the_wire_is_413(self, world: World) -> None:
        """A fact within the body's limit that is larger as a record is refused before anything is sent."""
        fact = paid() | {"item": "\U0001f600" * 200_000, "x": 10**30}
        body = orjson.dumps({**fact, "x": 0}).replace(b'"x":0', b'"x":1%s' % (b"0" * 30))
        assert len(body) < 1_048_576
        problem(await world.ask("POST", "/v1/orders", headers=JSON, body=body), 413, "too-large")
        assert world.workers[0].sender.sent == 0

    async def test_without_the_broker_it_is_503(self, world: World) -> None:
        """While the broker is away: 503 `broker-away` with Retry-After, for every write."""
        world.workers[0].sender.away = True
        for method, target, value in (
            ("POST", "/v1/orders", paid()),
            ("PUT", "/v1/users/u1/profile", {"level": "basic", "inviter_id": None}),
            ("PUT", "/v1/attributions/taobao:pid:p", {"user_id": "u1"}),
        ):
            reply = await world.send(method, target, value)
            problem(reply, 503, "broker-away")
            assert int(reply.headers["Retry-After"]) >= 1

    @pytest.mark.parametrize("text", ["-1", "2001", "x", "", "1.5", "99999999999"])
    async def test_a_wrong_wait_is_refused(self, world: World, text: str) -> None:
        """`wait_ms` is 0-2000, else 400 `invalid-wait_ms`, and nothing is sent."""
        for method, target in (
            ("POST", "/v1/orders"),
            ("PUT", "/v1/users/u1/profile"),
            ("PUT", "/v1/attributions/taobao:pid:p"),
        ):
            problem(await world.send(method, f"{target}?wait_ms={text}", paid()), 400, "invalid-wait_ms")
        assert world.workers[0].sender.sent == 0


class TestProfile:
    """`PUT /v1/users/{id}/profile`."""

    async def test_it_replaces_the_whole_profile(self, world: World) -> None:
        """The profile in force prices lines that come later; with `inviter_id` null there is no inviter."""
        target = "/v1/users/u1/profile"
        body = {"level": "vip", "inviter_id": INVITER, "effective_at": "2026-01-01T00:00:00+08:00"}
        reply = await world.send("PUT", target, body)
        assert (reply.status, reply.json) == (202, {"accepted": 1, "user_id": BUYER})
        assert reply.headers["Location"] == "/v1/users/u1/balance"
        world.orders(paid())
        assert (await world.read("/v1/users/u1/balance"))["estimated"] == 1_128
        assert (await world.read("/v1/users/u2/balance"))["estimated"] == 161
        await world.send("PUT", target, body | {"level": "basic", "inviter_id": None})
        world.orders(paid(line_id="2"))
        assert (await world.read("/v1/users/u1/balance"))["estimated"] == 1_128 + 1_047
        assert (await world.read("/v1/users/u2/balance"))["estimated"] == 161

    async def test_it_counts_from_now_on_without_effective_at(self, world: World) -> None:
        """Without `effective_at` the record's own timestamp is it."""
        world.users(profile(BUYER))
        await world.send("PUT", "/v1/users/u1/profile", {"level": "vip", "inviter_id": None})
        world.orders(paid(), paid(line_id="2", times={"paid": "2026-02-01T00:00:00+08:00"}))
        assert (await world.read("/v1/users/u1/balance"))["estimated"] == 1_047 + 1_128

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            ({"level": "gold", "inviter_id": None}, [("/level", "unknown-level")]),
            ({"level": "vip", "inviter_id": BUYER}, [("/inviter_id", "self-invite")]),
            ({}, [("/level", "missing-level"), ("/inviter_id", "missing-inviter_id")]),
            ({"level": "vip"}, [("/inviter_id", "missing-inviter_id")]),
            (
                {"level": "vip", "inviter": "u2"},
                [("/inviter_id", "missing-inviter_id"), ("/inviter", "unknown-member")],
            ),
            ({"level": "vip", "inviter_id": None, "a/b~": 1}, [("/a~1b~0", "unknown-member")]),
            ({"level": "vip", "inviter_id": None, "a.b": None}, [("/a.b", "unknown-member")]),
            ({"level": None, "inviter_id": None}, [("/level", "missing-level")]),
            (
                {"level": 1, "inviter_id": "a b"},
                [("/level", "invalid-level"), ("/inviter_id", "invalid-inviter_id")],
            ),
            (
                {"level": "vip", "inviter_id": None, "effective_at": "2026-01-01"},
                [("/effective_at", "invalid-effective_at")],
            ),
            ({"level": "vip", "inviter_id": None, "user_id": "u7"}, [("/user_id", "invalid-user_id")]),
            ({"level": "vip", "inviter_id": None, "schema": "x"}, [("/schema", "unknown-schema")]),
            ([], [("", "undecodable")]),
            ("vip", [("", "undecodable")]),
        ],
    )
    async def test_what_is_wrong_is_named(self, world: World, body: Any, expected: Errors) -> None:
        """A level that no version has, inviting oneself and bad members are 422, each named."""
        reply = await world.send("PUT", "/v1/users/u1/profile", body)
        assert errors(problem(reply, 422, expected[0][1])) == expected
        assert world.workers[0].sender.sent == 0

    async def test_loops_are_accepted_and_cut(self, world: World) -> None:
        """Two who invite each other are accepted; each chain ends where it would begin again."""
        for user_id, inviter_id in (("a", "b"), ("b", "a")):
            body = {"level": "basic", "inviter_id": inviter_id, "effective_at": "2026-01-01T00:00:00Z"}
            assert (await world.send("PUT", f"/v1/users/{user_id}/profile", body)).status == 202
        world.orders(paid(attribution={"user_id": "a"}))
        assert (await world.read("/v1/users/a/balance"))["estimated"] == 1_047
        assert (await world.read("/v1/users/b/balance"))["estimated"] == 161

    @pytest.mark.parametrize("name", ["a%20b", "%2E", "%2E%2E", "..", "%2e."])
    async def test_an_ill_formed_user_is_400(self, world: World, name: str) -> None:
        """The path's user id is checked before the body; `.` and `..`, which old logs hold, are read only."""
        for body in ({"level": "vip"}, {"level": "vip", "inviter_id": None}):
            problem(await world.send("PUT", f"/v1/users/{name}/profile", body), 400, "invalid-user_id")
        assert world.workers[0].sender.sent == 0

    async def test_the_location_is_percent_encoded(self, world: World) -> None:
        """The user id is one part of the path, encoded as commands encode it."""
        body = {"level": "vip", "inviter_id": None}
        reply = await world.send("PUT", "/v1/users/a@b.c/profile", body)
        assert reply.headers["Location"] == "/v1/users/a%40b.c/balance"
        assert (await world.read(reply.headers["Location"]))["user_id"] == "a@b.c"


class TestAttribution:
    """`PUT /v1/attributions/{attribution_id}`."""

    async def test_binding_moves_all_lines(self, world: World) -> None:
        """A line in suspense becomes the user's; unbinding takes it back."""
        world.orders(paid(attribution={"pid": "a/b"}))
        target = "/v1/attributions/taobao:pid:a%2Fb"
        reply = await world.send("PUT", target, {"user_id": BUYER})
        assert (reply.status, reply.json) == (202, {"accepted": 1, "attribution_id": "taobao:pid:a/b"})
        assert reply.headers["Location"] == target
        assert (await world.read("/v1/users/u1/balance"))["estimated"] == 1_047
        assert (await world.send("PUT", target, {"user_id": None})).status == 202
        assert (await world.read("/v1/users/u1/balance"))["estimated"] == 0
        assert (await world.read(target))["user_id"] is None

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            ({}, [("/user_id", "missing-user_id")]),
            ({"userid": "u1"}, [("/user_id", "missing-user_id"), ("/userid", "unknown-member")]),
            ({"user_id": None, "level": "vip"}, [("/level", "unknown-member")]),
            ({"user_id": "a b"}, [("/user_id", "invalid-user_id")]),
            ({"user_id": 7}, [("/user_id", "invalid-user_id")]),
            ({"user_id": "u1", "attribution_id": "x"}, [("/attribution_id", "invalid-attribution_id")]),
            ([], [("", "undecodable")]),
        ],
    )
    async def test_what_is_wrong_is_named(self, world: World, body: Any, expected: Errors) -> None:
        """A binding names its user, null included; a slip of the pen never unbinds."""
        world.users(bind("taobao:pid:p", BUYER))
        reply = await world.send("PUT", "/v1/attributions/taobao:pid:p", body)
        assert errors(problem(reply, 422, expected[0][1])) == expected
        assert (await world.read("/v1/attributions/taobao:pid:p"))["user_id"] == BUYER

    async def test_an_ill_formed_id_is_400(self, world: World) -> None:
        """The path's attribution id is checked as when reading."""
        problem(
            await world.send("PUT", "/v1/attributions/p", {"user_id": "u1"}), 400, "invalid-attribution_id"
        )

    async def test_any_worker_takes_any_write(self, pair: World) -> None:
        """Writes need no owner: each worker sends through the log."""
        for worker in (0, 1):
            await pair.send(
                "PUT", f"/v1/users/w{worker}/profile", {"level": "vip", "inviter_id": None}, worker
            )
            await pair.send("POST", "/v1/orders", paid(line_id=f"w{worker}"), worker)
            reply = await pair.send("PUT", "/v1/attributions/taobao:none", {"user_id": "u1"}, worker)
            assert reply.status == 202
        assert [worker.sender.sent for worker in pair.workers] == [3, 3]
