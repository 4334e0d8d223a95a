"""How every client of ours reaches the broker, and what it means when it does not.

Law: bootstrap servers, TLS and SASL come from the settings through `client_options` alone, so that the
worker, the producer of the web server and the commands can never differ in them.
"""

from __future__ import annotations

import ssl
from typing import Any

from rebate_app.settings import ConfigurationError, Settings


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


def _tls_context(settings: Settings) -> ssl.SSLContext:
    """Return a context that trusts the given certificates only, and checks host names."""
    try:
        return ssl.create_default_context(cafile=settings.tls_ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"REBATE_TLS_CA_FILE {settings.tls_ca_file}: {error}") from error
