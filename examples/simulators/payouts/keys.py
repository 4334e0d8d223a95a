"""Keys and certificates for the simulators and their clients, made anew in a folder."""

from __future__ import annotations

import datetime as dt
import secrets
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

VALID = dt.timedelta(days=3_650)


def new_key() -> rsa.RSAPrivateKey:
    """Return a new RSA key."""
    return rsa.generate_private_key(public_exponent=65_537, key_size=2_048)


def new_certificate(
    name: str,
    key: rsa.RSAPrivateKey,
    issuer: tuple[x509.Certificate, rsa.RSAPrivateKey] | None = None,
) -> x509.Certificate:
    """Return a certificate of a key, signed by itself or by an issuer."""
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "CN"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Simulated"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    now = dt.datetime.now(dt.UTC)
    certificate, signing_key = (None, key) if issuer is None else issuer
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if certificate is None else certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + VALID)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .sign(signing_key, hashes.SHA256())
    )


def write_key(path: Path, key: rsa.RSAPrivateKey) -> None:
    """Write a private key as PEM, readable by its owner alone."""
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


def write_certificate(path: Path, *certificates: x509.Certificate) -> None:
    """Write certificates as PEM, one after the other."""
    path.write_bytes(b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates))


def load_key(path: Path) -> rsa.RSAPrivateKey:
    """Return a key that `make_keys` wrote."""
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError(f"{path} holds no RSA key")
    return key


def load_certificate(path: Path) -> x509.Certificate:
    """Return the first certificate of a file."""
    return x509.load_pem_x509_certificate(path.read_bytes())


def make_keys(folder: Path) -> None:
    """Write what all kinds need, unless it is there."""
    if (folder / "http.secret").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    root_key, service_key, merchant_key = new_key(), new_key(), new_key()
    root = new_certificate("Root", root_key)
    write_certificate(folder / "root.crt", root)
    write_certificate(folder / "service.crt", new_certificate("Service", service_key, (root, root_key)), root)
    write_certificate(folder / "merchant.crt", new_certificate("Merchant", merchant_key, (root, root_key)))
    write_key(folder / "service.key", service_key)
    write_key(folder / "merchant.key", merchant_key)
    (folder / "api_v3.key").write_text(secrets.token_hex(16))
    (folder / "http.secret").write_text(secrets.token_hex(32))
