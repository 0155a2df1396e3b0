"""Whether a certificate and a private key belong together, in the words of Go's crypto/tls, of
which a Secret's writer is told (warningsForSecret in pkg/registry/core/secret).

What is wrong inside a certificate or a key is told as one thing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from steersman.model.types.certificate_check import Block, pem_blocks

_CERTIFICATE = "CERTIFICATE"
_KEY = "PRIVATE KEY"


def pair_problem(certificate: str, key: str) -> str:
    """Returns what keeps two PEM texts from being a pair, empty where nothing does
    (tls.X509KeyPair)."""
    blocks = [list(pem_blocks(text)) for text in (certificate, key)]
    issued = _first(blocks[0], lambda type: type == _CERTIFICATE)
    if issued is None:
        return _no_certificate([block.type for block in blocks[0]])
    private = _first(blocks[1], lambda type: type == _KEY or type.endswith(f" {_KEY}"))
    if private is None:
        return _no_key([block.type for block in blocks[1]])
    return _difference(issued.content, private.content)


def _first(blocks: Iterable[Block], wanted: Callable[[str], bool]) -> Block | None:
    return next((block for block in blocks if wanted(block.type)), None)


def _no_certificate(types: Sequence[str]) -> str:
    if not types:
        return "tls: failed to find any PEM data in certificate input"
    if len(types) == 1 and types[0].endswith(_KEY):
        return (
            "tls: failed to find certificate PEM data in certificate input, but did find a "
            "private key; PEM inputs may have been switched"
        )
    return (
        'tls: failed to find "CERTIFICATE" PEM block in certificate input after skipping PEM '
        f"blocks of the following types: [{' '.join(types)}]"
    )


def _no_key(types: Sequence[str]) -> str:
    if not types:
        return "tls: failed to find any PEM data in key input"
    if list(types) == [_CERTIFICATE]:
        return "tls: found a certificate rather than a key in the PEM for the private key"
    return (
        'tls: failed to find PEM block with type ending in "PRIVATE KEY" in key input after '
        f"skipping PEM blocks of the following types: [{' '.join(types)}]"
    )


def _difference(issued: bytes, private: bytes) -> str:
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
    from cryptography.hazmat.primitives.serialization import load_der_private_key

    try:
        public: Any = x509.load_der_x509_certificate(issued).public_key()
    except (ValueError, UnsupportedAlgorithm):
        return "x509: malformed certificate"
    try:
        mine: Any = load_der_private_key(private, None).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return "tls: failed to parse private key"
    if isinstance(mine, x25519.X25519PublicKey):
        return "tls: found unknown private key type in PKCS#8 wrapping"
    known = (rsa.RSAPublicKey, ec.EllipticCurvePublicKey, ed25519.Ed25519PublicKey)
    if not isinstance(mine, known):
        return "tls: failed to parse private key"
    kind = next((one for one in known if isinstance(public, one)), None)
    if kind is None:
        return "tls: unknown public key algorithm"
    if not isinstance(mine, kind):
        return "tls: private key type does not match public key type"
    return "" if mine == public else "tls: private key does not match public key"
