"""PodCertificateRequest: its life in the API."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from steersman.model.causes import IMMUTABLE, invalid
from steersman.model.errors import Cause
from steersman.model.kind import Document, Kind, Version
from steersman.model.kinds.printing import at
from steersman.model.kinds.subresources import STATUS_ALONE
from steersman.model.types.condition import Condition, with_kept
from steersman.model.types.metadata import check_metadata
from steersman.model.types.pod_certificate_check import check_answer, check_request
from steersman.model.view import Object, View


class PodCertificateSpec(View, frozen=True):
    """Who asks whom; the request itself is only for the signer."""

    signer_name: str = ""
    pod_name: str = ""
    node_name: str = ""


class PodCertificateStatus(View, frozen=True):
    """What a signer has answered; the chain is PEM."""

    conditions: tuple[Condition, ...] = ()
    certificate_chain: str = ""
    begin_refresh_at: datetime | None = None
    not_after: datetime | None = None


class PodCertificateRequest(Object, frozen=True):
    """certificates.k8s.io/v1 PodCertificateRequest."""

    spec: PodCertificateSpec = PodCertificateSpec()
    status: PodCertificateStatus = PodCertificateStatus()


_DECISIONS: Final = ("Issued", "Denied", "Failed")
# as Go's internal type of the spec names its fields, in its order
_FIELDS: Final = (
    ("SignerName", "signerName"),
    ("PodName", "podName"),
    ("PodUID", "podUID"),
    ("ServiceAccountName", "serviceAccountName"),
    ("ServiceAccountUID", "serviceAccountUID"),
    ("NodeName", "nodeName"),
    ("NodeUID", "nodeUID"),
    ("MaxExpirationSeconds", "maxExpirationSeconds"),
    ("PKIXPublicKey", ""),
    ("ProofOfPossession", ""),
    ("StubPKCS10Request", "stubPKCS10Request"),
    ("UnverifiedUserAnnotations", "unverifiedUserAnnotations"),
)


def _check(new: Document, old: Document | None, subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old)
    spec = new.get("spec") or {}
    if old is None:
        yield from check_request(spec)
    elif subresource == "status":
        yield from check_answer(new, old)
    elif spec != (old.get("spec") or {}):
        shown = {name: spec.get(key) for name, key in _FIELDS}
        yield invalid("spec", shown, IMMUTABLE)


def _prepare(new: Document, old: Document | None, subresource: str) -> Document:
    """Begins without a status, and keeps of its conditions what was decided."""
    if old is None:
        return {**new, "status": {}}
    status, before = ((one.get("status") or {}) for one in (new, old))
    if subresource != "status" or not status.get("conditions"):
        return new
    conditions = with_kept(status["conditions"], before.get("conditions") or (), _DECISIONS)
    return {**new, "status": {**status, "conditions": conditions}}


PODCERTIFICATEREQUEST = Kind(
    group="certificates.k8s.io",
    name="PodCertificateRequest",
    plural="podcertificaterequests",
    namespaced=True,
    versions=(Version("v1", "io.k8s.api.certificates.v1.PodCertificateRequest", since=37),),
    storage="v1",
    check=_check,
    view=PodCertificateRequest,
    prepare=_prepare,
    subresources=(STATUS_ALONE,),
    selectable={
        "spec.signerName": lambda document: at(document, "spec", "signerName") or "",
        "spec.nodeName": lambda document: at(document, "spec", "nodeName") or "",
    },
    conditional=True,
    complete=True,
)
