"""The samples show what they are meant to show, and every figure of the walkthrough is right."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import datetime
from typing import Any

import pytest

from rebate_app.cli.samples import EXAMPLES, sample_files
from rebate_app.cli.terminal import yuan
from rebate_app.domain.facts import REFUND_RANK, STATUS_RANK
from rebate_app.networks import NETWORKS
from rebate_app.wire.rules.files import load_rules
from tests.cli.walkthrough import (
    AFTER,
    BEFORE,
    CHECKOUT,
    PAGE,
    balance_rows,
    line_rows,
    oracle,
    rows_of,
    sample_facts,
    tables,
)

PAGE_TEXT = PAGE.read_text(encoding="utf-8")
TABLES = {table[0][0]: table for table in tables(PAGE_TEXT) if table[0][0] != "user"}
STORIES = {
    "taobao 3901000000000000011": ("tao", "chen"),
    "jd JDROW000000002": ("tao", "chen"),
    "pdd 260105-000000000001": ("mei", "lin", "chen"),
}


def statuses(network: str) -> set[str]:
    """Return the statuses of a network's sample facts."""
    return {fact["status"] for fact in sample_facts() if fact["platform"] == network and "status" in fact}


class TestSamples:
    """What is in the files."""

    @pytest.mark.parametrize("network", NETWORKS)
    def test_nothing_is_refused(self, network: str) -> None:
        """They are what the networks send, and nothing else."""
        assert [(path.name, row) for path, row in rows_of(network) if row.document is None] == []

    def test_every_status_is_there(self) -> None:
        """JD shows every status that there is; the others show all that their codes can become."""
        assert statuses("jd") == set(STATUS_RANK)
        assert statuses("taobao") == {"created", "paid", "received", "settled", "closed"}
        assert statuses("pdd") == set(STATUS_RANK) - {"superseded"}

    def test_refunds_are_there_in_every_state(self) -> None:
        """Open, won, lost and restored disputes, several on one line."""
        refunds = [fact for fact in sample_facts() if fact["kind"] == "order.refund"]
        assert {fact["refund_status"] for fact in refunds} == set(REFUND_RANK)
        assert max(Counter(fact["order_line_id"] for fact in refunds).values()) > 1

    @pytest.mark.parametrize("network", NETWORKS)
    def test_a_re_poll_repeats_most_of_the_lines(self, network: str) -> None:
        """Networks are polled again and again: the last file brings most lines once more."""
        *earlier, last = [path for path in sample_files(EXAMPLES, network) if "refunds" not in path.name]
        known = {
            row.document["order_line_id"]
            for path, row in rows_of(network)
            if path in earlier and row.document
        }
        again = {
            row.document["order_line_id"] for path, row in rows_of(network) if path == last and row.document
        }
        assert "repoll" in last.name
        assert len(again & known) > len(known) / 2

    def test_the_traps_of_the_formats_are_there(self) -> None:
        """One object where an array is usual, JSON inside JSON, three units of money, an unset time."""
        pages = json.loads((EXAMPLES / "taobao/orders-2026-01-05.json").read_text(encoding="utf-8"))
        orders = [
            page["tbk_order_details_get_response"]["data"]["results"]["publisher_order_dto"] for page in pages
        ]
        assert [type(each) for each in orders] == [list, dict]
        assert orders[0][0]["pub_share_pre_fee"] == "17.91"
        assert orders[0][0]["tk_earning_time"] == "--"
        page = json.loads((EXAMPLES / "jd/orders-2026-01-06.json").read_text(encoding="utf-8"))
        inside = page["jd_union_open_order_row_query_responce"]["queryResult"]
        assert isinstance(json.loads(inside)["data"][0]["estimateFee"], float)
        page = json.loads((EXAMPLES / "pdd/orders-2026-01-05.json").read_text(encoding="utf-8"))
        rows = page["order_list_get_response"]["order_list"]
        assert {type(row["custom_parameters"]) for row in rows} == {str, dict}
        assert type(rows[0]["promotion_amount"]) is int

    def test_two_members_two_inviters_and_an_id_of_nobody(self) -> None:
        """Two buyers of different level, an inviter and an inviter's inviter, and a line in suspense."""
        profiles = [json.loads(line) for line in (EXAMPLES / "profiles.ndjson").read_text().splitlines()]
        levels = {profile["user_id"]: profile["level"] for profile in profiles}
        inviters = {profile["inviter_id"] for profile in profiles} - {None}
        assert levels["mei"] != levels["tao"]
        assert inviters == {"lin", "chen"}
        assert len(oracle().suspense(_moment(AFTER))) == 1

    def test_the_rules_know_every_level(self) -> None:
        """The sample rules load, and fit the sample profiles."""
        levels = load_rules(CHECKOUT / "rules").level_ids
        profiles = (EXAMPLES / "profiles.ndjson").read_text(encoding="utf-8").splitlines()
        assert {json.loads(line)["level"] for line in profiles} <= levels


class TestWalkthrough:
    """docs/walkthrough.md, figure by figure, against the oracle."""

    def test_every_line_is_right(self) -> None:
        """State, net and everybody's share of each sample line."""
        written = [[row[0], re.sub(r" \(\d\)$", "", row[1]), *row[2:]] for row in TABLES["line"][1:]]
        assert sorted(written) == sorted(line_rows(oracle(), AFTER))

    def test_the_shares_of_the_lines_add_up_to_the_balances(self) -> None:
        """A reader can add the columns: what is free and what is held are the user's buckets."""
        header, *rows = TABLES["line"]
        totals = {row[0]: row for row in balance_rows(oracle(), AFTER)}
        for column, user in enumerate(header[4:], start=4):
            cells = [row[column].split(" + ") for row in rows if row[column] != "-"]
            free = sum(_fen(cell[0]) for cell in cells)
            held = sum(_fen(cell[1]) for cell in cells if len(cell) > 1)
            _, estimated, confirmed, shown_held, available = totals[user]
            assert (free, held) == (_fen(estimated) + _fen(confirmed) + _fen(available), _fen(shown_held))

    @pytest.mark.parametrize(("place", "at"), [(1, AFTER), (2, BEFORE)])
    def test_the_balances_are_right(self, place: int, at: str) -> None:
        """Both tables of balances, each at the moment that stands above it."""
        table = [table for table in tables(PAGE_TEXT) if table[0][0] == "user"][place]
        assert table[1:] == balance_rows(oracle(), at)

    @pytest.mark.parametrize("line", STORIES)
    def test_each_step_of_a_story_has_its_figures(self, line: str) -> None:
        """At each date of the story, the oracle, told only what was known then, has what the page says."""
        (table,) = [table for table in tables(PAGE_TEXT) if table[0][0] == "fact" and _is_story(table, line)]
        platform, order_line_id = line.split()
        for row in table[1:]:
            day = re.search(r"2026-\d\d-\d\d", row[0])
            if day is None:
                continue
            answer = oracle(f"{day[0]}T23:59:59+08:00").line(
                platform, order_line_id, _moment(f"{day[0]}T23:59:59+08:00")
            )
            for cell, user in zip(row[2:], STORIES[line], strict=True):
                (share,) = [share for share in answer["shares"] if share["user_id"] == user]
                assert _figures(cell) == _shown(share), (line, row[0], user)

    def test_binding_the_id_brings_what_the_page_says(self) -> None:
        """The line of nobody is worth 2.25, 0.36 and 0.18 to mei and her inviters."""
        assert "2.25 more estimated, lin 4.50 × 8 % = 0.36, chen 4.50 × 4 % = 0.18" in PAGE_TEXT
        shares = load_rules(CHECKOUT / "rules").versions[0]
        net = 450
        assert net * shares.level("basic").share_bps("taobao") // 10_000 == 225
        assert net * shares.inviter_share_bps(1, "plus") // 10_000 == 36
        assert net * shares.inviter_share_bps(2, "vip") // 10_000 == 18


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _is_story(table: list[list[str]], line: str) -> bool:
    """Return whether a table tells the story of a line: they stand in the order of STORIES."""
    stories = [each for each in tables(PAGE_TEXT) if each[0][0] == "fact"]
    return stories.index(table) == list(STORIES).index(line)


def _figures(cell: str) -> tuple[str, str]:
    """Return (free, held) of a cell: the figure in front or after the last `=`, and one with "held"."""
    free, _, held = cell.partition(", and ")
    figures = re.findall(r"-?\d+\.\d\d", free)
    held_figures = re.findall(r"-?\d+\.\d\d", held)
    return figures[-1], held_figures[-1] if held_figures else "0.00"


def _shown(share: dict[str, Any]) -> tuple[str, str]:
    return yuan(share["estimated"] + share["confirmed"] + share["available"]), yuan(share["held"])


def _fen(text: str) -> int:
    whole, cents = text.lstrip("-").split(".")
    return (-1 if text.startswith("-") else 1) * (int(whole) * 100 + int(cents))
