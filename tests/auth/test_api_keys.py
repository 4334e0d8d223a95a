"""The file of API keys is taken whole or refused whole, and a token is right or it is not."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from rebate_app.auth.api_keys import ExpiredTokenError, InvalidTokenError, new_key, parse_keys

SHA = "a" * 64
ENTRY = f'[[key]]\nid = "crm"\nname = "CRM"\nsha256 = "{SHA}"\nscopes = ["balances:read"]\n'
NOT_AFTER_US = 1_798_732_800_000_000  # 2027-01-01T00:00:00+08:00


class TestFile:
    """What is taken, and what each mistake is called."""

    def test_a_complete_entry(self) -> None:
        """All members; a moment with its offset; a rate may be a fraction."""
        text = ENTRY + "not_after = 2027-01-01T00:00:00+08:00\nper_second = 0.5\n"
        (key,) = parse_keys(text.encode()).keys.values()
        assert (key.actor, key.not_after_us, key.per_second) == ("key:crm", NOT_AFTER_US, 0.5)
        assert parse_keys(b"").keys == {}

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            (ENTRY + ENTRY, "the id 'crm' occurs twice"),
            (ENTRY + "secret = 'x'\n", "unknown member 'secret'"),
            ("keys = []\n", "unknown member 'keys'"),
            ("key = 3\n", r"written as \[\[key\]\]"),
            (ENTRY.replace("balances:read", "balance:read"), "scopes has to be a list of"),
            (ENTRY.replace('["balances:read"]', "[]"), "scopes has to be"),
            (ENTRY.replace('id = "crm"', 'id = "CRM"'), "id has to be"),
            (ENTRY.replace('id = "crm"\n', ""), "id is missing"),
            (ENTRY.replace(SHA, "ab"), "sha256 has to be"),
            (ENTRY + "not_after = 2027-01-01T00:00:00\n", "not_after has to be"),
            (ENTRY + "not_after = 2027-01-01\n", "not_after has to be"),
            (ENTRY + "per_second = 0\n", "per_second has to be"),
            (ENTRY + "per_second = true\n", "per_second has to be"),
            (ENTRY + "per_second = nan\n", "per_second has to be"),
            ("[[key]\n", "it is not TOML"),
        ],
    )
    def test_a_mistake_refuses_the_file(self, text: str, problem: str) -> None:
        """By name and place; a digest is not repeated in the message."""
        with pytest.raises(ValueError, match=problem) as refused:
            parse_keys(text.encode())
        assert SHA not in str(refused.value)

    def test_every_mistake_is_named(self) -> None:
        """At once, so that nobody mends one after the other."""
        text = ENTRY.replace(SHA, "ab") + ENTRY.replace('"crm"', '"C"')
        with pytest.raises(ValueError, match=r"key 1: sha256.*; key 2: id"):
            parse_keys(text.encode())

    def test_bytes_that_are_no_text(self) -> None:
        """They are no file of keys; a byte order mark is none of its content."""
        with pytest.raises(ValueError, match="not UTF-8"):
            parse_keys(b"\xff\xfe")
        assert set(parse_keys(b"\xef\xbb\xbf" + ENTRY.encode()).keys) == {"crm"}


class TestTokens:
    """`new_key` and `verify` belong together."""

    def test_a_new_key_verifies(self) -> None:
        """Its entry is one of a file; its token is right until `not_after`, and expired from then on."""
        moment = datetime.fromtimestamp(NOT_AFTER_US / 1e6, UTC)
        made = new_key("ops-1", 'Who said "ops\\"?', ["admin"], moment)
        ring = parse_keys(made.entry.encode())
        key = ring.verify(made.token, NOT_AFTER_US - 1)
        assert (key.id, key.name) == ("ops-1", 'Who said "ops\\"?')
        with pytest.raises(ExpiredTokenError):
            ring.verify(made.token, NOT_AFTER_US)
        assert made.token.rpartition("_")[2] not in made.entry

    def test_secrets_differ(self) -> None:
        """Each has 32 random bytes."""
        tokens = {new_key("a", "a", ["admin"]).token for _ in range(20)}
        assert len(tokens) == 20
        assert all(len(token) == len("rbk_a_") + 43 for token in tokens)

    def test_what_is_wrong(self) -> None:
        """The secret of another key, an unknown id, a letter more or less."""
        first, second = new_key("a", "a", ["admin"]), new_key("b", "b", ["admin"])
        ring = parse_keys((first.entry + second.entry).encode())
        swapped = first.token.replace("rbk_a_", "rbk_b_")
        for token in (
            swapped,
            first.token.replace("rbk_a_", "rbk_c_"),
            first.token[:-1],
            first.token + "x",
            "",
        ):
            with pytest.raises(InvalidTokenError):
                ring.verify(token, 0)

    @pytest.mark.parametrize(("key_id", "scopes"), [("A", ["admin"]), ("a", ["everything"]), ("a", [])])
    def test_a_key_that_no_file_takes_is_not_made(self, key_id: str, scopes: list[str]) -> None:
        """The same rules as for the file."""
        with pytest.raises(ValueError, match="has to be"):
            new_key(key_id, "x", scopes)
