"""The reason codes that are known before anything fails are those that records are refused with."""

from __future__ import annotations

import inspect
import re

import pytest

from rebate_app.domain.facts import Attribution
from rebate_app.domain.reasons import REASONS
from rebate_app.wire.facts import order_check, user
from rebate_app.wire.facts.refusals import (
    ORDER_MEMBERS,
    ORDER_REASONS,
    USER_MEMBERS,
    USER_REASONS,
    reasons_of_stage,
)
from tests.streams.failures.poison import on_orders, on_user_log

read_paths = re.compile(
    r"reader\.(?!refuse|require)\w+\(\s*\"([\w.]+)\"|_amount\(reader, \"([\w.]+)\""
).findall


def paths_of(module: object) -> set[str]:
    """Return the members that a module's readers read, and their parents."""
    paths = {first or second for first, second in read_paths(inspect.getsource(module))}  # type: ignore[arg-type]
    return paths | {path.partition(".")[0] for path in paths}


def test_every_member_of_an_order_fact_has_its_codes() -> None:
    """A member that the decoder reads can be missing or invalid."""
    read = paths_of(order_check) | {f"attribution.{name}" for name in Attribution.__struct_fields__}
    assert len(read) > 20
    assert read <= set(ORDER_MEMBERS)


def test_every_member_of_a_user_fact_has_its_codes() -> None:
    """The same for the user log."""
    read = paths_of(user)
    assert len(read) >= 4
    assert read <= set(USER_MEMBERS)


@pytest.mark.parametrize(
    ("reasons", "poisons"),
    [(ORDER_REASONS, on_orders("taobao:1")), (USER_REASONS, on_user_log("u1"))],
    ids=["orders", "user-log"],
)
def test_poison_of_every_kind_is_known(reasons: tuple[str, ...], poisons: object) -> None:
    """And every known reason is an instance of a row of the table."""
    assert {poison.reason for poison in poisons} <= set(reasons)  # type: ignore[attr-defined]
    assert all(any(row.covers(reason) for row in REASONS) for reason in reasons)


def test_a_stage_of_others_has_the_plain_reasons() -> None:
    """Those that do not depend on members."""
    assert "undecodable" in reasons_of_stage("toy")
    assert reasons_of_stage("orders") == ORDER_REASONS
