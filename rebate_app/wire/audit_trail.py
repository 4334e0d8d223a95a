"""Records of the audit trail, `rebate-audit-trail`: who did what (docs/spec/api-security.md#audit-trail)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from rebate_app.secret_ring import SecretRing

from .failure_headers import Header
from .unreadable import decode_with

SCHEMA: Final = "audit-trail/1"
#: Headers of order facts that name their author; user facts have the members `actor` and `request_id`.
ACTOR_HEADER: Final = "rebate-actor"
REQUEST_ID_HEADER: Final = "rebate-request-id"
#: Members of user facts that the server sets.
AUTHOR_MEMBERS: Final = ("actor", "request_id")
SUBJECT_CHARACTERS_MAX: Final = 1_000
#: What is shown of an actor: ours are shorter, but others may write the header too.
ACTOR_CHARACTERS_MAX: Final = 160
#: What is authenticated before a body. Requests between workers are signed with the same secrets: without it,
#: a body that is written like such a request would have its signature for a digest.
_BODY_PREFIX: Final = b"audit-trail/1 body\n"


class Requester(Struct, frozen=True):
    """Who sends a fact: `actor` (`key:…`, `user:…`, `cli:…`, `anonymous`), and under which request."""

    actor: str
    request_id: str | None = None

    @property
    def headers(self) -> tuple[Header, ...]:
        """Return the headers of an order fact."""
        named = ((ACTOR_HEADER, self.actor), (REQUEST_ID_HEADER, self.request_id))
        return tuple((name, text.encode("utf-8", "replace")) for name, text in named if text is not None)


def actor_in(headers: Iterable[Header]) -> str | None:
    """Return who sent an order fact, for display, None where no header says so."""
    for name, value in headers:
        if name == ACTOR_HEADER and value is not None:
            return value[:ACTOR_CHARACTERS_MAX].decode("utf-8", "replace")
    return None


def actor_of(document: Mapping[str, Any]) -> str | None:
    """Return who sent a user fact, for display, None where no member says so."""
    actor = document.get("actor")
    if not isinstance(actor, str):
        return None
    return actor[:ACTOR_CHARACTERS_MAX].encode("utf-8", "replace").decode()


class TrailRecord(Struct, frozen=True, kw_only=True):
    """One request or command that changes something, or was refused.

    `at` is RFC 3339. `action` is `noun.verb`; `subject` names what it is about, None where it is many things.
    `status`: 202 of what was accepted, whatever the answer was: what became of it is in the log; else that of
    the refusal. Older versions wrote 200 and 201 too.
    `reason` is the caller's own. A summary of accepted order facts has `requests` and `facts`.
    """

    schema: Literal["audit-trail/1"] = SCHEMA
    at: str
    actor: str
    via: Literal["http", "cli"]
    request_id: str | None
    remote: str | None
    action: str
    subject: str | None
    status: int
    reason: str | None
    body_hmac: str | None
    requests: int | UnsetType = UNSET
    facts: int | UnsetType = UNSET


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(TrailRecord).decode


def encode_trail(record: TrailRecord) -> tuple[bytes, bytes]:
    """Return (key, value): the key is the actor."""
    return record.actor.encode("utf-8", "replace"), _encode(record)


def decode_trail(value: bytes | None) -> TrailRecord:
    """Return the record; UnreadableValueError for everything else."""
    return decode_with(_decode, value or b"")


def body_hmac(ring: SecretRing | None, body: bytes | None) -> str | None:
    """Return the digest of a request's body, None without a body or a secret.

    HMAC-SHA256, in hexadecimal, with the first cluster secret, over `audit-trail/1 body`, a line feed and the
    body.
    """
    if ring is None or body is None:
        return None
    return hmac.new(ring.secrets[ring.first], _BODY_PREFIX + body, hashlib.sha256).hexdigest()


def shortened_subject(text: str) -> str:
    """Return a subject that fits into a record."""
    return text if len(text) <= SUBJECT_CHARACTERS_MAX else f"{text[:SUBJECT_CHARACTERS_MAX]}..."


def trail_schema() -> dict[str, Any]:
    """Return the JSON Schema of a record's value."""
    (reference,), components = msgspec.json.schema_components([TrailRecord], ref_template="#/$defs/{name}")
    del reference
    (definition,) = components.values()
    about = {
        "at": "when the request was answered, RFC 3339",
        "actor": "key:<id>, user:<id>, cli:<name> or anonymous",
        "via": "over which border",
        "request_id": "X-Request-Id of the answer; null for commands and summaries",
        "remote": "address of the client",
        "action": "noun.verb, such as profile.put, dead-letter.discard or orders.import",
        "subject": "what it is about; null where it is many things",
        "status": "202: accepted, what became of it is in the log; else of the refusal: 403, 404, 409, 422",
        "reason": "the caller's own",
        "body_hmac": "HMAC-SHA256 of the body (docs/security.md); null without a body or a cluster secret",
        "requests": "of a summary: how many requests",
        "facts": "of a summary: how many order facts",
    }
    for name, text in about.items():
        definition["properties"][name]["description"] = text
    definition["properties"]["schema"].pop("default", None)
    definition["required"] = ["schema", *definition["required"]]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:taoke-rebate:audit-trail:1",
        **definition,
        "title": "A record of rebate-audit-trail",
        "description": "A request or command that changes something, or was refused",
    }
