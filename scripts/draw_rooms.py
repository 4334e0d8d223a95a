"""Writes the drawing of the layers into ARCHITECTURE.md, from the import contract in pyproject.toml.

The contract is what `make lint` checks, so the drawing cannot differ from the code. `make docs` runs this;
a test compares (tests/docs/test_architecture.py).
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
BEGIN, END = "<!-- layers: begin (make docs) -->", "<!-- layers: end -->"
HOUSE, ENGINE = "One-way arrows of the house", "One-way arrows of the engine"
PREFIX = "rebate_app."


def layers_of(name: str) -> list[list[str]]:
    """Return the layers of a contract from the top down, each as the short names of its rooms."""
    document = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = next(each for each in document["tool"]["importlinter"]["contracts"] if each["name"] == name)
    return [[part.strip().removeprefix(PREFIX) for part in layer.split(":")] for layer in contract["layers"]]


def drawing() -> str:
    """Return both sets of layers as one code block, the top layer first."""
    lines = ["```text"]
    for title, name in (("the house", HOUSE), ("streams/", ENGINE)):
        lines += [f"{title}, from the top down", *("  " + " · ".join(rooms) for rooms in layers_of(name)), ""]
    return "\n".join([*lines[:-1], "```"])


def drawn(page: str) -> str:
    """Return the page with the drawing between its two marks."""
    head, rest = page.split(BEGIN)
    return f"{head}{BEGIN}\n{drawing()}\n{END}{rest.split(END)[1]}"


def main() -> None:
    """Rewrite ARCHITECTURE.md in place."""
    path = CHECKOUT / "ARCHITECTURE.md"
    path.write_text(drawn(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
