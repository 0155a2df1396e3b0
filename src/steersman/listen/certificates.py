"""The cluster's certificates and keys: made, kept in a directory, renewed in time.

All keys are P-256. `cryptography` is imported inside functions only: the server never needs it to
start. Private files are 0600 and written whole or not at all; errors name files, never contents.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate, GeneralName

# The file of what the API server shows
SERVER = "server"
# kubeadm's lifetimes: ten years for the authority, one for what it signs
CA_DAYS = 3650
LEAF_DAYS = 365
# A certificate is renewed when less than this part of its life remains
RENEWAL = 1 / 3
# Clocks of other machines may be a little behind
SKEW = timedelta(minutes=5)

SERVICE_NAMES = (
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


class BadCertificate(Exception):
    """A certificate or key file cannot be used; the text names the file and says why."""


class Identity(msgspec.Struct, frozen=True):
    """A client certificate to be kept: its file name, user name and groups."""

    file: str
    user: str
    groups: tuple[str, ...] = ()


ADMIN = Identity("admin", "kubernetes-admin", ("system:masters",))
# How the API server shows itself to node agents
KUBELET_CLIENT = Identity("apiserver-kubelet-client", "kube-apiserver-kubelet-client", ())

# Who follows Services and endpoints on a node (upstream's role system:node-proxier)
PROXY = Identity("kube-proxy", "system:kube-proxy")


# How the API server shows itself to servers behind it: by an authority of its own, since whoever
# shows this may name any user (kubeadm's names)
FRONT_PROXY_CA = "front-proxy-ca"
FRONT_PROXY = Identity("front-proxy-client", "front-proxy-client")


def node(name: str) -> Identity:
    """Returns the identity of a node's agent."""
    return Identity(f"node-{name}", f"system:node:{name}", ("system:nodes",))


class Certificates(msgspec.Struct, frozen=True):
    """Where the files lie; `certificate` and `key` give those of an identity."""

    directory: Path

    @property
    def ca(self) -> Path:
        """The authority's certificate."""
        return self.directory / "ca.crt"

    @property
    def front_proxy_ca(self) -> Path:
        """The certificate of the front proxy's authority."""
        return self.certificate(FRONT_PROXY_CA)

    @property
    def service_account_key(self) -> Path:
        """The private key that signs service account tokens."""
        return self.directory / "sa.key"

    @property
    def service_account_public(self) -> Path:
        """The public key that verifies them."""
        return self.directory / "sa.pub"

    def certificate(self, file: str = SERVER) -> Path:
        """The certificate of an identity's file name."""
        return self.directory / f"{file}.crt"

    def key(self, file: str = SERVER) -> Path:
        """The private key of an identity's file name."""
        return self.directory / f"{file}.key"


def ensure(
    directory: Path,
    names: Iterable[str],
    now: float,
    identities: Sequence[Identity] = (ADMIN, KUBELET_CLIENT),
) -> Certificates:
    """Makes what is missing, outdated or for other names, and returns where everything is.

    `names` are the server's further names and addresses (service IP, host names), beside those
    that every cluster has; `now` is in seconds since 1970. Raises BadCertificate, OSError.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    files = Certificates(directory)
    when = datetime.fromtimestamp(now, UTC)
    authority = _ensure_authority(files, when)
    front = _ensure_authority(files, when, FRONT_PROXY_CA)
    _ensure_leaf(files, front, FRONT_PROXY, (), when)
    wanted = tuple(dict.fromkeys((*LOCAL_NAMES, *SERVICE_NAMES, *names)))
    _ensure_leaf(files, authority, Identity(SERVER, "kube-apiserver"), wanted, when)
    for identity in identities:
        # The agent serves with its certificate too, under the node's name
        own = (
            identity.user.removeprefix("system:node:") if identity.file.startswith("node-") else ""
        )
        _ensure_leaf(files, authority, identity, (own, *LOCAL_NAMES) if own else (), when)
    if not (files.service_account_key.exists() and files.service_account_public.exists()):
        _make_signing_key(files)
    return files


def renewal_due(certificate: Path, now: float) -> float:
    """Returns in how many seconds a certificate is to be renewed, at most 0 if it is due."""
    found = read_certificate(certificate)
    return (_renewal(found) - datetime.fromtimestamp(now, UTC)).total_seconds()


class _Authority(msgspec.Struct, frozen=True):
    certificate: Certificate
    key: EllipticCurvePrivateKey


def _ensure_authority(files: Certificates, now: datetime, file: str = "ca") -> _Authority:
    path, key_path = files.certificate(file), files.key(file)
    if path.exists() and key_path.exists():
        found = _Authority(read_certificate(path), read_key(key_path))
        if not _fits(found.certificate, found.key):
            raise BadCertificate(f"{key_path} is not the key of {path}")
        if found.certificate.not_valid_after_utc <= now:
            raise BadCertificate(f"{path} has expired: `steer reset` makes a new cluster")
        return found
    if path.exists() or key_path.exists():
        there, missing = (path, key_path) if path.exists() else (key_path, path)
        raise BadCertificate(f"{there} is there but {missing} is missing")
    key = _new_key()
    certificate = _authority_certificate(key, now, "kubernetes" if file == "ca" else file)
    write_private(key_path, _key_text(key))
    write_private(path, certificate_text(certificate), mode=0o644)
    return _Authority(certificate, key)


def _ensure_leaf(
    files: Certificates,
    authority: _Authority,
    identity: Identity,
    names: tuple[str, ...],
    now: datetime,
) -> None:
    certificate_path, key_path = files.certificate(identity.file), files.key(identity.file)
    if certificate_path.exists() and key_path.exists():
        found, key = read_certificate(certificate_path), read_key(key_path)
        if _good(found, key, authority, identity, names, now):
            return
    key = _new_key()
    certificate = _leaf(authority, key, identity, names, now)
    # The certificate goes last: a key without its certificate is made again, not believed
    write_private(key_path, _key_text(key))
    write_private(certificate_path, certificate_text(certificate), mode=0o644)


def _good(
    found: Certificate,
    key: EllipticCurvePrivateKey,
    authority: _Authority,
    identity: Identity,
    names: tuple[str, ...],
    now: datetime,
) -> bool:
    """Says whether a certificate can stay: still long valid, and for all that is wanted of it."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature

    try:
        found.verify_directly_issued_by(authority.certificate)
    except (InvalidSignature, ValueError, TypeError):
        return False
    held: set[Any] = set()
    if names:
        try:
            extension = found.extensions.get_extension_for_class(x509.SubjectAlternativeName)
            held = set(extension.value)
        except x509.ExtensionNotFound:
            return False
    return (
        _fits(found, key)
        and found.subject == _subject(identity)
        and held >= set(_general_names(names))
        and found.not_valid_before_utc <= now < _renewal(found)
    )


def _renewal(found: Certificate) -> datetime:
    life = found.not_valid_after_utc - found.not_valid_before_utc
    return found.not_valid_after_utc - life * RENEWAL


def _fits(certificate: Certificate, key: EllipticCurvePrivateKey) -> bool:
    return certificate.public_key() == key.public_key()


def _new_key() -> EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def _subject(identity: Identity) -> Any:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    groups = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in identity.groups]
    return x509.Name([*groups, x509.NameAttribute(NameOID.COMMON_NAME, identity.user)])


def _general_names(names: Iterable[str]) -> list[GeneralName]:
    """Returns names and addresses as a certificate holds them."""
    from cryptography import x509

    found: list[GeneralName] = []
    for name in names:
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
    return found


def _authority_certificate(key: EllipticCurvePrivateKey, now: datetime, called: str) -> Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    name = _subject(Identity("ca", called))
    public = key.public_key()
    builder = (
        x509.CertificateBuilder(name, name, public, x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + timedelta(days=CA_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )
    return builder.sign(key, hashes.SHA256())


def _leaf(
    authority: _Authority,
    key: EllipticCurvePrivateKey,
    identity: Identity,
    names: tuple[str, ...],
    now: datetime,
) -> Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID as Usage

    public = key.public_key()
    server_only = identity.file == "server"
    purposes = [] if server_only else [Usage.CLIENT_AUTH]
    if names:
        purposes.append(Usage.SERVER_AUTH)
    issuer = authority.certificate
    end = min(now + timedelta(days=LEAF_DAYS), issuer.not_valid_after_utc)
    signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    builder = (
        x509.CertificateBuilder(
            issuer.subject, _subject(identity), public, x509.random_serial_number()
        )
        .not_valid_before(now - SKEW)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(signer, critical=False)
    )
    if names:
        alternatives = x509.SubjectAlternativeName(_general_names(names))
        builder = builder.add_extension(alternatives, critical=False)
    return builder.sign(authority.key, hashes.SHA256())


def _usage(*, authority: bool) -> Any:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _make_signing_key(files: Certificates) -> None:
    from cryptography.hazmat.primitives import serialization

    key = _new_key()
    write_private(files.service_account_key, _key_text(key))
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    write_private(files.service_account_public, public, mode=0o644)


def _key_text(key: EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def certificate_text(certificate: Certificate) -> bytes:
    """Returns a certificate in PEM."""
    from cryptography.hazmat.primitives import serialization

    return certificate.public_bytes(serialization.Encoding.PEM)


def read_certificate(path: Path) -> Certificate:
    """Returns the first certificate of a file; raises BadCertificate, OSError."""
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError:
        raise BadCertificate(f"{path} holds no certificate in PEM form") from None


def read_key(path: Path) -> EllipticCurvePrivateKey:
    """Returns the private key of a file; raises BadCertificate, OSError."""
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey as Key
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError):
        raise BadCertificate(f"{path} holds no private key in PEM form") from None
    if not isinstance(key, Key):
        raise BadCertificate(f"{path} holds a key that is not on an elliptic curve")
    return key


def write_private(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Writes a file whole or not at all, durably, never readable by others on the way."""
    waiting = path.with_name(f".{path.name}.{os.getpid()}")
    waiting.unlink(missing_ok=True)
    descriptor = os.open(waiting, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(waiting, path)
    except BaseException:
        waiting.unlink(missing_ok=True)
        raise
