"""What is checked of PodCertificateRequests: what is asked for, and what a signer answers
(ValidatePodCertificateRequest* in pkg/apis/certificates/validation, KEP-4317)."""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Iterator
from datetime import datetime, timedelta
from email.utils import parseaddr
from typing import TYPE_CHECKING, Final

from steersman.model import names
from steersman.model.causes import each, invalid, not_supported, required, too_long, unshown
from steersman.model.errors import Cause
from steersman.model.kind import Document
from steersman.model.types.certificate_check import check_signer, pem_blocks
from steersman.model.types.condition import check_conditions
from steersman.model.types.metadata import check_annotations

if TYPE_CHECKING:
    from cryptography.x509 import Certificate, CertificateSigningRequest

OUTCOMES: Final = ("Issued", "Denied", "Failed")
_LEAST_SECONDS: Final = 3600
_MOST_SECONDS: Final = 91 * 86400
_MOST_KUBERNETES_SECONDS: Final = 86400
_MOST_UID: Final = 128
_MOST_REQUEST_BYTES: Final = 10 * 1024
_MOST_CHAIN_BYTES: Final = 100 * 1024
_CURVES: Final = ("secp256r1", "secp384r1", "secp521r1")
_MODULI: Final = (3072, 4096)
_REFRESH_MARGIN: Final = timedelta(minutes=10)
_LEAST_LIFETIME: Final = timedelta(hours=1)
_HIDDEN: Final = "<value omitted>"
_REQUEST: Final = "spec.stubPKCS10Request"
_CHAIN: Final = "status.certificateChain"


def check_request(spec: Document) -> Iterator[Cause]:
    """Yields what is wrong with a new request."""
    signer = spec.get("signerName") or ""
    yield from check_signer(signer, "spec.signerName")
    annotations, path = spec.get("unverifiedUserAnnotations"), "spec.unverifiedUserAnnotations"
    yield from check_annotations(annotations, path)
    for key in annotations or ():
        if "/" not in key:
            yield invalid(path, key, 'must be a domain-prefixed key (such as "acme.io/foo")')
    for subject in ("pod", "serviceAccount", "node"):
        name, uid = spec.get(f"{subject}Name") or "", spec.get(f"{subject}UID") or ""
        yield from each(f"spec.{subject}Name", name, names.dns1123_subdomain(name))
        if not uid:
            yield invalid(f"spec.{subject}UID", uid, "must not be empty")
        if len(uid.encode()) > _MOST_UID:
            yield too_long(f"spec.{subject}UID", _MOST_UID)
    yield from _check_seconds(spec, signer)
    yield from _check_key(spec.get("stubPKCS10Request") or "")


def _check_seconds(spec: Document, signer: str) -> Iterator[Cause]:
    seconds, path = spec.get("maxExpirationSeconds"), "spec.maxExpirationSeconds"
    if seconds is None:
        yield required(path, "must be set")
        return
    domain = signer.partition("/")[0]
    own = domain == "kubernetes.io" or domain.endswith(".kubernetes.io")
    yield from check_lifetime(seconds, path, is_own=own)


def check_lifetime(seconds: int, path: str, *, is_own: bool) -> Iterator[Cause]:
    """Yields whether a lifetime is one that is not given; `is_own`: a signer of Kubernetes."""
    most = _MOST_KUBERNETES_SECONDS if is_own else _MOST_SECONDS
    if not _LEAST_SECONDS <= seconds <= most:
        yield invalid(path, seconds, f"must be in the range [{_LEAST_SECONDS}, {most}]")


def _check_key(encoded: str) -> Iterator[Cause]:
    if not encoded:
        yield required(_REQUEST)
        return
    if len(encoded) > _MOST_REQUEST_BYTES * 4 // 3 + 4:
        yield too_long(_REQUEST, _MOST_REQUEST_BYTES)
        return
    found = _request(encoded)
    if found is None:
        yield invalid(_REQUEST, _HIDDEN, "must be a valid PKCS#10 CSR")
    else:
        yield from _check_kind(found)


def _request(encoded: str) -> CertificateSigningRequest | None:
    from cryptography import x509

    try:
        return x509.load_der_x509_csr(b64decode(encoded, validate=True))
    except (ValueError, binascii.Error):
        return None


def _check_kind(request: CertificateSigningRequest) -> Iterator[Cause]:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    try:
        key = request.public_key()
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name not in _CURVES:
            detail = "elliptic public keys must use curve P256, P384, or P521"
            yield invalid(_REQUEST, f"curve {key.curve.name}", detail)
            return
    elif isinstance(key, rsa.RSAPublicKey):
        if key.key_size not in _MODULI:
            detail = "RSA keys must have modulus size 3072 or 4096"
            yield invalid(_REQUEST, f"{key.key_size}-bit modulus", detail)
            return
    elif not isinstance(key, ed25519.Ed25519PublicKey):
        detail = "unknown public key type; supported types are Ed25519, ECDSA, and RSA"
        yield invalid(_REQUEST, _HIDDEN, detail)
        return
    if not request.is_signature_valid:
        yield invalid(_REQUEST, _HIDDEN, "could not verify the signature of the request")


def check_answer(new: Document, old: Document) -> Iterator[Cause]:
    """Yields what is wrong with a changed status; how near its times are to now is for the server
    to say."""
    status, before = new.get("status") or {}, old.get("status") or {}
    conditions = status.get("conditions") or ()
    causes = list(_check_outcome(status))
    causes += check_conditions(conditions, "status.conditions")
    if causes:
        yield from causes
    elif outcome_of(before):
        if status != before:
            detail = "immutable after PodCertificateRequest is issued, denied, or failed"
            yield unshown("status", detail)
    elif (outcome := outcome_of(status)) == "Issued":
        yield from _check_issued(status, new.get("spec") or {})
    elif outcome:
        if any(value for name, value in status.items() if name != "conditions"):
            detail = "non-condition status fields must be empty when denying or failing the "
            yield unshown("status", f"{detail}PodCertificateRequest")
    elif status != before:
        detail = 'status is immutable unless transitioning to "Issued", "Denied", or "Failed"'
        yield unshown("status", detail)


def outcome_of(status: Document) -> str:
    """Returns how a request ended, empty while it has not."""
    conditions = status.get("conditions") or ()
    found = (
        one["type"]
        for one in conditions
        if one.get("type") in OUTCOMES and one.get("status") == "True"
    )
    return next(found, "")


def _check_outcome(status: Document) -> Iterator[Cause]:
    known = 0
    for index, one in enumerate(status.get("conditions") or ()):
        path, kind, told = (
            f"status.conditions.[{index}]",  # upstream names the index as a field
            one.get("type") or "",
            one.get("status") or "",
        )
        if kind not in OUTCOMES:
            yield not_supported(f"{path}.type", kind, OUTCOMES)
            continue
        known += 1
        if known > 1:
            detail = 'There may be at most one condition with type "Issued", "Denied", or "Failed"'
            yield invalid(f"{path}.type", kind, detail)
        if told != "True":
            yield not_supported(f"{path}.status", told, ("True",))


def _check_issued(status: Document, spec: Document) -> Iterator[Cause]:
    chain = status.get("certificateChain") or ""
    if len(chain.encode()) > _MOST_CHAIN_BYTES:
        yield too_long(_CHAIN, _MOST_CHAIN_BYTES)
        return
    leaf = _leaf(chain)
    if isinstance(leaf, str):
        yield invalid(_CHAIN, chain, leaf)
        return
    wrong = [*_check_subject(leaf), *_check_issued_to(leaf, chain, spec)]
    wrong = wrong or [*_check_given(status)]
    yield from wrong or [*_check_times(status, leaf, spec)] or _check_rest(chain)


def _leaf(chain: str) -> Certificate | str:
    """Returns the first certificate of a chain, or what is wrong with it."""
    from cryptography import x509

    block = next(pem_blocks(chain), None)
    if block is None:
        return "issued certificate chain must contain at least one certificate"
    if block.type != "CERTIFICATE":
        return "issued certificate chain must consist entirely of CERTIFICATE PEM blocks"
    try:
        return x509.load_der_x509_certificate(block.content)
    except ValueError:
        return "leaf certificate does not parse as valid X.509"


def _check_subject(leaf: Certificate) -> Iterator[Cause]:
    from cryptography import x509

    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return
    for name in found.get_values_for_type(x509.DNSName):
        if not name:
            yield invalid(_CHAIN, name, "leaf certificate should not contain empty DNSName")
        if ".." in name:
            yield invalid(_CHAIN, name, "leaf certificate's DNSName should not contain '..'")
        if name.startswith(".") or name.endswith("."):
            detail = "leaf certificate's DNSName should not start or end with '.'"
            yield invalid(_CHAIN, name, detail)
    for address in found.get_values_for_type(x509.RFC822Name):
        if "@" not in parseaddr(address)[1]:
            detail = "leaf certificate should not contain invalid EmailAddress"
            yield invalid(_CHAIN, address, detail)


def _check_issued_to(leaf: Certificate, chain: str, spec: Document) -> Iterator[Cause]:
    request = _request(spec.get("stubPKCS10Request") or "")
    if request is None:
        yield invalid(_REQUEST, _HIDDEN, "must be a valid PKCS#10 CSR")
    elif request.public_key() != leaf.public_key():
        detail = "leaf certificate was not issued to the requested public key"
        yield invalid(_CHAIN, chain, detail)


def _check_given(status: Document) -> Iterator[Cause]:
    consistent = "must be present and consistent with the issued certificate"
    refresh = "must be present and in the range [notbefore+10min, notafter-10min]"
    wanted = (("notBefore", consistent), ("notAfter", consistent), ("beginRefreshAt", refresh))
    for name, detail in wanted:
        if not status.get(name):
            yield required(f"status.{name}", detail)


def _check_times(status: Document, leaf: Certificate, spec: Document) -> Iterator[Cause]:
    begin, end, refresh = (
        datetime.fromisoformat(status[name]) for name in ("notBefore", "notAfter", "beginRefreshAt")
    )
    for path, told, present, name in (
        ("status.notBefore", begin, leaf.not_valid_before_utc, "NotBefore"),
        ("status.notAfter", end, leaf.not_valid_after_utc, "NotAfter"),
    ):
        if told != present:
            detail = f"must be set to the {name} time encoded in the leaf certificate"
            yield invalid(path, str(told), detail)
            return
    lifetime, most = end - begin, spec.get("maxExpirationSeconds") or 0
    if lifetime < _LEAST_LIFETIME:
        yield invalid(_CHAIN, str(lifetime), "leaf certificate lifetime must be >= 1 hour")
    elif lifetime > timedelta(seconds=most):
        detail = f"leaf certificate lifetime must be <= spec.maxExpirationSeconds ({most})"
        yield invalid(_CHAIN, str(lifetime), detail)
    elif refresh < begin + _REFRESH_MARGIN:
        detail = "must be at least 10 minutes after status.notBefore"
        yield invalid("status.beginRefreshAt", str(refresh), detail)
    elif refresh > end - _REFRESH_MARGIN:
        detail = "must be at least 10 minutes before status.notAfter"
        yield invalid("status.beginRefreshAt", str(refresh), detail)


def _check_rest(chain: str) -> Iterator[Cause]:
    from cryptography import x509

    for block in list(pem_blocks(chain))[1:]:
        if block.type != "CERTIFICATE":
            detail = "issued certificate chain must consist entirely of CERTFICATE PEM blocks"
            yield invalid(_CHAIN, chain, detail)
            return
        try:
            x509.load_der_x509_certificate(block.content)
        except ValueError:
            detail = "intermediate certificate does not parse as valid X.509"
            yield invalid(_CHAIN, chain, detail)
            return
