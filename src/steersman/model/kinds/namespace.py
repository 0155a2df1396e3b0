"""Namespace: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Iterator

from steersman.model import names
from steersman.model.causes import each, invalid
from steersman.model.errors import Cause
from steersman.model.kind import Document, Kind, Subresource, Version
from steersman.model.kinds.prepare import preparer
from steersman.model.kinds.printing import AGE, NAME, text
from steersman.model.kinds.subresources import STATUS
from steersman.model.types.cluster_defaults import NAME_LABEL
from steersman.model.types.condition import Condition
from steersman.model.types.metadata import NOT_STANDARD, check_metadata
from steersman.model.view import Object, View


class NamespaceSpec(View, frozen=True):
    """What keeps a namespace from going away."""

    finalizers: tuple[str, ...] = ()


class NamespaceStatus(View, frozen=True):
    """What is known of a namespace; phase Active or Terminating."""

    phase: str = ""
    conditions: tuple[Condition, ...] = ()


class Namespace(Object, frozen=True):
    """core/v1 Namespace."""

    spec: NamespaceSpec = NamespaceSpec()
    status: NamespaceStatus = NamespaceStatus()


_FINALIZER = "kubernetes"


def _with_label(new: Document, old: Document | None) -> Document:
    # defaulting did it where the name was given; a generated name is known only now
    metadata = new.get("metadata") or {}
    name, labels = metadata.get("name"), metadata.get("labels") or {}
    if old is not None or not name or labels.get(NAME_LABEL) == name:
        return new
    return {**new, "metadata": {**metadata, "labels": {**labels, NAME_LABEL: name}}}


def _with_finalizer(new: Document, old: Document | None) -> Document:
    if old is not None:
        return {**new, "spec": old.get("spec", {})}
    finalizers = new.get("spec", {}).get("finalizers") or []
    if _FINALIZER in finalizers:
        return new
    return {**new, "spec": {"finalizers": [*finalizers, _FINALIZER]}}


_COLUMNS = (NAME, text("Status", "status", "phase"), AGE)


def _check(new: Document, old: Document | None, subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old, namespaced=False, name=names.dns1123_label)
    finalizers = (new.get("spec") or {}).get("finalizers") or ()
    if old is None or subresource == "finalize":
        for index, finalizer in enumerate(finalizers):
            where = "spec.finalizers" if old is None else f"spec.finalizers[{index}]"
            yield from each(where, finalizer, names.qualified_name(finalizer))
            if "/" not in finalizer and finalizer not in (_FINALIZER, "orphan"):
                yield invalid(where, finalizer, NOT_STANDARD)
    if subresource == "status":
        yield from _check_phase(new)


def _check_phase(new: Document) -> Iterator[Cause]:
    phase = (new.get("status") or {}).get("phase", "")
    if (new.get("metadata") or {}).get("deletionTimestamp"):
        wanted, when = "Terminating", "is not empty"
    else:
        wanted, when = "Active", "is empty"
    if phase != wanted:
        detail = f"may only be '{wanted}' if `deletionTimestamp` {when}"
        yield invalid("status.Phase", phase, detail)


NAMESPACE = Kind(
    group="",
    name="Namespace",
    plural="namespaces",
    namespaced=False,
    versions=(Version("v1", "io.k8s.api.core.v1.Namespace"),),
    storage="v1",
    short_names=("ns",),
    verbs=("create", "delete", "get", "list", "patch", "update", "watch"),
    columns=_COLUMNS,
    check=_check,
    name_check=names.dns1123_label,
    view=Namespace,
    prepare=preparer(_with_label, _with_finalizer, status={"phase": "Active"}),
    subresources=(
        Subresource("finalize", ("update",), (("spec", "finalizers"), ("metadata",))),
        STATUS,
    ),
    selectable={
        "status.phase": lambda namespace: namespace.get("status", {}).get("phase", ""),
        "name": lambda namespace: namespace["metadata"]["name"],
    },
    complete=True,
)
