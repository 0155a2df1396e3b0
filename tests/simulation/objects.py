"""The objects of one kind as documents, asked for over the API as any client asks: for scenarios
in which each verb of a path counts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from served import MERGE, Document, Served, Watched

from .quiet import Quiet


class Objects:
    """The objects of one kind in one namespace; what is refused fails the test."""

    def __init__(self, quiet: Quiet, group: str, plural: str, namespace: str = "default") -> None:
        self.api: Served = quiet.plane.served
        self.root = group if group == "/api/v1" else f"/apis/{group}"
        self.plural = plural
        inside = f"/namespaces/{namespace}" if namespace else ""
        self.path = f"{self.root}{inside}/{plural}"

    async def resource(self) -> Document:
        """Returns what discovery tells of the kind."""
        told: list[Document] = (await self.api.get(self.root)).ok()["resources"]
        return next(it for it in told if it["name"] == self.plural)

    async def post(self, name: str, **fields: Any) -> Document:
        """Creates."""
        metadata = {"name": name, **fields.pop("metadata", {})}
        return (await self.api.post(self.path, {"metadata": metadata, **fields})).ok()

    async def get(self, name: str, sub: str = "") -> Document:
        """Reads an object or one of its subresources."""
        return (await self.api.get(self._at(name, sub))).ok()

    async def put(self, document: Document, sub: str = "") -> Document:
        """Replaces."""
        at = self._at(document["metadata"]["name"], sub)
        return (await self.api.put(at, document)).ok()

    async def patch(self, name: str, body: Any, sub: str = "", how: str = MERGE) -> Document:
        """Patches."""
        return (await self.api.patch(self._at(name, sub), body, how)).ok()

    async def delete(self, name: str, **options: Any) -> None:
        """Deletes one; options are those of a delete request's body."""
        (await self.api.delete(self._at(name, ""), options)).ok()

    async def clear(self, labels: str) -> None:
        """Deletes a collection."""
        (await self.api.delete(self.path, labelSelector=labels)).ok()

    async def items(self, labels: str = "", *, everywhere: bool = False) -> list[Document]:
        """Returns the objects of the namespace or of all namespaces."""
        path = f"{self.root}/{self.plural}" if everywhere else self.path
        found: list[Document] = (await self.api.get(path, labelSelector=labels)).ok()["items"]
        return found

    async def names(self, labels: str = "", *, everywhere: bool = False) -> list[str]:
        """Returns their names, sorted."""
        found = await self.items(labels, everywhere=everywhere)
        return sorted(it["metadata"]["name"] for it in found)

    async def count(self, number: int, labels: str = "") -> bool:
        """Says whether there are so many; for `Quiet.until`."""
        return len(await self.items(labels)) == number

    async def watch(self, labels: str = "") -> Watched:
        """Opens a watch of what comes from now on."""
        now = str(self.api.revision)
        return await self.api.watch(self.path, labelSelector=labels, resourceVersion=now)

    def _at(self, name: str, sub: str) -> str:
        return f"{self.path}/{name}/{sub}" if sub else f"{self.path}/{name}"


async def seen(watched: Watched, kind: str, holds: Callable[[Document], bool]) -> Document:
    """Returns the first object that a watch tells in a frame of a type and of which something
    holds."""
    while True:
        frame = await watched.next()
        if frame["type"] == kind and holds(frame["object"]):
            found: Document = frame["object"]
            return found


def condition_of(document: Document, kind: str) -> Document:
    """Returns an object's condition; empty where it has none of that type."""
    found = (document.get("status") or {}).get("conditions") or ()
    return next((it for it in found if it["type"] == kind), {})
