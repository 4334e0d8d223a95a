"""The file of `REBATE_SOURCES`: apps with rate and credentials, accounts with data (docs/sources.md).

All problems are reported at once. Secrets are read with the file, so that a changed secret is a changed
configuration; they never stand in an error.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar, cast

from msgspec import Struct
from msgspec.structs import replace

from rebate_app.http_urls import fault_of, is_own_machine
from rebate_app.networks import NETWORKS

from .apis.api import load_api
from .signing import HMAC_SHA256, MD5, SIGN_METHODS

ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
NIGHTLY = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
SCENES = (1, 2, 3)
APP_KEYS = ("id", "network", "url", "app_key", "secret_file", "sign_method", "per_second", "per_day")
ACCOUNT_KEYS = (
    *("id", "app", "session_file", "child_union_id", "key_file", "scenes", "since"),
    *("hot_seconds", "overlap_seconds", "nightly"),
)
SECRET_BYTES_MAX = 4_096
T = TypeVar("T")


class AppConfiguration(Struct, frozen=True):
    """One app of a network: where and how it is called, and how often it may be.

    `credential_at`: when its secret was changed last, by the time of the file, Unix seconds.
    """

    id: str
    network: str
    url: str
    app_key: str
    secret: str
    sign_method: str = MD5
    per_second: float = 5.0
    per_day: int = 200_000
    credential_at: float = 0.0

    def __repr__(self) -> str:  # no secret in a log
        return f"AppConfiguration({self.id!r})"


class AccountConfiguration(Struct, frozen=True):
    """One account whose orders are fetched through an app; `since` in Unix seconds, None: the look-back.

    `credential_at`: when its session was changed last, 0 without one.
    """

    id: str
    app: str
    session: str = ""
    child_union_id: str = ""
    key: str = ""
    scenes: tuple[int, ...] = SCENES
    since: int | None = None
    hot_seconds: int = 60
    overlap_seconds: int = 120
    nightly_minute: int = 150
    credential_at: float = 0.0

    def __repr__(self) -> str:  # no session in a log
        return f"AccountConfiguration({self.id!r})"


class SourcesConfiguration(Struct, frozen=True):
    """All apps and accounts, by id; `content` is the digest of the file and of the secrets that it names."""

    apps: dict[str, AppConfiguration] = {}
    accounts: dict[str, AccountConfiguration] = {}
    content: bytes = b""

    def accounts_of(self, app: str) -> list[AccountConfiguration]:
        """Return the accounts of one app."""
        return [account for account in self.accounts.values() if account.app == app]


class SourcesError(ValueError):
    """The file cannot be used: `problems` has one sentence for each reason."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def read_sources(path: Path) -> SourcesConfiguration:
    """Read the file and the secrets that it names; SourcesError with every problem, OSError."""
    return parse_sources(path.read_bytes(), path.parent)


def parse_sources(content: bytes, folder: Path) -> SourcesConfiguration:
    """Return the configuration of a file in `folder`, to which its paths are relative; SourcesError."""
    try:
        document = tomllib.loads(content.decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SourcesError([str(error)]) from None
    reader = _Reader(folder)
    configuration = reader.read(document)
    if reader.problems:
        raise SourcesError(reader.problems)
    return replace(configuration, content=reader.digest(content))


class _Reader:
    """Reads the tables of a document and collects what is wrong with them."""

    def __init__(self, folder: Path) -> None:
        self.problems: list[str] = []
        self._folder = folder
        self._secrets: list[str] = []

    def read(self, document: dict[str, Any]) -> SourcesConfiguration:
        """Return the configuration, of use only without problems."""
        self.problems += [
            f"{key} is no table of this file" for key in document if key not in ("app", "account")
        ]
        tables = [_Table(self, "app", each, APP_KEYS) for each in self._tables(document, "app")]
        apps = [self._app(table) for table in tables]
        networks = {app.id: app.network for app in apps}
        accounts = [
            self._account(_Table(self, "account", each, ACCOUNT_KEYS), networks)
            for each in self._tables(document, "account")
        ]
        for kind, ids in (("app", [each.id for each in apps]), ("account", [each.id for each in accounts])):
            repeated = [name for name, count in Counter(ids).items() if count > 1 and name]
            self.problems += [f"{kind} {name} stands more than once" for name in repeated]
        return SourcesConfiguration({each.id: each for each in apps}, {each.id: each for each in accounts})

    def _tables(self, document: dict[str, Any], name: str) -> list[dict[str, Any]]:
        tables = document.get(name, [])
        if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
            self.problems.append(f"{name} has to be an array of tables: [[{name}]]")
            return []
        return tables

    def _app(self, table: _Table) -> AppConfiguration:
        network = table.text("network", needed=True)
        known = [name for name, row in NETWORKS.items() if row.api]
        if network and network not in known:
            table.refuse("network", f"has to be one of {', '.join(known)}")
        api = load_api(network) if network in known else None
        methods = SIGN_METHODS if api is not None and api.has_sign_methods else (MD5,)
        return AppConfiguration(
            id=table.identifier("id"),
            network=network,
            url=table.url("url", "" if api is None else api.url),
            app_key=table.text("app_key", needed=True),
            secret=table.secret("secret_file", needed=True),
            sign_method=table.choice("sign_method", methods, HMAC_SHA256 if len(methods) > 1 else MD5),
            per_second=table.number("per_second", 5, 0.1, 1_000),
            per_day=int(table.number("per_day", 200_000, 1, 10**9, whole=True)),
            credential_at=table.changed_at("secret_file"),
        )

    def _account(self, table: _Table, networks: dict[str, str]) -> AccountConfiguration:
        app = table.text("app", needed=True)
        if app and app not in networks:
            table.refuse("app", "names no app of this file")
        return AccountConfiguration(
            id=table.identifier("id"),
            app=app,
            session=table.secret("session_file"),
            child_union_id=table.text("child_union_id"),
            key=table.secret("key_file"),
            scenes=table.scenes("scenes"),
            since=table.moment("since"),
            hot_seconds=int(table.number("hot_seconds", 60, 1, 3_600, whole=True)),
            overlap_seconds=int(table.number("overlap_seconds", 120, 0, 86_400, whole=True)),
            nightly_minute=table.minute("nightly", "02:30"),
            credential_at=table.changed_at("session_file"),
        )

    def content(self, path: str) -> str:
        """Return what a file of a secret holds; OSError, ValueError."""
        content = (self._folder / path).read_bytes()
        if len(content) > SECRET_BYTES_MAX:
            raise ValueError("is too large for a secret")
        text = content.decode().strip()
        if not text:
            raise ValueError("is empty")
        self._secrets.append(text)
        return text

    def digest(self, content: bytes) -> bytes:
        """Return the digest of a file and of all secrets that were read for it."""
        parts = [content, *(text.encode() for text in self._secrets)]
        return sha256(b"".join(sha256(part).digest() for part in parts)).digest()

    def changed_at(self, path: str) -> float:
        """Return the modification time of a file, 0 for one that is not there."""
        try:
            return (self._folder / path).stat().st_mtime
        except OSError:
            return 0.0


class _Table:
    """One table of the file: reads values and reports what is wrong under the table's name."""

    def __init__(self, reader: _Reader, kind: str, values: dict[str, Any], keys: tuple[str, ...]) -> None:
        self._reader = reader
        self._values = values
        self._name = f"{kind} {values.get('id', 'without an id')}"
        for key in values:
            if key not in keys:
                self.refuse(key, f"is no key of [[{kind}]]")

    def refuse(self, key: str, detail: str) -> None:
        """Report a problem of one key."""
        self._reader.problems.append(f"{self._name}: {key} {detail}")

    def text(self, key: str, *, needed: bool = False) -> str:
        """Return a text, "" for none."""
        value = self._values.get(key, "")
        if not isinstance(value, str):
            self.refuse(key, "has to be a text")
        elif needed and not value:
            self.refuse(key, "is missing")
        else:
            return value
        return ""

    def identifier(self, key: str) -> str:
        """Return an id."""
        value = self.text(key, needed=True)
        if value and not ID.fullmatch(value):
            self.refuse(key, "has to be 1 to 64 of A-Za-z0-9._-")
        return value

    def url(self, key: str, default: str) -> str:
        """Return a URL: https, or http to this machine."""
        value = self.text(key) or default
        fault = fault_of(value, query=False) if value else ""
        if fault:
            self.refuse(key, fault)
        elif value.startswith("http:") and not is_own_machine(value):
            self.refuse(key, "has to be https; http is for this machine only")
        return value

    def secret(self, key: str, *, needed: bool = False) -> str:
        """Return the content of the file that a key names, "" for none."""
        path = self.text(key, needed=needed)
        if not path:
            return ""
        try:
            return self._reader.content(path)
        except OSError as error:
            self.refuse(key, f"{path} cannot be read: {error.strerror}")
        except UnicodeDecodeError:
            self.refuse(key, f"{path} is not UTF-8 text")
        except ValueError as error:
            self.refuse(key, f"{path} {error}")
        return ""

    def changed_at(self, key: str) -> float:
        """Return the modification time of the file that a key names, 0 for none."""
        path = self._values.get(key)
        return self._reader.changed_at(path) if isinstance(path, str) and path else 0.0

    def choice(self, key: str, known: tuple[str, ...], default: str) -> str:
        """Return one of a few values."""
        return self._checked(
            key, default, lambda value: value in known, f"has to be one of {', '.join(known)}"
        )

    def number(self, key: str, default: float, least: float, most: float, *, whole: bool = False) -> float:
        """Return a number within bounds."""
        kinds = (int,) if whole else (int, float)
        return self._checked(
            key,
            default,
            lambda value: type(value) in kinds and least <= value <= most,
            f"has to be {'an integer' if whole else 'a number'} from {least:g} to {most:g}",
        )

    def scenes(self, key: str) -> tuple[int, ...]:
        """Return the scenes that are polled."""

        def is_scenes(value: Any) -> bool:
            return isinstance(value, list) and bool(value) and all(each in SCENES for each in value)

        return tuple(sorted(set(self._checked(key, list(SCENES), is_scenes, "has to list some of 1, 2, 3"))))

    def moment(self, key: str) -> int | None:
        """Return a moment with offset in Unix seconds, None for none."""
        value = self._values.get(key)
        if value is None:
            return None
        if isinstance(value, datetime) and value.tzinfo is not None:
            return int(value.timestamp())
        self.refuse(key, "has to be a time with offset")
        return None

    def minute(self, key: str, default: str) -> int:
        """Return a time of day as minutes since midnight."""
        text = self._checked(
            key,
            default,
            lambda value: isinstance(value, str) and bool(NIGHTLY.fullmatch(value)),
            "has to be HH:MM",
        )
        return int(text[:2]) * 60 + int(text[3:])

    def _checked(self, key: str, default: T, is_good: Callable[[Any], bool], rule: str) -> T:
        value = self._values.get(key, default)
        if is_good(value):
            return cast("T", value)
        self.refuse(key, rule)
        return default
