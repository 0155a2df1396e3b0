"""RuntimeClass: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from steersman.model import names
from steersman.model.causes import declared_immutable, each, required
from steersman.model.errors import Cause
from steersman.model.kind import Document, Kind, Version
from steersman.model.kinds.printing import AGE, NAME, text
from steersman.model.removed import Life, removed
from steersman.model.types.metadata import check_labels, check_metadata
from steersman.model.types.resource_check import check_requirements
from steersman.model.types.scheduling import Toleration
from steersman.model.types.scheduling_check import check_tolerations
from steersman.model.types.warnings import runtime_class_told, warner
from steersman.model.view import Object, View


class Overhead(View, frozen=True):
    """What a pod takes beside its containers."""

    pod_fixed: Mapping[str, str] = {}


class Scheduling(View, frozen=True):
    """Which nodes know the class."""

    node_selector: Mapping[str, str] = {}
    tolerations: tuple[Toleration, ...] = ()


class RuntimeClass(Object, frozen=True):
    """node.k8s.io/v1 RuntimeClass."""

    handler: str = ""
    overhead: Overhead | None = None
    scheduling: Scheduling | None = None


def _check(new: Document, old: Document | None, _subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old, namespaced=False)
    handler = new.get("handler", "")
    if old is not None:
        yield from declared_immutable("handler", handler, old.get("handler"))
        return
    if (overhead := new.get("overhead")) is not None:
        limits = {"limits": overhead.get("podFixed") or {}}
        yield from check_requirements(limits, "overhead", ())
    if (scheduling := new.get("scheduling")) is not None:
        yield from check_labels(scheduling.get("nodeSelector"), "scheduling.nodeSelector")
        tolerations = scheduling.get("tolerations") or ()
        yield from check_tolerations(tolerations, "scheduling.tolerations")
    if not handler:  # what upstream's type declares is told last
        yield required("handler")
    else:
        yield from each("handler", handler, names.dns1123_label(handler))


RUNTIMECLASS = Kind(
    group="node.k8s.io",
    name="RuntimeClass",
    plural="runtimeclasses",
    namespaced=False,
    versions=(Version("v1", "io.k8s.api.node.v1.RuntimeClass"),),
    storage="v1",
    former=(removed("node.k8s.io/v1beta1", "node.v1beta1.RuntimeClass", Life(22, 25)),),
    columns=(NAME, text("Handler", "handler"), AGE),
    check=_check,
    warn=warner(runtime_class_told),
    view=RuntimeClass,
    create_on_update=True,
    conditional=True,
    complete=True,
)
