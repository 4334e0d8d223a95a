"""Syntax trees of this repository's sources, for tests that read code instead of running it."""

from __future__ import annotations

import ast
import gc
from functools import cache
from pathlib import Path


@cache
def tree_of(path: Path) -> ast.Module:
    """Return a file's syntax tree; read it, do not change it: it is shared.

    Nothing is collected while it is parsed. A finalizer may log a traceback, whose lines Python parses in
    turn, and CPython 3.11 takes a parse within a parse for a fault (gh-106905: "recursion depth mismatch").
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    finally:
        if was_enabled:
            gc.enable()
