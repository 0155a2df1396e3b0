"""The scale subresource of custom resources: its numbers stand where the definition says.

After apiextensions' registry/customresource ScaleREST.
"""

from __future__ import annotations

from typing import Any, Final

from steersman.api.cache import Entry
from steersman.api.call import Call
from steersman.api.metadata import overlay
from steersman.api.patches import Patch
from steersman.api.subresources.scale import API_VERSION, COPIED, DEFINITION, read, shown
from steersman.api.write import Writer
from steersman.model import decode
from steersman.model.errors import BadRequest, InternalError
from steersman.model.kind import Document
from steersman.model.structural import scaling
from steersman.model.structural.scaling import NotThere, Scaling
from steersman.wire.message import Response
from steersman.world.interface import World

# Stands for replicas that were not set before (invalidSpecReplicas)
_UNSET: Final = -(2**31)


class CustomScale:
    """Answers `scale` of custom resources."""

    def __init__(self, writer: Writer, world: World) -> None:
        self._writer = writer
        self._world = world

    async def handle(self, call: Call) -> Response:
        """Answers get, update and patch."""
        scale = call.version.shape.scale if call.version.shape is not None else None
        assert scale is not None, "the kind has no scale"
        if call.attributes.verb == "get":
            asked, found = scale_of(call, call.entry(), scale)
            if not found:
                why = f'the spec replicas field "{scale.replicas}" does not exist'
                raise InternalError(f"Internal error occurred: {why}")
            return shown(call, asked, self._world.now())
        made = self._update(call) if call.attributes.verb == "update" else self._patch(call, scale)
        entry = await self._writer.change(call, lambda old: _scaled(old, made(), scale))
        return shown(call, scale_of(call, entry, scale)[0], self._world.now())

    @staticmethod
    def _update(call: Call) -> Any:
        given = read(call)
        return lambda: given

    @staticmethod
    def _patch(call: Call, scale: Scaling) -> Any:
        patch = Patch.parse(call, 0.0)

        def patched() -> Document:
            old, found = scale_of(call, call.entry(), scale)
            if not found:
                old["spec"] = {"replicas": _UNSET}
            return decode.admit(DEFINITION, patch.apply(call, old), "Scale", "v1").document

        return patched


def scale_of(call: Call, entry: Entry, scale: Scaling) -> tuple[Document, bool]:
    """Returns the Scale of an object, and whether its replicas are set; raises InternalError."""
    document = call.form.parsed(entry)
    meta = document["metadata"]
    try:
        wanted = scaling.number(document, scale.replicas)
        counted = scaling.number(document, scale.status_replicas) or 0
        selector = scaling.text(document, scale.selector) if scale.selector else ""
    except NotThere as error:
        raise InternalError(f"Internal error occurred: {error}") from None
    status: Document = {"replicas": counted}
    made = {
        "kind": "Scale",
        "apiVersion": API_VERSION,
        "metadata": {
            **{key: meta[key] for key in COPIED if key in meta},
            "resourceVersion": str(entry.revision),
        },
        "spec": {"replicas": wanted} if wanted else {},
        "status": {**status, "selector": selector} if selector else status,
    }
    return made, wanted is not None


def _scaled(old: Document, given: Document, scale: Scaling) -> Document:
    """Returns the object with the replicas and preconditions of a Scale."""
    replicas = (given.get("spec") or {}).get("replicas", 0)
    if replicas == _UNSET:
        raise BadRequest(f'the spec replicas field "{scale.replicas}" cannot be empty')
    path = scaling.keys(scale.replicas)
    wanted: Any = replicas
    for name in reversed(path):
        wanted = {name: wanted}
    meta = given.get("metadata") or {}
    kept = {key: meta[key] for key in ("resourceVersion", "uid") if meta.get(key)}
    made = overlay(old, wanted, [path])
    return {**made, "metadata": {**made["metadata"], **kept}}
