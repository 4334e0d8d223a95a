"""Key sets of user tokens: which keys are taken, and with which algorithm each is used."""

from __future__ import annotations

import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as new_ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as new_rsa
from jwt.algorithms import ECAlgorithm, HMACAlgorithm, OKPAlgorithm, RSAAlgorithm

from rebate_app.auth.api_keys import InvalidTokenError
from rebate_app.auth.user_tokens import UserTokenVerifier, parse_key_set

RSA, EC, OKP = new_rsa(65_537, 2_048), new_ec(SECP256R1()), Ed25519PrivateKey.generate()
SHARED = b"k" * 32
VERIFIER = UserTokenVerifier("iss", "aud")
JWKS: dict[str, dict[str, Any]] = {
    "RS256": RSAAlgorithm.to_jwk(RSA.public_key(), as_dict=True),
    "ES256": ECAlgorithm.to_jwk(EC.public_key(), as_dict=True),
    "EdDSA": OKPAlgorithm.to_jwk(OKP.public_key(), as_dict=True),
    "HS256": HMACAlgorithm.to_jwk(SHARED, as_dict=True),
}
SIGNERS: dict[str, Any] = {"RS256": RSA, "ES256": EC, "EdDSA": OKP, "HS256": SHARED}


def key_set(*keys: dict[str, Any]) -> bytes:
    """Return a JWKS."""
    return json.dumps({"keys": keys}).encode()


def token(algorithm: str, **header: Any) -> str:
    """Return a valid token by the key of that algorithm."""
    claims = {"sub": "u1", "iss": "iss", "aud": "aud", "exp": int(time.time()) + 60}
    return jwt.encode(claims, SIGNERS[algorithm], algorithm=algorithm, headers=header)


class TestAlgorithms:
    """The key decides."""

    @pytest.mark.parametrize("algorithm", JWKS)
    def test_each_kind_of_key(self, algorithm: str) -> None:
        """With its own algorithm, named or not; without a `kid` where there is one key only."""
        for named in ({}, {"alg": algorithm}, {"use": "sig", "kid": "a"}):
            keys = parse_key_set(key_set({**_bare(algorithm), **named}))
            assert VERIFIER.verify(keys, token(algorithm)) == "u1"

    @pytest.mark.parametrize("algorithm", JWKS)
    def test_no_other_algorithm(self, algorithm: str) -> None:
        """A token by another algorithm is none, whatever its header says."""
        keys = parse_key_set(key_set({**_bare(algorithm), "kid": "a"}))
        for other in set(JWKS) - {algorithm}:
            with pytest.raises(InvalidTokenError):
                VERIFIER.verify(keys, token(other, kid="a"))

    def test_several_keys_need_a_kid(self) -> None:
        """A token has to name one of them."""
        keys = parse_key_set(key_set({**_bare("RS256"), "kid": "r"}, {**_bare("ES256"), "kid": "e"}))
        assert VERIFIER.verify(keys, token("ES256", kid="e")) == "u1"
        for header in ({}, {"kid": "r"}, {"kid": "x"}):
            with pytest.raises(InvalidTokenError):
                VERIFIER.verify(keys, token("ES256", **header))

    def test_a_claim_of_ones_own(self) -> None:
        """`REBATE_JWT_USER_CLAIM` names the claim that is the user id; `sub` may then be anything."""
        claims = {"uid": "u7", "sub": 5, "iss": "iss", "aud": ["x", "aud"], "exp": int(time.time()) + 60}
        signed = jwt.encode(claims, EC, algorithm="ES256")
        keys = parse_key_set(key_set(_bare("ES256")))
        assert UserTokenVerifier("iss", "aud", "uid").verify(keys, signed) == "u7"


def _bare(algorithm: str) -> dict[str, Any]:
    return {
        name: value for name, value in JWKS[algorithm].items() if name not in ("alg", "key_ops", "use", "kid")
    }


class TestFile:
    """A set is taken whole or refused whole."""

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            (b"x", "not JSON"),
            (b"[]", "list of keys"),
            (b'{"keys":{}}', "list of keys"),
            (key_set({"kty": "DSA"}), "kty has to be"),
            (key_set({**_bare("RS256"), "alg": "HS256"}), "alg of a key of type RSA has to be RS256"),
            (key_set({**_bare("HS256"), "alg": "HS512"}), "alg of a key of type oct has to be HS256"),
            (key_set({"kty": "RSA", "n": "x"}), "cannot be used"),
            (key_set({"kty": "oct", "k": "c2hvcnQ"}), "at least 32 bytes"),
            (key_set(ECAlgorithm.to_jwk(new_ec(SECP384R1()).public_key(), as_dict=True)), "crv of a key"),
            (key_set(RSAAlgorithm.to_jwk(RSA, as_dict=True)), "private key"),
            (key_set(_bare("RS256"), _bare("ES256")), "occurs twice, or several keys have none"),
            (key_set({**_bare("RS256"), "kid": "a"}, _bare("ES256")), "each needs a kid"),
            (key_set({**_bare("RS256"), "kid": 7}), "kid has to be text"),
        ],
    )
    def test_a_mistake_refuses_the_set(self, content: bytes, problem: str) -> None:
        """By the place of the key in the set."""
        with pytest.raises(ValueError, match=problem):
            parse_key_set(content)

    def test_keys_for_encryption_are_left_alone(self) -> None:
        """An identity provider publishes them in the same set."""
        assert parse_key_set(key_set({"kty": "RSA", "use": "enc"})) == {}
