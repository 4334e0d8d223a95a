"""Amounts of facts about money out as annotated types, for their JSON Schemas and those of HTTP bodies."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from rebate_app.domain.facts import AMOUNT_FEN_MAX

Amount = Annotated[int, Meta(ge=1, le=AMOUNT_FEN_MAX, description="fen")]
Signed = Annotated[int, Meta(ge=-AMOUNT_FEN_MAX, le=AMOUNT_FEN_MAX, description="fen, signed")]
NotZero = Annotated[
    int,
    Meta(
        ge=-AMOUNT_FEN_MAX,
        le=AMOUNT_FEN_MAX,
        description="fen, signed",
        extra_json_schema={"not": {"const": 0}},
    ),
]
