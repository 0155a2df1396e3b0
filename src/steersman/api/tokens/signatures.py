"""Keys of other issuers (RFC 7517) and the signatures that they verify (RFC 7518).

The cryptography package loads with the first key.
"""

from __future__ import annotations

from typing import Any, Final

from steersman.api.access.tokens import InvalidToken, decode
from steersman.model.kind import Document

_CURVES: Final = {"ES256": ("P-256", 32), "ES384": ("P-384", 48), "ES512": ("P-521", 66)}
# A larger modulus only costs time; none that is used has more
MOST_KEY_BYTES: Final = 1024
FEWEST_RSA_BITS: Final = 2048


class VerifyingKey:
    """A public key of a set."""

    def __init__(self, id: str, kind: str, curve: str, public: Any) -> None:
        self.id = id
        self._kind = kind
        self._curve = curve
        self._public = public

    def verify(self, algorithm: str, signature: bytes, data: bytes) -> bool:
        """Says whether the key's owner signed the data."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes

        family, size = algorithm[:2], algorithm[2:]
        hashed = getattr(hashes, f"SHA{size}")()
        try:
            if family == "ES":
                return self._verify_curve(algorithm, signature, data, hashed)
            if self._kind != "RSA":
                return False
            self._public.verify(signature, data, _padding(family, hashed), hashed)
        except InvalidSignature:
            return False
        return True

    def _verify_curve(self, algorithm: str, signature: bytes, data: bytes, hashed: Any) -> bool:
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

        curve, size = _CURVES[algorithm]
        if self._curve != curve or len(signature) != 2 * size:
            return False
        r, s = (int.from_bytes(half, "big") for half in (signature[:size], signature[size:]))
        self._public.verify(encode_dss_signature(r, s), data, ec.ECDSA(hashed))
        return True


def _padding(family: str, hashed: Any) -> Any:
    from cryptography.hazmat.primitives.asymmetric import padding

    if family == "RS":
        return padding.PKCS1v15()
    return padding.PSS(padding.MGF1(hashed), hashed.digest_size)


def read_key(document: Any) -> VerifyingKey | None:
    """Returns a key of a set, None for one of a kind that is not used here; raises ValueError."""
    if not isinstance(document, dict) or document.get("use", "sig") != "sig":
        return None
    id, kind, curve = (str(document.get(name) or "") for name in ("kid", "kty", "crv"))
    if kind == "RSA":
        return VerifyingKey(id, kind, "", _rsa(document))
    if kind == "EC" and curve in {name for name, _ in _CURVES.values()}:
        return VerifyingKey(id, kind, curve, _elliptic(document, curve))
    return None


def _rsa(document: Document) -> Any:
    from cryptography.hazmat.primitives.asymmetric import rsa

    public = rsa.RSAPublicNumbers(_number(document, "e"), _number(document, "n")).public_key()
    if public.key_size < FEWEST_RSA_BITS:
        raise ValueError("the key is too short")
    return public


def _elliptic(document: Document, curve: str) -> Any:
    from cryptography.hazmat.primitives.asymmetric import ec

    known = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}
    x, y = _number(document, "x"), _number(document, "y")
    return ec.EllipticCurvePublicNumbers(x, y, known[curve]).public_key()


def _number(document: Document, name: str) -> int:
    text = document.get(name)
    if not isinstance(text, str) or len(text) > 2 * MOST_KEY_BYTES:
        raise ValueError(f"{name} is no number of a key")
    try:
        return int.from_bytes(decode(text), "big")
    except InvalidToken:
        raise ValueError(f"{name} is no number of a key") from None
