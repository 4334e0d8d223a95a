"""Settings of authentication and transport (docs/spec/api-security.md)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings

from rebate_app.secret_ring import SecretRing, parse_secret_ring

Auth = Literal["on", "off"]


class SecuritySettings(BaseSettings):
    """Who may ask, and over what. Durations in seconds."""

    auth: Auth | None = Field(
        None, description="whether requests need credentials; on when REBATE_KEYS or REBATE_JWT_JWKS is set"
    )
    keys: Path | None = Field(None, description="TOML file with API keys (docs/security.md)")
    jwt_jwks: Path | None = Field(None, description="file with the keys that sign user tokens, a JWKS")
    jwt_issuer: str = Field("", description="`iss` of user tokens; needed with REBATE_JWT_JWKS")
    jwt_audience: str = Field("", description="`aud` of user tokens; needed with REBATE_JWT_JWKS")
    jwt_user_claim: str = Field("sub", min_length=1, description="claim of user tokens that is the user id")
    user_per_second: float = Field(
        20.0, gt=0, le=1_000_000, description="requests a second of one user's tokens, per worker"
    )
    cluster_secret: SecretStr = Field(
        SecretStr(""),
        description="signs requests between workers: id:secret, a comma between several, the first signs; "
        "needed when authentication is on",
    )
    trusted_proxies: str = Field(
        "", description="addresses and networks of proxies, separated by commas, whose X-Forwarded-For counts"
    )
    audit_trail_days: int = Field(
        400, ge=1, le=36_500, description="how long the audit trail is kept (docs/security.md#audit-trail)"
    )
    token: SecretStr = Field(SecretStr(""), description="API key of commands")
    web_cert: Path | None = Field(None, description="certificate chain of the web server, PEM; turns TLS on")
    web_key: Path | None = Field(None, description="its private key, PEM")
    web_ca: Path | None = Field(
        None, description="authority that signs the workers' certificates, PEM; default: the system's"
    )
    cors_origins: str = Field(
        "", description="exact origins, separated by commas, whose pages may ask; empty: none"
    )

    @field_validator("cluster_secret")
    @classmethod
    def _cluster_secret(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value():
            parse_secret_ring(value.get_secret_value())
        return value

    @property
    def auth_required(self) -> bool:
        """Whether requests need credentials."""
        if self.auth is None:
            return self.keys is not None or self.jwt_jwks is not None
        return self.auth == "on"

    @property
    def cluster_ring(self) -> SecretRing | None:
        """Return the secrets that sign requests between workers, None without any."""
        text = self.cluster_secret.get_secret_value()
        return parse_secret_ring(text) if text else None

    @property
    def cors_allowed(self) -> frozenset[str]:
        """Return the origins whose pages may ask."""
        return frozenset(part.strip() for part in self.cors_origins.split(",") if part.strip())


def security_problems(settings: SecuritySettings) -> list[str]:
    """Return what does not fit together, a sentence each."""
    problems = []
    if settings.auth_required and settings.cluster_ring is None:
        problems.append("REBATE_AUTH=on needs a REBATE_CLUSTER_SECRET: workers sign what they ask each other")
    if settings.jwt_jwks is not None and not (settings.jwt_issuer and settings.jwt_audience):
        problems.append("REBATE_JWT_JWKS needs REBATE_JWT_ISSUER and REBATE_JWT_AUDIENCE")
    if (settings.web_cert is None) != (settings.web_key is None):
        problems.append("REBATE_WEB_CERT and REBATE_WEB_KEY belong together")
    return problems
