"""Writes docs/schemas/rebate-event-1.json from the Structs of events; a test proves it fresh.

`python -m rebate_app.wire.events_page > docs/schemas/rebate-event-1.json`
"""

from __future__ import annotations

import sys

from msgspec import json

from .events import event_schema


def page() -> str:
    """Return the schema as it is committed."""
    return json.format(json.encode(event_schema()), indent=2).decode() + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
