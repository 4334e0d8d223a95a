"""`GET /v1/rules` and `/v1/rules/{version}`: published rule versions, and where this worker knows them.

See docs/spec/rules.md. Rates are in basis points, amounts in fen. `activated` lists the partitions of the
user log that this worker owns, each with the offset behind which the version is known.
"""

from __future__ import annotations

from typing import Any

from rebate_app.domain.pricing.rules import RuleVersion
from rebate_app.wire.moments import format_moment
from tables.accounts import ACTIVATIONS, ACTIVATIONS_KEY

from ..context import HttpRequest, HttpResponse, RequestContext, json_response
from ..problems import ProblemError
from ..routing.forwarding import ACCOUNTS
from ..routing.ports import Local

TOML = {"Content-Type": "application/toml; charset=utf-8", "Cache-Control": "no-cache"}


async def read_rules(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `GET /v1/rules`, in the order in which versions were published."""
    del request
    return json_response({"items": rule_items(context), "next_cursor": None})


async def read_rule(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `GET /v1/rules/{version}` with the file."""
    published = context.published.get(request.params["version"])
    if published is None:
        raise ProblemError("unknown-rule-version", "no version of this name is published")
    return HttpResponse(200, published.content.encode(), TOML | {"ETag": f'"{published.rule.content_hash}"'})


def rule_items(context: RequestContext) -> list[dict[str, Any]]:
    """Return the versions that this worker has read."""
    now = context.rules.book.in_force(context.clock())
    activated = _activated(context)
    return [
        {
            "version": rule.version,
            "effective_from": format_moment(rule.effective_from),
            "content_hash": rule.content_hash,
            "replaces": rule.replaces,
            "in_force": now is rule,
            "activated": activated.get(rule.version, {}),
            **_terms(rule),
        }
        for rule in context.rules.versions
    ]


def _terms(rule: RuleVersion) -> dict[str, Any]:
    """Return what a version gives to whom; `default` is the share on platforms that are not named."""
    return {
        "levels": [
            {"id": level.id, "share_bps": {"default": level.default_bps, **level.platform_bps}}
            for level in rule.levels
        ],
        "inviter": {
            "max_levels": rule.inviter_max_levels,
            "base": rule.inviter_base,
            "bps": {str(depth): dict(by_level) for depth, by_level in sorted(rule.inviter_bps.items())},
        },
        "min_net_commission_fen": rule.min_net_commission_fen,
        "min_rebate_fen": rule.min_rebate_fen,
        "max_payout_bps": rule.max_payout_bps,
    }


def _activated(context: RequestContext) -> dict[str, dict[str, int]]:
    """Return version → partition → offset behind which this worker's partition knows it."""
    found: dict[str, dict[str, int]] = {}
    for partition in range(context.placement.partitions):
        place = context.placement.place(ACCOUNTS, partition)
        if isinstance(place, Local):
            activations = ACTIVATIONS.read(place.store, ACTIVATIONS_KEY)
            for each in () if activations is None else activations.items:
                found.setdefault(each.version, {})[str(partition)] = each.after_offset
    return found
