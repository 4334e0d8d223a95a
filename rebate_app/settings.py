"""Every setting, from the environment only, checked at once (docs/spec/running.md#environment)."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import AwareDatetime, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsConfigDict

from rebate_app.domain.order.attribution import parse_user_id_fields
from rebate_app.http_urls import HIDDEN, fault_of, origin, parse_authorities
from rebate_app.networks import default_user_id_fields
from rebate_app.security_settings import SecuritySettings, security_problems

EXIT_OK = 0
EXIT_FINDINGS = 1
EXIT_USAGE = 2
EXIT_UNAVAILABLE = 69  # the broker cannot be reached
EXIT_SOFTWARE = 70  # a bug of ours: page somebody
EXIT_TRY_AGAIN = 75  # restart me
EXIT_CONFIGURATION = 78

PREFIX = "REBATE_"
#: Read by others under the same prefix: Faust's own settings, and the test suite.
FOREIGN_PREFIXES = ("REBATE_FAUST_", "REBATE_TEST_")
RETRY_TOPICS = 3
SECRETS_MAX = 2
DAY_SECONDS = 86_400.0
DEFAULT_WEB_PORT = 6066
#: Addresses that bind all of a machine's, and the one among them at which a command finds the worker.
EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound
LOOPBACK = ("127.0.0.1", "localhost", "::1")
#: Settings whose value no error message repeats, since it may hold a password or a token.
UNQUOTED = frozenset(
    {
        "broker",
        "url",
        "advertised_url",
        "webhook_url",
        "webhook_secret",
        "sasl_password",
        "cluster_secret",
        "payee_keys",
        "payee_id_key",
        "token",
    }
)


class ConfigurationError(Exception):
    """The settings, rules or topics do not fit: nothing is consumed, exit 78, one sentence each."""


class Settings(SecuritySettings):
    """What operators can set. Durations in seconds unless the name says otherwise."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)

    broker: str = Field("127.0.0.1:19092", description="bootstrap servers, host:port, separated by commas")
    app_id: str = Field("rebate", pattern=r"^[a-z0-9._-]{1,64}$", description="consumer group and changelogs")
    web_host: str = Field("127.0.0.1", description="address that the web server binds")
    web_port: int = Field(DEFAULT_WEB_PORT, ge=1, le=65_535, description="port of the web server")
    advertised_url: str | None = Field(None, description="how other workers reach this one")
    advertised_url_deadline: float = Field(
        60.0, ge=1, description="the advertised URL leads to this worker within it, else exit 78"
    )
    allowed_hosts: str = Field(
        "",
        description="hosts, separated by commas, each with an optional port, that a `Host` header may name "
        "besides the worker's own address and advertised URL",
    )
    web_read_timeout: float = Field(
        15.0, ge=0.1, le=3_600, description="a request's header and body have to arrive within it"
    )
    datadir: Path = Field(Path(".rebate"), description="where a worker keeps its files")
    store: Literal["memory", "rocksdb"] = Field("memory", description="where tables are kept locally")
    partitions: int = Field(8, ge=1, le=1_000, description="partitions of every topic of a stage")
    standbys: int = Field(0, ge=0, le=8, description="workers that follow each partition besides its owner")
    rules: Path = Field(Path("rules"), description="folder with one TOML file per rule version")
    url: str = Field(
        "http://127.0.0.1:6066",
        description="a worker, for commands; without it, the one at REBATE_WEB_HOST and REBATE_WEB_PORT here",
    )
    user_id_fields: str = Field(
        default_user_id_fields(), description="platform:member pairs that hold user ids"
    )
    topic_prefix: str = Field("", pattern=r"^[A-Za-z0-9._-]{0,64}$", description="before every topic and id")
    insecure: bool = Field(False, description="1: bind the web server beyond loopback without authentication")
    topics: Literal["create", "verify"] = Field(
        "create", description="verify: never create a topic, refuse to start when one is missing or wrong"
    )
    replication_factor: int | None = Field(
        None, ge=1, le=9, description="of topics that are created; default: 3, or the number of brokers below"
    )
    min_insync_replicas: int | None = Field(
        None,
        ge=1,
        le=9,
        description="of topics that are created; default: 2 of three replicas and more, else 1",
    )
    session_timeout: float = Field(10.0, ge=3, le=300, description="a worker silent for this long is dead")
    transaction_timeout: float = Field(
        8.0, ge=1, le=600, description="an open transaction is aborted after it"
    )
    broker_deadline: float = Field(120.0, ge=1, description="broker away for longer: exit 75")
    on_bug: Literal["park", "stop"] = Field(
        "park", description="when our fold fails on a record: park its key, or stop the worker (exit 70)"
    )
    dlq_limit_override_until: AwareDatetime | None = Field(
        None, description="until this moment too many dead letters do not stop the worker"
    )
    events_since: AwareDatetime | Literal["beginning"] | None = Field(
        None,
        description="events are emitted for records from this moment on; read only at an app's first start "
        "(docs/events.md)",
    )
    webhook_url: str = Field(
        "",
        repr=False,
        description="events are sent there (docs/webhooks.md); empty: nowhere, and they are skipped",
    )
    webhook_secret: SecretStr = Field(
        SecretStr(""), description="signs webhooks; while it is changed two, the new one first, and a comma"
    )
    webhook_allow_private: bool = Field(
        False, description="1: webhooks may go to private, loopback and other special addresses"
    )
    webhook_timeout: float = Field(10.0, ge=0.1, le=60, description="a webhook unanswered for so long failed")
    webhook_concurrency: int = Field(16, ge=1, le=256, description="webhooks under way in one worker")
    webhook_give_up_after: float = Field(
        86_400.0, ge=1, description="an event that fails for longer becomes a dead letter"
    )
    webhook_retry_delays: str = Field(
        "10,60,600", description="what events wait in the three retry topics, whose names say the default"
    )
    sources: Path | None = Field(
        None, description="file with the apps and accounts whose orders are fetched (docs/sources.md)"
    )
    channels: Path | None = Field(
        None, description="TOML file with the channels of payouts (docs/payouts.md); unset: nothing is paid"
    )
    payee_keys: SecretStr = Field(
        SecretStr(""),
        description="encrypts payees: id:base64 of 32 bytes, a comma between several, the first encrypts; "
        "needed with REBATE_CHANNELS",
    )
    payee_id_key: SecretStr = Field(
        SecretStr(""), description="secret from which ids of payees follow; needed with REBATE_CHANNELS"
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="of the worker's log; json: one object a line (docs/spec/running.md#log)"
    )
    sasl_mechanism: Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "", description="SASL, if any"
    )
    sasl_username: str = Field("", description="user of the broker")
    sasl_password: SecretStr = Field(SecretStr(""), description="password of the broker")
    tls_ca_file: Path | None = Field(None, description="CA certificates; setting it turns TLS on")

    @field_validator("user_id_fields")
    @classmethod
    def _user_id_fields(cls, value: str) -> str:
        parse_user_id_fields(value)
        return value

    @field_validator("allowed_hosts")
    @classmethod
    def _allowed_hosts(cls, value: str) -> str:
        parse_authorities(value)
        return value

    @field_validator("broker")
    @classmethod
    def _broker(cls, value: str) -> str:
        if "@" in value:
            raise ValueError("must be host:port…: a user and a password go into REBATE_SASL_…")
        return value

    @field_validator("url", "advertised_url", "webhook_url")
    @classmethod
    def _http_url(cls, value: str | None, info: ValidationInfo) -> str | None:
        fault = fault_of(value, query=info.field_name == "webhook_url") if value else ""
        if fault:
            raise ValueError(fault)
        return value

    @field_validator("webhook_retry_delays")
    @classmethod
    def _webhook_retry_delays(cls, value: str) -> str:
        delays = [float(part) for part in value.split(",")]
        if (
            len(delays) != RETRY_TOPICS
            or sorted(delays) != delays
            or not 0 < delays[0] <= delays[-1] <= DAY_SECONDS
        ):
            raise ValueError("must be three rising numbers above 0, up to a day")
        return value

    @property
    def webhook_secrets(self) -> tuple[bytes, ...]:
        """Return the secrets that sign, the newest first."""
        return tuple(part.strip().encode() for part in self.webhook_secret.get_secret_value().split(","))

    @property
    def webhook_delays_ms(self) -> tuple[int, ...]:
        """Return how long an event waits in each retry topic."""
        return tuple(int(float(part) * 1_000) for part in self.webhook_retry_delays.split(","))

    @property
    def own_url(self) -> str:
        """Return the URL under which other workers reach this one."""
        return (self.advertised_url or self.url_at(self.web_port)).rstrip("/")

    def url_at(self, port: int) -> str:
        """Return the URL of the address that the web server binds, at that port."""
        name = self.web_host or "0.0.0.0"  # noqa: S104 - what an empty host binds
        host = f"[{name}]" if ":" in name else name
        scheme = "http" if self.web_cert is None else "https"
        return f"{scheme}://{host}:{port}"

    @property
    def scope(self) -> str:
        """Return what every group and transactional id begins with."""
        return f"{self.topic_prefix}{self.app_id}"


def shown_settings(settings: Settings) -> dict[str, str]:
    """Return every variable with its value in force, as it may be shown.

    Secrets are masked; of the webhooks' URL, whose path or query may be one, the origin is left.
    """
    values = {name: getattr(settings, name) for name in type(settings).model_fields}
    values["webhook_url"] = origin(settings.webhook_url)
    return {PREFIX + name.upper(): _shown(value) for name, value in values.items()}


def changed_settings(settings: Settings) -> dict[str, str]:
    """Return the variables whose value is not the default, secrets masked."""
    fields = type(settings).model_fields
    changed = {PREFIX + name.upper() for name in fields if getattr(settings, name) != fields[name].default}
    return {name: value for name, value in shown_settings(settings).items() if name in changed}


def _shown(value: object) -> str:
    if isinstance(value, SecretStr):
        return HIDDEN if value.get_secret_value() else ""
    if isinstance(value, bool):
        return str(int(value))
    return "" if value is None else str(value)


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of the environment; ConfigurationError lists every problem at once."""
    environment = os.environ if environment is None else environment
    problems = _unknown_names(environment)
    try:
        settings = Settings(**_values(environment))
    except ValidationError as error:
        problems += map(_problem, error.errors())
        raise ConfigurationError("; ".join(problems)) from None  # its text repeats every value
    if settings.web_host not in LOOPBACK and not settings.insecure and not settings.auth_required:
        problems.append(
            f"REBATE_WEB_HOST {settings.web_host} is reachable from outside without authentication: "
            "set REBATE_KEYS or REBATE_JWT_JWKS, bind a loopback address, or set REBATE_INSECURE=1"
        )
    if settings.transaction_timeout >= settings.session_timeout:
        problems.append(
            "REBATE_TRANSACTION_TIMEOUT must be below REBATE_SESSION_TIMEOUT: nothing that a dead worker "
            "left open may outlive its membership"
        )
    problems += _webhook_problems(settings) + _payout_problems(settings) + security_problems(settings)
    if problems:
        raise ConfigurationError("; ".join(problems))
    return settings


def _webhook_problems(settings: Settings) -> list[str]:
    if not settings.webhook_url:
        return []
    secrets = settings.webhook_secrets
    if not all(secrets):
        return ["REBATE_WEBHOOK_URL needs a REBATE_WEBHOOK_SECRET that signs what is sent (none is empty)"]
    if len(secrets) > SECRETS_MAX:
        return ["REBATE_WEBHOOK_SECRET may hold two secrets, the new one first: the older ones are no use"]
    return []


def _payout_problems(settings: Settings) -> list[str]:
    if settings.channels is None:
        return []
    needed = {"PAYEE_KEYS": settings.payee_keys, "PAYEE_ID_KEY": settings.payee_id_key}
    return [
        f"REBATE_CHANNELS needs {PREFIX}{name}: payees are kept encrypted"
        for name, secret in needed.items()
        if not secret.get_secret_value().strip()
    ]


def _problem(item: ErrorDetails) -> str:
    """Return one fault as a sentence; a value that may be a secret is not part of it."""
    name = str(item["loc"][0])
    if name in UNQUOTED:
        return f"{PREFIX}{name.upper()} {item['msg'].removeprefix('Value error, ')}"
    return f"{PREFIX}{name.upper()}: {item['msg']}, got {item['input']!r}"


def _values(environment: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name in Settings.model_fields:
        variable = PREFIX + name.upper()
        if variable in environment:
            values[name] = environment[variable]
        elif f"{variable}_FILE" in environment:
            values[name] = _content(f"{variable}_FILE", Path(environment[f"{variable}_FILE"]))
    if "url" not in values:
        values |= _url_here(values)
    return values


def _url_here(values: Mapping[str, Any]) -> dict[str, str]:
    """Return `url` of a worker with these settings on this machine, nothing where they are the defaults."""
    host, port = values.get("web_host", LOOPBACK[0]), values.get("web_port", DEFAULT_WEB_PORT)
    if not str(port).isdigit() or (host, str(port)) == (LOOPBACK[0], str(DEFAULT_WEB_PORT)):
        return {}
    host = EVERY_ADDRESS.get(host, host)
    return {"url": f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"}


def _content(variable: str, path: Path) -> str:
    """Return what a `…_FILE` holds; ConfigurationError if it cannot be read as text."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigurationError(f"{variable} {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ConfigurationError(f"{variable} {path} is not UTF-8 text") from None


def _unknown_names(environment: Mapping[str, str]) -> list[str]:
    known = [PREFIX + name.upper() for name in Settings.model_fields]
    problems = []
    for name in sorted(environment):
        if not name.startswith(PREFIX) or name.startswith(FOREIGN_PREFIXES):
            continue
        if name in known or name.removesuffix("_FILE") in known:
            continue
        close = difflib.get_close_matches(name, known, n=1)
        problems.append(f"unknown setting {name}" + (f", did you mean {close[0]}?" if close else ""))
    return problems
