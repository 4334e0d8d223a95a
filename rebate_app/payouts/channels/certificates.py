"""Keys and certificates of payment services: reading them, and RSA signatures.

What cannot be used raises ValueError with a sentence that repeats nothing of a key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

#: Object identifiers of PKCS #1 signature algorithms: the roots that count for `alipay_root_cert_sn`.
RSA_SIGNATURES = "1.2.840.113549.1.1."
KEY_BITS_MIN = 2_048


def read_private_key(content: bytes) -> RSAPrivateKey:
    """Return an RSA private key, PEM or the bare base64 in which services hand keys out."""
    try:
        if b"-----BEGIN" in content:
            key = serialization.load_pem_private_key(content, password=None)
        else:
            key = serialization.load_der_private_key(base64.b64decode(content, validate=False), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm, binascii.Error):
        raise ValueError("holds no private key without a password") from None
    if not isinstance(key, RSAPrivateKey) or key.key_size < KEY_BITS_MIN:
        raise ValueError(f"holds no RSA key of at least {KEY_BITS_MIN} bits")
    return key


def read_certificates(content: bytes) -> Sequence[x509.Certificate]:
    """Return all certificates of a PEM file, at least one."""
    try:
        return x509.load_pem_x509_certificates(content)
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("holds no certificate (PEM)") from None


def read_rsa_roots(content: bytes) -> Sequence[x509.Certificate]:
    """Return the certificates of a bundle that are signed with RSA; others (SM2) are passed over."""
    roots = []
    for part in content.split(b"-----END CERTIFICATE-----")[:-1]:
        try:
            certificate = x509.load_pem_x509_certificate(part + b"-----END CERTIFICATE-----\n")
        except (ValueError, UnsupportedAlgorithm):
            continue
        if certificate.signature_algorithm_oid.dotted_string.startswith(RSA_SIGNATURES):
            roots.append(certificate)
    if not roots:
        raise ValueError("holds no root certificate that is signed with RSA")
    return roots


def rsa_public_key(certificate: x509.Certificate) -> RSAPublicKey:
    """Return the RSA key of a certificate."""
    key = certificate.public_key()
    if not isinstance(key, RSAPublicKey):
        raise ValueError("holds a certificate without an RSA key")  # noqa: TRY004 - a fault of a file
    return key


def read_public_key(content: bytes) -> RSAPublicKey:
    """Return the RSA key of a PEM public key or certificate."""
    if b"-----BEGIN CERTIFICATE-----" in content:
        return rsa_public_key(read_certificates(content)[0])
    try:
        key = serialization.load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("holds no public key or certificate (PEM)") from None
    if not isinstance(key, RSAPublicKey):
        raise ValueError("holds no RSA key")  # noqa: TRY004 - a fault of a file
    return key


def require_chain(chain: Sequence[x509.Certificate], roots: Sequence[x509.Certificate]) -> None:
    """Check that the first certificate is issued, over the others of its file, by one of the roots."""
    certificate, others = chain[0], [*chain[1:], *roots]
    for _ in range(len(others) + 1):
        issuer = next((each for each in others if _is_issued_by(certificate, each)), None)
        if issuer is None:
            break
        if issuer in roots:
            return
        others.remove(issuer)
        certificate = issuer
    raise ValueError("holds a certificate that no root certificate of alipay_root_cert_file leads to")


def _is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def serial_md5(certificate: x509.Certificate) -> str:
    """Return the serial number as Alipay counts: MD5 over issuer and decimal serial number."""
    text = certificate.issuer.rfc4514_string() + str(certificate.serial_number)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def sign_sha256(key: RSAPrivateKey, content: bytes) -> str:
    """Return the signature, RSASSA-PKCS1-v1_5 with SHA-256, in base64."""
    return base64.b64encode(key.sign(content, padding.PKCS1v15(), hashes.SHA256())).decode()


def is_signed_sha256(key: RSAPublicKey, signature: str, content: bytes) -> bool:
    """Whether the base64 signature is that key's over the content."""
    try:
        key.verify(base64.b64decode(signature, validate=True), content, padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True
