"""StorageVersionMigration: its view and its life in the API."""

from __future__ import annotations

import re
from collections.abc import Iterator

from steersman.model import names
from steersman.model.causes import IMMUTABLE, immutable, invalid, required
from steersman.model.errors import Cause
from steersman.model.kind import Column, Document, Kind, Version
from steersman.model.kinds.prepare import preparer
from steersman.model.kinds.printing import NAME, at, is_true
from steersman.model.kinds.subresources import STATUS_ALONE
from steersman.model.types.condition import Condition, check_conditions
from steersman.model.types.metadata import check_metadata
from steersman.model.view import Object, View


class GroupResource(View, frozen=True):
    """A resource in whatever version."""

    group: str = ""
    resource: str = ""


class MigrationSpec(View, frozen=True):
    """What is stored anew."""

    resource: GroupResource = GroupResource()


class MigrationStatus(View, frozen=True):
    """How far it is."""

    conditions: tuple[Condition, ...] = ()
    resource_version: str = ""


class StorageVersionMigration(Object, frozen=True):
    """storagemigration.k8s.io/v1 StorageVersionMigration."""

    spec: MigrationSpec = MigrationSpec()
    status: MigrationStatus = MigrationStatus()


_REVISION = re.compile("[1-9][0-9]*")
# (condition, other condition, what is said where both are true)
_EXCLUSIVE = (
    (
        "Succeeded",
        "Failed",
        "Both success and failed conditions cannot be true at the same time",
    ),
    (
        "Succeeded",
        "Running",
        "Running condition cannot be true when success condition is true",
    ),
    (
        "Failed",
        "Running",
        "Running condition cannot be true when failed condition is true",
    ),
)
_FINAL = (("Succeeded", "Success"), ("Failed", "Failed"))


def _check(new: Document, old: Document | None, subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old, namespaced=False, any_finalizer=True)
    if subresource and old is not None:
        yield from _check_status(new.get("status") or {}, old.get("status") or {})
        return
    found = at(new, "spec", "resource") or {}
    group, resource = found.get("group", ""), found.get("resource", "")
    if not resource:
        yield required("spec.resource.resource", "resource is required to be set")
    elif problems := names.dns1035_label(resource):
        yield invalid("spec.resource.resource", resource, ",".join(problems))
    if group and (problems := names.dns1123_subdomain(group)):
        yield invalid("spec.resource.group", group, ",".join(problems))
    if old is not None:
        yield from immutable("spec", new.get("spec"), old.get("spec"))


def _check_status(status: Document, before: Document) -> Iterator[Cause]:
    path, revision = "status.resourceVersion", status.get("resourceVersion", "")
    if not _REVISION.fullmatch(revision):
        yield invalid(path, revision, f"resource version is not well formed: {revision}")
    conditions = status.get("conditions") or []
    yield from check_conditions(conditions, "status.conditions")
    if before.get("resourceVersion") and before["resourceVersion"] != revision:
        yield invalid(path, revision, IMMUTABLE)
    for one, other, problem in _EXCLUSIVE:
        if is_true(conditions, one) and is_true(conditions, other):
            yield invalid("status.conditions", conditions, problem)
    for one, word in _FINAL:
        if is_true(before.get("conditions"), one) and not is_true(conditions, one):
            detail = f"{word} condition cannot be set to false once it is true"
            yield invalid("status.conditions", conditions, detail)


def _resource(migration: Document, _now: float) -> str:
    found = at(migration, "spec", "resource") or {}
    return f"{found.get('resource', '')}.{found.get('group', '')}"


STORAGEVERSIONMIGRATION = Kind(
    group="storagemigration.k8s.io",
    name="StorageVersionMigration",
    plural="storageversionmigrations",
    namespaced=False,
    versions=(Version("v1", "io.k8s.api.storagemigration.v1.StorageVersionMigration", since=37),),
    storage="v1",
    columns=(NAME, Column("Resource", _resource)),
    check=_check,
    view=StorageVersionMigration,
    prepare=preparer(status={}),
    subresources=(STATUS_ALONE,),
    conditional=True,
    complete=True,
)
