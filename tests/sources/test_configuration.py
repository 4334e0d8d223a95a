"""The file of REBATE_SOURCES: what it says, and everything that is wrong with it at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from rebate_app.sources.configuration import SourcesConfiguration, SourcesError, parse_sources, read_sources
from rebate_app.wire.moments import SECOND_US, parse_moment

FILE = """
[[app]]
id = "tb-main"
network = "taobao"
app_key = "12345678"
secret_file = "secret"
[[app]]
id = "pdd"
network = "pdd"
url = "http://127.0.0.1:8081/"
app_key = "c"
secret_file = "secret"
per_second = 0.5
per_day = 5000
[[account]]
id = "mm-1188"
app = "tb-main"
session_file = "session"
scenes = [3, 1]
since = 2026-01-01T00:00:00+08:00
hot_seconds = 30
overlap_seconds = 0
nightly = "23:05"
[[account]]
id = "p"
app = "pdd"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the files of secrets."""
    (tmp_path / "secret").write_text("s3cret\n")
    (tmp_path / "session").write_text("sess10n")
    (tmp_path / "empty").write_text("")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "large").write_text("x" * 5_000)
    return tmp_path


def problems(text: str, folder: Path) -> list[str]:
    """Return what is wrong with a file."""
    with pytest.raises(SourcesError) as caught:
        parse_sources(text.encode(), folder)
    return caught.value.problems


class TestGoodFiles:
    """Values and defaults."""

    def test_every_key(self, folder: Path) -> None:
        """Secrets are read from their files, beside the file itself."""
        (folder / "sources.toml").write_text(FILE)
        found = read_sources(folder / "sources.toml")
        app, account = found.apps["tb-main"], found.accounts["mm-1188"]
        assert (app.url, app.sign_method, app.secret) == (
            "https://gw.api.taobao.com/router/rest",
            "hmac-sha256",
            "s3cret",
        )
        assert (app.per_second, app.per_day) == (5, 200_000)
        assert (account.session, account.scenes, account.nightly_minute) == ("sess10n", (1, 3), 1_385)
        assert account.since == parse_moment("2026-01-01T00:00:00+08:00") // SECOND_US
        assert (account.hot_seconds, account.overlap_seconds) == (30, 0)
        assert app.credential_at == (folder / "secret").stat().st_mtime
        other, defaults = found.apps["pdd"], found.accounts["p"]
        assert (other.url, other.sign_method, other.per_second, other.per_day) == (
            "http://127.0.0.1:8081/",
            "md5",
            0.5,
            5_000,
        )
        assert (defaults.since, defaults.hot_seconds, defaults.overlap_seconds) == (None, 60, 120)
        assert (defaults.nightly_minute, defaults.credential_at) == (150, 0.0)
        assert found.accounts_of("pdd") == [defaults]

    def test_an_empty_file(self, folder: Path) -> None:
        """It fetches nothing."""
        found = parse_sources(b"", folder)
        assert (found.apps, found.accounts) == ({}, {})
        assert found.content != SourcesConfiguration().content

    def test_a_changed_secret_is_another_configuration(self, folder: Path) -> None:
        """So workers notice it."""
        before = parse_sources(FILE.encode(), folder)
        (folder / "session").write_text("renewed")
        assert parse_sources(FILE.encode(), folder) != before

    def test_no_secret_is_shown(self, folder: Path) -> None:
        """Neither in logs nor in errors."""
        found = parse_sources(FILE.encode(), folder)
        assert "s3cret" not in repr(found)
        assert "sess10n" not in repr(found)


class TestBadFiles:
    """All problems at once, each naming its table and key."""

    def test_all_at_once(self, folder: Path) -> None:
        """Nothing stops at the first."""
        found = problems(
            """
            other = 1
            [[app]]
            id = "a b"
            network = "vip"
            url = "http://example.com/"
            app_key = 5
            secret_file = "missing"
            sign_method = "sha1"
            per_second = 0
            per_day = 1.5
            extra = 1
            [[app]]
            id = "x"
            network = "jd"
            app_key = "k"
            secret_file = "empty"
            sign_method = "hmac"
            url = "https://user@host/"
            [[app]]
            id = "x"
            network = "jd"
            app_key = ""
            secret_file = "binary"
            [[account]]
            id = "y"
            app = "nobody"
            session_file = "large"
            scenes = [1, 4]
            since = 2026-01-01
            hot_seconds = "60"
            nightly = "24:00"
            overlap_seconds = -1
            """,
            folder,
        )
        text = "\n".join(found)
        for words in (
            "other is no table",
            "app a b: id has to be",
            "app a b: network has to be one of taobao, jd, pdd",
            "app a b: url has to be https",
            "app a b: app_key has to be a text",
            "app a b: secret_file missing cannot be read",
            "app a b: sign_method",
            "app a b: per_second",
            "app a b: per_day",
            "app a b: extra is no key",
            "app x: secret_file empty is empty",
            "app x: sign_method has to be one of md5",
            "app x: url",
            "app x: app_key is missing",
            "app x: secret_file binary is not UTF-8",
            "app x stands more than once",
            "account y: app names no app",
            "account y: session_file large is too large",
            "account y: scenes",
            "account y: since",
            "account y: hot_seconds",
            "account y: nightly",
            "account y: overlap_seconds",
        ):
            assert words in text, words

    @pytest.mark.parametrize("text", ["[[app]", 'app = "x"', "account = [1]"])
    def test_no_tables(self, text: str, folder: Path) -> None:
        """What is no TOML, or has something else in the place of tables."""
        assert problems(text, folder)

    def test_tables_without_anything(self, folder: Path) -> None:
        """What is missing is named."""
        text = "\n".join(problems("[[app]]\n[[account]]\n", folder))
        for key in ("id", "network", "app_key", "secret_file", "app"):
            assert f"without an id: {key} is missing" in text

    def test_a_file_that_is_not_there(self, folder: Path) -> None:
        """An OSError, which commands tell in a sentence."""
        with pytest.raises(OSError, match="sources"):
            read_sources(folder / "sources.toml")
