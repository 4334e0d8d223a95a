"""`GET /v1/users/{user_id}/profile` (docs/spec/http.md#resources)."""

from __future__ import annotations

import pytest

from tests.web.facts import BUYER, INVITER, profile
from tests.web.worlds import World, problem

pytestmark = pytest.mark.asyncio

MARCH, APRIL = "2026-03-01T00:00:00+08:00", "2026-04-01T00:00:00+08:00"


def path(user_id: str, at: str | None = None) -> str:
    """Return the path of a profile."""
    query = "" if at is None else f"?at={at.replace('+', '%2B')}"
    return f"/v1/users/{user_id}/profile{query}"


class TestProfile:
    """The profile that prices a line that is paid at the moment."""

    async def test_somebody_never_seen_has_the_first_level_and_no_inviter(self, world: World) -> None:
        """200, as the lines of this user would be priced; null where no profile was ever given."""
        shown = await world.read(path("nobody"))
        assert (shown["user_id"], shown["level"], shown["inviter_id"], shown["effective_at"]) == (
            ("nobody", "basic", None, None)
        )
        assert shown["as_of"]["topic"].endswith("rebate-user-log")

    async def test_before_the_first_rules_there_is_no_level(self, world: World) -> None:
        """A line paid then has no level either."""
        assert (await world.read(path("nobody", "2020-01-01T00:00:00+08:00")))["level"] is None

    @pytest.mark.parametrize(
        ("at", "level", "inviter", "since"),
        [
            ("2026-02-28T23:59:59.999999+08:00", "basic", INVITER, MARCH),  # none yet: the earliest
            (MARCH, "basic", INVITER, MARCH),
            ("2026-03-31T23:59:59.999999+08:00", "basic", INVITER, MARCH),
            (APRIL, "vip", None, APRIL),
            ("2026-12-01T00:00:00+08:00", "vip", None, APRIL),
        ],
    )
    async def test_the_greatest_effective_at_up_to_the_moment_is_in_force(
        self, world: World, at: str, level: str, inviter: str | None, since: str
    ) -> None:
        """Whatever the order of arrival; before all of them, the earliest."""
        world.users(
            profile(BUYER, None, "vip") | {"effective_at": APRIL},
            profile(BUYER, INVITER) | {"effective_at": MARCH},
        )
        shown = await world.read(path(BUYER, at))
        assert (shown["level"], shown["inviter_id"], shown["effective_at"]) == (level, inviter, since)
        assert shown["at"] == at

    async def test_any_worker_answers_as_the_owner_does(self, pair: World) -> None:
        """The request is sent on to the owner of the user's partition."""
        pair.users(profile(BUYER, INVITER, "vip"))
        answers = [await pair.read(path(BUYER), worker) for worker in (0, 1)]
        assert answers[0] == answers[1]
        assert (answers[0]["level"], answers[0]["inviter_id"]) == ("vip", INVITER)

    async def test_without_an_owner_it_is_503_and_no_defaults(self, world: World) -> None:
        """A profile that cannot be read must not look like none."""
        world.users(profile(BUYER, INVITER, "vip"))
        partition = world.stream.partition_of(BUYER)
        world.give("accounts", partition, None)
        problem(await world.get(path(BUYER)), 503, "not-ready")

    @pytest.mark.parametrize(
        ("target", "code"),
        [
            ("/v1/users/a%20b/profile", "invalid-user_id"),
            ("/v1/users/mei/profile?at=soon", "invalid-at"),
            ("/v1/users/mei/profile?wait_ms=5", "unknown-parameter"),
        ],
    )
    async def test_a_mistake_is_400(self, world: World, target: str, code: str) -> None:
        """With the codes of all other resources."""
        problem(await world.get(target), 400, code)
