"""Garbage collection by owner references: what has lost all owners goes, in the background or
before its owner; or is left as an orphan.

An owner is absent only when the API itself says so; views alone never kill. Follows
pkg/controller/garbagecollector.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, ClassVar

import msgspec
from msgspec.structs import replace

from steersman.client.interface import Propagation, Views
from steersman.model import builtin
from steersman.model.errors import NotFound
from steersman.model.kind import Document, Kind
from steersman.model.kinds.namespace import NAMESPACE
from steersman.model.ref import Ref, Resource
from steersman.model.view import Object, OwnerReference
from steersman.reconcile.actions import Action, Delete, Patch, act
from steersman.reconcile.events import Said, about_ref
from steersman.reconcile.loop import Done, Given
from steersman.reconcile.rules import Rule, Watch

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
BY_OWNER = "owner uid"  # index: objects by the uids of all of their owners
MAX_ABSENT = 500  # upstream's absentOwnerCache


@cache
def collected() -> dict[Resource, Kind]:
    """Returns the kinds that may own or be owned; events are neither (DefaultIgnoredResources)."""
    return {
        kind.resource: kind
        for kind in builtin.all()
        if kind.stored and "delete" in kind.verbs and kind.plural != "events"
    }


def owners(found: Any) -> tuple[str, ...]:
    """Index values: the uids of an object's owners."""
    references = found.metadata.owner_references
    return tuple({owner.uid for owner in references}) if references else ()


class Owners(msgspec.Struct, frozen=True):
    """An object's owner references by what became of the owners."""

    solid: tuple[OwnerReference, ...] = ()
    absent: tuple[OwnerReference, ...] = ()
    waiting: tuple[OwnerReference, ...] = ()  # deleted in the foreground: wait for us


class Dependent(msgspec.Struct, frozen=True):
    """An object and the reference it is named by."""

    ref: Ref
    object: Object


def plan_dependent(ref: Ref, found: Object, of: Owners, dependents: int) -> list[Action]:
    """Decides on an object with owners: keep it, drop dead references, or delete it."""
    metadata = found.metadata
    dead = {owner.uid for owner in (*of.absent, *of.waiting)}
    if not dead:
        return []
    if of.solid:
        return [_without_owners(ref, found, dead)]
    if metadata.deletion_timestamp is not None:
        return []
    policy: Propagation = "Background"
    if ORPHAN in metadata.finalizers:
        policy = "Orphan"
    elif FOREGROUND in metadata.finalizers or (of.waiting and dependents):
        policy = "Foreground"
    return [Delete(ref, metadata.uid, metadata.revision, propagation=policy)]


def plan_circle(
    ref: Ref, found: Object, of: Owners, dependents: Sequence[Dependent]
) -> list[Action]:
    """Has an object that is to go before its owner hold nobody back where a dependent of its own
    waits already: in a circle of owners each would wait for the next for ever."""
    metadata = found.metadata
    if of.solid or not of.waiting or metadata.deletion_timestamp is not None:
        return []
    if not any(is_waiting(item.object) for item in dependents):
        return []
    if not any(owner.block_owner_deletion for owner in metadata.owner_references):
        return []
    free = [replace(it, block_owner_deletion=False) for it in metadata.owner_references]
    patch: Document = {"metadata": {"ownerReferences": [_document(owner) for owner in free]}}
    return [Patch(ref, patch, uid=metadata.uid, revision=metadata.revision)]


def plan_owner(ref: Ref, found: Object, dependents: Sequence[Dependent]) -> list[Action]:
    """Decides on an object that is being deleted with a policy for its dependents."""
    finalizers = found.metadata.finalizers
    if ORPHAN in finalizers:
        uids = {found.metadata.uid}
        released: list[Action] = [
            _without_owners(item.ref, item.object, uids) for item in dependents
        ]
        return [*released, _without_finalizer(ref, found, ORPHAN)]
    if FOREGROUND not in finalizers:
        return []
    blocking = [item for item in dependents if _blocks(item.object, found.metadata.uid)]
    return [] if blocking else [_without_finalizer(ref, found, FOREGROUND)]


def _blocks(found: Object, uid: str) -> bool:
    references = found.metadata.owner_references
    return any(owner.uid == uid and owner.block_owner_deletion for owner in references)


def _without_owners(ref: Ref, found: Object, uids: set[str]) -> Patch:
    kept = [_document(it) for it in found.metadata.owner_references if it.uid not in uids]
    patch: Document = {"metadata": {"ownerReferences": kept or None}}
    return Patch(ref, patch, uid=found.metadata.uid, revision=found.metadata.revision)


def _document(owner: OwnerReference) -> Document:
    made: Document = {
        "apiVersion": owner.api_version,
        "kind": owner.kind,
        "name": owner.name,
        "uid": owner.uid,
    }
    if owner.controller:
        made["controller"] = True
    if owner.block_owner_deletion:
        made["blockOwnerDeletion"] = True
    return made


def _without_finalizer(ref: Ref, found: Object, finalizer: str) -> Patch:
    kept = [name for name in found.metadata.finalizers if name != finalizer]
    patch: Document = {"metadata": {"finalizers": kept or None}}
    return Patch(ref, patch, uid=found.metadata.uid, revision=found.metadata.revision)


def is_waiting(owner: Object) -> bool:
    """Says whether an owner is being deleted and waits for its dependents."""
    return owner.metadata.deletion_timestamp is not None and FOREGROUND in owner.metadata.finalizers


def kind_of(owner: OwnerReference, views: Views) -> Kind | None:
    """Returns the kind that an owner reference names, None where it is not known here."""
    group, _, version = owner.api_version.rpartition("/")
    if (found := builtin.by_kind(group, version, owner.kind)) is not None:
        return found
    for kind in views.custom().values():
        if (kind.group, kind.name) == (group, owner.kind) and kind.version(version) is not None:
            return kind
    return None


def all_collected(views: Views) -> dict[Resource, Kind]:
    """Returns the kinds that may own or be owned, those of custom resources too."""
    return {**collected(), **views.custom()}


def owner_ref(kind: Kind, owner: OwnerReference, namespace: str) -> Ref:
    """Returns the reference to an owner of an object in a namespace."""
    return kind.ref(namespace if kind.namespaced else "", owner.name)


def dependents_of(views: Views, uid: str) -> list[Dependent]:
    """Returns all objects that name an owner by its uid."""
    return [
        Dependent(kind.ref(*found.key), found)
        for kind in all_collected(views).values()
        for found in views.metadata_of(kind).by(BY_OWNER, uid)
    ]


def _to(kind: Kind, views: Views, old: Object | None, new: Object | None) -> Iterable[Ref]:
    """Maps a change to the object itself where it has owners or waits for dependents; what is
    gone maps to its dependents and to the owners that wait for it."""
    either = new if new is not None else old
    assert either is not None
    found: dict[Ref, None] = {}
    matters = new is not None and (old is None or _terms(old) != _terms(new))
    if new is not None and matters and (owners(new) or _ends_with_policy(new)):
        found[kind.ref(*new.key)] = None
    replaced = new is None or (old is not None and old.metadata.uid != new.metadata.uid)
    if old is not None and replaced:
        found |= dict.fromkeys(item.ref for item in dependents_of(views, old.metadata.uid))
    if old is not None and (replaced or owners(old) != owners(either)):
        found |= dict.fromkeys(_waiting_owners(views, old))
    if new is not None and is_waiting(new) and not (old is not None and is_waiting(old)):
        found |= dict.fromkeys(item.ref for item in dependents_of(views, new.metadata.uid))
    return found


def _terms(found: Object) -> tuple[object, ...]:
    """Returns all of an object that decides whether it is collected."""
    metadata = found.metadata
    return (
        metadata.uid,
        metadata.owner_references,
        metadata.finalizers,
        metadata.deletion_timestamp,
    )


def _ends_with_policy(found: Object) -> bool:
    """Says whether an object is being deleted and its dependents are to be dealt with first."""
    finalizers = found.metadata.finalizers
    ends = found.metadata.deletion_timestamp is not None
    return ends and (FOREGROUND in finalizers or ORPHAN in finalizers)


def _waiting_owners(views: Views, found: Object) -> Iterable[Ref]:
    for owner in found.metadata.owner_references:
        kind = kind_of(owner, views)
        if kind is None or kind.resource not in all_collected(views):
            continue
        ref = owner_ref(kind, owner, found.metadata.namespace)
        held = views.metadata_of(kind).get(ref)
        if held is not None and is_waiting(held):
            yield ref


def _watch(kind: Kind) -> Watch:
    def to(views: Views, old: Any | None, new: Any | None) -> Iterable[Ref]:
        return _to(kind, views, old, new)

    return Watch(kind, to, {BY_OWNER: owners}, metadata=True)


def _is_elsewhere(views: Views, kind: Kind, owner: OwnerReference) -> bool:
    """Says whether an owner that is not where it was looked for is in any namespace."""
    if not kind.namespaced or kind.resource not in all_collected(views):
        return False
    view = views.metadata_of(kind)
    held = (view.get(kind.ref(it.metadata.name, owner.name)) for it in _namespaces(views))
    return any(it is not None and it.metadata.uid == owner.uid for it in held)


def _namespaces(views: Views) -> Iterable[Object]:
    return views.metadata_of(NAMESPACE).list()


class GarbageController:
    """See `reconcile.loop.Controller`."""

    custom = staticmethod(_watch)

    name: ClassVar[str] = "generic-garbage-collector"
    watches: ClassVar[tuple[Watch, ...]] = tuple(_watch(kind) for kind in collected().values())
    writes: ClassVar[tuple[Rule, ...]] = (
        Rule("*", ("*",), ("delete", "get", "list", "patch", "update", "watch")),
    )

    def __init__(self, given: Given) -> None:
        self._given = given
        # owners that are gone by uid and namespace, or, where the value says so, elsewhere
        self._absent: OrderedDict[tuple[str, str], bool] = OrderedDict()

    async def reconcile(self, ref: Ref) -> Done:
        """Collects one object, or helps it to go in the order asked for."""
        kind = all_collected(self._given.views).get(ref.kind)
        found: Object | None = self._given.views.metadata_of(kind).get(ref) if kind else None
        if found is None:
            return Done()
        actions: list[Action] = []
        metadata = found.metadata
        if metadata.deletion_timestamp is not None:
            actions = plan_owner(ref, found, dependents_of(self._given.views, metadata.uid))
        if not actions and metadata.owner_references:
            of = await self._sort_out(ref, found)
            if of is not None:
                own = dependents_of(self._given.views, metadata.uid) if of.waiting else ()
                actions = plan_circle(ref, found, of, own) or plan_dependent(
                    ref, found, of, len(own)
                )
        await self._act(actions)
        return Done()

    async def _act(self, actions: list[Action]) -> None:
        for action in actions:
            try:
                await act(self._given.client, self._given.events, (action,))
            except NotFound:  # gone meanwhile, as it should be
                continue

    async def _sort_out(self, ref: Ref, found: Object) -> Owners | None:
        """Returns what became of the owners, None where one of them is of an unknown kind."""
        solid, absent, waiting = [], [], []
        for owner in found.metadata.owner_references:
            kind = kind_of(owner, self._given.views)
            if kind is None:
                return None  # cannot be looked up: such an object is never collected
            if kind.namespaced and not ref.namespace:
                self._note_absent(kind, owner, "")
                self._tell_if_elsewhere(ref, found, owner)
                return None  # nor this
            held = await self._owner(kind, owner, found.metadata.namespace)
            if held is None:
                self._tell_if_elsewhere(ref, found, owner)
                absent.append(owner)
            elif is_waiting(held):
                waiting.append(owner)
            else:
                solid.append(owner)
        return Owners(tuple(solid), tuple(absent), tuple(waiting))

    def _tell_if_elsewhere(self, ref: Ref, found: Object, owner: OwnerReference) -> None:
        """Warns where an owner is there, but in another namespace than its dependent's."""
        if not self._absent[owner.uid, ref.namespace]:
            return
        dependent = all_collected(self._given.views)[ref.kind]
        about = about_ref(dependent, ref, found.metadata.uid)
        named = f"namespace: {ref.namespace}, name: {owner.name}, uid: {owner.uid}"
        text = (
            f"ownerRef [{owner.api_version}/{owner.kind}, {named}]"
            f' does not exist in namespace "{ref.namespace}"'
        )
        self._given.events.say(Said(about, "Warning", "OwnerRefInvalidNamespace", text))

    async def _owner(self, kind: Kind, owner: OwnerReference, namespace: str) -> Object | None:
        ref = owner_ref(kind, owner, namespace)
        if kind.resource in all_collected(self._given.views):
            held: Object | None = self._given.views.metadata_of(kind).get(ref)
            if held is not None and held.metadata.uid == owner.uid:
                return held
        if (owner.uid, namespace) in self._absent:
            return None
        try:
            fresh: Object | None = await self._given.client.get(ref)
        except NotFound:
            fresh = None
        if fresh is not None and fresh.metadata.uid == owner.uid:
            return fresh
        self._note_absent(kind, owner, namespace)
        return None

    def _note_absent(self, kind: Kind, owner: OwnerReference, namespace: str) -> None:
        elsewhere = _is_elsewhere(self._given.views, kind, owner)
        self._absent[owner.uid, namespace] = elsewhere  # a uid never comes back
        if len(self._absent) > MAX_ABSENT:
            self._absent.popitem(last=False)
