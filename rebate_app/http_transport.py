"""TLS of the workers' web server, and TLS and credentials of requests to it (docs/spec/api-security.md)."""

from __future__ import annotations

import ssl
from pathlib import Path

from rebate_app.settings import ConfigurationError, Settings


def server_tls(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """Return the context of a server with that certificate chain (PEM), None without one.

    ConfigurationError if the files cannot be used.
    """
    if certificate is None or key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"REBATE_WEB_CERT and REBATE_WEB_KEY cannot be used: {_reason(error)}"
        ) from error
    return context


def client_tls(authority: Path | None) -> ssl.SSLContext | None:
    """Return the context that trusts that authority (PEM) alone, None to trust the system's.

    ConfigurationError if the file cannot be used.
    """
    if authority is None:
        return None
    try:
        return ssl.create_default_context(cafile=authority)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"REBATE_WEB_CA cannot be used: {_reason(error)}") from error


def client_ssl(settings: Settings) -> ssl.SSLContext | bool:
    """Return what aiohttp's connector takes: the context for REBATE_WEB_CA, else True, the system's."""
    return client_tls(settings.web_ca) or True


def bearer_headers(settings: Settings) -> dict[str, str]:
    """Return the header that authenticates a command by REBATE_TOKEN; {} without it."""
    token = settings.token.get_secret_value().strip()
    return {"Authorization": f"Bearer {token}"} if token else {}


def _no_password() -> str:
    raise ValueError("the key has a password; store it without one, readable by the worker alone")


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
