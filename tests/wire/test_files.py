"""Files: one document a line or one over the whole file, plain or compressed, whole or broken."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import pytest

from rebate_app.wire import files
from rebate_app.wire.importing import read_facts

from .samples import NOW_US, claim, codes, read_text, snapshot

if TYPE_CHECKING:
    from pathlib import Path

FACT = json.dumps(claim())


def outcome(folder: Path, text: str | bytes, name: str = "facts.ndjson") -> list[tuple[int, list[str]]]:
    """Return, per row, its number and its reason codes."""
    return [(read.row, codes(read.faults)) for read in read_text(folder, "canonical", text, name)]


def read_outcome(path: Path) -> list[tuple[int, list[str]]]:
    """Return the same for a file that is there."""
    return [(read.row, codes(read.faults)) for read in read_facts(path, "canonical", NOW_US)]


class TestLines:
    """One document a line."""

    def test_numbers(self, tmp_path: Path) -> None:
        """Rows are numbered by line, from 1; blank lines count and are nothing."""
        text = f"\n{FACT}\n\n  \r\n{FACT}\r\n{FACT}"
        assert outcome(tmp_path, text) == [(2, []), (5, []), (6, [])]

    @pytest.mark.parametrize(
        "bad", [b"{", b"[1,", b'{"a":NaN}', b"\xff\xfe", b"x", b'{"schema":', b"{}}", b"1 2"]
    )
    def test_bad_line(self, tmp_path: Path, bad: bytes) -> None:
        """A line that is no document is refused at its number, wherever it stands, and the rest goes on."""
        fact = FACT.encode()
        for lines, place in (([bad, fact, fact], 1), ([fact, bad, fact], 2), ([fact, fact, bad], 3)):
            expected = [(n, ["undecodable"] if n == place else []) for n in (1, 2, 3)]
            assert outcome(tmp_path, b"\n".join(lines)) == expected

    def test_byte_order_mark(self, tmp_path: Path) -> None:
        """A byte order mark before the first line, which some editors write, is forgiven; elsewhere not."""
        mark = b"\xef\xbb\xbf"
        fact = FACT.encode()
        assert outcome(tmp_path, mark + fact + b"\n" + mark + fact) == [(1, []), (2, ["undecodable"])]

    def test_streamed(self, tmp_path: Path) -> None:
        """A file of one document a line is read as it is asked for, not at once."""
        path = tmp_path / "facts.ndjson"
        path.write_text(f"{FACT}\n" * 50_000)
        reads = read_facts(path, "canonical", NOW_US)
        assert [next(reads).row for _ in range(3)] == [1, 2, 3]
        del reads

    @pytest.mark.parametrize("text", ["", "\n\n", "  \r\n\t\n"])
    def test_empty(self, tmp_path: Path, text: str) -> None:
        """An empty file has no rows."""
        assert outcome(tmp_path, text) == []


class TestDocuments:
    """One document over the whole file."""

    @pytest.mark.parametrize("indent", [None, 0, 1, 4])
    def test_printed(self, tmp_path: Path, indent: int | None) -> None:
        """A document printed over many lines is one document, and its rows are counted."""
        rows = [claim(), claim(user_id=""), claim()]
        assert outcome(tmp_path, json.dumps(rows, indent=indent)) == [
            (1, []),
            (2, ["invalid-user_id"]),
            (3, []),
        ]
        assert outcome(tmp_path, json.dumps(snapshot(), indent=indent)) == [(1, [])]

    def test_broken_print(self, tmp_path: Path) -> None:
        """A broken document over many lines is one refusal, not one a line."""
        text = json.dumps([claim()] * 50, indent=2)[:-1]
        assert outcome(tmp_path, text) == [(1, ["undecodable"])]

    def test_single_line(self, tmp_path: Path) -> None:
        """One line is one document, whether it is good or not."""
        assert outcome(tmp_path, f"[{FACT},{FACT}]") == [(1, []), (2, [])]
        assert outcome(tmp_path, f"[{FACT},") == [(1, ["undecodable"])]

    def test_too_large(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is too large to be parsed at once is read line by line, and an endless line is refused."""
        monkeypatch.setattr(files, "DOCUMENT_BYTES_MAX", 1_000)
        lines = ["[", *[FACT] * 10, "]"]
        expected = [(1, ["undecodable"]), *[(n, []) for n in range(2, 12)], (12, ["undecodable"])]
        assert outcome(tmp_path, "\n".join(lines)) == expected
        long_line = json.dumps(claim(note="x" * 5_000))
        assert outcome(tmp_path, f"{FACT}\n{long_line}\n{FACT}\n{long_line}") == [
            (1, []),
            (2, ["undecodable"]),
            (3, []),
            (4, ["undecodable"]),
        ]
        assert outcome(tmp_path, long_line) == [(1, ["undecodable"])]


class TestCompressed:
    """Files that end in `.gz`."""

    def test_plain(self, tmp_path: Path) -> None:
        """A compressed file is read like a plain one, of several members too."""
        text = f"{FACT}\n{FACT}\n".encode()
        assert outcome(tmp_path, gzip.compress(text), "x.ndjson.gz") == [(1, []), (2, [])]
        assert outcome(tmp_path, gzip.compress(text) * 2, "x.gz") == [(n, []) for n in (1, 2, 3, 4)]
        assert outcome(tmp_path, json.dumps([claim()], indent=2).encode(), "x.json") == [(1, [])]

    def test_not_compressed(self, tmp_path: Path) -> None:
        """A file that only says it is compressed is one refusal, and so is the reverse."""
        assert outcome(tmp_path, FACT, "x.gz") == [(1, ["undecodable"])]
        assert outcome(tmp_path, gzip.compress(FACT.encode()), "x.json") == [(1, ["undecodable"])]

    def test_cut_off(self, tmp_path: Path) -> None:
        """A compressed file that breaks off is read up to there, and then refused."""
        text = "".join(
            json.dumps(claim(user_id=f"u{n}", note=str(hash(n) * 7919))) + "\n" for n in range(5_000)
        )
        whole = gzip.compress(text.encode())
        found = outcome(tmp_path, whole[: len(whole) // 2], "x.gz")
        assert len(found) > 1_000
        assert [row for row, _ in found] == list(range(1, len(found) + 1))
        assert {tuple(faults) for _, faults in found[:-1]} == {()}
        assert found[-1][1] == ["undecodable"]

    def test_damaged(self, tmp_path: Path) -> None:
        """Damage anywhere is a refusal, never an exception."""
        whole = gzip.compress(f"{FACT}\n".encode() * 100)
        for place in range(0, len(whole), 3):
            damaged = whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :]
            for _, faults in outcome(tmp_path, damaged, "x.gz"):
                assert faults in ([], ["undecodable"]) or faults

    def test_broken_print(self, tmp_path: Path) -> None:
        """A document over many lines whose compression breaks off is one refusal."""
        rows = [claim(note=str(hash(n) * 7919)) for n in range(2_000)]
        whole = gzip.compress(json.dumps(rows, indent=2).encode())
        assert outcome(tmp_path, whole[: len(whole) // 2], "x.gz") == [(1, ["undecodable"])]


class TestPlaces:
    """Files that cannot be opened."""

    def test_absent(self, tmp_path: Path) -> None:
        """A file that is not there is the caller's to tell."""
        with pytest.raises(FileNotFoundError):
            read_outcome(tmp_path / "nothing.json")
        with pytest.raises(IsADirectoryError):
            read_outcome(tmp_path)
