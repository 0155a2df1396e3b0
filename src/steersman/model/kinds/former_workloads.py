"""Workloads of extensions/v1beta1, apps/v1beta1 and apps/v1beta2: versions of the kinds in apps.

They are written as in v1; what was left out meant something else (defaults.go of each version).
Rollbacks by `rollbackTo` and the template generation of a DaemonSet are unknown fields here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from steersman.model.kind import Convert, Document, Version
from steersman.model.removed import Life, removed
from steersman.model.types.workload_defaults import labels_of_template

_MAX_INT32: Final = 2**31 - 1
_ON_DELETE: Final = {"type": "OnDelete"}
# What a spec that does not say otherwise means in extensions/v1beta1 and in apps/v1beta1
_EXTENSIONS: Final[Mapping[str, Document]] = {
    "DaemonSet": {"updateStrategy": _ON_DELETE},
    "Deployment": {
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 1},
        },
        "revisionHistoryLimit": _MAX_INT32,
        "progressDeadlineSeconds": _MAX_INT32,
    },
    "ReplicaSet": {},
}
_APPS: Final[Mapping[str, Document]] = {
    "Deployment": {"revisionHistoryLimit": 2},
    "StatefulSet": {"updateStrategy": _ON_DELETE},
}


def in_extensions(kind: str) -> Version:
    """Returns extensions/v1beta1 of a kind."""
    life = Life(8, 16, "apps/v1")
    return removed(
        "extensions/v1beta1", f"extensions.v1beta1.{kind}", life, _meant(_EXTENSIONS[kind])
    )


def in_apps(kind: str) -> tuple[Version, ...]:
    """Returns the versions of a kind in apps before v1, the later one first."""
    later = removed("apps/v1beta2", f"apps.v1beta2.{kind}", Life(9, 16, "apps/v1"))
    if (given := _APPS.get(kind)) is None:
        return (later,)
    first = removed("apps/v1beta1", f"apps.v1beta1.{kind}", Life(8, 16, "apps/v1"), _meant(given))
    return (later, first)


def _meant(given: Document) -> Convert:
    """Returns what completes a document as its version did: labels and selector are those of the
    pods, and the spec has what is `given`."""

    def complete(document: Document) -> Document:
        spec = {
            name: _completed(found, given.get(name)) for name, found in document["spec"].items()
        }
        spec = {**given, **spec}
        labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
        if labels and not spec.get("selector"):
            spec["selector"] = {"matchLabels": dict(labels)}
        made = {**document, "spec": spec, "metadata": dict(document.get("metadata") or {})}
        labels_of_template(made)
        return made

    def to_v1(document: Document) -> Document:
        return complete(document) if isinstance(document.get("spec"), dict) else document

    return to_v1


def _completed(found: Any, meant: Any) -> Any:
    """Returns a strategy with what it means where it says nothing of its type or of bounds."""
    if not isinstance(meant, dict) or not isinstance(found, dict):
        return found
    made = {**found, "type": found.get("type") or meant["type"]}
    bounds = meant.get("rollingUpdate")
    if bounds and made["type"] == meant["type"]:
        made["rollingUpdate"] = {**bounds, **(found.get("rollingUpdate") or {})}
    return made
