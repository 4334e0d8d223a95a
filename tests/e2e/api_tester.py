"""schemathesis with all its checks: valid and invalid requests of every operation of /openapi.json.

A request within the description may be refused with a code that its operation lists under `x-unforeseen`,
each with its reason; every other finding counts.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from itertools import count
from typing import Any

import schemathesis
from msgspec import Struct, field
from schemathesis.core.failures import Failure
from schemathesis.engine import events, from_schema
from schemathesis.engine.run import PhaseName
from schemathesis.hooks import GLOBAL_HOOK_DISPATCHER
from schemathesis.openapi.checks import RejectedPositiveData

from rebate_app.web.openapi.document import described, openapi_document

#: Waits of writes cost time and have tests of their own.
WAIT_MS_MAX = 20
REQUEST_WAIT_MS_MAX = 2_000
REQUEST_TIMEOUT_SECONDS = 20
#: How invalid requests are refused. Beyond what the tester expects: 413 for more facts than one request may
#: have (docs/spec/http.md#writes), which its description can only call a list that is too long.
REFUSALS = [400, 401, 403, 404, 405, 409, 413, 415, 422, 429]
ANSWER_BYTES_SHOWN = 600
OPERATIONS = len(list(described()))
#: About so many systematic requests does the tester make of an operation.
SYSTEMATIC = 55 * OPERATIONS


class Findings(Struct):
    """What was sent and found: requests by operation and status, and failures in full."""

    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def requests(self) -> int:
        """Return how many requests were answered."""
        return sum(self.statuses.values())


def run_tester(url: str, token: str, seed: int, requests_max: int) -> Findings:
    """Send about that many requests to a worker at most: systematic ones for each operation, and drawn ones.

    If there are more systematic ones than a half of them, a part of those is taken, the same for a seed.

    The worker has to trust 127.0.0.1 as a proxy: each request names another address, since one that sends
    20 wrong credentials within a minute gets 429 in place of 401, and the tester sends many of them.
    """
    systematic = min(requests_max // 2, SYSTEMATIC)
    drawn = max(2, (requests_max - systematic) // OPERATIONS)
    config = schemathesis.Config.from_dict(
        {
            "seed": seed,
            "base-url": url,
            "auth": {"openapi": {"apiKey": {"bearer": token}}},
            "request-timeout": REQUEST_TIMEOUT_SECONDS,
            "continue-on-failure": True,
            "generation": {
                "max-examples": drawn,
                "database": "none",
                "no-shrink": True,
            },
            "checks": {"negative_data_rejection": {"expected-statuses": REFUSALS}},
        }
    )
    schema = schemathesis.openapi.from_dict(openapi_document(), config=config)
    schema.hooks.register_hook_with_name(_bounded_wait, "map_query")
    schema.hooks.register_hook_with_name(_is_finding, "filter_failure")
    sample = _Sample(seed, systematic / SYSTEMATIC)
    schema.hooks.register_hook_with_name(sample.filter_case, "filter_case")
    before_call = _Addresses().before_call
    GLOBAL_HOOK_DISPATCHER.register_hook_with_name(before_call, "before_call")
    try:
        return _run(schema, requests_max)
    finally:
        GLOBAL_HOOK_DISPATCHER.unregister(before_call)


def _run(schema: Any, requests_max: int) -> Findings:
    findings = Findings()
    stream = from_schema(schema).execute()
    for event in stream:
        if isinstance(event, events.ScenarioFinished):
            _collect(event, findings)
            if findings.requests >= requests_max:
                stream.stop()
        elif isinstance(event, events.NonFatalError | events.FatalError):
            findings.errors.append(str(getattr(event, "info", event)))
    return findings


def _bounded_wait(context: Any, query: Any) -> Any:
    """Return the query with a shorter wait."""
    wait_ms = query.get("wait_ms") if isinstance(query, dict) else None
    if isinstance(wait_ms, int) and WAIT_MS_MAX < wait_ms <= REQUEST_WAIT_MS_MAX:
        query["wait_ms"] = WAIT_MS_MAX
    return query


class _Sample:
    """Takes a share of the systematic requests, at random by a seed."""

    def __init__(self, seed: int, share: float) -> None:
        self._random = random.Random(seed)
        self._share = share

    def filter_case(self, context: Any, case: Any) -> bool:
        """Whether the request is sent."""
        systematic = case.meta is not None and case.meta.phase.name == PhaseName.COVERAGE
        return not systematic or self._random.random() < self._share


class _Addresses:
    """Lets each request come from another address."""

    def __init__(self) -> None:
        self._numbers = count()

    def before_call(self, context: Any, case: Any, kwargs: Any) -> None:
        """Name the address."""
        number = next(self._numbers)
        case.headers["X-Forwarded-For"] = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def _is_finding(context: Any, failure: Failure, case: Any, response: Any) -> bool:
    """Return False for a valid request that is refused with codes that its operation lists as unforeseen."""
    if not isinstance(failure, RejectedPositiveData):
        return True
    unforeseen = case.operation.definition.raw.get("x-unforeseen", {})
    problem = json.loads(response.content)
    codes = {each["code"] for each in problem.get("errors", [problem])}
    return not codes <= unforeseen.keys()


def _collect(event: events.ScenarioFinished, findings: Findings) -> None:
    recorder = event.recorder
    for case_id, interaction in recorder.interactions.items():
        if interaction.response is not None:
            label = recorder.cases[case_id].value.operation.label
            findings.statuses[label, interaction.response.status_code] += 1
    for case_id, checks in recorder.checks.items():
        answered = recorder.interactions.get(case_id)
        response = None if answered is None else answered.response
        shown = b"" if response is None else response.content[:ANSWER_BYTES_SHOWN]
        for check in checks:
            found = check.failure_info
            if found is not None:
                label = recorder.cases[case_id].value.operation.label
                what = f"{label}: {found.failure.title}: {found.failure.message}"
                findings.failures.append(f"{what}\n  {found.code_sample}\n  {shown!r}")
