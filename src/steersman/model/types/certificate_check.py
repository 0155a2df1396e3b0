"""What is checked of certificates, of requests for them, and of the names of who signs them
(pkg/apis/certificates/validation, ValidateSignerName in pkg/apis/core/validation)."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from steersman.model import names
from steersman.model.causes import duplicate, invalid, not_supported, required, too_long
from steersman.model.errors import Cause
from steersman.model.gotext import quote

_MOST_BUNDLE_BYTES: Final = 1024 * 1024
_MOST_SIGNER: Final = 2 * names.DNS_SUBDOMAIN_LENGTH + names.DNS_LABEL_LENGTH + 2
_BLOCK: Final = re.compile(
    r"^-----BEGIN ([^\n]+?)-----[ \t\r]*\n(.*?)^-----END \1-----[ \t\r]*$",
    re.DOTALL | re.MULTILINE,
)
USAGES: Final = (
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
)
# what Go says of a signature that is not the key's, by the name of the key's type
_VERIFICATION: Final = {
    "EC": "x509: ECDSA verification failure",
    "Ed25519": "x509: Ed25519 verification failure",
}
_UNVERIFIED: Final = "crypto/rsa: verification error"
_BASIC_CONSTRAINTS: Final = bytes.fromhex("0603551d13")  # 2.5.29.19 in DER
_HIDDEN: Final = "<value omitted>"
_SIGNER_FORM: Final = (
    "must be a fully qualified domain and path of the form 'example.com/signer-name'"
)


@dataclass(frozen=True, slots=True)
class Block:
    """One block of PEM."""

    type: str
    headers: bool
    content: bytes


def pem_blocks(text: str) -> Iterator[Block]:
    """Yields the well-formed blocks of a PEM text; what else it holds is skipped (pem.Decode)."""
    for found in _BLOCK.finditer(text):
        head, _blank, body = found[2].rpartition("\n\n")
        headers = ":" in head
        try:
            content = b64decode("".join((body if headers else found[2]).split()), validate=True)
        except binascii.Error:
            continue
        yield Block(found[1], headers, content)


def check_usages(usages: Sequence[str], old: Sequence[str] | None) -> Iterator[Cause]:
    """Yields what is wrong with the usages of a certificate; what was with the old may stay."""
    before = old or ()
    if not usages:
        yield required("spec.usages")
    if all(usage in USAGES for usage in before):
        for index, usage in enumerate(usages):
            if usage not in USAGES:
                yield not_supported(f"spec.usages[{index}]", usage, USAGES)
    if len(set(before)) == len(before):
        for index, usage in enumerate(usages):
            if usage in usages[:index]:
                yield duplicate(f"spec.usages[{index}]", usage)


def request_problem(encoded: str) -> str:
    """Returns what is wrong with a request for a certificate, in base64; empty: nothing."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm

    block = next(pem_blocks(_decoded(encoded)), None)
    if block is None or block.type != "CERTIFICATE REQUEST":
        return "PEM block type must be CERTIFICATE REQUEST"
    try:
        found = x509.load_der_x509_csr(block.content)
        sound = found.is_signature_valid
    except (ValueError, UnsupportedAlgorithm):
        return "asn1: structure error: the request cannot be read"
    kind = type(found.public_key()).__name__
    return "" if sound else _VERIFICATION.get(kind.rpartition("PublicKey")[0], _UNVERIFIED)


def certificate_problem(encoded: str) -> str:
    """Returns what is wrong with an issued certificate, in base64; empty: nothing."""
    from cryptography import x509

    blocks = 0
    for block in pem_blocks(_decoded(encoded)):
        blocks += 1
        if block.type != "CERTIFICATE":
            return f"only CERTIFICATE PEM blocks are allowed, found {quote(block.type)}"
        if block.headers:
            return "no PEM block headers are permitted"
        try:
            x509.load_der_x509_certificate(block.content)
        except ValueError:
            return "x509: malformed certificate"
    none = encoded and not blocks
    return "must contain at least one CERTIFICATE PEM block" if none else ""


def _decoded(encoded: str) -> str:
    try:
        return b64decode(encoded, validate=True).decode("latin-1")
    except binascii.Error:
        return ""


def roots_problem(encoded: str) -> str:
    """Returns what is wrong with the certificates, in base64, that a webhook's server is checked
    with; empty: nothing (TLSConfigFor in client-go/transport, which needs one that it can read)."""
    blocks = list(pem_blocks(_decoded(encoded)))
    usable = [one.content for one in blocks if one.type == "CERTIFICATE" and not one.headers]
    if any(_is_readable(one) for one in usable):
        return ""
    if usable:
        why = "failed to parse certificate: x509: malformed certificate"
    elif blocks:
        why = "no valid certificate authority data seen"
    else:
        why = "unable to parse bytes as PEM block"
    return f"unable to load root certificates: {why}"


def _is_readable(content: bytes) -> bool:
    import ssl

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=content)
    except (ssl.SSLError, ValueError):
        return False
    return True


def check_signer(name: str, path: str) -> Iterator[Cause]:
    """Yields what is wrong with the name of a signer."""
    parts = name.split("/")
    if not name:
        yield required(path)
        return
    if len(parts) != 2:
        yield invalid(path, name, _SIGNER_FORM)
        return
    domain, rest = parts
    if len(domain) > names.DNS_SUBDOMAIN_LENGTH:
        yield too_long(path, names.DNS_SUBDOMAIN_LENGTH)
    yield from _check_labels(domain, names.dns1123_label, path)
    if "." not in domain:
        detail = "should be a domain with at least two segments separated by dots"
        yield invalid(path, domain, detail)
    yield from _check_labels(rest, names.dns1123_subdomain, path)
    if len(name) > _MOST_SIGNER:
        yield too_long(path, _MOST_SIGNER)


def _check_labels(text: str, check: names.Check, path: str) -> Iterator[Cause]:
    for label in text.split("."):
        if problems := check(label):
            for problem in problems:
                yield invalid(path, text, f'validating label "{label}": {problem}')
            return  # one bad label says enough


def bundle_name(signer: str) -> names.Check:
    """Returns the check of the name of a ClusterTrustBundle of a signer, empty for none."""
    prefix = f"{signer.replace('/', ':')}:"

    def check(name: str) -> list[str]:
        if not signer:
            if ":" in name:
                return ['ClusterTrustBundle without signer name must not have ":" in its name']
            return names.dns1123_subdomain(name)
        if not name.startswith(prefix):
            must = f"must be named with prefix {prefix}"
            return [f"ClusterTrustBundle for signerName {signer} {must}"]
        return names.dns1123_subdomain(name.removeprefix(prefix))

    return check


def signer_in(name: str) -> str:
    """Returns the signer of whom a name of a ClusterTrustBundle speaks, empty for none."""
    return name.rpartition(":")[0].replace(":", "/")


def check_bundle(bundle: str, path: str) -> Iterator[Cause]:
    """Yields what is wrong with a bundle of trust anchors."""
    if len(bundle.encode()) > _MOST_BUNDLE_BYTES:
        yield too_long(path, _MOST_BUNDLE_BYTES)
        return
    places: dict[bytes, list[int]] = {}
    problems = []
    for index, block in enumerate(pem_blocks(bundle)):
        if wrong := _anchor_problem(block):
            problems.append(f"entry {index} {wrong}")
        else:
            places.setdefault(block.content, []).append(index)
    if not problems and not places:
        problems.append("at least one trust anchor must be provided")
    elif not problems:
        problems += [
            f"duplicate trust anchor (indices [{' '.join(map(str, found))}])"
            for found in places.values()
            if len(found) > 1
        ]
    for problem in problems:
        yield invalid(path, _HIDDEN, problem)


def _anchor_problem(block: Block) -> str:
    """OpenSSL reads it, which the server has for TLS: the cluster's own bundle is written at each
    first start, and `cryptography` would take 19 ms and 8 MB of it."""
    import ssl

    if block.type != "CERTIFICATE":
        return f"has bad block type: {block.type}"
    if block.headers:
        return "has PEM block headers"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=block.content)
    except (ssl.SSLError, ValueError):
        return "does not parse as X.509"
    authorities = context.get_ca_certs(binary_form=True)
    if authorities and authorities != [block.content]:  # more than one, or more than that
        return "does not parse as X.509"
    # without constraints OpenSSL goes by a certificate's version or key usage, upstream does not
    is_authority = authorities and _BASIC_CONSTRAINTS in block.content
    return "" if is_authority else "does not have the CA bit set"
