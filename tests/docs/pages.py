"""Read Markdown as GitHub shows it: headings become anchors, links have targets.

Code fences and inline code hold no links. A heading that occurs twice gets `-1`, `-2`, … appended.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Folders of the checkout whose files are not ours, or are made anew at any time.
NOT_OURS = {"__pycache__", "build", "node_modules", "results"}
HIDDEN_AND_OURS = {".ci"}

_FENCE = re.compile(r"^ {0,3}(```+|~~~+).*?^ {0,3}\1[`~]* *$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^ {0,3}#{1,6} +(.+?)(?: +#+)? *$", re.MULTILINE)
_LINK_TEXT = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_INLINE_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
_REFERENCE = re.compile(r"^ {0,3}\[[^\]]+\]: +<?(\S+?)>?(?: .*)?$", re.MULTILINE)
#: Not part of a longer path or URL: `docs/x.md` and `docs/x.md#anchor`.
_CITATION = re.compile(r"(?<![\w./-])docs/[\w./-]+\.md(?:#[\w-]+)?")


def files(*suffixes: str) -> list[Path]:
    """Return the checkout's own files in order, hidden folders left out; without suffixes all of them."""
    found: list[Path] = []
    folders = [ROOT]
    while folders:
        for path in sorted(folders.pop().iterdir()):
            if path.is_dir():
                if _is_ours(path.name):
                    folders.append(path)
            elif not suffixes or path.suffix in suffixes:
                found.append(path)
    return found


def slug(heading: str) -> str:
    """Return GitHub's anchor of a heading: lower case, letters, digits, `_` and `-`, spaces as `-`."""
    text = _LINK_TEXT.sub(r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def headings(text: str) -> list[str]:
    """Return the headings of a page, as written, code fences left out."""
    return _HEADING.findall(_FENCE.sub("", text))


def anchors_in(text: str) -> set[str]:
    """Return every anchor of a page."""
    seen: Counter[str] = Counter()
    found: set[str] = set()
    for heading in headings(text):
        anchor = slug(heading)
        found.add(f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor)
        seen[anchor] += 1
    return found


def links(text: str) -> list[str]:
    """Return the targets of all links and images of a page."""
    prose = _INLINE_CODE.sub("", _FENCE.sub("", text))
    return [*_LINK.findall(prose), *_REFERENCE.findall(prose)]


def citations(text: str) -> list[str]:
    """Return every `docs/….md` or `docs/….md#anchor` that a text names."""
    return _CITATION.findall(text)


def problem(target: str, page: Path) -> str | None:
    """Return what is wrong with a relative target that `page` names, None if it resolves."""
    path, _, anchor = target.partition("#")
    file = page if not path else (page.parent / path).resolve()
    if not file.exists():
        return f"{target}: no such file"
    if anchor and (file.suffix != ".md" or anchor not in _anchors(file)):
        return f"{target}: no such heading"
    return None


def read(path: Path) -> str:
    """Return the text of a file; "" for one that is not UTF-8, or that another test has removed meanwhile."""
    try:
        return path.read_text(encoding="utf-8")
    except (UnicodeDecodeError, FileNotFoundError):
        return ""


def relative_links(page: Path) -> Iterator[str]:
    """Yield the targets of a page that are in this repository."""
    for target in links(read(page)):
        if not re.match(r"[a-z][a-z0-9+.-]*:", target):
            yield target


@cache
def _anchors(path: Path) -> set[str]:
    return anchors_in(read(path))


def _is_ours(folder: str) -> bool:
    if folder.startswith("."):
        return folder in HIDDEN_AND_OURS
    return folder not in NOT_OURS and not folder.endswith(".egg-info")
