"""The lock files hold what pyproject.toml asks for, by hash, and everything is justified."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CHECKOUT = Path(__file__).parents[1]
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
RUNTIME = [Requirement(text) for text in PROJECT["dependencies"]]
DEV = [Requirement(text) for text in PROJECT["optional-dependencies"]["dev"]]
BUILD = [
    Requirement(line)
    for line in (CHECKOUT / "requirements-build.in").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]


def locked(name: str) -> dict[str, str]:
    """Return the version of each package in the lock file; fail on one that has no hash."""
    text = (CHECKOUT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    versions: dict[str, str] = {}
    for line in text.splitlines():
        if line and not line.lstrip().startswith("#"):
            match = re.match(r"([A-Za-z0-9._-]+)==([^ ;]+)", line)
            assert match, line
            assert "--hash=sha256:" in line, line
            versions[canonicalize_name(match[1])] = match[2]
    return versions


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("requirements.lock", RUNTIME + DEV + BUILD), ("requirements-runtime.lock", RUNTIME + BUILD)],
)
class TestLockFile:
    """What is installed is what was asked for, and nothing that was not looked at."""

    def test_it_satisfies_every_direct_dependency(self, name: str, wanted: list[Requirement]) -> None:
        """A change of pyproject.toml without `make lock` is noticed."""
        versions = locked(name)
        missing = [str(want) for want in wanted if canonicalize_name(want.name) not in versions]
        assert missing == []
        wrong = [
            str(want)
            for want in wanted
            if not want.specifier.contains(versions[canonicalize_name(want.name)])
        ]
        assert wrong == []

    def test_it_names_no_place_to_download_from(self, name: str, wanted: list[Requirement]) -> None:
        """Where packages come from is the machine's business."""
        text = (CHECKOUT / name).read_text(encoding="utf-8")
        assert re.findall(r"--(?:extra-)?index-url|--find-links|https?://", text) == []


def test_both_lock_files_agree() -> None:
    """The image runs what the tests ran."""
    assert locked("requirements-runtime.lock").items() <= locked("requirements.lock").items()


def test_every_direct_dependency_is_justified() -> None:
    """docs/dependencies.md has a line with licence and reason for each."""
    text = (CHECKOUT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line[:1] == "|"]
    justified = {canonicalize_name(name) for name, licence, why in rows if licence and why}
    wanted = {canonicalize_name(want.name) for want in RUNTIME + DEV + BUILD}
    assert wanted - justified == set()
