"""Requests for certificates of pods go after a quarter of an hour, come what may (KEP-4317).

Follows pkg/controller/certificates/cleaner, which looks every five minutes; this one comes when it
is time.
"""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Final

from steersman.controllers import certificate_request
from steersman.model.kinds.podcertificaterequest import PODCERTIFICATEREQUEST
from steersman.model.ref import Ref
from steersman.model.times import seconds
from steersman.reconcile.actions import Delete, act_one
from steersman.reconcile.loop import Done, Given
from steersman.reconcile.rules import Rule, Watch, to_self

LIFE_SECONDS: Final = 15 * 60.0


class PodCertificateCleanerController:
    """See `reconcile.loop.Controller`."""

    name: ClassVar[str] = "podcertificaterequestcleaner-controller"
    watches: ClassVar[tuple[Watch, ...]] = (
        Watch(PODCERTIFICATEREQUEST, partial(to_self, kind=PODCERTIFICATEREQUEST)),
    )
    writes: ClassVar[tuple[Rule, ...]] = (
        Rule(certificate_request.GROUP, ("podcertificaterequests",), ("delete",)),
    )

    def __init__(self, given: Given) -> None:
        self._given = given
        self._requests = given.views.of(PODCERTIFICATEREQUEST)

    async def reconcile(self, ref: Ref) -> Done:
        """Deletes one request whose time has come."""
        request = self._requests.get(ref)
        if request is None:
            return Done()
        metadata = request.metadata
        left = seconds(metadata.creation_timestamp) + LIFE_SECONDS - self._given.world.now()
        if left > 0:
            return Done(left)
        await act_one(self._given.client, self._given.events, Delete(ref, metadata.uid))
        return Done()
