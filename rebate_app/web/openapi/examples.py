"""Examples of bodies: one file for each operation, `<operation>.json`, and `<operation>.body.json`.

They are answers to the worked example of docs/spec/money.md; a test holds each against its schema.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any


def read_example(name: str) -> Any:
    """Return the example of that name, None where there is none."""
    path = files(__package__) / "examples" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def read_text_example(name: str) -> str | None:
    """Return the example of an answer that is no JSON, None where there is none."""
    path = files(__package__) / "examples" / f"{name}.txt"
    return path.read_text(encoding="utf-8") if path.is_file() else None
