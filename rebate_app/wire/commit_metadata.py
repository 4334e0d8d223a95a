"""The metadata of a worker's offset commits: what the partition has still to do, and whether it is halted.

Other tools that commit in the same group write other metadata, or none.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.json import Decoder, Encoder

from .unreadable import INT64_MAX, UnreadableValueError, decode_with


class CommitMetadata(Struct, frozen=True, omit_defaults=True):
    """`u`: the unfinished work, as in `Stage.unfinished`.

    `h`: why the partition is halted, "" while it is not; `o`: the offset of the record before which it is.
    """

    u: int = 0
    h: str = ""
    o: int = -1


NOTHING = CommitMetadata()
_encode = Encoder().encode
_decode = Decoder(CommitMetadata).decode


def encode_metadata(metadata: CommitMetadata) -> str:
    """Return the metadata as text."""
    return _encode(metadata).decode()


def decode_metadata(text: str | None) -> CommitMetadata:
    """Return the metadata of a commit; UnreadableValueError for metadata that no worker wrote."""
    metadata = decode_with(_decode, (text or "").encode("utf-8", "surrogatepass"))
    if not 0 <= metadata.u <= INT64_MAX or not -1 <= metadata.o <= INT64_MAX:
        raise UnreadableValueError("a number is out of range")
    return metadata


def metadata_or_nothing(text: str | None) -> CommitMetadata:
    """Return the metadata of a commit, that of no unfinished work where no worker wrote it."""
    try:
        return decode_metadata(text)
    except UnreadableValueError:
        return NOTHING
