"""Encryption and ids of payees (docs/payouts.md#payees).

AES-256-GCM with a ring of keys, `id:base64` with commas between: the first encrypts, all decrypt. The key of
a record is authenticated too, so that a value cannot be moved to another user. An id is an HMAC, so the same
payee gets the same id whatever key encrypts, and nobody without the secret can guess an account from its id.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct
from msgspec.json import Decoder, Encoder

from rebate_app.wire.unreadable import UnreadableValueError, decode_with

from ..ports import Payee

SCHEMA: Final = "payee/1"
KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
ID_DIGITS: Final = 16
ID_KEY_CHARACTERS_MIN: Final = 32

_match_id = re.compile(r"[A-Za-z0-9_-]{1,32}", re.ASCII).fullmatch


class Sealed(Struct, frozen=True):
    """The value of a record: which key of the ring, and nonce and ciphertext in base64."""

    schema: str
    key: str
    nonce: str
    sealed: str


_encode_payee = Encoder().encode
_decode_payee = Decoder(Payee).decode
_encode_sealed = Encoder().encode
_decode_sealed = Decoder(Sealed).decode


class PayeeKeys(Struct, frozen=True):
    """Keys by id; `first` is the id of the one that encrypts."""

    first: str
    keys: Mapping[str, bytes]


def parse_payee_keys(text: str) -> PayeeKeys:
    """Return the ring; ValueError without a key in it."""
    keys: dict[str, bytes] = {}
    for number, part in enumerate(text.split(","), start=1):
        name, colon, value = part.strip().partition(":")
        if not colon or not _match_id(name):
            raise ValueError(f"key {number} has to be written as id:base64, the id 1-32 of A-Za-z0-9_-")
        try:
            key = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            raise ValueError(f"key {number} is not base64") from None
        if len(key) != KEY_BYTES:
            raise ValueError(f"key {number} has to be {KEY_BYTES} bytes in base64")
        if name in keys:
            raise ValueError(f"the id {name} occurs twice")
        keys[name] = key
    return PayeeKeys(next(iter(keys)), keys)


class PayeeCipher:
    """Seals and opens payees; `id_key`: the secret of their ids."""

    def __init__(self, keys: PayeeKeys, id_key: bytes) -> None:
        self._first = keys.first
        self._ciphers = {name: AESGCM(key) for name, key in keys.keys.items()}
        self._id_key = id_key

    def payee_id(self, user_id: str, payee: Payee) -> str:
        """Return the id of a user's payee."""
        text = f"{user_id}\n{payee.channel}\n{payee.account}\n{payee.name}"
        return hmac.new(self._id_key, text.encode(), hashlib.sha256).hexdigest()[:ID_DIGITS]

    def seal(self, place: bytes, payee: Payee) -> bytes:
        """Return the value of a record under the key `place`."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = self._ciphers[self._first].encrypt(nonce, _encode_payee(payee), place)
        texts = (base64.b64encode(each).decode() for each in (nonce, sealed))
        return _encode_sealed(Sealed(SCHEMA, self._first, *texts))

    def open(self, place: bytes, value: bytes) -> Payee:
        """Return the payee; UnreadableValueError if it is damaged, or its key is not in the ring."""
        sealed = decode_with(_decode_sealed, value)
        cipher = self._ciphers.get(sealed.key)
        if sealed.schema != SCHEMA:
            raise UnreadableValueError("it is no payee")
        if cipher is None:
            raise UnreadableValueError("its key is not in REBATE_PAYEE_KEYS")
        try:
            nonce, content = base64.b64decode(sealed.nonce), base64.b64decode(sealed.sealed)
            return decode_with(_decode_payee, cipher.decrypt(nonce, content, place))
        except (InvalidTag, ValueError) as error:
            raise UnreadableValueError("it cannot be decrypted") from error

    def is_newest(self, value: bytes) -> bool:
        """Whether the first key has sealed it."""
        return decode_with(_decode_sealed, value).key == self._first
