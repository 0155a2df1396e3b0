"""Namespace: its view and its life in the API."""

from __future__ import annotations

from steersman.model.kind import Document, Kind, Subresource, Version
from steersman.model.kinds.prepare import preparer
from steersman.model.kinds.printing import AGE, NAME, text
from steersman.model.kinds.subresources import STATUS
from steersman.model.types.condition import Condition
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


def _with_finalizer(new: Document, old: Document | None) -> Document:
    if old is not None:
        return {**new, "spec": old.get("spec", {})}
    finalizers = new.get("spec", {}).get("finalizers") or []
    if _FINALIZER in finalizers:
        return new
    return {**new, "spec": {"finalizers": [*finalizers, _FINALIZER]}}


_COLUMNS = (NAME, text("Status", "status", "phase"), AGE)

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
    view=Namespace,
    prepare=preparer(_with_finalizer, status={"phase": "Active"}),
    subresources=(Subresource("finalize", ("update",), (("spec", "finalizers"),)), STATUS),
    selectable={
        "status.phase": lambda namespace: namespace.get("status", {}).get("phase", ""),
        "name": lambda namespace: namespace["metadata"]["name"],
    },
    complete=True,
)
