"""Read the pages of docs/operations: their sections, and the commands that they give.

A block of `sh` is commands, one a line. `<!-- needs: COMMAND -->` before a block means that `rebate COMMAND`
has to exist: until it does, the block is not run.
"""

from __future__ import annotations

import re
from pathlib import Path

from msgspec import Struct

CHECKOUT = Path(__file__).parents[2]
OPERATIONS = CHECKOUT / "docs" / "operations"

_BLOCK = re.compile(r"(?:^<!-- needs: (.+?) -->\n)?^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Command(Struct, frozen=True):
    """One line of a page; `needs` is a command of `rebate` without which it cannot run, or ""."""

    page: str
    line: str
    needs: str


def pages() -> list[Path]:
    """Return all pages, in the order of their names."""
    return sorted(OPERATIONS.glob("*.md"))


def commands() -> list[Command]:
    """Return every command once, in the order in which the pages give them."""
    found: dict[str, Command] = {}
    for page in pages():
        for needs, block in _BLOCK.findall(page.read_text(encoding="utf-8")):
            for line in block.splitlines():
                found.setdefault(line, Command(page.name, line, needs))
    return list(found.values())


def sections(page: str) -> dict[str, str]:
    """Return the text of each section of a page by its heading."""
    _, *parts = (OPERATIONS / page).read_text(encoding="utf-8").split("\n## ")
    return dict(part.split("\n", 1) for part in parts)
