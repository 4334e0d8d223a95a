"""Finds out who sends a request: by its bearer token, or by the signature of the worker that passes it on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from msgspec import Struct

from rebate_app.auth.api_keys import ApiKey, ExpiredTokenError, InvalidTokenError, KeyRing, is_api_key
from rebate_app.auth.peer_signature import InvalidSignatureError, PeerRequest, SignatureVerifier
from rebate_app.auth.sessions import sign_session, verify_session
from rebate_app.auth.user_tokens import TokenKey, UserTokenVerifier
from rebate_app.metrics.catalogue import AUTH_REFUSED
from rebate_app.metrics.registry import MetricsRegistry
from rebate_app.secret_ring import SecretRing

from ..problems import ProblemError
from .access import ANYBODY, KEY, USER, Caller, decode_caller
from .addresses import Network
from .rates import RateLimiter, WrongCredentials
from .session_cookie import check_same_origin, session_of

FORWARDED_HEADER: Final = "Rebate-Forwarded"
CALLER_HEADER: Final = "Rebate-Caller"
SIGNATURE_HEADER: Final = "Rebate-Signature"
#: `reason` of what is refused, for the metric.
REFUSALS: Final = (
    "unauthenticated",
    "invalid-token",
    "expired-token",
    "forbidden",
    "too-many-requests",
    "signature",
)

BEARER: Final = "bearer"


class Credentials(Struct, frozen=True):
    """What is believed, and how much; files are read by whoever passes the callables.

    `required`: REBATE_AUTH is on. `signatures`: None while workers do not sign. `session_secrets`: which sign
    the page's sessions, None for no sessions.
    """

    required: bool = False
    keys: Callable[[], KeyRing] = KeyRing
    token_keys: Callable[[], Mapping[str | None, TokenKey]] = dict
    tokens: UserTokenVerifier | None = None
    signatures: SignatureVerifier | None = None
    session_secrets: SecretRing | None = None
    user_per_second: float = 20.0
    trusted_proxies: tuple[Network, ...] = ()


class Incoming(Struct, frozen=True):
    """The parts of a request that say who sends it."""

    method: str
    target: str
    headers: Mapping[str, str]
    address: str
    read_body: Callable[[], Awaitable[bytes]]


class Authenticator:
    """Authenticates the requests of one worker. `clock` returns µs since 1970."""

    def __init__(
        self, credentials: Credentials, own_url: str, clock: Callable[[], int], metrics: MetricsRegistry
    ) -> None:
        self._credentials = credentials
        self._own_url = own_url
        self._clock = clock
        self._metrics = metrics
        self._rates = RateLimiter()
        self._wrong = WrongCredentials()

    async def forwarded_caller(self, incoming: Incoming) -> Caller | None:
        """Return for whom another worker of ours sends this, None if no worker of ours sends it.

        A worker's own request is for ANYBODY. Where workers do not sign, the header alone marks it.
        """
        headers = incoming.headers
        sender = headers.get(FORWARDED_HEADER)
        if sender is None:
            return None
        verifier = self._credentials.signatures
        if verifier is None:
            return None if self._credentials.required else ANYBODY
        caller = headers.get(CALLER_HEADER, "")
        body = b"" if incoming.method in ("GET", "HEAD") else await incoming.read_body()
        request = PeerRequest(self._own_url, incoming.method, incoming.target, body, caller, sender)
        try:
            verifier.verify(request, headers.get(SIGNATURE_HEADER, ""), self._clock())
            return decode_caller(caller) if caller else ANYBODY
        except (InvalidSignatureError, ValueError):
            self._metrics.add(AUTH_REFUSED, ("signature",))
            return None

    def caller(self, incoming: Incoming) -> Caller:
        """Return who sends a request; ProblemError 401, or 429 for one beyond its rate."""
        if not self._credentials.required:
            return ANYBODY
        try:
            return self._caller(incoming)
        except ProblemError as problem:
            self.count_refusal(problem)
            raise

    def count_refusal(self, problem: ProblemError) -> None:
        """Count a request that was refused for who sends it."""
        if problem.code in REFUSALS:
            self._metrics.add(AUTH_REFUSED, (problem.code,))

    @property
    def required(self) -> bool:
        """Whether a request needs credentials."""
        return self._credentials.required

    def session(self, token: str, address: str) -> tuple[Caller, str]:
        """Return (caller, session) of an API key; ProblemError 401, or 429 for wrong keys of the address.

        Whether authentication is on or off: a session is of no use while it is off.
        """
        now, secrets = self._clock(), self._credentials.session_secrets
        if secrets is None:
            raise unauthorized("unauthenticated", "there are no sessions here without REBATE_CLUSTER_SECRET")
        try:
            key = self._credentials.keys().verify(token, now)
        except InvalidTokenError as error:
            problem = self._wrong_credentials(error, address)
            self.count_refusal(problem)
            raise problem from None
        return _key_caller(key), sign_session(secrets, key, now)

    def session_caller(self, headers: Mapping[str, str]) -> Caller | None:
        """Return whose session a request carries, None without a valid one; it is not counted."""
        try:
            key = self._session_key(headers)
        except InvalidTokenError:
            return None
        return None if key is None else _key_caller(key)

    def _session_key(self, headers: Mapping[str, str]) -> ApiKey | None:
        """Return the key of the request's session, None without one; InvalidTokenError."""
        text, secrets = session_of(headers), self._credentials.session_secrets
        if text is None or secrets is None:
            return None
        return verify_session(secrets, self._credentials.keys(), text, self._clock())

    def _caller(self, incoming: Incoming) -> Caller:
        try:
            caller, per_second = self._identified(incoming)
        except InvalidTokenError as error:
            raise self._wrong_credentials(error, incoming.address) from None
        if per_second is not None:
            self._rates.take(caller.actor, per_second)
        return caller

    def _identified(self, incoming: Incoming) -> tuple[Caller, float | None]:
        """Return the caller and his rate, by bearer token, else by session; InvalidTokenError."""
        if "Authorization" not in incoming.headers:
            key = self._session_key(incoming.headers)
            if key is not None:
                check_same_origin(incoming.method, incoming.headers)
                return _key_caller(key), key.per_second
        kind, _, token = incoming.headers.get("Authorization", "").partition(" ")
        token = token.strip()
        if kind.lower() != BEARER or not token:
            raise unauthorized("unauthenticated", "send Authorization: Bearer and an API key or user token")
        return self._verified(token)

    def _wrong_credentials(self, error: InvalidTokenError, address: str) -> ProblemError:
        """Count wrong credentials of an address and return the 401; ProblemError 429 beyond their limit."""
        self._wrong.count(address)
        code = "expired-token" if isinstance(error, ExpiredTokenError) else "invalid-token"
        return unauthorized(code, str(error))

    def _verified(self, token: str) -> tuple[Caller, float | None]:
        """Return the caller of a token and his rate; InvalidTokenError."""
        credentials = self._credentials
        if is_api_key(token) or credentials.tokens is None:
            key = credentials.keys().verify(token, self._clock())
            return _key_caller(key), key.per_second
        user_id = credentials.tokens.verify(credentials.token_keys(), token)
        return Caller(USER, user_id), credentials.user_per_second


def _key_caller(key: ApiKey) -> Caller:
    return Caller(KEY, key.id, key.scopes, key.name)


def unauthorized(code: str, detail: str) -> ProblemError:
    """Return the 401."""
    return ProblemError(code, detail, headers={"WWW-Authenticate": "Bearer"})
