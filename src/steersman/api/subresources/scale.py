"""The scale subresource: how many replicas, in a form that is the same for every kind."""

from __future__ import annotations

from typing import Any, Final

from steersman.api import body, present
from steersman.api.cache import Entry
from steersman.api.call import Call
from steersman.api.metadata import overlay
from steersman.api.patches import Patch
from steersman.api.write import Writer, check_name, check_namespace
from steersman.model import causes, decode, errors, selectors
from steersman.model.kind import Column, Document
from steersman.model.kinds import printing
from steersman.model.types.metadata import check_metadata
from steersman.wire.message import Response
from steersman.world.interface import World

DEFINITION = "io.k8s.api.autoscaling.v1.Scale"
API_VERSION = "autoscaling/v1"
COLUMNS: Final = (
    Column("Name", printing.field("metadata", "name")),
    Column("Desired", printing.field("spec", "replicas", default=0), "integer"),
    Column("Available", printing.field("status", "replicas", default=0), "integer"),
    Column("Age", printing.age),
)
COPIED = ("name", "namespace", "uid", "creationTimestamp")


class Scale:
    """Answers `scale` on workloads whose replicas stand in spec.replicas."""

    def __init__(self, writer: Writer, world: World) -> None:
        self._writer = writer
        self._world = world

    async def handle(self, call: Call) -> Response:
        """Answers get, update and patch."""
        verb = call.attributes.verb
        if verb == "get":
            return shown(call, scale_of(call.entry()), self._world.now())
        if verb == "update":
            given = read(call)
            entry = await self._writer.change(call, lambda old: _scaled(call, old, given))
        else:
            patch = Patch.parse(call, 0.0)
            entry = await self._writer.change(
                call, lambda old: _scaled(call, old, _patched(call, patch, old))
            )
        return shown(call, scale_of(entry), self._world.now())


def read(call: Call) -> Document:
    """Returns the Scale of an update's body; raises BadRequest where it is another object's."""
    given = body.read_as(call, DEFINITION)
    check_namespace(call, given)
    check_name(call, given)
    return given


def shown(call: Call, scale: Document, now: float) -> Response:
    """Returns a Scale as the client wants it."""
    include = call.request.param("includeObject")
    return Response(present.made(scale, COLUMNS, call.presentation, include, now))


def scale_of(entry: Entry) -> Document:
    """Returns the Scale of a stored workload."""
    document = entry.document()
    meta, spec = document["metadata"], document.get("spec") or {}
    status = document.get("status") or {}
    selector = spec.get("selector")
    if isinstance(selector, dict) and ("matchLabels" in selector or "matchExpressions" in selector):
        text = str(selectors.of_document(selector))
    else:
        text = ",".join(f"{key}={value}" for key, value in sorted((selector or {}).items()))
    shown: dict[str, Any] = {key: meta[key] for key in COPIED if key in meta}
    counted = {"replicas": status.get("replicas", 0)}
    return {
        "kind": "Scale",
        "apiVersion": API_VERSION,
        "metadata": {**shown, "resourceVersion": str(entry.revision)},
        "spec": {"replicas": spec.get("replicas", 0)} if spec.get("replicas") else {},
        "status": {**counted, "selector": text} if text else counted,
    }


def _patched(call: Call, patch: Patch, old: Document) -> Document:
    entry = call.entry()
    del old
    made = patch.apply(call, scale_of(entry))
    return decode.admit(DEFINITION, made, "Scale", "v1").document


def _scaled(call: Call, old: Document, scale: Document) -> Document:
    """Returns the workload with the replicas and preconditions of a Scale (ValidateScale)."""
    replicas = (scale.get("spec") or {}).get("replicas", 0)
    meta = {"namespace": call.namespace, **(scale.get("metadata") or {})}
    wrong = [
        *check_metadata({"metadata": meta}, None),
        *causes.not_negative("spec.replicas", replicas),
    ]
    if wrong:
        raise errors.invalid("autoscaling", "Scale", call.name, wrong)
    uid, wanted = old["metadata"]["uid"], meta.get("uid")
    if wanted and wanted != uid:
        why = f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {uid}"
        raise errors.conflict(call.kind.group, f"{call.kind.plural}/scale", call.name, why)
    made = overlay(old, {"spec": {"replicas": replicas}}, [("spec", "replicas")])
    if revision := meta.get("resourceVersion"):
        made = {**made, "metadata": {**made["metadata"], "resourceVersion": revision}}
    return made
