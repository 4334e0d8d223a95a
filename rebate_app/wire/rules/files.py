"""Reads rule files, one TOML file per version (docs/spec/rules.md#files).

Either every file is a version and no two of them conflict, or one error lists every problem of every file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from msgspec import Struct

from rebate_app.domain.pricing.catalogue import RuleCatalogue, conflict, in_order
from rebate_app.domain.pricing.rules import RuleVersion
from rebate_app.settings import ConfigurationError

from .parsing import parse_rules


class RuleFilesError(ConfigurationError):
    """Rule files that cannot be used; `problems`: all of them, one sentence each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = list(problems)


class RuleFile(Struct, frozen=True):
    """One rule file: its name, its text, and the version that it is.

    `refusals`: why it cannot be published although a published version may be like it, one sentence each.
    """

    name: str
    text: str
    version: RuleVersion
    refusals: tuple[str, ...] = ()


def load_rules(folder: Path) -> RuleCatalogue:
    """Return all versions of the folder's `*.toml` files; ConfigurationError lists every problem.

    Other files and hidden ones, which editors leave behind, are not read.
    """
    files = read_folder(folder)
    if not files:
        raise ConfigurationError(f"there are no rule files (*.toml) in {folder}")
    check_publishable(files)
    return RuleCatalogue(file.version for file in files)


def read_folder(folder: Path, leave_out: Collection[Path] = ()) -> list[RuleFile]:
    """Return the rule files of a folder, each behind the version that it replaces; none for no folder.

    `leave_out`: resolved paths of files that are not read. Files with `refusals` are among them, since they
    may be published: `check_publishable` refuses the others.
    """
    try:
        paths = sorted(
            path for path in folder.iterdir() if _is_rule_file(path) and path.resolve() not in leave_out
        )
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigurationError(f"the rules cannot be read: {error}") from error
    files, problems = _read_all(paths, ())
    if problems:
        raise RuleFilesError(problems)
    return files


def read_files(paths: Iterable[Path], published: Iterable[RuleVersion] = ()) -> list[RuleFile]:
    """Return the files in the order of publishing; RuleFilesError lists every problem.

    `published`: versions that exist already. A file that is one of them, unchanged, is no problem.
    """
    known = list(published)
    files, problems = _read_all(paths, known)
    problems += refusals(files, {version.content_hash for version in known})
    if problems:
        raise RuleFilesError(problems)
    return files


def check_publishable(files: Iterable[RuleFile], known_hashes: Collection[str] = ()) -> None:
    """Raise RuleFilesError with all `refusals` of the files."""
    if problems := refusals(files, known_hashes):
        raise RuleFilesError(problems)


def refusals(files: Iterable[RuleFile], known_hashes: Collection[str] = ()) -> list[str]:
    """Return why files cannot be published; `known_hashes`: of contents that are in use already."""
    return [each for file in files if file.version.content_hash not in known_hashes for each in file.refusals]


def _read_all(paths: Iterable[Path], published: Iterable[RuleVersion]) -> tuple[list[RuleFile], list[str]]:
    """Return the files in the order of publishing, and every problem but their refusals."""
    problems: list[str] = []
    files: list[RuleFile] = []
    for path in paths:
        outcome = _load(path)
        if isinstance(outcome, RuleFile):
            files.append(outcome)
        else:
            problems += outcome
    by_version = {id(file.version): file for file in files}
    ordered = [by_version[id(version)] for version in in_order(file.version for file in files)]
    return ordered, problems + conflicts(ordered, published)


def _is_rule_file(path: Path) -> bool:
    return path.suffix == ".toml" and not path.name.startswith(".")


def _load(path: Path) -> RuleFile | list[str]:
    try:
        content = path.read_bytes()
    except OSError as error:
        return [f"{path.name}: cannot be read: {error.strerror}"]
    outcome = parse_rules(content, path.name)
    if isinstance(outcome, RuleVersion):
        return RuleFile(path.name, content.decode(), outcome)
    readable = parse_rules(content, path.name, platforms=None)
    if isinstance(readable, RuleVersion):
        return RuleFile(path.name, content.decode(), readable, tuple(outcome))
    return outcome


def conflicts(files: Sequence[RuleFile], published: Iterable[RuleVersion]) -> list[str]:
    """Return a problem for every file that cannot be published beside those before it."""
    problems = []
    known = {version.version: version for version in published}
    names: dict[str, str] = {}
    for file in files:
        version = file.version
        existing = known.get(version.version)
        if version.version in names:
            problems.append(f"{file.name}: version {version.version!r} is in {names[version.version]} too")
        elif existing is not None and existing.content_hash != version.content_hash:
            problems.append(f"{file.name}: version {version.version!r} is published with another content")
        elif existing is None:
            if problem := conflict(version, known.values()):
                problems.append(f"{file.name}: {problem}")
            known[version.version] = version
        names.setdefault(version.version, file.name)
    return problems
