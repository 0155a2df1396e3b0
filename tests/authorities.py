"""Certificates for tests: made once in a run, of an authority or of somebody else."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding


@cache
def certificate(name: str, *, ca: bool | None = True, signs: bool = False) -> str:
    """Returns a certificate as PEM; `ca` None: it does not say whether it is an authority, at most
    (`signs`) that its key is used to sign certificates."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    start = datetime(2024, 1, 1, tzinfo=UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=1))
    )
    if ca is not None:
        constraints = x509.BasicConstraints(ca=ca, path_length=None)
        builder = builder.add_extension(constraints, critical=True)
    if signs:
        others = ("digital_signature", "content_commitment", "key_encipherment", "crl_sign")
        others += ("data_encipherment", "key_agreement", "encipher_only", "decipher_only")
        usage = x509.KeyUsage(key_cert_sign=True, **dict.fromkeys(others, False))
        builder = builder.add_extension(usage, critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


@cache
def request(
    name: str,
    *,
    algorithm: str = "ecdsa",
    broken: bool = False,
    groups: tuple[str, ...] = (),
    names: tuple[x509.GeneralName, ...] = (),
) -> str:
    """Returns a request for a certificate in base64, as the API takes it; `broken`: what it says
    is not what was signed; `names`: its alternative ones."""
    key = rsa.generate_private_key(65537, 2048) if algorithm == "rsa" else _KEYS[algorithm]()
    held = [x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, group) for group in groups]
    held += [x509.NameAttribute(x509.NameOID.COMMON_NAME, name)] if name else []
    digest = None if algorithm == "ed25519" else hashes.SHA256()
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(held))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    made = builder.sign(key, digest)
    content = made.public_bytes(Encoding.DER)
    if broken:
        content = content.replace(name.encode(), name.upper().encode())
    return base64.b64encode(pem("CERTIFICATE REQUEST", content).encode()).decode()


@cache
def stub_request() -> str:
    """Returns a request that says nothing but its key (DER in base64), as a pod's node makes it."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    made = builder.sign(_KEYS["ecdsa"](), hashes.SHA256())
    return base64.b64encode(made.public_bytes(Encoding.DER)).decode()


_KEYS: dict[str, Any] = {
    "ecdsa": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}


def pem(kind: str, content: bytes, headers: str = "") -> str:
    """Returns one block of PEM."""
    body = base64.b64encode(content).decode()
    return f"-----BEGIN {kind}-----\n{headers}{body}\n-----END {kind}-----\n"
