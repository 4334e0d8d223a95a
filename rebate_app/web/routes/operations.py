"""Routes for operators: failures, the audit trail, rules, workers, sources and webhooks."""

from __future__ import annotations

from rebate_app.auth.scopes import BALANCES_READ, OPERATIONS_READ, OPERATIONS_WRITE

from ..answers import dead_letters, operations, sources
from ..auth.access import Access
from ..request_params import FILTERS, PAGE
from ..resources.audit_trail import TRAIL_FILTERS, read_audit_trail
from ..resources.dead_letters import post_discard, post_replay, read_dead_letter, read_dead_letters
from ..resources.parked_keys import post_release, read_parked_keys
from ..resources.reach import read_reach
from ..resources.rules import read_rule, read_rules
from ..resources.sources import post_pause, post_resume, read_sources
from ..resources.webhooks import read_webhooks
from ..resources.workers import read_workers
from .route import Method, Route

OPERATION_ROUTES = (
    Route(
        "dead-letters",
        "/v1/dead-letters",
        "records that failed, and what became of them",
        {
            "GET": Method(
                read_dead_letters,
                (*FILTERS, *PAGE),
                Access(OPERATIONS_READ),
                operation=dead_letters.DEAD_LETTERS,
            )
        },
    ),
    Route(
        "dead-letter",
        "/v1/dead-letters/{id}",
        "one dead letter, in full",
        {"GET": Method(read_dead_letter, (), Access(OPERATIONS_READ), operation=dead_letters.DEAD_LETTER)},
    ),
    Route(
        "replay",
        "/v1/dead-letters/{id}/replay",
        "send records again",
        {
            "POST": Method(
                post_replay, (), Access(OPERATIONS_WRITE), "dead-letter.replay", operation=dead_letters.REPLAY
            )
        },
    ),
    Route(
        "discard",
        "/v1/dead-letters/{id}/discard",
        "close dead letters",
        {
            "POST": Method(
                post_discard,
                (),
                Access(OPERATIONS_WRITE),
                "dead-letter.discard",
                operation=dead_letters.DISCARD,
            )
        },
    ),
    Route(
        "parked-keys",
        "/v1/parked-keys",
        "lines and accounts under review",
        {"GET": Method(read_parked_keys, PAGE, Access(OPERATIONS_READ), operation=dead_letters.PARKED_KEYS)},
    ),
    Route(
        "release",
        "/v1/parked-keys/{key}/release",
        "fold what waits for a parked key",
        {
            "POST": Method(
                post_release,
                (),
                Access(OPERATIONS_WRITE),
                "parked-key.release",
                operation=dead_letters.RELEASE,
            )
        },
    ),
    Route(
        "audit-trail",
        "/v1/audit-trail",
        "who did what, newest first",
        {
            "GET": Method(
                read_audit_trail,
                (*TRAIL_FILTERS, *PAGE),
                Access(OPERATIONS_READ),
                operation=dead_letters.AUDIT_TRAIL,
            )
        },
    ),
    Route(
        "rules",
        "/v1/rules",
        "published rule versions, and which of this worker's partitions know them",
        {"GET": Method(read_rules, (), Access(BALANCES_READ), operation=operations.RULES)},
    ),
    Route(
        "rule",
        "/v1/rules/{version}",
        "the file of a rule version",
        {"GET": Method(read_rule, (), Access(BALANCES_READ), operation=operations.RULE)},
    ),
    Route(
        "workers",
        "/v1/workers",
        "which worker owns which partition, and which are alive",
        {"GET": Method(read_workers, (), Access(OPERATIONS_READ), operation=operations.WORKERS)},
    ),
    Route(
        "sources",
        "/v1/sources",
        "how far the orders of each account are fetched, and what holds it back",
        {"GET": Method(read_sources, (), Access(OPERATIONS_READ), operation=sources.SOURCES)},
    ),
    *(
        Route(
            f"source-{name}",
            f"/v1/sources/{{account}}/{name}",
            purpose,
            {"POST": Method(handler, (), Access(OPERATIONS_WRITE), f"sources.{name}", sources.SOURCE_SET)},
        )
        for name, purpose, handler in (
            ("pause", "make no more calls for an account, until it is resumed", post_pause),
            (
                "resume",
                "fetch an account again, after a pause or a stop",
                post_resume,
            ),
        )
    ),
    Route(
        "webhooks",
        "/v1/webhooks",
        "what each worker delivers, to where, and what holds it back",
        {"GET": Method(read_webhooks, (), Access(OPERATIONS_READ), operation=operations.WEBHOOKS)},
    ),
    Route(
        "reach",
        "/v1/workers/reach",
        "which worker reaches which under its advertised URL",
        {"GET": Method(read_reach, (), Access(OPERATIONS_READ), operation=operations.REACH)},
    ),
)
