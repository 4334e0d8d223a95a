"""The drill's numbers, settings and names, without its system."""

from __future__ import annotations

from pathlib import Path

from tests.drill.faults import ALL, fault
from tests.drill.world import FAULTS, World


def test_each_number_is_another_fault_and_the_seed_decides_which(tmp_path: Path) -> None:
    """The order of the module says nothing about the numbers."""
    world = World(tmp_path)
    world.state["order"] = [3, 1, 2, 0, 9, 8, 7, 6, 5, 4]
    found = [fault(world, number) for number in range(1, FAULTS + 1)]
    assert sorted(each.name for each in found) == sorted(each.name for each in ALL)
    assert found[0] is ALL[3]


def test_settings_survive_a_shell(tmp_path: Path) -> None:
    """They are sourced by the supervisor and read back by the injector."""
    world = World(tmp_path)
    settings = {"REBATE_RULES": "/a folder/with 'quotes'", "REBATE_WEB_PORT": "6066"}
    world.write_settings(0, settings)
    assert world.settings(0) == settings
