"""Files: one document a line or one over the whole file, plain or compressed, whole or broken."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from rebate_app.wire import files
from rebate_app.wire.files import read_documents
from rebate_app.wire.json_values import parse_strict
from rebate_app.wire.networks.file_reader import read_facts
from tests.wire.samples import NOW_US, claim, codes, read_text, snapshot

if TYPE_CHECKING:
    from pathlib import Path

FACT = json.dumps(claim())


def outcome(folder: Path, text: str | bytes, name: str = "facts.ndjson") -> list[tuple[int, list[str]]]:
    """Return, per row, its number and its reason codes."""
    return [(read.row, codes(read.faults)) for read in read_text(folder, "canonical", text, name)]


def read_outcome(path: Path) -> list[tuple[int, list[str]]]:
    """Return the same for a file that exists."""
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

    def test_many_bad_lines(self, tmp_path: Path) -> None:
        """Any number of bad lines before the first document are refused one by one."""
        found = outcome(tmp_path, "junk\n" * 500 + f"{FACT}\n{FACT}")
        assert found == [*((n, ["undecodable"]) for n in range(1, 501)), (501, []), (502, [])]

    def test_bad_lines_beyond_the_limit(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file without a document in its first bytes is one refusal."""
        monkeypatch.setattr(files, "TRIED_BYTES_MAX", 100)
        assert outcome(tmp_path, "junk\n" * 50 + FACT) == [(1, ["undecodable"])]

    def test_byte_order_mark(self, tmp_path: Path) -> None:
        """A byte order mark before the first line, which some editors write, is forgiven; elsewhere not."""
        mark = b"\xef\xbb\xbf"
        fact = FACT.encode()
        assert outcome(tmp_path, mark + fact + b"\n" + mark + fact) == [(1, []), (2, ["undecodable"])]

    def test_streamed(self, tmp_path: Path) -> None:
        """A file of one document a line is streamed, not read at once."""
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


class TestLineLimit:
    """Lines of a file of one document a line."""

    def test_a_longer_line_is_refused_and_not_held(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Of a line far beyond the limit the reader holds about the limit, and goes on after it."""
        monkeypatch.setattr(files, "LINE_BYTES_MAX", 2**20)
        path = tmp_path / "facts.ndjson"
        with path.open("wb") as file:
            file.write(f"{FACT}\n".encode())
            file.writelines(b"x" * 2**20 for _ in range(64))
            file.write(f"\n{FACT}\n".encode())
        tracemalloc.start()
        try:
            assert read_outcome(path) == [(1, []), (2, ["undecodable"]), (3, [])]
            assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
        finally:
            tracemalloc.stop()

    def test_the_limit_is_8_mib_and_is_named(self, tmp_path: Path) -> None:
        """The first line too, once others follow; a document over the whole file may be larger."""
        large = json.dumps(claim(note="x" * 8 * 2**20))
        reads = read_text(tmp_path, "canonical", f"{large}\n{FACT}\n{large}")
        assert [codes(read.faults) for read in reads] == [["undecodable"], [], ["undecodable"]]
        assert {read.faults[0].detail for read in reads if read.faults} == {
            "the line is longer than 8388608 bytes"
        }
        assert outcome(tmp_path, large) == [(1, [])]


class TestEncodings:
    """Files in other encodings than UTF-8."""

    TEXT = "".join(
        json.dumps(claim(note=note), ensure_ascii=False) + "\n" for note in ("ascii", "轻量跑鞋 男款", "维权")
    )

    @pytest.mark.parametrize("compressed", [False, True])
    @pytest.mark.parametrize(
        "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "gb18030"]
    )
    def test_the_text_is_the_same(self, tmp_path: Path, encoding: str, compressed: bool) -> None:
        """With a mark or without, compressed or not, the facts are those of the UTF-8 file."""
        text = self.TEXT.encode(encoding)
        reads = read_text(tmp_path, "canonical", gzip.compress(text) if compressed else text)
        assert [(read.document or {}).get("note") for read in reads] == ["ascii", "轻量跑鞋 男款", "维权"]
        rows = json.dumps([claim(note="轻量跑鞋")], ensure_ascii=False, indent=1).encode(encoding)
        (read,) = read_text(tmp_path, "canonical", rows)
        assert read.document == claim(note="轻量跑鞋")

    def test_damage_is_refused(self, tmp_path: Path) -> None:
        """A UTF-16 file that breaks off within a character, and a UTF-8 file with a damaged line."""
        assert outcome(tmp_path, self.TEXT.encode("utf-16")[:-1])[-1][1] == ["undecodable"]
        damaged = self.TEXT.encode() + self.TEXT.encode().replace("维权".encode(), "维权".encode()[:-1])
        assert [faults for _, faults in outcome(tmp_path, damaged)] == [[], [], [], [], [], ["undecodable"]]


class TestCompressed:
    """Files that are compressed by gzip, whatever their names."""

    def test_plain(self, tmp_path: Path) -> None:
        """A compressed file is read like a plain one, of several members too."""
        text = f"{FACT}\n{FACT}\n".encode()
        assert outcome(tmp_path, gzip.compress(text), "x.ndjson.gz") == [(1, []), (2, [])]
        assert outcome(tmp_path, gzip.compress(text) * 2, "x.gz") == [(n, []) for n in (1, 2, 3, 4)]
        assert outcome(tmp_path, json.dumps([claim()], indent=2).encode(), "x.json") == [(1, [])]

    def test_the_content_decides(self, tmp_path: Path) -> None:
        """The content decides and not the name: plain text in a `.gz` is read, and gzip in a `.json`."""
        assert outcome(tmp_path, FACT, "x.gz") == [(1, [])]
        assert outcome(tmp_path, gzip.compress(FACT.encode()), "x.json") == [(1, [])]

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
        """A file that does not exist raises OSError."""
        with pytest.raises(FileNotFoundError):
            read_outcome(tmp_path / "nothing.json")
        with pytest.raises(IsADirectoryError):
            read_outcome(tmp_path)


class TestJoined:
    """Pages that were joined without a line break, or that have many lines each."""

    @pytest.mark.parametrize("between", ["", "\n", "\n\n", "\ufeff", "\x1e", " \r\n"])
    @pytest.mark.parametrize("indent", [None, 2])
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "gb18030"])
    def test_every_page_is_read_once_and_in_order(
        self, tmp_path: Path, between: str, indent: int | None, encoding: str
    ) -> None:
        """Whatever stands between them; brackets and quotes within strings end nothing."""
        pages = [{"no": n, "title": '轻量 "}{" \\"] 跑鞋男款示例', "rows": [{"a": [n]}]} for n in range(5)]
        text = between.join(json.dumps(page, ensure_ascii=False, indent=indent) for page in pages)
        path = tmp_path / "pages.json"
        path.write_bytes(text.encode(encoding))
        found = list(read_documents(path, parse_strict))
        assert [each.value for each in found] == pages
        assert all(each.fault is None for each in found)

    def test_a_compact_page_before_one_of_many_lines(self, tmp_path: Path) -> None:
        """The first line is a document, the second one begins another."""
        path = tmp_path / "pages.json"
        path.write_text('{"no": 1}\n' + json.dumps({"no": 2, "rows": [1]}, indent=1) + "\n")
        assert [each.value for each in read_documents(path, parse_strict)] == [
            {"no": 1},
            {"no": 2, "rows": [1]},
        ]

    @pytest.mark.parametrize(
        "text", ['{"no": 1}, "fee": 5}{"no": 2}', '{"no": 1}}', '{"no": 1}{"no": 2}oops']
    )
    def test_of_a_damaged_document_no_part_is_taken(self, tmp_path: Path, text: str) -> None:
        """Half of a row could be a row that pays more."""
        path = tmp_path / "pages.json"
        for lines in (text, '{"no": 0}\n' + text):
            path.write_text(lines)
            *others, bad = read_documents(path, parse_strict)
            assert bad.fault is not None
            assert [each.value for each in others] == ([{"no": 0}] if others else [])

    @pytest.mark.parametrize("end", ['{"no": 3', '{"no": 3, "t": "', "[1, 2"])
    def test_a_page_that_is_cut_off_does_not_hold_up_the_others(self, tmp_path: Path, end: str) -> None:
        """A download that broke: whole pages are read, the rest is one fault."""
        path = tmp_path / "pages.json"
        path.write_text('{"no": 1}{"no": 2}' + end)
        *good, bad = read_documents(path, parse_strict)
        assert [each.value for each in good] == [{"no": 1}, {"no": 2}]
        assert bad.fault is not None

    def test_joined_lines_of_a_long_file_keep_their_number(self, tmp_path: Path) -> None:
        """One document a line, and somewhere two on one."""
        path = tmp_path / "facts.ndjson"
        path.write_text('{"no": 1}\n{"no": 2}{"no": 3}\n{"no": 4}\n')
        assert [(each.line, each.value["no"]) for each in read_documents(path, parse_strict)] == [
            (1, 1),
            (2, 2),
            (2, 3),
            (3, 4),
        ]

    def test_a_line_that_is_cut_off_is_no_beginning_of_a_page(self, tmp_path: Path) -> None:
        """Its neighbours are documents by themselves."""
        path = tmp_path / "facts.ndjson"
        path.write_text('{"no": 1}\n{"no":\n{"no": 3}\n')
        first, cut, last = read_documents(path, parse_strict)
        assert (first.value, last.value) == ({"no": 1}, {"no": 3})
        assert (cut.line, cut.value) == (2, None)
