"""Which of two workers has to end because of their URLs, and what announcements are decoded from."""

from __future__ import annotations

import pytest

from rebate_app.http_urls import same_address
from rebate_app.streams.kafka.announcements import Announcement, announced_in, conflict, conflict_with

HERE, THERE = "boot-1", "boot-2"
A, B = "http://127.0.0.1:6066", "http://10.0.0.2:6066"


def worker(
    url: str, instance: str, *, loopback: str = HERE, joined: bool = False, ms: int = 0
) -> Announcement:
    """Return an announcement."""
    return Announcement(url, instance, ms, joined, loopback)


class TestOneUrl:
    """Of two workers with one URL the later goes, and only it."""

    @pytest.mark.parametrize(
        "other",
        [
            "http://localhost:6066",
            "http://127.0.0.2:6066/",
            "http://[::1]:6066",
            "http://0.0.0.0:6066",
            "http://[::ffff:127.0.0.1]:6066",
            "http://LOCALHOST.:6066",
        ],
    )
    def test_all_names_of_the_own_machine_are_one(self, other: str) -> None:
        """At one port, loopback and unspecified addresses included."""
        assert same_address(A, other)
        assert not same_address(A, other.replace("6066", "6067"))

    def test_default_ports_and_case_and_paths(self) -> None:
        """A URL is its host, port and path."""
        assert same_address("http://Host", "http://host:80/")
        assert same_address("https://host/a", "https://host:443/a/")
        assert not same_address("https://host/a", "https://host/b")
        assert not same_address("http://host", "https://host")

    def test_the_later_goes(self) -> None:
        """Later is one that owned nothing yet, then the younger process, then the greater id: one of both."""
        for earlier, later in (
            (worker(B, "b", joined=True, ms=9), worker(B, "a", ms=1)),
            (worker(B, "b", ms=1), worker(B, "a", ms=2)),
            (worker(B, "a"), worker(B, "b")),
        ):
            assert B in conflict_with(later, earlier)
            assert not conflict_with(earlier, later)

    def test_a_member_is_no_conflict_of_itself(self) -> None:
        """Nor are two hosts, nor what cannot be understood."""
        own = worker(B, "a")
        assert not conflict(
            own, [own, worker("http://10.0.0.3:6066", "b"), worker("http://", "c", joined=True)]
        )


def test_generations_do_not_mix() -> None:
    """A worker of this one ends beside any other; those of the first announce only their URL."""
    first = announced_in(b'{"assignment":{},"url":"http://10.0.0.9:1"}')
    assert first is not None
    assert first == Announcement("http://10.0.0.9:1", generation=1)
    own = Announcement(B, "own", joined=True, generation=2)
    assert "http://10.0.0.9:1 is a worker of generation 1" in conflict(own, [first])
    assert "generation 3" in conflict(own, [Announcement("x", "later", generation=3)])


class TestOwnMachine:
    """URLs that mean the machine itself, in a group over several."""

    def test_beside_another_host_it_goes_in_any_case(self) -> None:
        """Also when it was there first: nobody reaches it."""
        assert A in conflict_with(worker(A, "a", joined=True), worker(B, "b", ms=9))
        assert not conflict_with(worker(B, "b"), worker(A, "a", joined=True))

    def test_on_two_machines_the_later_goes(self) -> None:
        """On one machine several work together; where the machine is unknown, nothing is presumed."""
        first, second = worker(A, "a", joined=True), worker("http://localhost:6067", "b", loopback=THERE)
        assert conflict_with(second, first)
        assert not conflict_with(first, second)
        assert not conflict_with(worker("http://localhost:6067", "b"), first)
        assert not conflict_with(worker("http://localhost:6067", "b", loopback=""), first)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"url":"x","rebate":{"url":1}}', b"\xff"])
def test_what_is_no_announcement(data: bytes) -> None:
    """Is none: members of earlier versions, and other programs."""
    assert announced_in(data) is None


def test_an_announcement_has_members_of_later_versions() -> None:
    """They are ignored."""
    found = announced_in(b'{"url":"x","rebate":{"url":"http://x","instance":"i","new":1},"assignment":{}}')
    assert found == Announcement("http://x", "i")
