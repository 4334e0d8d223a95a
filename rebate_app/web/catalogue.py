"""Every value that an answer can have where the contract says "enumeration", and the page that lists them.

Law: what is not here is never answered; docs/http.md ends with these tables, and a test proves it fresh.
It is separate from where the values are made, so that the page cannot forget one of the places.

`python -m rebate_app.web.catalogue docs/http.md` writes the tables anew.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from rebate_app.domain.facts import ATTRIBUTION_FIELDS, PUNISH_RANK, REFUND_RANK, STATUS_RANK
from rebate_app.domain.ledger import ENTRY_KINDS

from .owners import INTERNAL_PATH
from .problems import PROBLEMS
from .routes import ROUTES
from .share_words import SHARE_REASONS
from .shares import SUSPENSE

MARK = "<!-- Below this line everything is generated: python -m rebate_app.web.catalogue docs/http.md -->\n"

LEDGER_REASONS = {
    **{f"snapshot-{status}": f"a snapshot said {status}" for status in STATUS_RANK},
    **{f"refund-{status}": f"a dispute is {status}" for status in REFUND_RANK},
    **{f"punish-{status}": f"a punishment is {status}" for status in PUNISH_RANK},
    "claim": "a claim decides, or decides no more",
    "binding": "the attribution id was bound, and the line came along",
    "reassigned": "the line now belongs to somebody else",
}
OWNER_BY = {
    "user_id": "a snapshot named the user outright",
    **{name: f"its {name} is a user id (`REBATE_USER_ID_FIELDS`)" for name in ATTRIBUTION_FIELDS},
    "binding": "its attribution id is bound to the user",
    "claim": "its attribution id is bound to nobody, and the user's claim decides",
    SUSPENSE: "its attribution id is bound to nobody, and nobody claimed it",
}
TIMELINE_KINDS = {
    "snapshot": "what a network said about the line",
    "refund": "a dispute and how it went",
    "punish": "a punishment by the network",
    "claim": "a user says that the line is theirs",
}
ROLES = {"buyer": "bought the line", "inviter": "invited the buyer, or the buyer's inviter (`depth` 1, 2)"}
PUNISHMENTS = {
    "frozen": "every share is held",
    "confirmed": "worth 0 to everybody",
    "lifted": "as if there had been none",
}

TABLES: Mapping[str, Mapping[str, str]] = {
    "`kind` of a ledger entry": ENTRY_KINDS,
    "`reason` of a ledger entry": LEDGER_REASONS,
    "`role`": ROLES,
    "`owner.by` of an order line": OWNER_BY,
    "`reason` of a share that is 0": SHARE_REASONS,
    "`status` of an order line, null without a snapshot that counts": dict.fromkeys(STATUS_RANK, ""),
    "`status` of a suit": dict.fromkeys(REFUND_RANK, ""),
    "`punishment.status`": PUNISHMENTS,
    "`kind` in a timeline": TIMELINE_KINDS,
}


def tables() -> str:
    """Return the generated part of docs/http.md."""
    parts = ["## Resources\n\n| | | |\n|---|---|---|"]
    parts += [
        f"| `{' '.join(route.handlers)}` | `{route.path}` | {route.about} |"
        for route in ROUTES
        if not route.path.startswith(INTERNAL_PATH)
    ]
    parts.append("\n## Problems\n\n| `code` | status | title |\n|---|---|---|")
    parts += [f"| `{code}` | {kind.status} | {kind.title} |" for code, kind in PROBLEMS.items()]
    parts.append("| a reason code | 422 | of facts that cannot be used: see Writing |")
    for title, values in TABLES.items():
        parts.append(f"\n## {title}\n\n| value | |\n|---|---|")
        parts += [f"| `{value}` | {about} |" for value, about in values.items()]
    return "\n".join(parts) + "\n"


def main(path: str) -> None:
    """Write the generated part of the page anew."""
    page = Path(path)
    by_hand = page.read_text(encoding="utf-8").partition(MARK)[0]
    page.write_text(by_hand + MARK + "\n" + tables(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
