"""For whom a node may have tokens made: what its pods' volumes name, and what it is allowed by the
verb `request-serviceaccounts-token-audience` on a resource of the audience's name.

Part of the admission plugin NodeRestriction (ServiceAccountNodeAudienceRestriction, KEP-4412).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from steersman.api.access.authorization import Attributes, Authorizer, quoted
from steersman.api.access.node_authorizer import node_of
from steersman.model.errors import forbidden
from steersman.model.kind import Document
from steersman.model.ref import Ref, Resource
from steersman.wire.message import User

VERB: Final = "request-serviceaccounts-token-audience"
_PODS: Final = Resource("", "pods")
_CLAIMS: Final = Resource("", "persistentvolumeclaims")
_VOLUMES: Final = Resource("", "persistentvolumes")
_DRIVERS: Final = Resource("storage.k8s.io", "csidrivers")

Find = Callable[[Ref], Document | None]


def check(
    user: User, namespace: str, account: str, request: Document, find: Find, authorizer: Authorizer
) -> None:
    """Refuses a node a token for somebody else; raises Forbidden. The pod that the request is bound
    to is there, as `node_restriction` has checked."""
    if node_of(user) is None:
        return
    spec = request.get("spec") or {}
    audiences = spec.get("audiences") or [""]
    if len(audiences) > 1:
        raise _refused(account, "node may only request 0 or 1 audiences")
    audience = audiences[0]
    pod = find(Ref(_PODS, namespace, spec["boundObjectRef"]["name"])) or {}
    if audience in _audiences(pod, find):
        return
    asked = Attributes(VERB, "", "v1", audience, "", namespace, account)
    if not authorizer.allowed(user, asked).allowed:
        missing = f"audience {quoted(audience)} not found in pod spec volume"
        why = f"{user.name} is not authorized to request tokens for this audience"
        raise _refused(account, f"{missing}, {why}")


def _refused(account: str, why: str) -> Exception:
    return forbidden("", "serviceaccounts", account, why)


def _audiences(pod: Document, find: Find) -> Iterator[str]:
    """Yields for whom the volumes of a pod have tokens, by themselves or by their driver."""
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        for source in (volume.get("projected") or {}).get("sources") or ():
            if (token := source.get("serviceAccountToken")) is not None:
                yield token.get("audience") or ""
        if driver := _driver(pod, volume, find):
            found = find(Ref(_DRIVERS, "", driver)) or {}
            for wanted in (found.get("spec") or {}).get("tokenRequests") or ():
                yield wanted.get("audience") or ""


def _driver(pod: Document, volume: Document, find: Find) -> str:
    """Returns the name of a volume's CSI driver; "" where it has none."""
    if (inline := volume.get("csi")) is not None:
        return str(inline.get("driver") or "")
    meta = pod["metadata"]
    name = (volume.get("persistentVolumeClaim") or {}).get("claimName")
    if volume.get("ephemeral") is not None:
        name = f"{meta['name']}-{volume['name']}"
    if not name:
        return ""
    claim = find(Ref(_CLAIMS, meta["namespace"], name)) or {}
    bound = (claim.get("spec") or {}).get("volumeName")
    found = (find(Ref(_VOLUMES, "", bound)) or {}) if bound else {}
    return str(((found.get("spec") or {}).get("csi") or {}).get("driver") or "")
