"""Connection options of every Kafka client, and why a connection fails.

Bootstrap servers, TLS and SASL come from the settings through `client_options` alone, so that worker, web
server and commands cannot differ in them.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    IllegalSaslStateError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)

from rebate_app.settings import ConfigurationError, Settings

from .aiokafka_clients import translated

PROBE_SECONDS_MAX = 3.0


class BrokerAwayError(Exception):
    """The broker did not answer, or did not take the records in time; nothing is known to be lost."""


def client_options(settings: Settings) -> dict[str, Any]:
    """Return the keyword arguments that any aiokafka client needs to connect.

    `tls_ca_file` turns TLS on, `sasl_mechanism` SASL. ConfigurationError if the CA file cannot be used
    or SASL has no user.
    """
    tls, sasl = settings.tls_ca_file is not None, bool(settings.sasl_mechanism)
    options: dict[str, Any] = {
        "bootstrap_servers": settings.broker,
        "security_protocol": ("SASL_" if sasl else "") + ("SSL" if tls else "PLAINTEXT"),
    }
    if tls:
        options["ssl_context"] = _tls_context(settings)
    if sasl:
        if not settings.sasl_username:
            raise ConfigurationError(f"REBATE_SASL_USERNAME is needed for {settings.sasl_mechanism}")
        options |= {
            "sasl_mechanism": settings.sasl_mechanism,
            "sasl_plain_username": settings.sasl_username,
            "sasl_plain_password": settings.sasl_password.get_secret_value(),
        }
    return options


async def why_unreachable(settings: Settings, error: BaseException) -> str:
    """Return in one sentence why no client could connect; `error` is the client's own.

    aiokafka only reports that no address works; the first one is tried once more to find the cause.
    """
    options = client_options(settings)
    host, port, _ = collect_hosts(options.pop("bootstrap_servers"))[0]
    try:
        with translated():
            async with asyncio.timeout(PROBE_SECONDS_MAX):
                connection = await create_conn(host, port, **options)
    except (KafkaError, OSError, TimeoutError) as found:
        return _sentence(settings, f"{host}:{port}", found)
    connection.close()
    return f"no Kafka broker answers at {settings.broker}: {error}"


def _sentence(settings: Settings, address: str, error: BaseException) -> str:
    if isinstance(error, SaslAuthenticationFailed | AuthenticationFailedError):
        return (
            f"the broker at {address} refuses user {settings.sasl_username!r} with "
            f"{settings.sasl_mechanism}: check REBATE_SASL_USERNAME and REBATE_SASL_PASSWORD"
        )
    if isinstance(error, UnsupportedSaslMechanismError | IllegalSaslStateError):
        return f"the broker at {address} does not take {settings.sasl_mechanism}: check REBATE_SASL_MECHANISM"
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the certificate of {address} is not to be trusted ({error.verify_message}): "
            "check REBATE_TLS_CA_FILE and the host names in REBATE_BROKER"
        )
    if isinstance(error, ssl.SSLError):
        return f"the broker at {address} does not speak TLS ({error.reason}): check REBATE_TLS_CA_FILE"
    if isinstance(error, KafkaError):
        return (
            f"the broker at {address} ended the connection ({error}): does it want TLS "
            "(REBATE_TLS_CA_FILE) or SASL (REBATE_SASL_MECHANISM)?"
        )
    cause = str(error) or type(error).__name__
    if isinstance(error, TimeoutError):
        cause = f"no answer within {PROBE_SECONDS_MAX:g} s"
    if settings.tls_ca_file is not None and not isinstance(error, ConnectionRefusedError):
        cause += "; does it speak TLS there (REBATE_TLS_CA_FILE)?"
    return f"no Kafka broker answers at {settings.broker}: {cause}"


def _tls_context(settings: Settings) -> ssl.SSLContext:
    """Return a context that trusts the given certificates only, and checks host names."""
    try:
        return ssl.create_default_context(cafile=settings.tls_ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"REBATE_TLS_CA_FILE {settings.tls_ca_file}: {error}") from error
