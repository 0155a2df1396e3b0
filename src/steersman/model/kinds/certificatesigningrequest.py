"""CertificateSigningRequest: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Mapping

from steersman.model import names
from steersman.model.kind import Column, Document, Kind, Subresource, Version
from steersman.model.kinds.printing import AGE, NAME, NONE, at, human_duration, text
from steersman.model.types.condition import Condition, with_kept
from steersman.model.types.signing_check import DECISIONS, check
from steersman.model.view import Object, View


class RequestSpec(View, frozen=True):
    """What is asked for, and by whom; `request` is the decoded PEM."""

    request: bytes = b""
    signer_name: str = ""
    expiration_seconds: int | None = None
    usages: tuple[str, ...] = ()
    username: str = ""
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = {}


class RequestStatus(View, frozen=True):
    """What came of it; `certificate` is the decoded PEM."""

    conditions: tuple[Condition, ...] = ()
    certificate: bytes = b""


class CertificateSigningRequest(Object, frozen=True):
    """certificates.k8s.io/v1 CertificateSigningRequest."""

    spec: RequestSpec = RequestSpec()
    status: RequestStatus = RequestStatus()


_GET_AND_CHANGE = ("get", "patch", "update")


def _prepare(new: Document, old: Document | None, subresource: str) -> Document:
    """Keeps the spec of a request, and on updates of its status what was decided."""
    if old is None:
        return {**new, "status": {}}
    new = {**new, "spec": old.get("spec") or {}}
    if subresource != "status":
        return new
    status = new.get("status") or {}
    before = (old.get("status") or {}).get("conditions") or ()
    conditions = with_kept(status.get("conditions") or (), before, DECISIONS)
    return {**new, "status": {**status, "conditions": conditions}} if conditions else new


def _condition(request: Document, _now: float) -> str:
    status = request.get("status", {})
    types = {condition.get("type") for condition in status.get("conditions") or ()}
    word = "Denied" if "Denied" in types else "Approved" if "Approved" in types else "Pending"
    word += ",Failed" if "Failed" in types else ""
    return word + (",Issued" if status.get("certificate") else "")


def _duration(request: Document, _now: float) -> str:
    seconds = at(request, "spec", "expirationSeconds")
    return NONE if seconds is None else human_duration(seconds)


_COLUMNS = (
    NAME,
    AGE,
    text("SignerName", "spec", "signerName", default=NONE),
    text("Requestor", "spec", "username"),
    Column("RequestedDuration", _duration),
    Column("Condition", _condition),
)

CERTIFICATESIGNINGREQUEST = Kind(
    group="certificates.k8s.io",
    name="CertificateSigningRequest",
    plural="certificatesigningrequests",
    namespaced=False,
    versions=(Version("v1", "io.k8s.api.certificates.v1.CertificateSigningRequest"),),
    storage="v1",
    short_names=("csr",),
    columns=_COLUMNS,
    check=check,
    name_check=names.path_segment,
    view=CertificateSigningRequest,
    prepare=_prepare,
    subresources=(
        Subresource("approval", _GET_AND_CHANGE, (("status", "conditions"), ("metadata",))),
        Subresource(
            "status",
            _GET_AND_CHANGE,
            (("status", "certificate"), ("status", "conditions"), ("metadata",)),
        ),
    ),
    selectable={"spec.signerName": lambda request: request["spec"].get("signerName", "")},
    complete=True,
)
