"""The finalize subresource of namespaces: who is done with a namespace says so here."""

from __future__ import annotations

from steersman.api import body
from steersman.api.call import Call
from steersman.api.metadata import overlay
from steersman.api.read import Reader
from steersman.api.write import Writer, check_name
from steersman.model import decode
from steersman.model.kind import Document
from steersman.wire.message import Response


class Finalize:
    """Answers `finalize` on namespaces: replaces spec.finalizers and what a writer may say of the
    metadata; the last finalizer ends the object."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._writer = writer
        self._reader = reader

    async def handle(self, call: Call) -> Response:
        """Stores the finalizers that remain."""
        version = call.version
        parsed = body.parse(call)
        given = decode.admit(version.definition, parsed, "Namespace", version.name).document
        check_name(call, given)

        def finalized(old: Document) -> Document:
            return overlay(old, given, [("spec", "finalizers"), ("metadata",)])

        entry = await self._writer.change(call, finalized)
        return self._reader.show(call, entry)
