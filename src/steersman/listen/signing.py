"""Signs requests for certificates with the cluster's authority.

It signs whatever it is given; who may have what is decided elsewhere (controllers). Follows
upstream's PermissiveSigningPolicy (pkg/controller/certificates/authority). The key is read with
the first signature and never shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from steersman.listen.certificates import (
    SKEW,
    BadCertificate,
    Certificates,
    certificate_text,
    read_certificate,
    read_key,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate, CertificateBuilder, CertificateSigningRequest

# What is good for less is good for all of it: five minutes are some hundredth of this
SHORT_SECONDS: Final = 8 * 3600

# usage -> the flag of x509.KeyUsage
_FLAGS: Final[Mapping[str, str]] = {
    "signing": "digital_signature",
    "digital signature": "digital_signature",
    "content commitment": "content_commitment",
    "key encipherment": "key_encipherment",
    "key agreement": "key_agreement",
    "data encipherment": "data_encipherment",
    "cert sign": "key_cert_sign",
    "crl sign": "crl_sign",
    "encipher only": "encipher_only",
    "decipher only": "decipher_only",
}
# usage -> the purpose's object identifier, in the order in which a certificate holds them
_PURPOSES: Final[Mapping[str, str]] = {
    "any": "2.5.29.37.0",
    "server auth": "1.3.6.1.5.5.7.3.1",
    "client auth": "1.3.6.1.5.5.7.3.2",
    "code signing": "1.3.6.1.5.5.7.3.3",
    "email protection": "1.3.6.1.5.5.7.3.4",
    "s/mime": "1.3.6.1.5.5.7.3.4",
    "ipsec end system": "1.3.6.1.5.5.7.3.5",
    "ipsec tunnel": "1.3.6.1.5.5.7.3.6",
    "ipsec user": "1.3.6.1.5.5.7.3.7",
    "timestamping": "1.3.6.1.5.5.7.3.8",
    "ocsp signing": "1.3.6.1.5.5.7.3.9",
    "microsoft sgc": "1.3.6.1.4.1.311.10.3.3",
    "netscape sgc": "2.16.840.1.113730.4.1",
}


class Authority:
    """The authority of a cluster, by its files; `wall` gives seconds since 1970."""

    def __init__(self, files: Certificates, wall: Callable[[], float]) -> None:
        self._files = files
        self._wall = wall
        self._loaded: tuple[Certificate, EllipticCurvePrivateKey] | None = None

    def sign(self, request: bytes, usages: Sequence[str], seconds: int) -> bytes:
        """Returns the certificate (PEM) of a request (DER), good for so many seconds or until the
        authority ends.

        Raises ValueError for a request that is not sound or a usage that is not known,
        BadCertificate, OSError where there is no authority that signs.
        """
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes

        certificate, key = self._load()
        found = x509.load_der_x509_csr(request)
        if not found.is_signature_valid:
            raise ValueError("unable to verify certificate request signature")
        now = datetime.fromtimestamp(self._wall(), UTC)
        last = certificate.not_valid_after_utc
        if now >= last:
            raise BadCertificate(f"{self._files.ca}: the signer has expired: NotAfter={last}")
        builder = (
            x509.CertificateBuilder(
                certificate.subject,
                found.subject,
                found.public_key(),
                x509.random_serial_number(),
            )
            .not_valid_before(now - SKEW)
            .not_valid_after(min(_end(now, seconds), last))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        )
        builder = _with_usages(builder, usages)
        builder = _with_names(builder, found)
        signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
        made = builder.add_extension(signer, critical=False).sign(key, hashes.SHA256())
        return certificate_text(made)

    def _load(self) -> tuple[Certificate, EllipticCurvePrivateKey]:
        if self._loaded is None:
            self._loaded = read_certificate(self._files.ca), read_key(self._files.key("ca"))
        return self._loaded


def _end(now: datetime, seconds: int) -> datetime:
    """Returns the end of a life of so many seconds, which begins a little before now."""
    back = timedelta() if seconds < SHORT_SECONDS else SKEW
    return now + timedelta(seconds=seconds) - back


def _with_usages(builder: CertificateBuilder, usages: Iterable[str]) -> CertificateBuilder:
    from cryptography import x509

    usages = set(usages)
    if unknown := sorted(usages - _FLAGS.keys() - _PURPOSES.keys()):
        raise ValueError(f"unrecognized usage values: {unknown}")
    flags = dict.fromkeys(_FLAGS.values(), False)
    flags |= {_FLAGS[usage]: True for usage in usages & _FLAGS.keys()}
    if any(flags.values()):
        builder = builder.add_extension(x509.KeyUsage(**flags), critical=True)
    purposes = dict.fromkeys(_PURPOSES[usage] for usage in _PURPOSES if usage in usages)
    if purposes:
        found = x509.ExtendedKeyUsage([x509.ObjectIdentifier(it) for it in purposes])
        builder = builder.add_extension(found, critical=False)
    return builder


def _with_names(
    builder: CertificateBuilder, request: CertificateSigningRequest
) -> CertificateBuilder:
    """Hands alternative names over, of the kinds that Go reads and in its order; whoever has no
    subject has these alone, which must then be understood."""
    from cryptography import x509

    kinds: tuple[type[Any], ...] = (
        x509.DNSName,
        x509.RFC822Name,
        x509.IPAddress,
        x509.UniformResourceIdentifier,
    )
    try:
        found = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return builder
    names = [name for kind in kinds for name in found if isinstance(name, kind)]
    if not names:
        return builder
    critical = not list(request.subject)
    return builder.add_extension(x509.SubjectAlternativeName(names), critical=critical)
