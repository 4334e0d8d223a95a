"""docs/doctor.md, written from the table of checks; a test proves it fresh.

`python -m rebate_app.doctor.page > docs/doctor.md`
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from .check_spec import CheckSpec
from .checks import checks_with

HEAD = """\
<!-- Generated: python -m rebate_app.doctor.page > docs/doctor.md -->
# The doctor

`rebate doctor` checks the surroundings of the workers: settings, rules, broker, topics, clocks, and the
workers themselves. It changes nothing. Each result is `ok`, a warning (`warn`), a failure (`fail`) or `skip`;
warnings and failures come with a remedy.

```
rebate doctor                   # results as they are known, then their counts
rebate doctor --strict          # exit 1 for warnings too
rebate doctor --deep            # reads whole logs, too
rebate doctor --json            # {"checks": [{"check", "state", "says", "do"}], "ok", "warn", "fail", "skip"}
```

| exit | when |
|---|---|
| 0 | no failure |
| 1 | a failure; with `--strict` also a warning |
| 69 | no broker answers |
| 78 | settings, rules or import names cannot be used |

A check that cannot run, for example because of a missing right, is a warning and does not prevent the others.
Without a broker, the checks that need one are left out; without any topic, those of topics and records are.
"""


def page() -> str:
    """Return the whole page."""
    sections = (
        ("This machine", checks_with("nothing")),
        ("The cluster", checks_with("broker", "topic list", "topics")),
        ("The workers", checks_with("worker")),
    )
    return HEAD + "".join(f"\n## {title}\n\n{_table(checks)}" for title, checks in sections)


def _table(checks: Sequence[CheckSpec]) -> str:
    rows = ["| check | examines | finds | remedy |", "|---|---|---|---|"]
    for check in checks:
        for number, problem in enumerate(check.problems):
            name, examines = (f"`{check.name}`", check.examines) if number == 0 else ("", "")
            rows.append(f"| {name} | {examines} | {problem.state}: {problem.finding} | {problem.remedy} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
