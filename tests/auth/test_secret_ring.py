"""Rings of secrets, client addresses behind proxies, and what a signature is remembered for."""

from __future__ import annotations

from itertools import pairwise

import pytest

from rebate_app.auth.peer_signature import InvalidSignatureError, PeerRequest, SignatureVerifier, sign
from rebate_app.secret_ring import parse_secret_ring
from rebate_app.web.auth.addresses import client_address, parse_networks
from rebate_app.web.auth.rates import RateLimiter, WrongCredentials
from rebate_app.web.problems import ProblemError

OLD, NEW = "old:" + "o" * 32, "new:" + "n" * 32
REQUEST = PeerRequest("http://a", "GET", "/v1/me", b"", "", "http://b")
SECOND_US = 1_000_000


class TestRing:
    """A secret can be changed while workers run."""

    @pytest.mark.parametrize("text", ["", "x" * 40, "a:short", f"{OLD},{OLD}", "a b:" + "x" * 32, f"{OLD},"])
    def test_what_is_no_ring(self, text: str) -> None:
        """The message holds no secret."""
        with pytest.raises(ValueError, match=r"secret|occurs twice") as refused:
            parse_secret_ring(text)
        assert "ooo" not in str(refused.value)

    def test_the_first_signs_and_all_verify(self) -> None:
        """Add at the end everywhere, move to the front everywhere, take the old one away everywhere."""
        steps = [OLD, f"{OLD},{NEW}", f"{NEW},{OLD}", NEW]
        for before, after in pairwise(steps):
            for signer, verifier in ((before, after), (after, before)):
                signature = sign(parse_secret_ring(signer), REQUEST, SECOND_US)
                SignatureVerifier(parse_secret_ring(verifier)).verify(REQUEST, signature, SECOND_US)
        skipped = sign(parse_secret_ring(OLD), REQUEST, SECOND_US)
        with pytest.raises(InvalidSignatureError, match="unknown secret"):
            SignatureVerifier(parse_secret_ring(NEW)).verify(REQUEST, skipped, SECOND_US)

    def test_a_signature_is_remembered_as_long_as_it_is_good(self) -> None:
        """Also over the turn of the memory, and no longer than two turns."""
        ring = parse_secret_ring(OLD)
        verifier = SignatureVerifier(ring)
        start = 10_000 * SECOND_US
        for second in range(0, 200, 7):
            at = start + second * SECOND_US
            signature = sign(ring, REQUEST, at)
            verifier.verify(REQUEST, signature, at)
            for later in (0, 29):
                with pytest.raises(InvalidSignatureError, match="used before"):
                    verifier.verify(REQUEST, signature, at + later * SECOND_US)
        assert len(verifier._nonces) + len(verifier._nonces_before) < 30


class TestAddresses:
    """Whose address counts."""

    @pytest.mark.parametrize(
        ("peer", "hops", "expected"),
        [
            ("9.9.9.9", ["1.1.1.1"], "9.9.9.9"),  # no proxy of ours: the header is the client's own
            ("10.0.0.1", [], "10.0.0.1"),
            ("10.0.0.1", ["1.1.1.1"], "1.1.1.1"),
            ("10.0.0.1", ["6.6.6.6, 1.1.1.1"], "1.1.1.1"),  # the first one is forged
            ("10.0.0.1", ["6.6.6.6, 1.1.1.1", "10.0.0.2"], "1.1.1.1"),  # two proxies, two fields
            ("10.0.0.1", ["1.1.1.1, unknown"], "10.0.0.1"),
            ("::ffff:10.0.0.1", ["1.1.1.1"], "1.1.1.1"),
            ("10.0.0.1", ["10.0.0.2"], "10.0.0.2"),
        ],
    )
    def test_the_last_that_no_proxy_added(self, peer: str, hops: list[str], expected: str) -> None:
        """Only trusted proxies are believed."""
        assert client_address(peer, hops, parse_networks("10.0.0.0/8")) == expected

    def test_nobody_is_trusted_unasked(self) -> None:
        """Without proxies the connection decides."""
        assert client_address("10.0.0.1", ["1.1.1.1"], parse_networks("")) == "10.0.0.1"


class Now:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = 1_000.0

    def __call__(self) -> float:
        """Return the moment in seconds."""
        return self.at


class TestRates:
    """Buckets in time."""

    def test_a_burst_and_then_the_rate(self) -> None:
        """Twice the rate at once, then one for each part of a second."""
        now = Now()
        limiter = RateLimiter(now)
        taken = 0
        for _ in range(1_000):
            for _ in range(10):
                try:
                    limiter.take("a", 10)
                except ProblemError:
                    continue
                taken += 1
            now.at += 0.01
        assert 119 <= taken <= 121  # 20 at once, and 10 a second for 10 s

    def test_wrong_credentials_expire(self) -> None:
        """A minute after the first one, the next is let through again."""
        now = Now()
        wrong = WrongCredentials(now)
        for _ in range(20):
            wrong.count("1.1.1.1")
            now.at += 1
        with pytest.raises(ProblemError) as refused:
            wrong.count("1.1.1.1")
        assert refused.value.headers["Retry-After"] == "40"
        wrong.count("2.2.2.2")
        now.at += 40
        wrong.count("1.1.1.1")
