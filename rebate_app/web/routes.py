"""The table of everything that is served: path, methods, what it is for.

It is separate so that registration, tests and documentation read one table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from .account_lists import read_ledger, read_lines
from .api import GUARD_HEADER, Answer, Call, Desk, Handler
from .attributions import read_attribution
from .balances import read_balance
from .dead_letters import post_discard, post_replay, read_dead_letter, read_dead_letters
from .everybody import UNBOUND, USERS, read_unbound, read_users
from .metrics import read_metrics
from .order_lines import read_order_line
from .owners import INTERNAL_PATH, Question
from .parked import PARKED_ACCOUNTS, PARKED_LINES, read_parked_keys
from .probes import read_live, read_ready
from .problems import ProblemError
from .progress import FACT_PROCESSED, LINES_HELD, LINES_MOVED, LINES_SENT
from .rehearsing import REHEARSE_ACCOUNT, REHEARSE_LINE
from .shares import FORWARDED, SHARE
from .workers import read_workers
from .writes import post_orders, put_attribution, put_profile


class Route(Struct, frozen=True):
    """A resource: `path` with {parts}, each a whole segment of it, and a handler per method."""

    name: str
    path: str
    about: str
    handlers: Mapping[str, Handler]


QUESTIONS: Mapping[str, Question[Any, Any]] = {
    question.name: question
    for question in (
        SHARE,
        FORWARDED,
        USERS,
        UNBOUND,
        LINES_SENT,
        LINES_HELD,
        FACT_PROCESSED,
        LINES_MOVED,
        REHEARSE_LINE,
        REHEARSE_ACCOUNT,
        PARKED_LINES,
        PARKED_ACCOUNTS,
    )
}


async def answer_question(desk: Desk, call: Call) -> Answer:
    """Answer another worker; for everybody else there is nothing here."""
    question = QUESTIONS.get(call.params["question"])
    if question is None or not call.forwarded:
        raise ProblemError("not-found", f"there is nothing for others here: {GUARD_HEADER} is missing")
    return Answer(200, question.answer(desk, await call.read_body()))


ROUTES = (
    Route("balance", "/v1/users/{user_id}/balance", "a user's balance", {"GET": read_balance}),
    Route("lines", "/v1/users/{user_id}/lines", "the lines that are a user's now", {"GET": read_lines}),
    Route("ledger", "/v1/users/{user_id}/ledger", "every change of a user's account", {"GET": read_ledger}),
    Route("profile", "/v1/users/{user_id}/profile", "level and inviter of a user", {"PUT": put_profile}),
    Route("users", "/v1/users", "everybody with a line, a share or a profile", {"GET": read_users}),
    Route(
        "order-line",
        "/v1/order-lines/{platform}/{order_line_id}",
        "one order line, explained",
        {"GET": read_order_line},
    ),
    Route("orders", "/v1/orders", "order facts in", {"POST": post_orders}),
    Route(
        "attribution",
        "/v1/attributions/{attribution_id}",
        "an attribution id: its lines, and to whom it is bound",
        {"GET": read_attribution, "PUT": put_attribution},
    ),
    Route("attributions", "/v1/attributions", "ids whose lines wait in suspense", {"GET": read_unbound}),
    Route(
        "dead-letters",
        "/v1/dead-letters",
        "records that failed, and what became of them",
        {"GET": read_dead_letters},
    ),
    Route("dead-letter", "/v1/dead-letters/{id}", "one dead letter, in full", {"GET": read_dead_letter}),
    Route("replay", "/v1/dead-letters/{id}/replay", "send records again", {"POST": post_replay}),
    Route("discard", "/v1/dead-letters/{id}/discard", "close dead letters", {"POST": post_discard}),
    Route("parked-keys", "/v1/parked-keys", "lines and accounts under review", {"GET": read_parked_keys}),
    Route("workers", "/v1/workers", "who owns which partition, and who answers", {"GET": read_workers}),
    Route("metrics", "/metrics", "figures for Prometheus (metrics.md)", {"GET": read_metrics}),
    Route("livez", "/livez", "whether the loop runs", {"GET": read_live}),
    Route("readyz", "/readyz", "whether the worker does its part", {"GET": read_ready}),
    Route("internal", INTERNAL_PATH + "{question}", "workers ask each other", {"POST": answer_question}),
)
