"""Requests of kubelets for client certificates are approved where the one who asks may.

Follows pkg/controller/certificates/approver: the right is that to create a subresource of
certificatesigningrequests that nobody serves, asked by a SubjectAccessReview.
"""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Final

import msgspec

from steersman.controllers import certificate_request, conditions
from steersman.controllers.certificate_request import Asked
from steersman.model.errors import Forbidden
from steersman.model.kind import Document
from steersman.model.kinds.certificatesigningrequest import (
    CERTIFICATESIGNINGREQUEST,
    CertificateSigningRequest,
)
from steersman.model.kinds.review import SUBJECTACCESSREVIEW
from steersman.model.ref import Ref
from steersman.reconcile.actions import Patch, act_one
from steersman.reconcile.loop import Done, Given
from steersman.reconcile.rules import Rule, Watch, to_self


class Recognized(msgspec.Struct, frozen=True):
    """What a request is, and what is said when who asks may ask for that."""

    subresource: str
    message: str


SELF: Final = Recognized(
    "selfnodeclient",
    "Auto approving self kubelet client certificate after SubjectAccessReview.",
)
OTHER: Final = Recognized(
    "nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview."
)


def is_open(request: CertificateSigningRequest) -> bool:
    """Says whether nothing was decided of a request yet."""
    decided = {it.type for it in request.status.conditions} & {"Approved", "Denied"}
    return not request.status.certificate and not decided


def recognize(request: CertificateSigningRequest, asked: Asked) -> tuple[Recognized, ...]:
    """Returns as what a request may be approved, first that which asks for the least right."""
    if request.spec.signer_name != certificate_request.KUBELET_CLIENT:
        return ()
    if certificate_request.check_kubelet_client(asked, request.spec.usages):
        return ()
    own = request.spec.username == asked.common_name
    return (SELF, OTHER) if own else (OTHER,)


def render_question(request: CertificateSigningRequest, found: Recognized) -> Document:
    """Returns the SubjectAccessReview of who asked."""
    spec = request.spec
    attributes = {
        "group": certificate_request.GROUP,
        "resource": CERTIFICATESIGNINGREQUEST.plural,
        "verb": "create",
        "subresource": found.subresource,
    }
    subject: Document = {"user": spec.username, "uid": spec.uid, "groups": list(spec.groups)}
    extra = {name: list(values) for name, values in spec.extra.items()}
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {**subject, "extra": extra, "resourceAttributes": attributes},
    }


def plan(request: CertificateSigningRequest, found: Recognized) -> Patch:
    """Returns the approval of a request, as the API serves it now."""
    approved = {
        "type": "Approved",
        "status": "True",
        "reason": "AutoApproved",
        "message": found.message,
    }
    before = conditions.documents(request.status.conditions)
    fields = {"status": {"conditions": [*before, approved]}}
    metadata = request.metadata
    ref = CERTIFICATESIGNINGREQUEST.ref(*request.key)
    return Patch(ref, fields, "approval", metadata.uid, metadata.revision)


class CertificateApprovingController:
    """See `reconcile.loop.Controller`."""

    name: ClassVar[str] = "certificatesigningrequest-approving-controller"
    account: ClassVar[str] = "certificate-controller"
    watches: ClassVar[tuple[Watch, ...]] = (
        Watch(CERTIFICATESIGNINGREQUEST, partial(to_self, kind=CERTIFICATESIGNINGREQUEST)),
    )
    writes: ClassVar[tuple[Rule, ...]] = (
        Rule(certificate_request.GROUP, ("certificatesigningrequests/approval",), ("patch",)),
        Rule(certificate_request.GROUP, ("signers",), ("approve",)),
        Rule("authorization.k8s.io", ("subjectaccessreviews",), ("create",)),
    )

    def __init__(self, given: Given) -> None:
        self._given = given
        self._requests = given.views.of(CERTIFICATESIGNINGREQUEST)

    async def reconcile(self, ref: Ref) -> Done:
        """Approves one request, or raises Forbidden so that it is asked again, with back-off:
        the right may be granted later."""
        request: CertificateSigningRequest | None = self._requests.get(ref)
        if request is None or not is_open(request):
            return Done()
        kinds = recognize(request, certificate_request.read(request.spec.request))
        for found in kinds:
            if await self._may(request, found):
                await act_one(self._given.client, self._given.events, plan(request, found))
                return Done()
        if kinds:
            listed = " ".join(it.subresource for it in kinds)
            raise Forbidden(
                f'recognized csr "{ref.name}" as [{listed}] but subject access review was not '
                "approved"
            )
        return Done()

    async def _may(self, request: CertificateSigningRequest, found: Recognized) -> bool:
        question = render_question(request, found)
        answer = await self._given.client.post(SUBJECTACCESSREVIEW.ref("", ""), "", question)
        return bool((answer.get("status") or {}).get("allowed"))
