"""Who may answer a PodCertificateRequest, and when: a signer with the right to sign, whose
certificate begins about now (pkg/registry/certificates/podcertificaterequest, KEP-4317)."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from datetime import datetime
from typing import Final

from steersman.api.access.authorization import Attributes, Authorizer, quoted
from steersman.api.admission.chain import Change, Plugin
from steersman.api.call import Call
from steersman.model import causes, errors
from steersman.model.errors import Cause
from steersman.model.kind import Document
from steersman.model.types.pod_certificate_check import outcome_of
from steersman.world.interface import World

GROUP: Final = "certificates.k8s.io"
_KIND: Final = "PodCertificateRequest"
_NEAR_SECONDS: Final = 300.0  # clocks of signers may differ from the server's by that


class PodCertificates(Plugin):
    """An admission plugin; see the module."""

    name = "PodCertificates"
    about = frozenset({_KIND})

    def __init__(self, authorizer: Authorizer, world: World) -> None:
        self._authorizer = authorizer
        self._world = world

    def check(self, change: Change) -> None:
        """Refuses an answer of somebody who may not sign, or of another time."""
        call, new = change.call, change.new
        if not _is_own(call) or change.subresource != "status" or new is None:
            return
        if new.get("status") == (change.old or {}).get("status"):
            return
        if found := list(self._found(call, new)):
            raise errors.invalid(GROUP, _KIND, new["metadata"].get("name", ""), found)

    def _found(self, call: Call, new: Document) -> Iterator[Cause]:
        status = new.get("status") or {}
        begin = status.get("notBefore")
        if outcome_of(status) == "Issued" and begin:
            distance = datetime.fromisoformat(begin).timestamp() - self._world.wire_now()
            if abs(distance) >= _NEAR_SECONDS:
                detail = "must be set to within 5 minutes of kube-apiserver's current time"
                yield causes.invalid("status.notBefore", begin, detail)
                return
        signer = (new.get("spec") or {}).get("signerName") or ""
        if not self._may_sign(call, signer):
            who = f"User {quoted(call.user.name)}"
            detail = f'{who} is not permitted to "sign" for signer {quoted(signer)}'
            yield causes.forbidden("spec.signerName", detail)

    def _may_sign(self, call: Call, signer: str) -> bool:
        """Says whether the user may sign for a signer, or for all of its domain."""
        names = (signer, f"{signer.partition('/')[0]}/*")
        asked = (Attributes("sign", GROUP, "*", "signers", name=name) for name in names)
        return any(self._authorizer.allowed(call.user, one).allowed for one in asked)

    def rests_on(self, call: Call, meta: Document) -> Hashable | None:
        """Rests on nothing for other kinds."""
        return None if _is_own(call) else ()


def _is_own(call: Call) -> bool:
    return call.kind.name == _KIND and call.kind.group == GROUP
