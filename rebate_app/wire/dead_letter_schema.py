"""The JSON Schema of a dead letter's headers, each a text (docs/spec/failures.md#headers)."""

from __future__ import annotations

from typing import Any, Final

from . import failure_headers as names

_NUMBER: Final = {"pattern": "^[0-9]+$"}
_MOMENT: Final = {"description": "RFC 3339"}
_PLACE: Final = {"pattern": "^[A-Za-z0-9._-]{1,249}/[0-9]{1,9}/[0-9]{1,18}$"}

#: On every dead letter.
ALWAYS: Final[dict[str, dict[str, Any]]] = {
    names.REASON: {"description": "reason code (docs/failures.md)", "minLength": 1},
    names.DETAIL: {"description": "one sentence for people"},
    names.MEMBER: {"description": "dotted path of the bad member; empty for the whole record"},
    names.STAGE: {"description": "where in the work it failed"},
    names.TOPIC: {"description": "topic of the failed record", "minLength": 1},
    names.PARTITION: {**_NUMBER, "description": "its partition"},
    names.OFFSET: {**_NUMBER, "description": "its offset"},
    names.TIMESTAMP: {"pattern": "^-?[0-9]+$", "description": "its timestamp, ms since 1970"},
    names.ATTEMPT: {**_NUMBER, "description": "number of this record's failure, from 1"},
    names.FIRST_AT: {**_MOMENT, "description": "when it failed first"},
    names.AT: {**_MOMENT, "description": "when it failed"},
    names.APP_VERSION: {"description": "of the worker"},
    names.WORKER: {"description": "advertised URL of the worker"},
    names.APP: {"description": "whose fold it was: several apps may read one topic"},
}
#: Where they apply.
SOMETIMES: Final[dict[str, dict[str, Any]]] = {
    names.RULES_HASH: {"description": "rules that the worker had read; not of events"},
    names.TRACE: {"description": "of our own bug: places in our code, no values"},
    names.ORIGIN: {**_PLACE, "description": "of a replay that failed again: its first failure"},
    names.RELEASE: {**_PLACE, "description": "of a parked record: the message that had it folded again"},
    names.TRUNCATED: {
        **_NUMBER,
        "description": "bytes of the whole value; present whenever anything was cut",
    },
    names.SHA256: {"pattern": "^[0-9a-f]{64}$", "description": "of the whole value"},
    names.KEY_TRUNCATED: {**_NUMBER, "description": "bytes of the whole key"},
    names.HEADERS_TRUNCATED: {**_NUMBER, "description": "bytes of the record's own headers"},
}


def dead_letter_headers_schema() -> dict[str, Any]:
    """Return the schema of the headers as an object of texts; the record's own headers are beside ours."""
    return {
        "title": "Headers of a dead letter",
        "description": "Key and value are those of the failed record, as they came",
        "type": "object",
        "required": sorted(ALWAYS),
        "properties": {
            name: {"type": "string", **schema} for name, schema in sorted((ALWAYS | SOMETIMES).items())
        },
    }
