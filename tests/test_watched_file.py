"""A watched file: seen when it changes, refused whole when it is broken, never a stop of the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from rebate_app import watched_file
from rebate_app.settings import ConfigurationError
from rebate_app.watched_file import POLL_SECONDS, SETTLE_SECONDS, WatchedFile

POLL_TEST_SECONDS = 0.02
WAIT_SECONDS_MAX = 30.0

Numbers = WatchedFile[tuple[int, ...]]
Parse = Callable[[bytes], tuple[int, ...]]

pytestmark = pytest.mark.asyncio


def parse_numbers(content: bytes) -> tuple[int, ...]:
    """Return the numbers of a file, one a line, closed by `end`; ValueError for anything else."""
    *lines, end, rest = content.decode("ascii").split("\n")
    if end != "end" or rest:
        raise ValueError("it has no end")
    return tuple(map(int, lines))


def numbers(*values: int) -> str:
    """Return the text of a valid file."""
    return "".join(f"{value}\n" for value in values) + "end\n"


def replace_file(path: Path, text: str, *, same_time: bool = False) -> None:
    """Replace a file as editors and deployments do: in one step; `same_time`: with its modification time."""
    before, part = path.stat(), path.with_suffix(".part")
    part.write_text(text)
    if same_time:
        os.utime(part, ns=(before.st_atime_ns, before.st_mtime_ns))
    part.replace(path)


def write_or_remove(path: Path, content: bytes | None) -> None:
    """Write a file in place, or remove it for None."""
    path.unlink() if content is None else path.write_bytes(content)


def move(path: Path, to: Path) -> None:
    """Rename a file."""
    path.rename(to)


def watched(path: Path, parse: Callable[[bytes], tuple[int, ...]] = parse_numbers) -> Numbers:
    """Return a watched file that was loaded."""
    file = WatchedFile("numbers", path, parse, poll_seconds=POLL_TEST_SECONDS)
    file.load()
    return file


@contextlib.asynccontextmanager
async def watching(file: Numbers) -> AsyncIterator[None]:
    """Follow a file for the block."""
    task = asyncio.create_task(file.watch())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while not condition():  # noqa: ASYNC110 - a file system has no event
            await asyncio.sleep(POLL_TEST_SECONDS)


def is_ok(file: Numbers) -> bool:
    """Return what the gauge shows."""
    ((metric, labels, value),) = file.gauges()
    assert (metric.name, labels) == ("rebate_watched_file_ok", ("numbers",))
    return value == 1


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a valid file."""
    path = tmp_path / "numbers"
    path.write_text(numbers(1, 2))
    return path


class TestStart:
    """At the start a file that cannot be used is a configuration error."""

    async def test_a_valid_file_is_in_force(self, path: Path) -> None:
        """Its value is there before anything is watched."""
        file = watched(path)
        assert file.value == (1, 2)
        assert is_ok(file)

    @pytest.mark.parametrize("content", [None, b"1\n", b"x\nend\n", b"\xff\nend\n"])
    async def test_an_unusable_file_is_a_configuration_error(self, path: Path, content: bytes | None) -> None:
        """Missing, incomplete, invalid, undecodable: exit 78, with role and path."""
        write_or_remove(path, content)
        with pytest.raises(ConfigurationError, match=f"^numbers: {path} cannot be used: "):
            watched(path)

    async def test_a_file_that_never_settles_is_a_configuration_error(self, path: Path) -> None:
        """Something that writes all the time is not waited for without end."""
        count = 0

        def grow(content: bytes) -> tuple[int, ...]:
            raise AssertionError(content)

        file = WatchedFile("numbers", path, grow, poll_seconds=POLL_TEST_SECONDS)
        original = watched_file._signature_of

        def moving(stat: os.stat_result) -> watched_file.Signature:
            nonlocal count
            count += 1
            return (*original(stat)[:-1], count)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(watched_file, "_signature_of", moving)
            with pytest.raises(ConfigurationError, match="it is being written"):
                file.load()

    async def test_a_value_needs_a_load(self, path: Path) -> None:
        """Nobody takes nothing for an empty file."""
        with pytest.raises(RuntimeError, match="before it is loaded"):
            _ = WatchedFile("numbers", path, parse_numbers).value


class TestChange:
    """A valid change is in force soon, however it is made."""

    async def test_five_seconds_hold_with_the_default_times(self) -> None:
        """One poll, one that meets a file being written, and the time to settle."""
        assert 2 * (POLL_SECONDS + SETTLE_SECONDS) <= 5

    async def test_written_in_place(self, path: Path) -> None:
        """The content counts once the file has settled."""
        file = watched(path)
        async with watching(file):
            write_or_remove(path, numbers(3).encode())
            await until(lambda: file.value == (3,))
        assert is_ok(file)

    async def test_replaced_in_one_step(self, path: Path) -> None:
        """Equal size and time do not hide another file."""
        file = watched(path)
        async with watching(file):
            replace_file(path, numbers(7, 8), same_time=True)
            await until(lambda: file.value == (7, 8))

    async def test_a_symlink_swap(self, tmp_path: Path) -> None:
        """Kubernetes replaces the link to the folder, and not the file."""
        for number in (1, 2):
            (tmp_path / f"v{number}").mkdir()
            (tmp_path / f"v{number}" / "numbers").write_text(numbers(number))
        link = tmp_path / "..data"
        link.symlink_to("v1")
        (tmp_path / "numbers").symlink_to("..data/numbers")
        file = watched(tmp_path / "numbers")
        async with watching(file):
            (tmp_path / "..new").symlink_to("v2")
            (tmp_path / "..new").replace(link)
            await until(lambda: file.value == (2,))

    async def test_an_unchanged_file_is_not_parsed_again(self, path: Path) -> None:
        """A poll of an unchanged file is one stat."""
        parsed = 0

        def count(content: bytes) -> tuple[int, ...]:
            nonlocal parsed
            parsed += 1
            return parse_numbers(content)

        file = watched(path, count)
        for _ in range(3):
            await file.refresh()
        assert parsed == 1

    async def test_a_file_that_is_being_written_waits(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A beginning that is valid by itself is not taken for the whole."""
        file = watched(path)
        replace_file(path, numbers(3))

        def write_on(_seconds: float) -> None:
            replace_file(path, numbers(3, 4))

        with monkeypatch.context() as patch:
            patch.setattr("rebate_app.watched_file.time.sleep", write_on)
            patch.setattr("rebate_app.watched_file.time.time_ns", lambda: path.stat().st_ctime_ns)
            await file.refresh()
        assert file.value == (1, 2)
        assert is_ok(file)
        await file.refresh()
        assert file.value == (3, 4)


class TestRefused:
    """A file with any error is refused as a whole."""

    @pytest.mark.parametrize(
        "content",
        [b"", b"5\n", b"5\nx\nend\n", b"\xff\nend\n", b"0" * (watched_file.FILE_BYTES_MAX + 1)],
        ids=["empty", "incomplete", "invalid", "undecodable", "too large"],
    )
    async def test_broken_then_mended(
        self, path: Path, content: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The value before stays in force; log and gauge show it, once and until it is mended."""
        file = watched(path)
        with caplog.at_level(logging.WARNING):
            write_or_remove(path, content)
            for _ in range(3):
                await file.refresh()
        assert file.value == (1, 2)
        assert not is_ok(file)
        assert str(path) in file.problem
        assert len(caplog.records) == 1
        replace_file(path, numbers(5, 6))
        await file.refresh()
        assert file.value == (5, 6)
        assert is_ok(file)

    async def test_removed_then_back(self, path: Path) -> None:
        """A missing file keeps the value; the same content put back is no problem any more."""
        file = watched(path)
        kept = path.with_name("kept")
        move(path, kept)
        await file.refresh()
        assert file.value == (1, 2)
        assert not is_ok(file)
        move(kept, path)
        await file.refresh()
        assert is_ok(file)

    async def test_a_bug_of_the_parser_ends_nothing_and_shows_no_content(self, path: Path) -> None:
        """An unexpected error is refused by its type alone: its text may be a secret."""

        def parse(content: bytes) -> tuple[int, ...]:
            if content != numbers(1, 2).encode():
                raise KeyError(content.decode())
            return (1, 2)

        file = watched(path, parse)
        replace_file(path, "password")
        await file.refresh()
        assert file.value == (1, 2)
        assert "KeyError" in file.problem
        assert "password" not in file.problem


class TestEventLoop:
    """Parsing runs in a thread."""

    async def test_the_loop_runs_while_a_file_is_parsed(self, path: Path) -> None:
        """The parser waits for the loop: on the loop it would wait for ever."""
        loop_ran = threading.Event()

        def parse(content: bytes) -> tuple[int, ...]:
            if content != numbers(1, 2).encode():
                assert loop_ran.wait(WAIT_SECONDS_MAX)
            return parse_numbers(content)

        file = watched(path, parse)
        replace_file(path, numbers(9))
        reading = asyncio.create_task(file.refresh())
        await asyncio.sleep(0)
        loop_ran.set()
        await asyncio.wait_for(reading, WAIT_SECONDS_MAX)
        assert file.value == (9,)
