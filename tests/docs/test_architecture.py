"""ARCHITECTURE.md: its drawing is the import contract, and every module has a layer in it."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

CHECKOUT = Path(__file__).parents[2]
PAGE = (CHECKOUT / "ARCHITECTURE.md").read_text(encoding="utf-8")


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draw_rooms", CHECKOUT / "scripts/draw_rooms.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


DRAW = _script()


def rooms(folder: Path) -> set[str]:
    """Return the names of the modules and packages of a package."""
    names = {path.stem for path in folder.glob("*.py")} | {
        path.parent.name for path in folder.glob("*/__init__.py")
    }
    return names - {"__init__", "__main__"}


def test_the_drawing_is_fresh() -> None:
    """Else `make docs`."""
    assert DRAW.drawn(PAGE) == PAGE


def test_every_module_has_a_layer() -> None:
    """A room that the contract does not name could import anything."""
    house = {name for layer in DRAW.layers_of(DRAW.HOUSE) for name in layer}
    assert house == rooms(CHECKOUT / "rebate_app") | {"agents", "tables"}
    engine = {name.removeprefix("streams.") for layer in DRAW.layers_of(DRAW.ENGINE) for name in layer}
    assert engine == rooms(CHECKOUT / "rebate_app/streams")


def test_every_room_of_the_house_is_described() -> None:
    """Somebody who looks for a room finds it in the table."""
    described = set(re.findall(r"^\| `([^`]+)` \|", PAGE, re.MULTILINE))
    packages = {f"rebate_app/{path.parent.name}/" for path in (CHECKOUT / "rebate_app").glob("*/__init__.py")}
    assert packages | {"agents/", "tables/"} <= described


def test_every_file_that_it_names_exists() -> None:
    """A name that has moved leads nowhere."""
    named = re.findall(r"`((?:rebate_app|agents|tables|tests|docs|bench)/[\w/.-]*)`", PAGE)
    assert named
    assert [name for name in named if not (CHECKOUT / name).exists()] == []
