"""What a CertificateSigningRequest asks for, and what each of upstream's signers lets pass.

Pure (pkg/apis/certificates/helpers.go and the signer's checks); who asks and who signs is decided
elsewhere. `cryptography` is loaded with the first request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

from steersman.model.kinds.certificatesigningrequest import CertificateSigningRequest
from steersman.model.types.certificate_check import pem_blocks

if TYPE_CHECKING:
    from cryptography.x509 import CertificateSigningRequest as Request
    from cryptography.x509 import Name, ObjectIdentifier

GROUP: Final = "certificates.k8s.io"
CLIENT: Final = "kubernetes.io/kube-apiserver-client"
KUBELET_CLIENT: Final = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING: Final = "kubernetes.io/kubelet-serving"
LEGACY: Final = "kubernetes.io/legacy-unknown"
NODE: Final = "system:node:"
NODES: Final = ("system:nodes",)

_SIGNATURE, _ENCIPHERMENT = "digital signature", "key encipherment"
_CLIENT_AUTH, _SERVER_AUTH = "client auth", "server auth"
# Requests read last, by their bytes: approver, signer and retries read the same ones
_MOST_READ: Final = 64


class Asked(msgspec.Struct, frozen=True):
    """The subject and the alternative names of a request."""

    common_name: str = ""
    organizations: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()


def types(request: CertificateSigningRequest) -> frozenset[str]:
    """Returns what was decided of a request: Approved, Denied, Failed."""
    return frozenset(it.type for it in request.status.conditions if it.status == "True")


def content(pem: bytes) -> bytes:
    """Returns the request itself (DER), so that what is checked is what is signed; raises
    ValueError for what is no request in PEM."""
    block = next(pem_blocks(pem.decode("latin-1")), None)
    if block is None or block.type != "CERTIFICATE REQUEST":
        raise ValueError("PEM block type must be CERTIFICATE REQUEST")
    return block.content


@lru_cache(_MOST_READ)
def read(pem: bytes) -> Asked:
    """Returns what is asked for; raises ValueError for what is no request in PEM."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    request = x509.load_der_x509_csr(content(pem))
    names = _values(request.subject, NameOID.COMMON_NAME)
    alternatives = _alternatives(request)

    def of(kind: type[Any]) -> tuple[str, ...]:
        return tuple(str(it) for it in alternatives.get_values_for_type(kind))

    return Asked(
        names[-1] if names else "",
        _values(request.subject, NameOID.ORGANIZATION_NAME),
        *map(of, (x509.DNSName, x509.IPAddress, x509.RFC822Name, x509.UniformResourceIdentifier)),
    )


def _alternatives(request: Request) -> Any:
    from cryptography import x509

    try:
        found = request.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return x509.SubjectAlternativeName([])
    except x509.DuplicateExtension as error:
        raise ValueError(
            f"x509: certificate request contains duplicate extensions: {error}"
        ) from None
    return found.value


def _values(name: Name, kind: ObjectIdentifier) -> tuple[str, ...]:
    return tuple(str(it.value) for it in name.get_attributes_for_oid(kind))


def check_client(_asked: Asked, usages: Iterable[str]) -> str:
    """Returns what the signer of clients has against a request, empty for nothing."""
    for usage in usages:
        if usage not in (_SIGNATURE, _ENCIPHERMENT, _CLIENT_AUTH):
            return f"invalid usage for client certificate: {usage}"
    if _CLIENT_AUTH not in usages:
        return f"missing required usage for client certificate: {_CLIENT_AUTH}"
    return ""


def check_kubelet_client(asked: Asked, usages: Iterable[str]) -> str:
    """Returns what the signer of kubelets as clients has against a request."""
    if asked.organizations != NODES:
        return "subject organization is not system:nodes"
    named = (
        ("DNS", asked.dns_names),
        ("Email", asked.emails),
        ("IP", asked.addresses),
        ("URI", asked.uris),
    )
    for what, found in named:
        if found:
            return f"{what} subjectAltNames are not allowed"
    return _check_node_name(asked) or _check_usages(usages, _CLIENT_AUTH)


def check_kubelet_serving(asked: Asked, usages: Iterable[str]) -> str:
    """Returns what the signer of kubelets as servers has against a request."""
    if asked.organizations != NODES:
        return "subject organization is not system:nodes"
    if not asked.dns_names and not asked.addresses:
        return "DNS or IP subjectAltName is required"
    for what, found in (("Email", asked.emails), ("URI", asked.uris)):
        if found:
            return f"{what} subjectAltNames are not allowed"
    return _check_usages(usages, _SERVER_AUTH) or _check_node_name(asked)


def _check_node_name(asked: Asked) -> str:
    if asked.common_name.startswith(NODE):
        return ""
    return "subject common name does not begin with system:node:"


def _check_usages(usages: Iterable[str], purpose: str) -> str:
    """Says which usages there must be; a key that is not RSA needs no encipherment."""
    least = {_SIGNATURE, purpose}
    most = least | {_ENCIPHERMENT}
    if set(usages) in (least, most):
        return ""
    return f"usages did not match [{' '.join(sorted(most))}]"


def _check_nothing(_asked: Asked, _usages: Iterable[str]) -> str:
    return ""


Check = Callable[[Asked, Iterable[str]], str]
SIGNERS: Final[Mapping[str, Check]] = {
    CLIENT: check_client,
    KUBELET_CLIENT: check_kubelet_client,
    KUBELET_SERVING: check_kubelet_serving,
    LEGACY: _check_nothing,
}
