"""A client that notes what one call of `reconcile` wrote, so that the loop can wait for it.

The notes of a call travel with its task; tasks that the call starts share them. A write whose
answer was lost may have been done: its kind is noted as uncertain.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

import msgspec
from msgspec import field

from steersman.client.interface import (
    Change,
    Client,
    Deleted,
    Listing,
    PatchType,
    Propagation,
)
from steersman.model.errors import APIError
from steersman.model.kind import Document, Kind
from steersman.model.ref import Ref, Resource


class Notes(msgspec.Struct):
    """What one call of `reconcile` wrote: the last revision by resource, and where it is not
    known whether a write was done."""

    written: dict[Resource, int] = field(default_factory=dict)
    uncertain: set[Resource] = field(default_factory=set)

    def wrote(self, resource: Resource, revision: int) -> None:
        """Notes one write that was answered."""
        self.written[resource] = max(revision, self.written.get(resource, 0))

    def failed(self, resource: Resource, error: BaseException) -> None:
        """Notes a write that raised; only a refusal by the API proves that nothing was done."""
        if not isinstance(error, APIError) or error.code >= 500:
            self.uncertain.add(resource)


_current: ContextVar[Notes | None] = ContextVar("notes", default=None)


def begin() -> Notes:
    """Begins the notes of the current task's call."""
    notes = Notes()
    _current.set(notes)
    return notes


class Noting:
    """See `client.interface.Client`; passes everything on and keeps the current call's notes.

    `repeatable` promises that every write may be done twice without harm (status patches,
    deletions by uid): then a lost answer is not noted, and nobody has to ask what there is.
    """

    def __init__(self, client: Client, *, repeatable: bool = False) -> None:
        self._client = client
        self._repeatable = repeatable
        self.identity = client.identity

    async def get(self, ref: Ref) -> Any:
        """Passes on."""
        return await self._client.get(ref)

    async def read(self, path: str, query: Mapping[str, str] | None = None) -> Document:
        """Passes on."""
        return await self._client.read(path, query)

    async def write(self, path: str, document: Document) -> Document:
        """Passes on; whose object it is is not known, and it is read again before the next."""
        return await self._client.write(path, document)

    async def list(
        self, kind: Kind, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> Listing:
        """Passes on."""
        return await self._client.list(kind, namespace, labels=labels, fields=fields)

    def watch(
        self, kind: Kind, namespace: str = "", *, after: int, labels: str = "", fields: str = ""
    ) -> AsyncIterator[tuple[Change, ...]]:
        """Passes on."""
        return self._client.watch(kind, namespace, after=after, labels=labels, fields=fields)

    async def create(
        self, kind: Kind, document: Document, *, namespace: str = "", dry_run: bool = False
    ) -> Any:
        """Notes the revision of the new object."""
        work = self._client.create(kind, document, namespace=namespace, dry_run=dry_run)
        return await self._noted(kind.resource, work)

    async def patch(
        self,
        ref: Ref,
        patch: Mapping[str, Any] | Sequence[Any],
        *,
        how: PatchType = "merge",
        subresource: str = "",
        uid: str = "",
        revision: int = 0,
        dry_run: bool = False,
    ) -> Any:
        """Notes the revision of the patched object."""
        work = self._client.patch(
            ref,
            patch,
            how=how,
            subresource=subresource,
            uid=uid,
            revision=revision,
            dry_run=dry_run,
        )
        return await self._noted(ref.kind, work)

    async def update(self, ref: Ref, document: Document, *, subresource: str = "") -> Any:
        """Notes the revision of the updated object."""
        work = self._client.update(ref, document, subresource=subresource)
        return await self._noted(ref.kind, work)

    async def apply(
        self,
        ref: Ref,
        document: Document,
        *,
        manager: str,
        force: bool = False,
        subresource: str = "",
    ) -> Any:
        """Notes the revision of the applied object."""
        work = self._client.apply(
            ref, document, manager=manager, force=force, subresource=subresource
        )
        return await self._noted(ref.kind, work)

    async def delete(
        self,
        ref: Ref,
        *,
        uid: str = "",
        revision: int = 0,
        grace_seconds: int | None = None,
        propagation: Propagation = "",
    ) -> Deleted:
        """Notes the revision of the deletion."""
        work = self._client.delete(
            ref, uid=uid, revision=revision, grace_seconds=grace_seconds, propagation=propagation
        )
        deleted: Deleted = await self._noted(ref.kind, work)
        return deleted

    async def delete_collection(
        self, kind: Kind, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> None:
        """Passes on; the answer has no revision, and deleting again does no harm."""
        await self._client.delete_collection(kind, namespace, labels=labels, fields=fields)

    async def post(self, ref: Ref, subresource: str, document: Document) -> Document:
        """Passes on; what is posted is refused when it was done before."""
        return await self._client.post(ref, subresource, document)

    async def stream(self, ref: Ref, subresource: str, query: str = "") -> Any:
        """Passes on."""
        return await self._client.stream(ref, subresource, query)

    async def _noted(self, resource: Resource, work: Awaitable[Any]) -> Any:
        notes = _current.get()
        try:
            answer = await work
        except BaseException as error:
            if notes is not None and not self._repeatable:
                notes.failed(resource, error)
            raise
        if notes is not None and answer is not None:
            revision = answer.revision if isinstance(answer, Deleted) else answer.metadata.revision
            notes.wrote(resource, revision)
        return answer
