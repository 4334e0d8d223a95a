"""The generated part of docs/money-out.md: the life of a withdrawal as a diagram, and its tables.

`python -m rebate_app.money_out_page docs/money-out.md` writes it anew; a test proves it fresh.
"""

from __future__ import annotations

import sys
from pathlib import Path

from rebate_app.domain.money_out import states
from rebate_app.domain.money_out.booking import KIND_OF_MOVE
from rebate_app.domain.money_out.deciding import REFUSALS
from rebate_app.domain.money_out.refusals import BUSINESS_REFUSALS
from rebate_app.domain.money_out.states import TRANSITIONS, Step

BEGIN = "<!-- Generated: python -m rebate_app.money_out_page docs/money-out.md -->"
END = "<!-- End of what is generated. -->"
#: What happens → how the diagram calls it.
_WORDS = {
    states.REFUSE: "refused",
    states.ASK_REVIEW: "accepted, to be reviewed",
    states.ACCEPT: "accepted",
    states.APPROVE: "approved",
    states.REJECT: "rejected",
    states.CANCEL: "cancelled",
    states.ATTEMPT: "attempt",
    states.CONFIRM_PAID: "confirmed as paid",
    states.CONFIRM_FAILED: "confirmed as failed",
}
_NOTES = {
    (states.APPROVED, states.CANCEL): "while nothing was attempted",
    (states.APPROVED, states.RESULT_PAID): "after an attempt",
    (states.REJECTED, states.RESULT_PAID): "after an attempt",
}


def generated() -> str:
    """Return what stands between the marks."""
    parts = (_diagram(), _transitions(), _refusals())
    return "\n".join((BEGIN, "", *parts, END))


def _node(state: str) -> str:
    return state.replace("-", "_")


def _words(happens: str) -> str:
    return _WORDS.get(happens, f"result {happens.removeprefix('result-')}")


def _diagram() -> str:
    lines = ["```mermaid", "stateDiagram-v2"]
    lines += [f'  state "{state}" as {_node(state)}' for state in states.STATES if "-" in state]
    lines.append(f"  [*] --> {_node(states.REQUESTED)}")
    labels: dict[tuple[str, str], list[str]] = {}
    for (state, happens), step in TRANSITIONS.items():
        if step.to != state:
            labels.setdefault((state, step.to), []).append(_words(happens))
    lines += [f"  {_node(one)} --> {_node(two)}: {', '.join(words)}" for (one, two), words in labels.items()]
    return "\n".join((*lines, "```", ""))


def _transitions() -> str:
    rows = ["| state | what happens | then | ledger entries |", "|---|---|---|---|"]
    for (state, happens), step in TRANSITIONS.items():
        note = _NOTES.get((state, happens))
        words = _words(happens) if note is None else f"{_words(happens)}, {note}"
        rows.append(f"| {state} | {words} | {step.to} | {_money(step)} |")
    return "\n".join((*rows, ""))


def _money(step: Step) -> str:
    kinds = ", ".join(f"`{KIND_OF_MOVE[move].name}`" for move in step.moves)
    return f"{kinds}; the channel is closed" if step.contradicts else kinds


def _refusals() -> str:
    rows = [
        "The owner refuses a request for the first of these reasons:",
        "",
        "| reason | meaning |",
        "|---|---|",
    ]
    rows += [f"| `{code}` | {meaning} |" for code, meaning in REFUSALS.items()]
    rows += ["", "Facts that change nothing, for a business reason:", "", "| code | meaning |", "|---|---|"]
    rows += [f"| `{code}` | {meaning} |" for code, meaning in BUSINESS_REFUSALS.items()]
    return "\n".join((*rows, ""))


def with_generated(text: str) -> str:
    """Return the page with its generated part anew; ValueError for a page without the marks."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the page has no place for what is generated")
    return before + generated() + after


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(with_generated(page.read_text(encoding="utf-8")), encoding="utf-8")
