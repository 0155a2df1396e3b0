"""The scale subresource: how many replicas, in a form that is the same for every kind."""

from __future__ import annotations

from typing import Any, Final

from steersman.api import body, present
from steersman.api.cache import Entry
from steersman.api.call import Call
from steersman.api.metadata import overlay
from steersman.api.patches import Patch
from steersman.api.write import Writer
from steersman.model import decode, errors, selectors
from steersman.model.errors import Cause
from steersman.model.kind import Column, Document
from steersman.model.kinds import printing
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
            given = body.read_as(call, DEFINITION)
            entry = await self._writer.change(call, lambda old: _scaled(call, old, given))
        else:
            patch = Patch.parse(call, 0.0)
            entry = await self._writer.change(
                call, lambda old: _scaled(call, old, _patched(call, patch, old))
            )
        return shown(call, scale_of(entry), self._world.now())


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
    """Returns the workload with the replicas and preconditions of a Scale."""
    replicas = (scale.get("spec") or {}).get("replicas", 0)
    if replicas < 0:
        text = f"Invalid value: {replicas}: must be greater than or equal to 0"
        cause = Cause("FieldValueInvalid", text, "spec.replicas")
        raise errors.invalid("autoscaling", "Scale", call.name, [cause])
    meta = scale.get("metadata") or {}
    wanted = {"spec": {"replicas": replicas}}
    made = overlay(old, wanted, [("spec", "replicas")])
    kept = {key: meta[key] for key in ("resourceVersion", "uid") if meta.get(key)}
    return {**made, "metadata": {**made["metadata"], **kept}}
