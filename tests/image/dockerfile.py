"""deploy/Dockerfile, read into instructions by stage."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
DOCKERFILE = CHECKOUT / "deploy" / "Dockerfile"


@dataclass(frozen=True)
class Step:
    """One instruction: its word and the rest of its line, continuations joined."""

    word: str
    rest: str

    @property
    def words(self) -> list[str]:
        """Return the arguments of an instruction that has no JSON form, options left out."""
        return [word for word in self.rest.split() if not word.startswith("--")]

    @property
    def command(self) -> list[str]:
        """Return the exec form of CMD or HEALTHCHECK."""
        command: list[str] = json.loads(self.rest[self.rest.index("[") :])
        return command


def stages() -> list[list[Step]]:
    """Return the instructions of each stage; the last one is the image."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found: list[list[Step]] = []
    for line in text.replace("\\\n", " ").splitlines():
        if line.strip():
            word, _, rest = line.partition(" ")
            if word == "FROM":
                found.append([])
            found[-1].append(Step(word, rest.strip()))
    return found


def copied(stage: list[Step]) -> list[tuple[list[str], str]]:
    """Return what a stage copies from the repository: sources and target."""
    steps = [step for step in stage if step.word == "COPY" and "--from=" not in step.rest]
    return [(step.words[:-1], step.words[-1]) for step in steps]


def environment(stage: list[Step]) -> dict[str, str]:
    """Return what ENV sets in a stage."""
    pairs = (pair.partition("=") for step in stage if step.word == "ENV" for pair in step.words)
    return {name: value for name, _, value in pairs}


def only(stage: list[Step], word: str) -> Step:
    """Return the one instruction of that word."""
    (step,) = [step for step in stage if step.word == word]
    return step
