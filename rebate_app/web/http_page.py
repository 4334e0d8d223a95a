"""The generated part of docs/http.md: routes, problems and every enumeration of an answer.

An answer has no other value where the contract names an enumeration. A test proves the page fresh.

`python -m rebate_app.web.http_page docs/http.md` writes the tables anew.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rebate_app.domain.account.ledger import LEDGER_KINDS
from rebate_app.domain.facts import REFUND_RANK, STATUS_RANK
from rebate_app.streams.task.halt import HALT_CODES

from .auth.access import Access
from .enumerations import LEDGER_REASONS, OWNER_BY, PUNISHMENTS, ROLES, TIMELINE_KINDS
from .openapi.document import described, operation_id
from .openapi.examples import read_example, read_text_example
from .problems import PROBLEMS
from .resources.share_explanation import SHARE_REASONS
from .routes.route import Route
from .routes.table import ROUTES
from .routing.peer_rpc import INTERNAL_PATH

MARK = "<!-- Below this line everything is generated: python -m rebate_app.web.http_page docs/http.md -->\n"

TABLES: Mapping[str, Mapping[str, str]] = {
    "`kind` of a ledger entry": {kind.name: kind.meaning for kind in LEDGER_KINDS.values()},
    "`reason` of a ledger entry": LEDGER_REASONS,
    "`role`": ROLES,
    "`owner.by` of an order line": OWNER_BY,
    "`reason` of a share that is 0": SHARE_REASONS,
    "`status` of an order line, null without a snapshot that counts": dict.fromkeys(STATUS_RANK, ""),
    "`status` of a suit": dict.fromkeys(REFUND_RANK, ""),
    "`punishment.status`": PUNISHMENTS,
    "`kind` in a timeline": TIMELINE_KINDS,
    "`halted`, only while the partition is halted": HALT_CODES,
}


def _parameters(route: Route) -> str:
    """Return the query parameters of a route, by method where it has several."""
    query = {
        name: ", ".join(f"`{each.name}`" for each in route.parameters_of(name)) for name in route.methods
    }
    if len(query) > 1:
        return "; ".join(f"`{method}`: {names}" for method, names in query.items() if names)
    return "".join(query.values())


def _access(route: Route) -> str:
    """Return who may use a route, by method where they differ."""
    by_method = {name: _caller(method.access) for name, method in route.methods.items()}
    if len(set(by_method.values())) > 1:
        return "; ".join(f"`{method}`: {caller}" for method, caller in by_method.items())
    return next(iter(by_method.values()))


def _caller(access: Access | None) -> str:
    if access is None or access.is_open:
        return "everybody"
    if not access.scope:
        return "all with credentials"
    scopes = [access.scope, *([access.or_scope] if access.or_scope else [])]
    users = {"own": " or the user himself", "shared": " or a user with a share", "": ""}[access.user]
    return " or ".join(f"`{scope}`" for scope in scopes) + users


def tables() -> str:
    """Return the generated part of docs/http.md."""
    parts = ["## Resources\n\n| | | parameters | who may | |\n|---|---|---|---|---|"]
    parts += [
        f"| `{' '.join(route.methods)}` | `{route.path}` | {_parameters(route)} | {_access(route)} "
        f"| {route.purpose} |"
        for route in ROUTES
        if not route.path.startswith(INTERNAL_PATH)
    ]
    parts.append("\n## Problems\n\n| `code` | status | title |\n|---|---|---|")
    parts += [f"| `{code}` | {kind.status} | {kind.title} |" for code, kind in PROBLEMS.items()]
    parts.append("| a reason code | 422 | of facts that cannot be used: see Writing |")
    for title, values in TABLES.items():
        parts.append(f"\n## {title}\n\n| value | |\n|---|---|")
        parts += [f"| `{value}` | {about} |" for value, about in values.items()]
    parts += _examples()
    return "\n".join(parts) + "\n"


def _examples() -> Iterator[str]:
    """Yield an example of each answer, and of each body that a request has."""
    yield "\n## Examples\n\nOne answer of each resource; `/openapi.json` and `/docs` describe every member."
    for route, name, _, operation in described():
        yield f"\n`{name} {route.path}`"
        body = read_example(f"{operation_id(route, name)}.body")
        if body is not None:
            yield f"\n```json\n{_json(body)}\n```"
        example = read_example(operation_id(route, name))
        text = read_text_example(operation_id(route, name))
        if example is not None:
            yield f"\n→ {operation.status}\n\n```json\n{_json(example)}\n```"
        elif text is not None:
            yield f"\n→ {operation.status}\n\n```text\n{text.rstrip()}\n```"
        else:
            yield f"\n→ {operation.status}, {operation.media_type}"


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def main(path: str) -> None:
    """Write the generated part of the page anew."""
    page = Path(path)
    by_hand = page.read_text(encoding="utf-8").partition(MARK)[0]
    page.write_text(by_hand + MARK + "\n" + tables(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
