"""docs/edge-cases.md says of each of the 60 cases which test keeps it or what it waits for, and is true."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.source_trees import tree_of

ROOT = Path(__file__).parents[2]
CASES = 60
BUGS = 20
DOCUMENT = (ROOT / "docs" / "edge-cases.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (\d+) \| (.+) \| (.+) \|$", re.MULTILINE)
TEST = re.compile(r"`(tests/[a-z_/]+\.py)::(test_\w+)`")


def functions(path: str) -> set[str]:
    """Return the names of all functions of a file."""
    tree = tree_of(ROOT / path)
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}


def test_no_case_is_missing() -> None:
    """Each number once, in order, and each has a test or a reason."""
    rows = ROW.findall(DOCUMENT)
    assert [int(number) for number, _, _ in rows] == list(range(1, CASES + 1))
    for number, _, where in rows:
        assert TEST.search(where) or where.startswith("**Waits** for "), number


def test_every_named_test_exists() -> None:
    """A test that is renamed has to be renamed here too."""
    named = TEST.findall(DOCUMENT)
    assert len(named) > CASES // 2
    for path, name in named:
        assert name in functions(path), f"{path} has no {name}"


def test_every_numbered_test_of_the_domain_is_named_by_its_number() -> None:
    """Edge case tests carry the number of their row."""
    for number, _, where in ROW.findall(DOCUMENT):
        for path, name in TEST.findall(where):
            if "test_edge" in path:
                assert name.startswith(f"test_{int(number):02d}_")


def test_every_bug_is_tested_or_explained() -> None:
    """Twenty bugs of other systems: each has a test named after it, or a line that says what it waits for."""
    tests = functions("tests/domain/test_known_bugs.py")
    for number in range(1, BUGS + 1):
        tested = any(name.startswith(f"test_{number:02d}_") for name in tests)
        assert tested != (f"| bug {number} |" in DOCUMENT), number
