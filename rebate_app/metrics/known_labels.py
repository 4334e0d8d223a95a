"""The label values that are known before anything is counted, so that every series begins with a zero.

Prometheus computes `increase()` from a series' first sample on: a counter that appears with the value 1 has
not increased. Each labelled counter of the catalogue names its values by a function of `KnownLabels`, and
`MetricsRegistry.declare` exports a zero for each.
"""

from __future__ import annotations

from itertools import product

from msgspec import Struct

from rebate_app.domain.money_out.answers import CALLBACK_OUTCOMES, DROPPED, OUTCOMES
from rebate_app.domain.money_out.facts import RESULT_STATUSES
from rebate_app.domain.money_out.paying import HOLD_REASONS
from rebate_app.domain.money_out.states import WAITING
from rebate_app.domain.reasons import WEBHOOK_EXHAUSTED, WEBHOOK_REFUSED
from rebate_app.networks import NETWORKS

LabelSets = tuple[tuple[str, ...], ...]


class KnownLabels(Struct, frozen=True, kw_only=True):
    """What this worker's settings and tables add to the values that are always the same.

    `stages`: names of its stages. `dead_letters`: pairs of topic and reason code. `control_topics`: topics
    whose unreadable records are skipped. `sources`: source topics. `retries`: pairs of topic and delay.
    `refusals`, `closures`: problem codes and limits of the web server. `auth_refusals`: problem codes of
    requests that are refused for who sends them. `halts`: codes of the limits that halt partitions.
    `source_jobs`: pairs of account and job. `source_methods`: pairs of app and API method.
    """

    stages: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    dead_letters: LabelSets = ()
    control_topics: tuple[str, ...] = ()
    retries: LabelSets = ()
    refusals: tuple[str, ...] = ()
    auth_refusals: tuple[str, ...] = ()
    closures: tuple[str, ...] = ()
    halts: tuple[str, ...] = ()
    source_jobs: LabelSets = ()
    source_methods: LabelSets = ()


def single(values: tuple[str, ...]) -> LabelSets:
    """Return label sets of one label."""
    return tuple((value,) for value in values)


def by_stage(known: KnownLabels) -> LabelSets:
    """Return every stage."""
    return single(known.stages)


def by_source(known: KnownLabels) -> LabelSets:
    """Return every source topic."""
    return single(known.sources)


def order_outcomes(_: KnownLabels) -> LabelSets:
    """Return every network with both outcomes; other platforms are counted from their first order on."""
    return tuple(product(NETWORKS, ("applied", "ignored")))


def reroutes(known: KnownLabels) -> LabelSets:
    """Return every source topic with what becomes of a record in another partition than its key's."""
    return tuple(product(known.sources, ("rerouted", "repeat")))


def payout_answers(_: KnownLabels) -> LabelSets:
    """Return calls and questions with every outcome."""
    return tuple(product(("call", "question"), OUTCOMES))


def payout_attempts(_: KnownLabels) -> LabelSets:
    """Return what can be counted of an attempt: that it was begun, and every status of a result."""
    return single(("begun", *RESULT_STATUSES))


def payout_dropped(_: KnownLabels) -> LabelSets:
    """Return every member of an answer that can be left out."""
    return single(DROPPED)


def payout_callbacks(_: KnownLabels) -> LabelSets:
    """Return what can be counted of a callback."""
    return single(CALLBACK_OUTCOMES)


def withdrawal_states(_: KnownLabels) -> LabelSets:
    """Return every state in which a withdrawal waits."""
    return single(WAITING)


def hold_reasons(_: KnownLabels) -> LabelSets:
    """Return every reason for which a withdrawal is not paid or asked about."""
    return single(HOLD_REASONS)


def webhook_outcomes(_: KnownLabels) -> LabelSets:
    """Return how an event can be done with."""
    return single(("delivered", WEBHOOK_REFUSED, WEBHOOK_EXHAUSTED))


def attempt_outcomes(_: KnownLabels) -> LabelSets:
    """Return the outcomes of an attempt without a response, and the usual statuses."""
    return single(
        ("status-200", "status-204", "status-500", "status-503", "timeout", "connect", "address-refused")
    )


def source_rows(known: KnownLabels) -> LabelSets:
    """Return every job of every account with what can become of its rows."""
    outcomes = ("read", "new", "changed", "repeated", "refused")
    return tuple((*job, outcome) for job in known.source_jobs for outcome in outcomes)


def source_calls(known: KnownLabels) -> LabelSets:
    """Return every method of every app with how a call can end."""
    outcomes = ("ok", "retry", "wait", "tomorrow", "halve", "stop")
    return tuple((*method, outcome) for method in known.source_methods for outcome in outcomes)
