"""Read the commands of a Markdown page and the output that the page shows for them.

A step is a fenced block of `sh` or `python`; a block of `text` that follows it is its output, in which `…`
stands for anything within a line, and a line that is only `…` for any number of lines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"(?:^|[ \t]+)#[ \t].*$", re.MULTILINE)
_SERVICE = re.compile(r"^(?:make run|(?:\w+=\S+ )*\.venv/bin/faust .*)$", re.MULTILINE)
ANYTHING = "…"


@dataclass(frozen=True)
class Step:
    """One block of a page: its language, its code without comments, and its output if one is shown."""

    language: str
    code: str
    output: str | None


def steps(page: str) -> list[Step]:
    """Return the commands and snippets of a page in order."""
    blocks = _BLOCK.findall(page)
    found = []
    for (language, text), (next_language, next_text) in zip(blocks, [*blocks[1:], ("", "")], strict=True):
        if language in ("sh", "python"):
            output = next_text if next_language == "text" else None
            found.append(Step(language, without_comments(text), output))
    return found


def without_comments(code: str) -> str:
    """Return code without comments, blank lines and trailing spaces: comments are translated, code is not."""
    lines = (line.rstrip() for line in _COMMENT.sub("", code).splitlines())
    return "".join(f"{line}\n" for line in lines if line)


def split_services(code: str) -> list[tuple[str, bool]]:
    """Split shell code at commands that stay in the foreground; return (code, stays) in order."""
    parts: list[tuple[str, bool]] = []
    end = 0
    for match in _SERVICE.finditer(code):
        parts += [(code[end : match.start()], False), (match[0], True)]
        end = match.end()
    return [(part.strip("\n"), stays) for part, stays in [*parts, (code[end:], False)] if part.strip()]


def shows(expected: str, actual: str) -> bool:
    """Return whether the output of a page is the actual output, spaces at line ends aside."""
    pattern = ""
    for line in expected.strip("\n").splitlines():
        if line.strip() == ANYTHING:
            pattern += r"(?:.*\n)*?"
        else:
            pattern += ".*?".join(map(re.escape, line.rstrip().split(ANYTHING))) + r"\n"
    text = "".join(f"{line.rstrip()}\n" for line in actual.strip("\n").splitlines())
    return re.fullmatch(pattern, text) is not None
