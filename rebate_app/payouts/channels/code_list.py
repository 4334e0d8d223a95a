"""Lists of a service's error codes, configured per channel: which of them are final.

A code may contain `*`, which stands for any characters. Codes that no list names are never final.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from .port import FAILED, PAYER

CODE_FORM: Final = "1-64 of A-Z, 0-9, _ and *"
is_code_pattern: Final = re.compile(r"[A-Z0-9_*]{1,64}", re.ASCII).fullmatch


class CodeList:
    """What an error code of a request to pay means: `failed`, `payer`, or nothing that is certain."""

    def __init__(self, failed: Iterable[str], payer: Iterable[str]) -> None:
        self._failed = _matcher(failed)
        self._payer = _matcher(payer)

    def outcome(self, code: str) -> str | None:
        """Return the outcome; a code on both lists is the payer's, which keeps the money frozen."""
        if self._payer.fullmatch(code):
            return PAYER
        return FAILED if self._failed.fullmatch(code) else None


def _matcher(patterns: Iterable[str]) -> re.Pattern[str]:
    parts = [".*".join(map(re.escape, pattern.split("*"))) for pattern in patterns]
    return re.compile("|".join(parts) or r"(?!)")
