"""Compresses the values of a store in memory that are not likely to be used soon.

Records of one kind resemble each other, so a dictionary of some of them makes a value of a kilobyte a tenth
as large, in a few microseconds. Nothing of it leaves the process: the changelog and HTTP have the records as
they are. A store that is in use packs in another thread (`Packing`), which zstandard lets run beside the
event loop's: one call for many values, since each change of threads costs tens of microseconds.
"""

from __future__ import annotations

from collections.abc import Iterable

from zstandard import DICT_TYPE_RAWCONTENT, ZstdCompressionDict, ZstdCompressor, ZstdDecompressor, ZstdError

PACKED_FROM_BYTES = 192  # smaller values hardly shrink: a `bytes` takes 33 bytes without one
LEVEL = 1
SAMPLES = 32
SAMPLE_BYTES_MAX = 4_096
CALL_BYTES_MAX = 4 * 1_048_576  # of values that one call packs, exceeded by one value at most
#: What each packed value begins with (RFC 8878, 3.1.1). Records are JSON texts, which do not.
MAGIC = b"\x28\xb5\x2f\xfd"


def exact_copy(value: bytes) -> bytes:
    """Return the value in as much memory as it needs.

    msgspec and zstandard shorten what they return without giving memory back: an encoding of 122 bytes keeps
    the 240 that its buffer had grown to, a packed value the size of the unpacked one.
    """
    return b"".join((value, b""))


class ValuePacker:
    """Packs values of one store; the first SAMPLES of them become the dictionary, and stay as they are."""

    __slots__ = ("_decompress", "_samples", "compress_many")

    def __init__(self) -> None:
        self._samples: list[bytes] = []
        self.compress_many = ZstdCompressor(level=LEVEL).multi_compress_to_buffer
        self._decompress = ZstdDecompressor().decompress

    def takes(self, value: bytes) -> bool:
        """Return whether the value may shrink; while samples are wanted it becomes one, and does not."""
        if len(value) < PACKED_FROM_BYTES:
            return False
        if len(self._samples) < SAMPLES:
            self._learn(value)
            return False
        return True

    def unpack(self, value: bytes) -> bytes:
        """Return the value that was packed; what merely begins like a packed one is returned as it is."""
        try:
            return self._decompress(value)
        except ZstdError:
            return value

    def _learn(self, value: bytes) -> None:
        self._samples.append(value[:SAMPLE_BYTES_MAX])
        if len(self._samples) < SAMPLES:
            return
        content = b"".join(self._samples)
        dictionary = ZstdCompressionDict(content, dict_type=DICT_TYPE_RAWCONTENT)
        dictionary.precompute_compress(level=LEVEL)
        self.compress_many = ZstdCompressor(
            level=LEVEL, dict_data=dictionary, write_checksum=False, write_dict_id=False
        ).multi_compress_to_buffer
        self._decompress = ZstdDecompressor(dict_data=dictionary).decompress


class Packing:
    """Values of a store's dictionary on their way to be packed: prepared, packed in any thread, put back.

    The dictionary may change between the steps; what has changed is left as it is.
    """

    __slots__ = ("_compress_many", "_keys", "_packed", "_records", "_values")

    def __init__(self, records: dict[bytes, bytes], packer: ValuePacker, keys: Iterable[bytes]) -> None:
        self._records = records
        self._keys: list[bytes] = []
        self._values: list[bytes] = []
        self._packed: list[bytes] = []
        for key in keys:
            value = records.get(key)
            if value is None or value.startswith(MAGIC):
                continue
            if packer.takes(value):
                self._keys.append(key)
                self._values.append(value)
            else:
                records[key] = exact_copy(value)
        self._compress_many = packer.compress_many

    def __bool__(self) -> bool:
        return bool(self._keys)

    def run(self) -> None:
        """Pack the values; it touches neither store nor packer, and each call has a context of its own."""
        start = size = 0
        for number, value in enumerate(self._values, 1):
            size += len(value)
            if size >= CALL_BYTES_MAX or number == len(self._values):
                packed = self._compress_many([*self._values[start:number]])
                self._packed += (packed[index].tobytes() for index in range(len(packed)))
                start, size = number, 0

    def finish(self) -> None:
        """Put the packed values in the place of those that are still the same."""
        records = self._records
        for key, value, packed in zip(self._keys, self._values, self._packed, strict=True):
            if records.get(key) is value:
                records[key] = packed if len(packed) < len(value) else exact_copy(value)
