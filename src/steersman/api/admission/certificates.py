"""Small plugins about requests for certificates: CertificateApproval, CertificateSigning,
CertificateSubjectRestriction (plugin/pkg/admission/certificates).

Who may approve or sign for a signer holds `approve` or `sign` on the resource `signers` of its
name, which nobody serves, or on all of its domain.
"""

from __future__ import annotations

from base64 import b64decode
from typing import Final

from steersman.api.access.authorization import MASTERS, Attributes, Authorizer, quoted
from steersman.api.admission.chain import Change, Plugin
from steersman.api.call import Call
from steersman.model import errors
from steersman.model.kind import Document
from steersman.model.types.certificate_check import pem_blocks
from steersman.wire import der
from steersman.wire.message import User

GROUP: Final = "certificates.k8s.io"
CLIENT_SIGNER: Final = "kubernetes.io/kube-apiserver-client"


def _is_request(call: Call, subresource: str) -> bool:
    kind = call.kind
    named = (kind.group, kind.plural) == (GROUP, "certificatesigningrequests")
    return named and call.subresource == subresource


def _forbidden(change: Change, why: str) -> errors.Forbidden:
    return errors.forbidden(GROUP, change.call.kind.plural, change.name, why)


def is_authorized(authorizer: Authorizer, user: User, verb: str, signer: str) -> bool:
    """Says whether somebody may do something for a signer (IsAuthorizedForSignerName)."""
    domain = signer.partition("/")[0]
    return any(
        authorizer.allowed(user, Attributes(verb, GROUP, "*", "signers", name=name)).allowed
        for name in (signer, f"{domain}/*")
    )


class _ForSigner(Plugin):
    """What both plugins share that ask for a right on the signer."""

    name = ""
    subresource = ""
    verb = ""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def check(self, change: Change) -> None:
        """Refuses who may not do this for the signer that the stored request names."""
        old = change.old
        if old is None or change.new is None or not _is_request(change.call, self.subresource):
            return
        signer = (old.get("spec") or {}).get("signerName", "")
        if not self._matters(change.new, old):
            return
        if not is_authorized(self._authorizer, change.call.user, self.verb, signer):
            why = f"user not permitted to {self.verb} requests with signerName {quoted(signer)}"
            raise _forbidden(change, why)

    def _matters(self, new: Document, old: Document) -> bool:
        return True


class CertificateApproval(_ForSigner):
    """Only who may approve for its signer decides of a request."""

    name = "CertificateApproval"
    about = frozenset({"CertificateSigningRequest"})
    subresource = "approval"
    verb = "approve"


class CertificateSigning(_ForSigner):
    """Only who may sign for its signer gives a request its certificate and conditions."""

    name = "CertificateSigning"
    about = frozenset({"CertificateSigningRequest"})
    subresource = "status"
    verb = "sign"

    def _matters(self, new: Document, old: Document) -> bool:
        status, before = new.get("status") or {}, old.get("status") or {}
        issued = status.get("certificate", "") != before.get("certificate", "")
        return issued or (status.get("conditions") or []) != (before.get("conditions") or [])


class CertificateSubjectRestriction(Plugin):
    """Nobody becomes an administrator by a certificate that a signer of clients signs."""

    name = "CertificateSubjectRestriction"
    about = frozenset({"CertificateSigningRequest"})

    def check(self, change: Change) -> None:
        """Refuses a new request of the signer of clients in the name of administrators."""
        new = change.new
        if change.operation != "CREATE" or new is None or not _is_request(change.call, ""):
            return
        spec = new.get("spec") or {}
        if spec.get("signerName") != CLIENT_SIGNER:
            return
        try:
            groups = _organizations(spec.get("request", ""))
        except ValueError as error:
            raise _forbidden(change, f"failed to parse CSR: {error}") from None
        if MASTERS in groups:
            why = f"use of {CLIENT_SIGNER} signer with {MASTERS} group is not allowed"
            raise _forbidden(change, why)


def _organizations(request: str) -> tuple[str, ...]:
    """Returns the groups that a request in base64 asks for; raises ValueError."""
    block = next(pem_blocks(b64decode(request, validate=True).decode("latin-1")), None)
    if block is None or block.type != "CERTIFICATE REQUEST":
        raise ValueError("PEM block type must be CERTIFICATE REQUEST")
    return der.request_subject(block.content).organizations
