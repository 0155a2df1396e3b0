"""What upstream's strategies note of the request itself: who asks for a certificate, and when a
condition or a phase changed (pkg/registry/certificates, pkg/registry/core/persistentvolume)."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from steersman.api.admission.chain import Change, Plugin
from steersman.api.call import Call
from steersman.model.kind import Document
from steersman.model.times import rfc3339
from steersman.world.interface import World

_REQUESTER = ("username", "uid", "groups", "extra")


class Recording(Plugin):
    """See the module."""

    name = "Recording"
    about = frozenset({"CertificateSigningRequest", "PersistentVolume", "PodCertificateRequest"})

    def __init__(self, world: World) -> None:
        self._world = world

    def admit(self, change: Change) -> Document | None:
        """Returns the document with what is noted, None for other kinds."""
        call, new, old = change.call, change.new, change.old
        plural = (call.kind.group, call.kind.plural)
        if new is None:
            return None
        if plural == ("certificates.k8s.io", "certificatesigningrequests"):
            if change.operation == "CREATE":
                return _with_requester(change, new)
            if call.subresource and old is not None:
                return _with_times(new, old, rfc3339(self._world.now()))
        of_pods = plural == ("certificates.k8s.io", "podcertificaterequests")
        if of_pods and call.subresource == "status" and old is not None:
            return _with_times(new, old, rfc3339(self._world.now()), updates=False)
        if plural == ("", "persistentvolumes") and call.subresource and old is not None:
            return _with_transition(new, old, rfc3339(self._world.now()))
        return None

    def rests_on(self, call: Call, meta: Document) -> Hashable | None:
        """Rests on the object alone, but where the writer is noted."""
        return None if call.kind.group == "certificates.k8s.io" else ()


def _with_requester(change: Change, new: Document) -> Document:
    """Says who asks, whatever the body says."""
    user = change.call.user
    spec = new.get("spec") or {}
    kept = {name: value for name, value in spec.items() if name not in _REQUESTER}
    extra = {name: list(values) for name, values in user.extra.items()}
    found = zip(_REQUESTER, (user.name, user.uid, list(user.groups), extra), strict=True)
    return {**new, "spec": {**kept, **{name: value for name, value in found if value}}}


def _with_times(new: Document, old: Document, now: str, *, updates: bool = True) -> Document:
    """Gives conditions the times that they lack; not all say when they were updated."""
    status = new.get("status") or {}
    before = (old.get("status") or {}).get("conditions") or ()
    conditions = [
        _timed(one, before, now, updates=updates) for one in status.get("conditions") or ()
    ]
    return {**new, "status": {**status, "conditions": conditions}} if conditions else new


def _timed(
    condition: Document, before: Sequence[Document], now: str, *, updates: bool = True
) -> Document:
    if not condition.get("lastTransitionTime"):
        same = (
            one.get("lastTransitionTime")
            for one in before
            if all(one.get(name) == condition.get(name) for name in ("type", "status"))
        )
        condition = {**condition, "lastTransitionTime": next(filter(None, same), now)}
    said = condition.get("lastUpdateTime") or not updates
    return condition if said else {**condition, "lastUpdateTime": now}


def _with_transition(new: Document, old: Document, now: str) -> Document:
    """Says since when a volume is in another phase, unless the request does."""
    status, before = new.get("status") or {}, old.get("status") or {}
    name = "lastPhaseTransitionTime"
    since = status.get(name)
    if status.get("phase") == before.get("phase"):
        made = since or before.get(name)
    else:
        made = since if since and since != before.get(name) else now
    return new if made == since else {**new, "status": {**status, name: made}}
