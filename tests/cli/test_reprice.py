"""`rebate reprice`: what it refuses before anything is sent, and how a dry run reads.

What it does on a real Kafka is in tests/chaos/test_reprice.py.
"""

from __future__ import annotations

import pytest

from rebate_app.audit.reprice_trial import Trial, UserChange
from rebate_app.cli import reprice_actions
from rebate_app.cli.reprice_actions import RepriceRequest, trial_members
from rebate_app.cli.reprice_command import print_trial
from rebate_app.domain.facts import Reprice
from rebate_app.settings import Settings
from rebate_app.wire.facts.user import decode_user, encode_reprice
from tests.cli.cases import run

WHY = ("--reason", "late", "--by", "lin")
TRIAL = Trial(
    [
        UserChange("boss", (0, 0, 0, 100), (10, 0, 0, 253)),
        UserChange("wrong", (0, 0, 0, 153), (0, 0, 0, -153)),
    ],
    users=2,
    lines=7,
)


class TestRefusals:
    """Exit code 2 and a sentence; no broker is needed for it."""

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            ((), "Name a --user, or say --all."),
            (("--user", "u1", "--all", *WHY), "Name a --user, or say --all."),
            (("--all", "--lines", "taobao:1", *WHY), "--lines belong to one --user."),
            (("--user", "u1", "--reason", ""), "invalid-reason"),
            (("--user", "u 1", *WHY), "invalid-user_id"),
            (("--user", "..", "--dry-run"), "invalid-user_id"),
            (("--user", "u1", "--lines", "taobao:1,", *WHY), "invalid-lines"),
            (("--all", "--paid-from", "2026-01-01", *WHY), "invalid-paid_from"),
            (("--all", "--paid-to", "tomorrow", "--dry-run"), "invalid-paid_to"),
            (("--all", "--reason", "a\tb"), "invalid-reason"),
        ],
    )
    def test_usage(self, arguments: tuple[str, ...], expected: str) -> None:
        """The sentence names what is wrong."""
        outcome = run("reprice", *arguments)
        assert (outcome.code, outcome.stdout) == (2, "")
        assert expected in outcome.stderr


class TestReason:
    """Why lines are priced again."""

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            (("--by", "lin"), "repriced by lin"),
            (("--by", "a\tb"), "repriced"),
            (("--by", "x" * 300), "repriced"),
            (WHY, "late"),
        ],
    )
    @pytest.mark.parametrize("mode", [(), ("--dry-run",)])
    def test_default(
        self,
        monkeypatch: pytest.MonkeyPatch,
        arguments: tuple[str, ...],
        reason: str,
        mode: tuple[str, ...],
    ) -> None:
        """The fact always has one that every release reads; nobody has to give it."""
        requests: list[RepriceRequest] = []

        async def send(_settings: Settings, request: RepriceRequest, _progress: object) -> int:
            requests.append(request)
            return 1

        async def attempt(_settings: Settings, request: RepriceRequest, _progress: object) -> Trial:
            requests.append(request)
            return TRIAL

        monkeypatch.setattr(reprice_actions, "send_reprice", send)
        monkeypatch.setattr(reprice_actions, "try_reprice", attempt)
        outcome = run("reprice", "--user", "u1", *arguments, *mode)
        assert (outcome.code, [request.document["reason"] for request in requests]) == (0, [reason])
        _, value = encode_reprice(requests[0].document, "cli:lin")
        assert isinstance(decode_user(value, b"u1", 0), Reprice)


class TestOutput:
    """A dry run as text and as JSON."""

    def test_text(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Differences in yuan, their sum last, and how many lines are concerned."""
        print_trial(TRIAL)
        assert capsys.readouterr().out.splitlines() == [
            "difference of  estimated  confirmed   held  available",
            "boss               ¥0.10      ¥0.00  ¥0.00      ¥1.53",
            "wrong              ¥0.00      ¥0.00  ¥0.00     -¥3.06",
            "total              ¥0.10      ¥0.00  ¥0.00     -¥1.53",
            "7 lines of 2 users would be repriced",
        ]
        print_trial(Trial([], 1, 3))
        assert capsys.readouterr().out == "3 lines of 1 users would be repriced; nobody's money changes\n"

    def test_json(self) -> None:
        """Each user's buckets before and after, and the differences in all."""
        members = trial_members(TRIAL)
        assert members["total"] == {"estimated": 10, "confirmed": 0, "held": 0, "available": -153}
        assert [item["user_id"] for item in members["items"]] == ["boss", "wrong"]
        assert members["items"][1]["after"]["available"] == -153
        assert (members["next_cursor"], members["users"], members["lines"]) == (None, 2, 7)
