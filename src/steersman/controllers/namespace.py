"""Namespace: empties a namespace that is being deleted, says what is left, and lets it go.

Pods go first, the rest when they are gone (KEP-5080). Follows pkg/controller/namespace.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, ClassVar

import msgspec

from steersman.client.interface import Views
from steersman.controllers import conditions
from steersman.model import builtin
from steersman.model.errors import APIError
from steersman.model.kind import Document, Kind
from steersman.model.kinds.event import EVENT
from steersman.model.kinds.namespace import NAMESPACE, Namespace
from steersman.model.kinds.pod import POD
from steersman.model.ref import Ref, Resource
from steersman.reconcile.actions import Patch, act_one, status
from steersman.reconcile.loop import Done, Given
from steersman.reconcile.rules import Rule, Watch, to_self

FINALIZER = "kubernetes"
# Of these there is no copy, since nothing else needs one and there may be more than of all others
UNFOLLOWED = EVENT
# Events go at once where no finalizer keeps them, and nobody tells when one has gone
EVENTS_SECONDS = 5.0
Objects = Mapping[Resource, list[Any]]
_FAILURE = "NamespaceDeletionContentFailure"


def contents() -> tuple[Kind, ...]:
    """Returns the kinds of which a namespace may hold objects that can be deleted."""
    return tuple(
        kind
        for kind in builtin.all()
        if kind.namespaced and kind.stored and kind.stored_with is None and "delete" in kind.verbs
    )


class Left(msgspec.Struct, frozen=True):
    """What a namespace still holds: objects by resource, and finalizers by name; `failures` are
    refusals while deleting."""

    objects: Mapping[Resource, int]
    finalizers: Mapping[str, int]
    failures: tuple[str, ...] = ()


def _left(objects: Objects, refused: Iterable[APIError]) -> Left:
    """Counts what is left; what could not be deleted is told by its refusal alone
    (namespace/deletion/namespaced_resources_deleter.go)."""
    finalizers = Counter(
        name for found in objects.values() for item in found for name in item.metadata.finalizers
    )
    counts = {resource: len(found) for resource, found in objects.items()}
    return Left(counts, finalizers, tuple(error.message for error in refused))


def plan_status(namespace: Namespace, left: Left, now: float) -> Patch | None:
    """Returns the patch of the five conditions, None where they are right."""
    old = conditions.documents(namespace.status.conditions)
    found = list(old)
    for new in _conditions(left, now):
        found = _put(found, new)
    if found == old:
        return None
    metadata = namespace.metadata
    ref = NAMESPACE.ref("", metadata.name)
    return status(ref, {"conditions": found}, uid=metadata.uid, revision=metadata.revision)


def _put(found: list[Document], new: Document) -> list[Document]:
    """Returns the conditions with one set in its place; its time moves only with its status or
    text (namespace/deletion/status_condition_utils.go)."""
    old = conditions.find(found, new["type"])
    if old is None:
        return [*found, new]
    if all(old.get(name) == new[name] for name in ("status", "reason", "message")):
        return found
    return [new if item is old else item for item in found]


def _conditions(left: Left, now: float) -> list[Document]:
    make = partial(conditions.make, now=now)
    found = [
        make(
            "NamespaceDeletionDiscoveryFailure",
            "False",
            "ResourcesDiscovered",
            "All resources successfully discovered",
        ),
        make(
            "NamespaceDeletionGroupVersionParsingFailure",
            "False",
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
    ]
    if left.failures:
        text = f"Failed to delete all resource types, {len(left.failures)} remaining: "
        text += ", ".join(sorted(left.failures))
        found.append(make(_FAILURE, "True", "ContentDeletionFailed", text))
    else:
        text = "All content successfully deleted, may be waiting on finalization"
        found.append(make(_FAILURE, "False", "ContentDeleted", text))
    return [*found, _remaining(left, now), _finalizers(left, now)]


def _remaining(left: Left, now: float) -> Document:
    counts = {resource: count for resource, count in left.objects.items() if count}
    if not counts:
        text = "All content successfully removed"
        return conditions.make("NamespaceContentRemaining", "False", "ContentRemoved", text, now)
    listed = sorted(
        f"{resource.plural}.{resource.group} has {count} resource instances"
        for resource, count in counts.items()
    )
    text = f"Some resources are remaining: {', '.join(listed)}"
    return conditions.make("NamespaceContentRemaining", "True", "SomeResourcesRemain", text, now)


def _finalizers(left: Left, now: float) -> Document:
    kind = "NamespaceFinalizersRemaining"
    if not left.finalizers:
        text = "All content-preserving finalizers finished"
        return conditions.make(kind, "False", "ContentHasNoFinalizers", text, now)
    listed = sorted(
        f"{name} in {count} resource instances" for name, count in left.finalizers.items()
    )
    text = f"Some content in the namespace has finalizers remaining: {', '.join(listed)}"
    return conditions.make(kind, "True", "SomeFinalizersRemain", text, now)


def finalized(namespace: Namespace) -> Document:
    """Returns the namespace as it is sent to `finalize`: without our finalizer."""
    metadata = namespace.metadata
    kept = [name for name in namespace.spec.finalizers if name != FINALIZER]
    named = {
        "name": metadata.name,
        "uid": metadata.uid,
        "resourceVersion": metadata.resource_version,
    }
    spec = {"finalizers": kept}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": named, "spec": spec}


def _of_content(views: Views, old: Any | None, new: Any | None) -> Iterable[Ref]:
    """Maps what goes from, or still comes into, a namespace that is being deleted to it."""
    found = new if new is not None else old
    if found is None or (new is not None and old is not None):
        return ()
    ref = NAMESPACE.ref("", found.metadata.namespace)
    namespace = views.of(NAMESPACE).get(ref)
    if namespace is None or namespace.metadata.deletion_timestamp is None:
        return ()
    return (ref,)


def _content(kind: Kind) -> Watch | None:
    """Returns how a kind of content is followed, None where a namespace holds none of it."""
    return Watch(kind, _of_content, metadata=True) if kind.namespaced else None


class NamespaceController:
    """See `reconcile.loop.Controller`."""

    custom = staticmethod(_content)

    name: ClassVar[str] = "namespace-controller"
    watches: ClassVar[tuple[Watch, ...]] = (
        Watch(NAMESPACE, partial(to_self, kind=NAMESPACE)),
        *(Watch(kind, _of_content, metadata=True) for kind in contents() if kind is not UNFOLLOWED),
    )
    writes: ClassVar[tuple[Rule, ...]] = (
        Rule("", ("namespaces",), ("delete", "get", "list", "watch")),
        Rule("", ("namespaces/finalize", "namespaces/status"), ("update", "patch")),
        Rule("*", ("*",), ("delete", "deletecollection", "get", "list")),
    )

    def __init__(self, given: Given) -> None:
        self._given = given
        self._namespaces = given.views.of(NAMESPACE)
        self._built_in = contents()

    async def reconcile(self, ref: Ref) -> Done:
        """Takes a deleted namespace one step nearer to its end."""
        namespace: Namespace | None = self._namespaces.get(ref)
        if namespace is None or namespace.metadata.deletion_timestamp is None:
            return Done()
        if FINALIZER not in namespace.spec.finalizers:
            return Done()
        objects = self._objects(ref.name)
        followed = any(objects.values())
        if not followed:
            objects = await self._objects_surely(ref.name)
        if any(objects.values()):
            await self._empty(namespace, objects)
            return Done(None if followed else EVENTS_SECONDS)
        await self._tell(namespace, Left({}, {}))
        fresh: Namespace = await self._given.client.get(ref)
        await self._given.client.update(ref, finalized(fresh), subresource="finalize")
        return Done()

    def _contents(self) -> tuple[Kind, ...]:
        customs = self._given.views.custom().values()
        return (*self._built_in, *(kind for kind in customs if kind.namespaced))

    def _objects(self, name: str) -> Objects:
        views = self._given.views
        found = {}
        for kind in self._contents():
            if kind is not UNFOLLOWED:
                found[kind.resource] = list(views.metadata_of(kind).list(name))
        return found

    async def _objects_surely(self, name: str) -> Objects:
        """Asks the API itself: a view may not have what came last."""
        found = {}
        for kind in self._contents():
            found[kind.resource] = list((await self._given.client.list(kind, name)).items)
        return found

    async def _empty(self, namespace: Namespace, objects: Objects) -> None:
        """Deletes what is there and tells what is left; raises the first refusal in the end."""
        refused: dict[Resource, APIError] = {}
        pods_first = bool(objects.get(POD.resource))
        for kind in self._contents():
            if pods_first and kind.resource != POD.resource:
                continue
            found = objects.get(kind.resource)
            if found is None or any(it.metadata.deletion_timestamp is None for it in found):
                try:
                    await self._given.client.delete_collection(kind, namespace.metadata.name)
                except APIError as error:
                    refused[kind.resource] = error
        left = {resource: found for resource, found in objects.items() if resource not in refused}
        await self._tell(namespace, _left(left, refused.values()))
        for refusal in refused.values():
            raise refusal

    async def _tell(self, namespace: Namespace, left: Left) -> None:
        patch = plan_status(namespace, left, self._given.world.now())
        if patch is not None:
            await act_one(self._given.client, self._given.events, patch)
