"""Binding a pod to a node, by its subresource or by `bindings`, and how the pod subresources that
only take a document read it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import orjson

from steersman.api import body
from steersman.api.access.authorization import Attributes
from steersman.api.call import Call
from steersman.api.server import Answer
from steersman.api.write import Writer, check_namespace
from steersman.model import errors
from steersman.model.errors import BadRequest
from steersman.model.gotext import aggregate, quote
from steersman.model.kind import Document
from steersman.model.times import rfc3339
from steersman.wire.message import Request, Response, User
from steersman.world.interface import World

DEFINITIONS = {
    "Binding": "io.k8s.api.core.v1.Binding",
    "Eviction": "io.k8s.api.policy.v1.Eviction",
}
CREATED = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


class Binding:
    """Answers `binding` on pods: sets the node, once. Nobody comes to own what a binding writes: it
    goes round field management (setPodNodeAndMetadata in pkg/registry/core/pod/storage)."""

    def __init__(self, writer: Writer, world: World) -> None:
        self._writer = writer
        self._world = world

    async def handle(self, call: Call) -> Response:
        """Binds; raises Conflict where the pod has a node already."""
        given = parse(call, "Binding")
        target = given.get("target") or {}
        if mistakes := list(_mistakes(target)):
            raise BadRequest(aggregate(mistakes))
        annotations = (given.get("metadata") or {}).get("annotations") or {}
        uid = (given.get("metadata") or {}).get("uid", "")
        now = rfc3339(self._world.now())

        def bound(old: Document) -> Document:
            return bind(call, old, target["name"], annotations, uid, now)

        await self._writer.change(call, bound, owned=True)
        return Response(orjson.dumps(CREATED), 201)


class LegacyBinding:
    """Answers `bindings` (upstream's LegacyBindingREST), where the official Python client posts:
    the pod is the one that the document names. `bind` answers for the subresource of the pod that
    `resolve` finds."""

    def __init__(
        self,
        bind: Callable[[Call], Answer],
        resolve: Callable[[Request, User, Attributes], Call],
    ) -> None:
        self._bind = bind
        self._resolve = resolve

    def handle(self, call: Call) -> Answer:
        """Binds; raises as the subresource does."""
        if call.attributes.verb != "create":
            raise errors.not_allowed()
        given = body.read_as(call, DEFINITIONS["Binding"])
        name = (given.get("metadata") or {}).get("name")
        if not name:
            raise BadRequest("Name parameter required.")
        asked = call.attributes._replace(resource="pods", subresource="binding", name=name)
        return self._bind(self._resolve(call.request, call.user, asked))


def _mistakes(target: Document) -> Iterator[str]:
    """Yields what is wrong with where a pod is to go (ValidatePodBinding)."""
    kind = target.get("kind") or ""
    if kind not in ("", "Node"):
        supported = 'supported values: "Node", "<empty>"'
        yield f"target.kind: Unsupported value: {quote(kind)}: {supported}"
    if not target.get("name"):
        yield "target.name: Required value"


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
    others = [item for item in status.get("conditions") or () if item.get("type") != "PodScheduled"]
    condition = {"type": "PodScheduled", "status": "True", "lastTransitionTime": now}
    status["conditions"] = [*others, condition]
    status.pop("nominatedNodeName", None)  # it has served its end (KEP-5278)
    merged = {**(meta.get("annotations") or {}), **annotations}
    meta = {**meta, "annotations": merged} if merged else meta
    return {**old, "metadata": meta, "spec": {**spec, "nodeName": node}, "status": status}


def parse(call: Call, kind: str) -> Document:
    """Returns the body of a call about one pod, whose name it repeats; raises BadRequest."""
    given = body.read_as(call, DEFINITIONS[kind])
    check_namespace(call, given)
    if (given.get("metadata") or {}).get("name") != call.name:
        raise BadRequest(f"name in URL does not match name in {kind} object")
    checked: Document = given
    return checked
