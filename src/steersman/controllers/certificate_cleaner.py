"""Requests for certificates go some time after what became of them is known.

Follows pkg/controller/certificates/cleaner, which looks every hour; this one comes when it is time.
"""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Final

from steersman.controllers import certificate_request
from steersman.model.kinds.certificatesigningrequest import (
    CERTIFICATESIGNINGREQUEST,
    CertificateSigningRequest,
)
from steersman.model.ref import Ref
from steersman.model.times import seconds
from steersman.model.types.certificate_check import pem_blocks
from steersman.reconcile.actions import Delete, act_one
from steersman.reconcile.loop import Done, Given
from steersman.reconcile.rules import Rule, Watch, to_self

ISSUED_SECONDS: Final = 3600.0
DENIED_SECONDS: Final = 3600.0
FAILED_SECONDS: Final = 3600.0
PENDING_SECONDS: Final = 24 * 3600.0


def expires_at(request: CertificateSigningRequest) -> float | None:
    """Returns when a request goes, in cluster time; None where nothing says so."""
    created = request.metadata.creation_timestamp
    if not request.status.conditions:
        return seconds(created) + PENDING_SECONDS if created is not None else None
    issued = bool(request.status.certificate)
    after = {
        "Approved": ISSUED_SECONDS if issued else PENDING_SECONDS,
        "Denied": DENIED_SECONDS,
        "Failed": FAILED_SECONDS,
    }
    times = [
        seconds(it.last_update_time) + after[it.type]
        for it in request.status.conditions
        if it.type in after and it.last_update_time is not None
    ]
    if issued and any(it.type == "Approved" for it in request.status.conditions):
        times.append(_ends(request.status.certificate))
    return min(times, default=None)


def _ends(certificate: bytes) -> float:
    """Returns when a certificate (PEM), which the API checked, ends."""
    from cryptography import x509

    block = next(pem_blocks(certificate.decode("latin-1")))
    return x509.load_der_x509_certificate(block.content).not_valid_after_utc.timestamp()


def plan(request: CertificateSigningRequest) -> Delete:
    """Returns the deletion of a request as it is now."""
    metadata = request.metadata
    ref = CERTIFICATESIGNINGREQUEST.ref(*request.key)
    return Delete(ref, metadata.uid, metadata.revision)


class CertificateCleanerController:
    """See `reconcile.loop.Controller`."""

    name: ClassVar[str] = "certificatesigningrequest-cleaner-controller"
    account: ClassVar[str] = "certificate-controller"
    watches: ClassVar[tuple[Watch, ...]] = (
        Watch(CERTIFICATESIGNINGREQUEST, partial(to_self, kind=CERTIFICATESIGNINGREQUEST)),
    )
    writes: ClassVar[tuple[Rule, ...]] = (
        Rule(certificate_request.GROUP, ("certificatesigningrequests",), ("delete",)),
    )

    def __init__(self, given: Given) -> None:
        self._given = given
        self._requests = given.views.of(CERTIFICATESIGNINGREQUEST)

    async def reconcile(self, ref: Ref) -> Done:
        """Deletes one request whose time has come."""
        request: CertificateSigningRequest | None = self._requests.get(ref)
        at = None if request is None else expires_at(request)
        if request is None or at is None:
            return Done()
        left = at - self._given.world.now()
        if left > 0:
            return Done(left)
        await act_one(self._given.client, self._given.events, plan(request))
        return Done()
