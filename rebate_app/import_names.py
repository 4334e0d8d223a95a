"""Check that the packages `agents` and `tables` are this application's: other distributions have these names.

Used at the worker's start and by `rebate doctor`.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

OURS = ("agents", "tables")


def wrong_import_names() -> list[str]:
    """Return a sentence for each of the two names that means another distribution's package."""
    home = Path(__file__).resolve().parent.parent
    problems = []
    for name in OURS:
        spec = find_spec(name)
        found = Path(spec.origin).resolve() if spec is not None and spec.origin else None
        if found is None or found.parent.parent != home:
            problems.append(
                f"import name {name!r} is {found or 'missing'}, not this application's: install it in its "
                "own environment, without openai-agents and PyTables"
            )
    return problems
