"""CustomResourceDefinition: its view, its life in the API, and the plain kinds that it stands for.

Defaults, what an update keeps and the columns follow apiextensions' registry; the rules are
`structural/definition_check.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from steersman.model.kind import Column, Document, Kind, Version
from steersman.model.kinds.customresourcedefinition_v1beta1 import from_v1, to_v1
from steersman.model.kinds.printing import at, is_true
from steersman.model.kinds.subresources import STATUS
from steersman.model.removed import Life, removed
from steersman.model.structural import definition_check, formats, structure_check
from steersman.model.types.condition import Condition
from steersman.model.view import Object, View

GROUP: Final = "apiextensions.k8s.io"
DEFINITION: Final = (
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition"
)
CLEANUP: Final = "customresourcecleanup.apiextensions.k8s.io"


class Names(View, frozen=True):
    """What a custom resource is called."""

    plural: str = ""
    singular: str = ""
    kind: str = ""
    list_kind: str = ""


class VersionView(View, frozen=True):
    """One version of a custom resource."""

    name: str = ""
    served: bool = False
    storage: bool = False


class Spec(View, frozen=True):
    """What a definition asks for."""

    group: str = ""
    names: Names = Names()
    scope: str = ""
    versions: tuple[VersionView, ...] = ()


class Status(View, frozen=True):
    """What became of a definition."""

    accepted_names: Names = Names()
    conditions: tuple[Condition, ...] | None = None


class CustomResourceDefinition(Object, frozen=True):
    """apiextensions.k8s.io/v1 CustomResourceDefinition."""

    spec: Spec = Spec()
    status: Status = Status()

    @property
    def established(self) -> bool:
        """Whether its resources are served."""
        conditions = self.status.conditions or ()
        return any(one.type == "Established" and one.status == "True" for one in conditions)


def plain_kind(definition: CustomResourceDefinition) -> Kind | None:
    """Returns the kind that a definition stands for as far as clients need it: its names and the
    versions served, the storage version first. None where nothing is served."""
    spec, names = definition.spec, definition.status.accepted_names
    served = [version for version in spec.versions if version.served]
    if not definition.established or not served:
        return None
    served.sort(key=lambda version: not version.storage)
    return Kind(
        group=spec.group,
        name=names.kind,
        plural=names.plural,
        namespaced=spec.scope == "Namespaced",
        versions=tuple(Version(version.name, "") for version in served),
        storage=served[0].name,
        strategic=False,
    )


def _prepare(new: Document, old: Document | None, subresource: str) -> Document:
    """Keeps the status and notes the storage version in it."""
    if subresource:
        return new
    status = {} if old is None else (old.get("status") or {})
    stored = list(status.get("storedVersions") or ())
    versions = at(new, "spec", "versions") or ()
    storage = next((one.get("name") for one in versions if one.get("storage")), None)
    if storage and storage not in stored:
        stored.append(storage)
    if old is None:
        empty = {"plural": "", "kind": ""}
        return {
            **new,
            "status": {"conditions": None, "acceptedNames": empty, "storedVersions": stored},
        }
    return {**new, "status": {**status, "storedVersions": stored}}


def with_condition(
    definition: Document, type: str, status: str, reason: str, message: str, time: str
) -> Document:
    """Returns a definition with a condition set, whose time is that of its last other status."""
    known = definition.get("status") or {}
    made = {"type": type, "status": status, "reason": reason, "message": message}
    conditions = list(known.get("conditions") or ())
    for index, one in enumerate(conditions):
        if one.get("type") == type:
            same = one.get("status") == status and one.get("lastTransitionTime")
            when = one["lastTransitionTime"] if same else time
            conditions[index] = {**one, "lastTransitionTime": when, **made}
            break
    else:
        conditions.append({"lastTransitionTime": time, **made})
    return {**definition, "status": {**known, "conditions": conditions}}


def _retire(definition: Document, time: str) -> Document:
    """Says that the objects of a definition go first; its generation stays as it is."""
    metadata = definition["metadata"]
    finalizers = metadata.get("finalizers") or []
    if CLEANUP not in finalizers:
        finalizers = [*finalizers, CLEANUP]
    message = (
        "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
    )
    ended = {"deletionTimestamp": time, "finalizers": finalizers}
    marked = {**definition, "metadata": {**metadata, **ended}}
    return with_condition(marked, "Terminating", "True", "InstanceDeletionPending", message, time)


def _warn(new: Document, old: Document | None, subresource: str) -> Iterator[str]:
    """Yields what a client is told of a definition that is accepted all the same."""
    if subresource:
        return
    known = set(_remarks(old)) if old is not None else set()
    yield from (remark for remark in dict.fromkeys(_remarks(new)) if remark not in known)


def _remarks(definition: Document) -> list[str]:
    formed: list[str] = []
    lists: set[str] = set()

    def look(raw: Mapping[str, Any]) -> None:
        form = raw.get("format")
        if form and not formats.is_known(raw.get("type") or "", form):
            formed.append(f'unrecognized format "{form}"')
        items = raw.get("items")
        kind = items.get("type") if isinstance(items, Mapping) else None
        if raw.get("x-kubernetes-list-type") == "set" and kind in ("object", "array"):
            lists.add(
                f'x-kubernetes-list-type: set for items of type "{kind}" is not supported by '
                "server-side apply or CEL validation rules"
            )

    for version in at(definition, "spec", "versions") or ():
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if schema is not None:
            structure_check.walk(schema, look)
    return [*formed, *sorted(lists)]


def _versions(document: Document, _now: float) -> str:
    served = [one for one in at(document, "spec", "versions") or () if one.get("served")]
    return ",".join(
        sorted(one["name"] + ("(storage)" if one.get("storage") else "") for one in served)
    )


NAME_TEXT = (
    "Name must be unique within a namespace. Is required when creating resources, although some "
    "resources may allow a client to request the generation of an appropriate name automatically. "
    "Name is primarily intended for creation idempotence and configuration definition. Cannot be "
    "updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names"
)
CREATED_TEXT = (
    "CreationTimestamp is a timestamp representing the server time when this object was created. "
    "It is not guaranteed to be set in happens-before order across separate operations. Clients "
    "may not set this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the "
    "system. Read-only. Null for lists. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"
)


def _spec(*path: str) -> Any:
    return lambda document, _now: at(document, "spec", *path) or ""


_COLUMNS = (
    Column(
        "Name",
        lambda document, _now: document["metadata"]["name"],
        format="name",
        description=NAME_TEXT,
    ),
    Column("Scope", _spec("scope"), description="Cluster/Namespaced"),
    Column("Versions", _versions, description="Served versions"),
    Column(
        "Created At",
        lambda document, _now: document["metadata"].get("creationTimestamp"),
        type="date",
        description=CREATED_TEXT,
    ),
    Column("Group", _spec("group"), description="API group", priority=1),
    Column("Kind", _spec("names", "kind"), description="CustomResource kind", priority=1),
    Column(
        "ShortNames",
        lambda document, _now: ",".join(at(document, "spec", "names", "shortNames") or ()),
        description="Short names",
        priority=1,
    ),
    Column(
        "Established",
        lambda document, _now: is_true(at(document, "status", "conditions"), "Established"),
        type="boolean",
        description="Established status",
        priority=1,
    ),
)

_V1BETA1 = removed(
    f"{GROUP}/v1beta1",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1beta1.CustomResourceDefinition",
    Life(16, 22, f"{GROUP}/v1"),
    to_v1,
    from_v1,
)

CUSTOMRESOURCEDEFINITION = Kind(
    group=GROUP,
    name="CustomResourceDefinition",
    plural="customresourcedefinitions",
    namespaced=False,
    versions=(Version("v1", DEFINITION),),
    storage="v1",
    former=(_V1BETA1,),
    short_names=("crd", "crds"),
    categories=("api-extensions",),
    subresources=(STATUS,),
    spec_fields=("spec",),
    columns=_COLUMNS,
    prepare=_prepare,
    check=definition_check.check,
    warn=_warn,
    retire=_retire,
    view=CustomResourceDefinition,
    conditional=True,
    complete=True,
)
