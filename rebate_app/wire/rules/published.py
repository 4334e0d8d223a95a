"""Records of the topic of published rule versions (docs/spec/rules.md#publishing).

Key: the version. Value: JSON with the file's text and its hash, who published it, when and why. The first
record of a version holds.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.json import Decoder, Encoder

from rebate_app.domain.pricing.rules import RuleVersion
from rebate_app.networks import NETWORKS

from ..unreadable import UnreadableValueError, decode_with, shortened, utf8_text
from .parsing import parse_rules

SCHEMA = "rebate-rule-version/1"


class PublishedVersion(Struct, frozen=True):
    """A published version: the rule file's text, who published it, when (RFC 3339) and why."""

    rule: RuleVersion
    content: str
    by: str
    at: str
    reason: str = ""


class _Value(Struct, frozen=True):
    """The members of a record's value: `content` is the file's text, `hash` the SHA-256 of its bytes."""

    schema: str
    version: str
    content: str
    hash: str
    by: str
    at: str
    reason: str = ""


_encode = Encoder().encode
_decode = Decoder(_Value).decode


def unknown_platforms(rule: RuleVersion) -> list[str]:
    """Return the platforms with shares of their own that are no networks of this release, sorted."""
    return sorted({name for level in rule.levels for name in level.platform_bps} - NETWORKS.keys())


def encode_published(published: PublishedVersion) -> tuple[bytes, bytes]:
    """Return (key, value) of a record."""
    value = _Value(
        SCHEMA,
        published.rule.version,
        published.content,
        published.rule.content_hash,
        published.by,
        published.at,
        published.reason,
    )
    return published.rule.version.encode(), _encode(value)


def decode_published(key: bytes | None, value: bytes | None) -> tuple[str, PublishedVersion | None]:
    """Return (version, its record), None for a null value; UnreadableValueError for anything else.

    A readable record holds a rule file without problems whose hash and version are those of the record. It
    may name platforms that this release does not know.
    """
    name = utf8_text(key, "key")
    if value is None:
        return name, None
    read = decode_with(_decode, value)
    if read.schema != SCHEMA:
        raise UnreadableValueError(f"its schema {shortened(read.schema)} is not known here")
    rule = parse_rules(read.content, "content", platforms=None)
    if not isinstance(rule, RuleVersion):
        raise UnreadableValueError(f"it holds no rule file: {shortened('; '.join(rule))}")
    if not rule.version == read.version == name:
        raise UnreadableValueError("key, version and content name different versions")
    if rule.content_hash != read.hash:
        raise UnreadableValueError("its hash is not that of its content")
    return name, PublishedVersion(rule, read.content, read.by, read.at, read.reason)
