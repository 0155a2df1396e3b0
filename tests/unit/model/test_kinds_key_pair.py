"""Certificates and keys that do not belong together, as the writer of a Secret is told."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from tests.checked import admitted, kind_of

from steersman.model.types.key_pair import pair_problem


@cache
def key(kind: str) -> Any:
    if kind == "rsa":
        return rsa.generate_private_key(65537, 2048)
    if kind == "dsa":
        return dsa.generate_private_key(1024)
    if kind == "x25519":
        return x25519.X25519PrivateKey.generate()
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(ec.SECP256R1())


def private(kind: str, form: PrivateFormat = PrivateFormat.PKCS8) -> str:
    text: bytes = key(kind).private_bytes(Encoding.PEM, form, NoEncryption())
    return text.decode()


def certificate(kind: str) -> str:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a")])
    start = datetime(2024, 1, 1, tzinfo=UTC)
    digest = None if kind == "ed25519" else hashes.SHA256()
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key(kind).public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=1))
        .sign(key(kind), digest)
    )
    return made.public_bytes(Encoding.PEM).decode()


def block(type: str) -> str:
    return f"-----BEGIN {type}-----\nYQ==\n-----END {type}-----\n"


PUBLIC = "PUBLIC KEY"


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        ("ec", PrivateFormat.PKCS8),
        ("ec", PrivateFormat.TraditionalOpenSSL),
        ("rsa", PrivateFormat.TraditionalOpenSSL),
        ("ed25519", PrivateFormat.PKCS8),
    ],
)
def test_a_certificate_and_its_key_are_a_pair(kind: str, form: PrivateFormat) -> None:
    assert pair_problem(block(PUBLIC) + certificate(kind), private(kind, form)) == ""


@pytest.mark.parametrize(
    ("first", "second", "problem"),
    [
        ("", "", "tls: failed to find any PEM data in certificate input"),
        (block("RSA PRIVATE KEY"), "",
         "tls: failed to find certificate PEM data in certificate input, but did find a private "
         "key; PEM inputs may have been switched"),
        (block(PUBLIC) + block("X"), "",
         'tls: failed to find "CERTIFICATE" PEM block in certificate input after skipping PEM '
         "blocks of the following types: [PUBLIC KEY X]"),
        (block("CERTIFICATE"), "", "tls: failed to find any PEM data in key input"),
        (block("CERTIFICATE"), block("CERTIFICATE"),
         "tls: found a certificate rather than a key in the PEM for the private key"),
        (block("CERTIFICATE"), block(PUBLIC),
         'tls: failed to find PEM block with type ending in "PRIVATE KEY" in key input after '
         "skipping PEM blocks of the following types: [PUBLIC KEY]"),
        (block("CERTIFICATE"), block("PRIVATE KEY"), "x509: malformed certificate"),
        ("ec", block("EC PRIVATE KEY"), "tls: failed to parse private key"),
        ("ec", "dsa", "tls: failed to parse private key"),
        ("ec", "x25519", "tls: found unknown private key type in PKCS#8 wrapping"),
        ("ec", "rsa", "tls: private key type does not match public key type"),
        ("dsa", "rsa", "tls: unknown public key algorithm"),
        ("ec", "other", "tls: private key does not match public key"),
    ],
)  # fmt: skip
def test_what_is_no_pair_is_told_in_the_words_of_gos_tls(
    first: str, second: str, problem: str
) -> None:
    one = first if "-" in first or not first else certificate(first)
    other = second if "-" in second or not second else private(second)
    assert pair_problem(one, other) == problem


def test_the_writer_of_a_secret_is_told() -> None:
    kind = kind_of("", "secrets")

    def told(type: str, *texts: str) -> list[str]:
        encoded = (base64.b64encode(text.encode()).decode() for text in texts)
        data = dict(zip(("tls.crt", "tls.key"), encoded, strict=True))
        new = admitted(kind, {"type": type, "data": data})
        return [*kind.warn(new, None, ""), *kind.warn(new, new, "")]

    none = "tls: failed to find any PEM data in certificate input"
    assert told("kubernetes.io/tls", "", "") == [none, none]
    assert told("Opaque", "", "") == []
    assert told("kubernetes.io/tls", certificate("ec"), private("ec")) == []
    public = key("ec").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (found, _) = told("kubernetes.io/tls", public.decode(), "")
    assert found.endswith("[PUBLIC KEY]")
