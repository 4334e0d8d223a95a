"""The oracle's owners: names, attribution ids, bindings, claims, suspense."""

import pytest

from tests.oracle.oracle import Oracle, UserRecord
from tests.oracle.written import (
    RULES,
    Document,
    bind,
    claim,
    moment,
    money,
    one_line,
    profile,
    refund,
    snapshot,
)


def paid(
    modified: str = "2026-01-10", line: str = "taobao:1", user: str | None = None, **attribution: str | None
) -> Document:
    """Write a paid snapshot worth 1000 with this attribution and no other."""
    document = snapshot("paid", modified, 1000, line=line)
    document["attribution"] = {"user_id": user, **attribution}
    return document


def owner(
    facts: list[Document], people: list[UserRecord] | None = None, line: str = "taobao:1"
) -> tuple[str | None, str | None]:
    """Return the owner and the attribution id of a line."""
    found = one_line(Oracle(facts, people or [], [RULES]), "2026-01-11", line)["owner"]
    return found["user_id"], found["attribution_id"]


class TestNames:
    """What names the user, and what makes an attribution id."""

    @pytest.mark.parametrize(
        ("line", "attribution", "expected"),
        [
            ("taobao:1", {"user_id": "u9", "special_id": "5"}, ("u9", None)),
            ("jd:1", {"sub_union_id": "u9", "special_id": "5"}, ("u9", None)),
            ("pdd:1", {"custom_uid": "u9", "pid": "5"}, ("u9", None)),
            ("pdd:1", {"sub_union_id": "u9"}, (None, "pdd:sub_union_id:u9")),
            ("jd:1", {"sub_union_id": "u#9"}, (None, "jd:sub_union_id:u#9")),
            ("jd:1", {"sub_union_id": "u#9", "special_id": "5"}, (None, "jd:special_id:5")),
            ("jd:1", {"sub_union_id": "0", "custom_uid": "", "relation_id": "7"}, (None, "jd:relation_id:7")),
            ("taobao:1", {"relation_id": "7", "pid": "8"}, (None, "taobao:relation_id:7")),
            ("taobao:1", {"sub_union_id": "a", "custom_uid": "b"}, (None, "taobao:sub_union_id:a")),
            ("taobao:1", {"user_id": "", "pid": "8"}, (None, "taobao:pid:8")),
            ("k9:1", {}, (None, "k9:none")),
        ],
    )  # fmt: skip
    def test_one_snapshot_names_a_user_or_one_id(
        self, line: str, attribution: dict[str, str | None], expected: tuple[str | None, str | None]
    ) -> None:
        """user_id, the fields that name users on their platform, else the first member with a value."""
        document = paid(line=line)
        document["attribution"] = attribution
        assert owner([document], line=line) == expected

    @pytest.mark.parametrize(
        ("facts", "expected"),
        [
            (
                [paid("2026-01-01", special_id="1"), paid("2026-01-02", special_id="2")],
                (None, "taobao:special_id:2"),
            ),
            (
                [paid("2026-01-01", special_id="1"), paid("2026-01-02", special_id="0")],
                (None, "taobao:special_id:1"),
            ),
            (
                [paid("2026-01-01", special_id="1"), paid("2026-01-02", pid="2")],
                (None, "taobao:special_id:1"),
            ),
            ([paid("2026-01-01", user="u1"), paid("2026-01-02", special_id="2")], ("u1", None)),
            (
                [paid(special_id="\uff5e"), paid(special_id="\U0001f600")],
                (None, "taobao:special_id:\U0001f600"),
            ),
            (
                [paid(special_id="9"), snapshot("unknown", "2026-01-11", user="u1")],
                (None, "taobao:special_id:9"),
            ),
            ([snapshot("unknown", "2026-01-11", user="u1")], ("u1", None)),
            ([paid(special_id="9"), snapshot("punished", "2026-01-11", 1, user="u1")], ("u1", None)),
            ([paid(special_id="9"), snapshot("closed", "2026-01-01", user="u1")], ("u1", None)),
            ([refund("open", "2026-01-01", 1)], (None, "taobao:none")),
        ],
    )
    def test_each_member_has_its_newest_value(
        self, facts: list[Document], expected: tuple[str | None, str | None]
    ) -> None:
        """No value never hides a value; of equals the greater in UTF-8; unknown counts only alone."""
        assert owner(facts) == owner(facts[::-1]) == expected

    def test_a_newest_ill_formed_value_hides_a_well_formed_one(self) -> None:
        """The member has one value, its newest, and that one is judged."""
        facts = [
            paid("2026-01-01", "jd:1", sub_union_id="u1"),
            paid("2026-01-02", "jd:1", sub_union_id="u#1"),
        ]
        assert owner(facts, line="jd:1") == (None, "jd:sub_union_id:u#1")

    def test_which_fields_name_users_is_a_setting(self) -> None:
        """With other fields sub_union_id makes an id, and relation_id names a user."""
        facts = [paid(line="jd:1", sub_union_id="u1"), paid(line="vip:1", relation_id="u2")]
        oracle = Oracle(facts, [], [RULES], "vip:relation_id")
        assert one_line(oracle, "2026-01-11", "jd:1")["owner"]["attribution_id"] == "jd:sub_union_id:u1"
        assert one_line(oracle, "2026-01-11", "vip:1")["owner"]["user_id"] == "u2"


class TestBindings:
    """Ids that belong to somebody, the last binding holding."""

    @pytest.mark.parametrize(
        ("bindings", "expected"),
        [
            ([bind("taobao:special_id:5", "a")], "a"),
            ([bind("taobao:special_id:5", "a"), bind("taobao:special_id:5", "b")], "b"),
            ([bind("taobao:special_id:5", "a"), bind("taobao:special_id:5", None)], None),
            ([bind("taobao:pid:7", "a")], None),
            ([bind("jd:special_id:5", "a")], None),
        ],
    )
    def test_only_the_one_id_is_looked_up(self, bindings: list[UserRecord], expected: str | None) -> None:
        """The line goes with its first id; a bound second one or another network's changes nothing."""
        assert owner([paid(special_id="5", pid="7")], bindings)[0] == expected

    def test_a_rebound_line_moves_whole(self) -> None:
        """The old owner and his inviter have 0, the new ones their own shares."""
        people = [profile("a", inviter="ia"), profile("b", "vip", "ib"), bind("taobao:pid:7", "a")]
        facts = [paid(pid="7")]
        before, after = (
            Oracle(facts, people, [RULES]),
            Oracle(facts, [*people, bind("taobao:pid:7", "b")], [RULES]),
        )
        expected = {"a": (650, 0), "ia": (100, 0), "b": (0, 800), "ib": (0, 100)}
        for user_id, amounts in expected.items():
            assert (
                money(before, user_id, "2026-01-11")[0],
                money(after, user_id, "2026-01-11")[0],
            ) == amounts

    def test_lines_without_any_value_can_be_bound(self) -> None:
        """`platform:none` is an id like others."""
        assert owner([paid()], [bind("taobao:none", "a")]) == ("a", "taobao:none")

    def test_what_names_the_user_is_never_looked_up(self) -> None:
        """A binding of an id that names the user outright changes nothing."""
        facts = [paid(line="jd:1", sub_union_id="u1")]
        assert owner(facts, [bind("jd:sub_union_id:u1", "a")], "jd:1") == ("u1", None)


class TestClaims:
    """Claims decide only where nothing else does."""

    def test_the_earliest_claim_then_the_smaller_user(self) -> None:
        """Claimed first is claimed; in one moment the smaller user id."""
        facts = [paid(pid="7"), claim("z", "2026-01-05"), claim("b", "2026-01-05"), claim("a", "2026-01-06")]
        assert owner(facts) == ("b", "taobao:pid:7")

    def test_a_bound_id_and_a_named_user_beat_a_claim(self) -> None:
        """A claim yields to a binding and to a name, and comes back when the id is unbound."""
        claimed = claim("c", "2026-01-01")
        assert owner([paid(pid="7"), claimed], [bind("taobao:pid:7", "a")])[0] == "a"
        assert (
            owner([paid(pid="7"), claimed], [bind("taobao:pid:7", "a"), bind("taobao:pid:7", None)])[0] == "c"
        )
        assert owner([paid(user="u1"), claimed])[0] == "u1"
        assert owner([claimed])[0] == "c"


class TestSuspense:
    """Money that belongs to nobody yet."""

    def test_an_id_counts_its_lines_and_their_net(self) -> None:
        """Unbound lines are in suspense under their id; claimed ones are counted apart."""
        facts = [
            paid(line="taobao:1", pid="7"),
            snapshot("settled", "2026-01-10", 0, 500, line="taobao:2", user=None, pid="7"),
            refund("success", "2026-01-11", 100, line="taobao:2"),
            paid(line="taobao:3", pid="7"),
            claim("c", "2026-01-11", line="taobao:3"),
        ]
        at = moment("2026-01-12")
        oracle = Oracle(facts, [], [RULES])
        assert oracle.suspense(at) == {"taobao:pid:7": {"lines": 2, "net": 1400}}
        answer = oracle.attribution("taobao:pid:7", at)
        assert answer == {"lines": 2, "net": 1400, "claimed_lines": 1, "claimed_net": 1000, "user_id": None}
        bound = Oracle(facts, [bind("taobao:pid:7", "a")], [RULES])
        assert bound.suspense(at) == {}
        answer = bound.attribution("taobao:pid:7", at)
        assert answer == {"lines": 3, "net": 2400, "claimed_lines": 0, "claimed_net": 0, "user_id": "a"}
        assert bound.users() == {"a"}
