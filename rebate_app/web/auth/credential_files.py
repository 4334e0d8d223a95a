"""The files with API keys and with the keys of user tokens, followed while the worker runs (ADR 18)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rebate_app.auth.api_keys import KeyRing, parse_keys
from rebate_app.auth.peer_signature import SignatureVerifier
from rebate_app.auth.user_tokens import TokenKey, UserTokenVerifier, parse_key_set
from rebate_app.metrics.registry import Sample
from rebate_app.settings import Settings
from rebate_app.watched_file import WatchedFile

from .addresses import parse_networks
from .authenticator import Credentials

API_KEYS, TOKEN_KEYS = "api-keys", "jwks"


class CredentialFiles:
    """The watched files of one worker; ConfigurationError if one cannot be used at the start."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._keys: WatchedFile[KeyRing] | None = None
        self._token_keys: WatchedFile[Mapping[str | None, TokenKey]] | None = None
        if settings.keys is not None:
            self._keys = WatchedFile(API_KEYS, settings.keys, parse_keys)
            self._keys.load()
        if settings.jwt_jwks is not None:
            self._token_keys = WatchedFile(TOKEN_KEYS, settings.jwt_jwks, parse_key_set)
            self._token_keys.load()

    @property
    def files(self) -> list[WatchedFile[KeyRing] | WatchedFile[Mapping[str | None, TokenKey]]]:
        """Return the files to follow."""
        return [file for file in (self._keys, self._token_keys) if file is not None]

    def credentials(self) -> Credentials:
        """Return what the worker believes, by the files' present content."""
        settings, ring = self._settings, self._settings.cluster_ring
        tokens = None
        if self._token_keys is not None:
            tokens = UserTokenVerifier(settings.jwt_issuer, settings.jwt_audience, settings.jwt_user_claim)
        return Credentials(
            required=settings.auth_required,
            keys=self._key_ring,
            token_keys=self._token_key_set,
            tokens=tokens,
            signatures=None if ring is None else SignatureVerifier(ring),
            session_secrets=ring,
            user_per_second=settings.user_per_second,
            trusted_proxies=parse_networks(settings.trusted_proxies),
        )

    def _key_ring(self) -> KeyRing:
        return KeyRing() if self._keys is None else self._keys.value

    def _token_key_set(self) -> Mapping[str | None, TokenKey]:
        return {} if self._token_keys is None else self._token_keys.value

    def gauges(self) -> Iterator[Sample]:
        """Yield whether each file as it is now is in force."""
        for file in self.files:
            yield from file.gauges()
