"""Approved requests for certificates of upstream's four signers are signed by the cluster's
authority, or marked as Failed.

Follows pkg/controller/certificates/signer. The key is not known here: `with_signer` takes who
signs with it.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from functools import partial
from typing import ClassVar, Final, Protocol

import msgspec

from steersman.controllers import certificate_request, conditions
from steersman.controllers.certificate_request import Asked
from steersman.controllers.choice import SIGNING_SECONDS
from steersman.model.kinds.certificatesigningrequest import (
    CERTIFICATESIGNINGREQUEST,
    CertificateSigningRequest,
)
from steersman.model.ref import Ref
from steersman.model.times import rfc3339
from steersman.reconcile.actions import Patch, act_one, status
from steersman.reconcile.loop import Controller, Done, Given
from steersman.reconcile.rules import Rule, Watch, to_self

# Twice what certificates are dated back
LEAST_SECONDS: Final = 600


class Order(msgspec.Struct, frozen=True):
    """What is to be signed: a request (DER), for which usages and how many seconds."""

    request: bytes
    usages: tuple[str, ...]
    seconds: int


class Signer(Protocol):
    """Who has the key of an authority."""

    def sign(self, request: bytes, usages: Sequence[str], seconds: int) -> bytes:
        """Returns the certificate (PEM) of a request (DER)."""


def awaits_signature(request: CertificateSigningRequest) -> bool:
    """Says whether a request is one of ours and is to be signed now."""
    if request.spec.signer_name not in certificate_request.SIGNERS or request.status.certificate:
        return False
    types = certificate_request.types(request)
    return "Approved" in types and not types & {"Denied", "Failed"}


def decide_seconds(asked: int | None, most: int) -> int:
    """Returns how long a certificate is good: as asked for, within bounds."""
    if asked is None or asked > most:
        return most
    return max(asked, LEAST_SECONDS)


def decide(request: CertificateSigningRequest, asked: Asked, most: int) -> Order | str:
    """Returns what is to be signed, or why the signer does not sign it."""
    spec = request.spec
    if problem := certificate_request.SIGNERS[spec.signer_name](asked, spec.usages):
        return problem
    content = certificate_request.content(spec.request)
    return Order(content, spec.usages, decide_seconds(spec.expiration_seconds, most))


def plan_failure(request: CertificateSigningRequest, problem: str, now: float) -> Patch:
    """Returns what marks a request as failed for good."""
    failed = {
        "type": "Failed",
        "status": "True",
        "reason": "SignerValidationFailure",
        "message": problem,
        "lastUpdateTime": rfc3339(now),
    }
    before = conditions.documents(request.status.conditions)
    return _patch(request, {"conditions": [*before, failed]})


def plan_certificate(request: CertificateSigningRequest, certificate: bytes) -> Patch:
    """Returns what hands a certificate over."""
    return _patch(request, {"certificate": b64encode(certificate).decode()})


def _patch(request: CertificateSigningRequest, fields: dict[str, object]) -> Patch:
    metadata = request.metadata
    ref = CERTIFICATESIGNINGREQUEST.ref(*request.key)
    return status(ref, fields, uid=metadata.uid, revision=metadata.revision)


class CertificateSigningController:
    """See `reconcile.loop.Controller`; `with_signer` gives the class for one authority."""

    name: ClassVar[str] = "certificatesigningrequest-signing-controller"
    account: ClassVar[str] = "certificate-controller"
    watches: ClassVar[tuple[Watch, ...]] = (
        Watch(CERTIFICATESIGNINGREQUEST, partial(to_self, kind=CERTIFICATESIGNINGREQUEST)),
    )
    writes: ClassVar[tuple[Rule, ...]] = (
        Rule(certificate_request.GROUP, ("certificatesigningrequests/status",), ("patch",)),
        Rule(certificate_request.GROUP, ("signers",), ("sign",)),
    )
    signer: ClassVar[Signer]
    most_seconds: ClassVar[int] = SIGNING_SECONDS

    def __init__(self, given: Given) -> None:
        self._given = given
        self._requests = given.views.of(CERTIFICATESIGNINGREQUEST)

    async def reconcile(self, ref: Ref) -> Done:
        """Signs one request, or says why it is not signed."""
        request: CertificateSigningRequest | None = self._requests.get(ref)
        if request is None or not awaits_signature(request):
            return Done()
        asked = certificate_request.read(request.spec.request)
        order = decide(request, asked, self.most_seconds)
        if isinstance(order, str):
            patch = plan_failure(request, order, self._given.world.now())
        else:
            signed = self.signer.sign(order.request, order.usages, order.seconds)
            patch = plan_certificate(request, signed)
        await act_one(self._given.client, self._given.events, patch)
        return Done()


def with_signer(signer: Signer, most_seconds: int = SIGNING_SECONDS) -> type[Controller]:
    """Returns the controller of one authority; `most_seconds` bounds how long what it signs is
    good."""
    fields = {"signer": signer, "most_seconds": most_seconds}
    return type("CertificateSigningController", (CertificateSigningController,), fields)
