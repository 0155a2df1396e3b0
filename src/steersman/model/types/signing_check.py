"""What is checked of CertificateSigningRequests: the request, the decision, the certificate
(pkg/apis/certificates/validation)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from steersman.model import names
from steersman.model.causes import duplicate, each, forbidden, invalid, one_of, required
from steersman.model.errors import Cause
from steersman.model.kind import Document
from steersman.model.types import certificate_check
from steersman.model.types.condition import CONDITION_STATUSES
from steersman.model.types.metadata import check_metadata

DECISIONS: Final = ("Approved", "Denied")
_DECIDED: Final = tuple(f'conditions[{{"type": "{kind}"}}]' for kind in DECISIONS)
_ONE_DECISION: Final = f"must specify at most one of: {', '.join(f'`{one}`' for one in _DECIDED)}"
_FINAL: Final = (*DECISIONS, "Failed")
_LEAST_SECONDS: Final = 600
_LEGACY_SIGNER: Final = "kubernetes.io/legacy-unknown"


def of_type(request: Document, kind: str) -> list[Document]:
    """Returns the conditions of a type."""
    conditions = (request.get("status") or {}).get("conditions") or ()
    return [one for one in conditions if one.get("type") == kind]


def check(new: Document, old: Document | None, subresource: str) -> Iterator[Cause]:
    """Yields what is wrong with a new or changed request for a certificate."""
    causes = [*_check_all(new, old), *(_check_change(new, old, subresource) if old else ())]
    yield from causes
    if old is None and not causes:  # any path segment is a name, which is read last
        name = (new.get("metadata") or {}).get("name", "")
        yield from each("metadata.name", name, names.path_segment(name))


def _check_all(new: Document, old: Document | None) -> Iterator[Cause]:
    yield from check_metadata(new, old, namespaced=False, name=lambda _name: [])
    spec, before = new.get("spec") or {}, (old or {}).get("spec") or {}
    if problem := certificate_check.request_problem(spec.get("request", "")):
        yield invalid("spec.request", spec.get("request", ""), problem)
    yield from certificate_check.check_usages(spec.get("usages") or (), before.get("usages"))
    signer = spec.get("signerName", "")
    if signer == _LEGACY_SIGNER and before.get("signerName") != _LEGACY_SIGNER:
        detail = "the legacy signerName is not allowed via this API version"
        yield invalid("spec.signerName", signer, detail)
    else:
        yield from certificate_check.check_signer(signer, "spec.signerName")
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < _LEAST_SECONDS:
        detail = "may not specify a duration less than 600 seconds (10 minutes)"
        yield invalid("spec.expirationSeconds", seconds, detail)
    yield from _check_conditions(new, old)
    issued, was = ((one or {}).get("status", {}).get("certificate", "") for one in (new, old))
    kept = old is not None and (issued == was or certificate_check.certificate_problem(was))
    if not kept and (problem := certificate_check.certificate_problem(issued)):
        yield invalid("status.certificate", "<certificate data>", problem)


def _types(request: Document | None) -> list[str]:
    conditions = ((request or {}).get("status") or {}).get("conditions") or ()
    return [one.get("type", "") for one in conditions]


def _check_conditions(new: Document, old: Document | None) -> Iterator[Cause]:
    """Yields what is wrong with the conditions; what was with the old ones may stay."""
    before = _types(old)
    both = all(kind in before for kind in DECISIONS)
    doubled, unnamed = len(set(before)) < len(before), "" in before
    seen: list[str] = []
    for index, one in enumerate((new.get("status") or {}).get("conditions") or ()):
        path, kind = f"status.conditions[{index}]", one.get("type", "")
        if not kind and not unnamed:
            yield required(f"{path}.type")
        allowed = ("True",) if kind in _FINAL else CONDITION_STATUSES
        yield from one_of(f"{path}.status", one.get("status", ""), allowed)
        if kind in seen and not doubled:
            yield duplicate(f"{path}.type", kind)
        seen.append(kind)
    if not both and all(kind in seen for kind in DECISIONS):  # declared by upstream's type
        yield invalid("status.conditions", f"{{{', '.join(_DECIDED)}}}", _ONE_DECISION)


def _check_change(new: Document, old: Document, subresource: str) -> Iterator[Cause]:
    path = "status.conditions"
    for kind in _FINAL:
        if len(of_type(new, kind)) < len(of_type(old, kind)):
            yield forbidden(path, f'updates may not remove a condition of type "{kind}"')
    for kind in () if subresource == "approval" else DECISIONS:
        now, then = of_type(new, kind), of_type(old, kind)
        if len(now) > len(then):
            yield forbidden(path, f'updates may not add a condition of type "{kind}"')
        elif len(now) == len(then) and now != then:
            yield forbidden(path, f'updates may not modify a condition of type "{kind}"')
    issued, was = (one.get("status", {}).get("certificate", "") for one in (new, old))
    if issued == was:
        return
    if subresource != "status":
        yield forbidden("status.certificate", "updates may not set certificate content")
    elif was:
        detail = "updates may not modify existing certificate content"
        yield forbidden("status.certificate", detail)
