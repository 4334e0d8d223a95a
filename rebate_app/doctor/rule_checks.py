"""Check of the rule files of this machine (published versions: `published_rule_checks`)."""

from __future__ import annotations

import time

from rebate_app.domain.pricing.rules import RuleBook
from rebate_app.settings import ConfigurationError, Settings
from rebate_app.wire.rules.files import read_folder
from rebate_app.wire.rules.published import unknown_platforms

from .check_spec import CheckSpec, Context, failure, warning
from .result import CheckResult, fail, ok, shortened_list, warn

MICROSECOND_NS = 1_000
CORRECT_NAMES = "correct the names; a published version stays, and one that replaces it has the right ones"


def check_rules(settings: Settings) -> tuple[CheckResult, RuleBook | None]:
    """Load the rule files; return None for rules that cannot be used."""
    try:
        rules = RuleBook(file.version for file in read_folder(settings.rules))
    except ConfigurationError as error:
        return fail("rules", str(error), "correct the files below REBATE_RULES"), None
    if not rules.versions:
        return ok("rules", f"no files in {settings.rules}: the published versions count"), rules
    names = [version.version for version in rules.versions]
    in_force = rules.in_force(time.time_ns() // MICROSECOND_NS)
    if in_force is None:
        text = f"none of {len(names)} versions is in force now: lines paid now are worth 0"
        return warn("rules", text, "add a version whose effective_from has come"), rules
    if unknown := sorted({name for version in rules.versions for name in unknown_platforms(version)}):
        text = f"share_bps names platforms without adapter: {shortened_list(unknown)}"
        return warn("rules", text, CORRECT_NAMES), rules
    return ok("rules", f"{len(names)} versions, in force: {in_force.version}"), rules


async def _rules(context: Context) -> list[CheckResult]:
    result, context.rules = check_rules(context.settings)
    return [result]


CHECKS = (
    CheckSpec(
        "rules",
        "the rule files below `REBATE_RULES`",
        "nothing",
        (
            failure("a file cannot be used", "correct the files"),
            warning(
                "no version is in force: lines paid now are worth 0",
                "add a version whose `effective_from` has come",
            ),
            warning(
                "`share_bps` names platforms without adapter",
                CORRECT_NAMES,
            ),
        ),
        _rules,
    ),
)
