"""The folder of rule files, one TOML file per version (contracts.md 6).

Law: either every file of the folder is a version and no two of them compete, or nothing is loaded and
every problem of every file is told at once. Separate from the domain, which knows no files.
"""

from __future__ import annotations

from pathlib import Path

from rebate_app.domain.rule_check import parse_rules
from rebate_app.domain.rules import RuleBook, RuleVersion
from rebate_app.settings import ConfigurationError


def load_rules(folder: Path) -> RuleBook:
    """Return all versions of the folder's `*.toml` files; ConfigurationError lists every problem.

    Other files are none of ours, and neither are hidden ones, which editors leave behind.
    """
    try:
        paths = sorted(path for path in folder.iterdir() if _is_rule_file(path))
    except OSError as error:
        raise ConfigurationError(f"the rules cannot be read: {error}") from error
    if not paths:
        raise ConfigurationError(f"there are no rule files (*.toml) in {folder}")
    problems: list[str] = []
    versions: list[tuple[str, RuleVersion]] = []
    for path in paths:
        outcome = _load(path)
        if isinstance(outcome, RuleVersion):
            versions.append((path.name, outcome))
        else:
            problems += outcome
    problems += _rivals(versions)
    if problems:
        raise ConfigurationError("; ".join(problems))
    return RuleBook([version for _, version in versions])


def _is_rule_file(path: Path) -> bool:
    return path.suffix == ".toml" and not path.name.startswith(".")


def _load(path: Path) -> RuleVersion | list[str]:
    try:
        content = path.read_bytes()
    except OSError as error:
        return [f"{path.name}: cannot be read: {error.strerror}"]
    return parse_rules(content, path.name)


def _rivals(versions: list[tuple[str, RuleVersion]]) -> list[str]:
    """Return a problem for every version whose name or moment an earlier file has already taken."""
    problems = []
    names: dict[str, str] = {}
    moments: dict[int, str] = {}
    for file, version in versions:
        if version.version in names:
            problems.append(f"{file}: version {version.version!r} is in {names[version.version]} too")
        if version.effective_from in moments:
            problems.append(f"{file}: effective_from is the same as in {moments[version.effective_from]}")
        names.setdefault(version.version, file)
        moments.setdefault(version.effective_from, file)
    return problems
