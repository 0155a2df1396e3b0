"""StorageVersionMigrations: every object of a resource is stored anew, in today's version and form.

Follows pkg/controller/storageversionmigrator: one migration of a resource at a time, the oldest
first; an object is rewritten by an apply that says nothing. While a custom resource migrates, its
definition says so, and afterwards it no longer names the versions that nothing is stored in.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Final

from steersman.client.interface import Views
from steersman.controllers import conditions
from steersman.model import builtin
from steersman.model.errors import (
    APIError,
    Conflict,
    InternalError,
    NotFound,
    TooManyRequests,
)
from steersman.model.kind import Document, Kind
from steersman.model.kinds.customresourcedefinition import (
    CUSTOMRESOURCEDEFINITION,
    CustomResourceDefinition,
)
from steersman.model.kinds.storageversionmigration import (
    STORAGEVERSIONMIGRATION,
    StorageVersionMigration,
)
from steersman.model.ref import Ref, Resource
from steersman.model.times import rfc3339, seconds
from steersman.model.types.condition import Condition, condition, is_true
from steersman.reconcile.actions import Patch, act_one, status
from steersman.reconcile.loop import Done, Given
from steersman.reconcile.rules import Rule, Watch

RUNNING, SUCCEEDED, FAILED = "Running", "Succeeded", "Failed"
MIGRATING: Final = "StorageMigrating"
# A resource that nobody knows may be defined within it
PATIENCE_SECONDS: Final = 60.0
NOT_FOUND: Final = "resource not found"
UNHANDLED: Final = "migration encountered unhandled error"


def resource_of(migration: StorageVersionMigration) -> Resource:
    """Returns the resource that migrates."""
    found = migration.spec.resource
    return Resource(found.group, found.resource)


def is_over(migration: StorageVersionMigration) -> bool:
    """Says whether a migration has ended, well or not."""
    found = migration.status.conditions
    return is_true(found, SUCCEEDED) or is_true(found, FAILED)


def is_next(migration: StorageVersionMigration, others: Iterable[StorageVersionMigration]) -> bool:
    """Says whether it is a migration's turn among those of its resource."""
    waiting = [it for it in (migration, *others) if not is_over(it)]
    running = [it for it in waiting if is_true(it.status.conditions, RUNNING)]
    first = min(running or waiting, key=_age, default=None)
    return first is not None and first.key == migration.key


def _age(migration: StorageVersionMigration) -> tuple[float, str]:
    metadata = migration.metadata
    return seconds(metadata.creation_timestamp), metadata.name


def may_pass(error: APIError) -> bool:
    """Says whether a server that could not may be able to later."""
    return error.code == TooManyRequests.code or error.code >= InternalError.code


def plan_running(migration: StorageVersionMigration, revision: int, now: float) -> Patch:
    """Returns what says that a migration runs, of what was stored up to a revision."""
    running = _made(RUNNING, "True", "MigrationRunning", "The migration is running", now)
    version = migration.status.resource_version or str(revision)
    fields = {"conditions": _with(migration.status.conditions, running)}
    return _patch(migration, {**fields, "resourceVersion": version})


def plan_end(migration: StorageVersionMigration, problem: str, now: float) -> Patch:
    """Returns what says how a migration ended; an empty problem means well.

    A status must name a revision: of a resource that could not be listed, the migration's own.
    """
    version = migration.status.resource_version or migration.metadata.resource_version
    kind, word = (FAILED, FAILED) if problem else (SUCCEEDED, SUCCEEDED)
    ended = _made(kind, "True", f"StorageVersionMigration{word}", problem, now)
    found = migration.status.conditions
    if is_true(found, RUNNING):
        done = _made(RUNNING, "False", "MigrationCompleted", "Migration completed", now)
        fields = {"conditions": [*_with(found, done), ended]}
    else:
        fields = {"conditions": _with(found, ended)}
    return _patch(migration, {**fields, "resourceVersion": version})


def plan_mark(definition: CustomResourceDefinition, name: str, now: float) -> Patch:
    """Returns what says on a definition that its resources migrate."""
    message = f"Migration {name} is running"
    marked = _made(MIGRATING, "True", "MigrationRunning", message, now)
    return _define(definition, marked, {})


def plan_unmark(definition: CustomResourceDefinition, problem: str, now: float) -> Patch:
    """Returns what says on a definition how the migration ended, and which version is stored."""
    before = condition(definition.status.conditions or (), MIGRATING)
    same = before is not None and before.observed_generation == definition.metadata.generation
    stored = [version.name for version in definition.spec.versions if version.storage]
    fields: Document = {"storedVersions": stored} if same else {}
    if problem:
        word, message = "MigrationFailed", "The migration has failed"
    else:
        word, message = "MigrationSucceeded", "The migration has succeeded"
        message += (
            " and the stored versions have been updated"
            if same
            else " but the stored versions have not been updated due to a generation mismatch"
        )
    return _define(definition, _made(MIGRATING, "False", word, message, now), fields)


def _define(definition: CustomResourceDefinition, new: Document, fields: Document) -> Patch:
    metadata = definition.metadata
    new = {**new, "observedGeneration": metadata.generation}
    fields = {**fields, "conditions": _with(definition.status.conditions or (), new)}
    ref = CUSTOMRESOURCEDEFINITION.ref(*definition.key)
    return status(ref, fields, uid=metadata.uid, revision=metadata.revision)


def _made(kind: str, word: str, reason: str, message: str, now: float) -> Document:
    found = {"type": kind, "status": word, "lastTransitionTime": rfc3339(now)}
    return {**found, "reason": reason, "message": message}


def _with(found: Iterable[Condition], new: Document) -> list[Document]:
    kept = [it for it in found if it.type != new["type"]]
    return [*(_whole(it) for it in kept), new]


def _whole(found: Condition) -> Document:
    """Returns a condition with the texts that metav1.Condition asks for even where empty."""
    return {"reason": "", "message": "", **conditions.document(found)}


def _patch(migration: StorageVersionMigration, fields: Document) -> Patch:
    ref = STORAGEVERSIONMIGRATION.ref(*migration.key)
    metadata = migration.metadata
    return status(ref, fields, uid=metadata.uid, revision=metadata.revision)


def _of_migration(
    views: Views, old: StorageVersionMigration | None, new: StorageVersionMigration | None
) -> Iterable[Ref]:
    """Maps a migration to all of its resource: when one ends it is another's turn."""
    found = new or old
    if found is None:
        return
    for it in views.of(STORAGEVERSIONMIGRATION).list():
        if resource_of(it) == resource_of(found):
            yield STORAGEVERSIONMIGRATION.ref(*it.key)


def _of_definition(
    views: Views, old: CustomResourceDefinition | None, new: CustomResourceDefinition | None
) -> Iterable[Ref]:
    """Maps a definition that came to the migrations that wait for it."""
    found = new or old
    if found is None or (old is not None and old.established):
        return
    resource = Resource(found.spec.group, found.spec.names.plural)
    for it in views.of(STORAGEVERSIONMIGRATION).list():
        if resource_of(it) == resource:
            yield STORAGEVERSIONMIGRATION.ref(*it.key)


class StorageMigrationController:
    """See `reconcile.loop.Controller`."""

    name: ClassVar[str] = "storage-version-migrator-controller"
    watches: ClassVar[tuple[Watch, ...]] = (
        Watch(STORAGEVERSIONMIGRATION, _of_migration),
        Watch(CUSTOMRESOURCEDEFINITION, _of_definition),
    )
    writes: ClassVar[tuple[Rule, ...]] = (
        Rule("*", ("*",), ("list", "patch")),
        Rule("storagemigration.k8s.io", ("storageversionmigrations/status",), ("patch",)),
    )

    def __init__(self, given: Given) -> None:
        self._given = given
        self._migrations = given.views.of(STORAGEVERSIONMIGRATION)
        self._definitions = given.views.of(CUSTOMRESOURCEDEFINITION)

    async def reconcile(self, ref: Ref) -> Done:
        """Carries one migration out when it is its turn."""
        migration: StorageVersionMigration | None = self._migrations.get(ref)
        if migration is None or is_over(migration):
            return Done()
        resource = resource_of(migration)
        kind = self._kind(resource)
        if kind is None:
            return await self._without_kind(migration)
        others = (it for it in self._migrations.list() if it.key != migration.key)
        if is_next(migration, [it for it in others if resource_of(it) == resource]):
            await self._migrate(migration, kind)
        return Done()

    def _kind(self, resource: Resource) -> Kind | None:
        kind = builtin.registry().of(resource)
        if kind is not None:
            return kind if kind.stored else None
        return self._given.views.custom().get(resource)

    async def _without_kind(self, migration: StorageVersionMigration) -> Done:
        now = self._given.world.now()
        left = seconds(migration.metadata.creation_timestamp) + PATIENCE_SECONDS - now
        if left > 0:
            return Done(left)
        await self._act(plan_end(migration, NOT_FOUND, now))
        return Done()

    async def _migrate(self, migration: StorageVersionMigration, kind: Kind) -> None:
        client, world = self._given.client, self._given.world
        definition = CUSTOMRESOURCEDEFINITION.ref("", f"{kind.plural}.{kind.group}")
        listing = await client.list(kind)
        if not is_true(migration.status.conditions, RUNNING):
            found = self._definitions.get(definition)
            if found is not None:
                await self._act(plan_mark(found, migration.metadata.name, world.now()))
            patch = plan_running(migration, listing.revision, world.now())
            migration = await self._act(patch)
        problem = await self._rewrite(kind, listing.items)
        found = self._definitions.get(definition)
        if found is not None:
            await self._act(plan_unmark(found, problem, world.now()))
        await self._act(plan_end(migration, problem, world.now()))

    async def _act(self, patch: Patch) -> Any:
        written = await act_one(self._given.client, self._given.events, patch)
        if patch.ref.kind == CUSTOMRESOURCEDEFINITION.resource:
            await self._definitions.reached(written.metadata.revision)
        return written

    async def _rewrite(self, kind: Kind, items: Iterable[Any]) -> str:
        """Has every object stored anew; returns what is in the way, empty for nothing.

        Raises the APIError of a server that could not, so that it is tried again.
        """
        for it in items:
            metadata = it.metadata
            named = {
                "name": metadata.name,
                "uid": metadata.uid,
                "resourceVersion": metadata.resource_version,
            }
            if metadata.namespace:
                named["namespace"] = metadata.namespace
            ref = kind.ref(*it.key)
            try:
                await self._given.client.apply(ref, {"metadata": named}, manager=self.name)
            except (Conflict, NotFound):
                continue  # somebody else has written it since, or it is gone
            except APIError as error:
                if may_pass(error):
                    raise
                return UNHANDLED
        return ""
