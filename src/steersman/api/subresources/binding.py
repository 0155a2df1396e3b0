"""Binding a pod to a node, and how the pod subresources that only take a document read it."""

from __future__ import annotations

import orjson

from steersman.api import body
from steersman.api.call import Call
from steersman.api.write import Writer
from steersman.model import errors
from steersman.model.errors import BadRequest
from steersman.model.kind import Document
from steersman.model.times import rfc3339
from steersman.wire.message import Response
from steersman.world.interface import World

DEFINITIONS = {
    "Binding": "io.k8s.api.core.v1.Binding",
    "Eviction": "io.k8s.api.policy.v1.Eviction",
}
CREATED = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


class Binding:
    """Answers `binding` on pods: sets the node, once."""

    def __init__(self, writer: Writer, world: World) -> None:
        self._writer = writer
        self._world = world

    async def handle(self, call: Call) -> Response:
        """Binds; raises Conflict where the pod has a node already."""
        given = parse(call, "Binding")
        target = given.get("target") or {}
        if target.get("kind", "Node") not in ("", "Node") or not target.get("name"):
            raise BadRequest("target.name: Required value" if not target.get("name") else _KIND)
        annotations = (given.get("metadata") or {}).get("annotations") or {}
        uid = (given.get("metadata") or {}).get("uid", "")
        now = rfc3339(self._world.now())

        def bound(old: Document) -> Document:
            return bind(call, old, target["name"], annotations, uid, now)

        await self._writer.change(call, bound)
        return Response(orjson.dumps(CREATED), 201)


_KIND = 'target.kind: Unsupported value: supported values: "Node", "<empty>"'


def bind(
    call: Call, old: Document, node: str, annotations: dict[str, str], uid: str, now: str
) -> Document:
    """Returns the pod with its node and the condition that says so (pod BindingREST.assignPod)."""
    meta, spec = old["metadata"], old["spec"]
    why = ""
    if uid and uid != meta["uid"]:
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {meta['uid']}"
    elif meta.get("deletionTimestamp"):
        why = f"pod {call.name} is being deleted, cannot be assigned to a host"
    elif spec.get("nodeName"):
        why = f'pod {call.name} is already assigned to node "{spec["nodeName"]}"'
    elif spec.get("schedulingGates"):
        why = f"pod {call.name} has non-empty .spec.schedulingGates"
    if why:
        raise errors.conflict("", "pods/binding", call.name, why)
    status = dict(old.get("status") or {})
    others = [item for item in status.get("conditions") or () if item["type"] != "PodScheduled"]
    condition = {"type": "PodScheduled", "status": "True", "lastTransitionTime": now}
    status["conditions"] = [*others, condition]
    status.pop("nominatedNodeName", None)  # it has served its end (KEP-5278)
    merged = {**(meta.get("annotations") or {}), **annotations}
    meta = {**meta, "annotations": merged} if merged else meta
    return {**old, "metadata": meta, "spec": {**spec, "nodeName": node}, "status": status}


def parse(call: Call, kind: str) -> Document:
    """Returns the body of a call about one pod, whose name it may repeat; raises BadRequest."""
    given = body.read_as(call, DEFINITIONS[kind])
    name = (given.get("metadata") or {}).get("name")
    if name and name != call.name:
        raise BadRequest("name in URL does not match name in object")
    checked: Document = given
    return checked
