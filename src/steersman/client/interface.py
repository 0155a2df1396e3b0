"""What parts know of the API: `Client`, `View` and the values they exchange.

The same calls go to the server in this process, over a Unix socket, or to another machine.
Every method raises the errors of `model.errors`; a lost connection is `client.errors.Unreachable`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol

import msgspec

from steersman.model.kind import Document, Kind
from steersman.model.ref import Ref, Resource
from steersman.wire.message import Channel, Request, Response

PatchType = Literal["merge", "strategic", "json"]
Propagation = Literal["Background", "Foreground", "Orphan", ""]


class Transport(Protocol):
    """How requests reach the API: a function call, or HTTP. A streamed body is an async iterator
    of bytes; everything else is whole bytes."""

    identity: str

    async def send(self, request: Request) -> Response:
        """Sends one request and returns its answer, errors included."""

    async def upgrade(self, request: Request) -> Channel:
        """Sends an upgrade request and returns the connection behind the 101."""

    async def close(self) -> None:
        """Releases connections."""


class Change(msgspec.Struct, frozen=True):
    """One event of a watch; `object` is the kind's view; BOOKMARK and SYNC carry None.

    `revision` is the history's revision up to which this watch has now told everything.
    """

    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    object: Any
    revision: int


class Listing(msgspec.Struct, frozen=True):
    """Views and the revision of the history at which they were all true."""

    items: tuple[Any, ...]
    revision: int


class Deleted(msgspec.Struct, frozen=True):
    """What a deletion came to: `object` is the view of what remains (finalizers, a grace period)
    or None where it is gone. `revision` is that of the deletion, 0 where nothing was written."""

    object: Any
    revision: int


class Client(Protocol):
    """Verbs on objects, as one identity. Writes take documents, reads give views."""

    identity: str

    async def get(self, ref: Ref) -> Any:
        """Returns the view of one object; raises NotFound."""

    async def read(self, path: str, query: Mapping[str, str] | None = None) -> Document:
        """Returns the document at a path: of what is no object of a kind (scales, metrics)."""

    async def write(self, path: str, document: Document) -> Document:
        """Replaces the document at a path and returns what became of it."""

    async def list(
        self, kind: Kind, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> Listing:
        """Returns all matching objects, in pages under the hood."""

    def watch(
        self, kind: Kind, namespace: str = "", *, after: int, labels: str = "", fields: str = ""
    ) -> AsyncIterator[tuple[Change, ...]]:
        """Yields changes after a revision, in order, as they come; raises Expired."""

    async def create(
        self, kind: Kind, document: Document, *, namespace: str = "", dry_run: bool = False
    ) -> Any:
        """Creates an object and returns its view; raises AlreadyExists, Invalid, Forbidden."""

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
        """Changes an object and returns its view; with `uid` or `revision` only that very one."""

    async def update(self, ref: Ref, document: Document, *, subresource: str = "") -> Any:
        """Replaces an object by a whole document and returns its view."""

    async def apply(
        self,
        ref: Ref,
        document: Document,
        *,
        manager: str,
        force: bool = False,
        subresource: str = "",
    ) -> Any:
        """Applies fields as a field manager and returns the view; raises Conflict."""

    async def delete(
        self,
        ref: Ref,
        *,
        uid: str = "",
        revision: int = 0,
        grace_seconds: int | None = None,
        propagation: Propagation = "",
    ) -> Deleted:
        """Deletes one object; raises NotFound, Conflict."""

    async def delete_collection(
        self, kind: Kind, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> None:
        """Deletes all matching objects."""

    async def post(self, ref: Ref, subresource: str, document: Document) -> Document:
        """Posts to a subresource (binding, eviction, token) and returns the answering document."""

    async def stream(self, ref: Ref, subresource: str, query: str = "") -> Channel:
        """Opens an upgraded stream (exec, attach, portforward)."""


class View(Protocol):
    """A followed copy of one kind, read without waiting. Objects are frozen and shared."""

    @property
    def revision(self) -> int:
        """The history's revision this copy has reached; 0 before the first list."""

    def get(self, ref: Ref) -> Any | None:
        """Returns the object, None where this copy has none."""

    def list(self, namespace: str = "") -> Iterable[Any]:
        """Returns the objects of a namespace, or all, in no promised order."""

    def by(self, index: str, value: str) -> Iterable[Any]:
        """Returns the objects filed under a value of an index; see `index`."""

    def index(self, name: str, values: Callable[[Any], Iterable[str]]) -> None:
        """Files objects by the values a function gives; the same name twice is the same index."""

    async def reached(self, revision: int) -> None:
        """Waits until this copy holds every change up to a revision (of a write to its kind)."""

    def listen(self, hear: Callable[[Any | None, Any | None], None]) -> Callable[[], None]:
        """Calls `hear(old, new)` for each change; None stands for absent. Returns the way out."""


class Views(Protocol):
    """The followed copies of one process: one per kind, shared by all of its parts."""

    def of(self, kind: Kind) -> View:
        """Returns the copy of a kind, beginning to follow it with the first call."""

    def metadata_of(self, kind: Kind) -> View:
        """Returns a copy that holds metadata (`model.view.Object`), and perhaps more."""

    def custom(self) -> Mapping[Resource, Kind]:
        """Returns the kinds of custom resources that are served now."""

    def on_custom(self, hear: Callable[[Kind, bool], None]) -> None:
        """Calls `hear(kind, True)` for each kind that comes, those of now included, and
        `hear(kind, False)` for each that goes; its copies are followed no more then."""

    async def synced(self) -> None:
        """Waits until every copy asked for so far has had its first list."""
