"""Amounts as payment services and banks write them: yuan with at most two decimals. No floats."""

from __future__ import annotations

import re

FEN_PER_YUAN = 100
_match_yuan = re.compile(r"([0-9]{1,10})(?:\.([0-9]{1,2}))?", re.ASCII).fullmatch


def yuan_of(fen: int) -> str:
    """Return an amount in fen as yuan with two decimals."""
    sign = "-" if fen < 0 else ""
    return f"{sign}{abs(fen) // FEN_PER_YUAN}.{abs(fen) % FEN_PER_YUAN:02}"


def parse_yuan(text: str) -> int | None:
    """Return fen; None for a text that is no amount with at most two decimals."""
    match = _match_yuan(text)
    if match is None:
        return None
    return int(match[1]) * FEN_PER_YUAN + int((match[2] or "").ljust(2, "0"))
