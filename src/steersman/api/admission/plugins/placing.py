"""Plugins about where pods may run: ExtendedResourceToleration, LimitPodHardAntiAffinityTopology,
PodTopologyLabels, RuntimeClass, PodResizeValidator."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

from steersman.api.admission.chain import Change, Plugin
from steersman.api.admission.plugins import tolerations
from steersman.api.admission.plugins.images import containers
from steersman.api.admission.plugins.plain import is_pod, refused, spec_of
from steersman.api.cache import Cache
from steersman.api.call import Call
from steersman.model import quantity
from steersman.model.gotext import quote
from steersman.model.kind import Document
from steersman.model.ref import Resource
from steersman.model.types.resource_check import is_extended
from steersman.model.types.resources import add, amounts, requested

NODES: Final = Resource("", "nodes")
RUNTIME_CLASSES: Final = Resource("node.k8s.io", "runtimeclasses")
HOSTNAME: Final = "kubernetes.io/hostname"
OS: Final = "kubernetes.io/os"
TOPOLOGY: Final = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")
_OVERHEAD: Final = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"
_NO_OVERHEAD: Final = (
    "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
)


class ExtendedResourceToleration(Plugin):
    """Pods tolerate the taints of nodes that are kept for the devices they ask for."""

    name = "ExtendedResourceToleration"
    about = frozenset({"Pod"})

    def admit(self, change: Change) -> Document | None:
        """Adds a toleration for each extended resource."""
        if not is_pod(change):
            return None
        assert change.new is not None
        spec = spec_of(change.new)
        names = {
            name
            for path, one in containers(spec)
            if "ephemeral" not in path
            for name in (one.get("resources") or {}).get("requests") or {}
            if is_extended(name)
        }
        present = spec.get("tolerations") or []
        wanted = [
            {"key": name, "operator": "Exists", "effect": "NoSchedule"} for name in sorted(names)
        ]
        added = [one for one in wanted if not any(_is_same(one, other) for other in present)]
        if not added:
            return None
        return {**change.new, "spec": {**spec, "tolerations": [*present, *added]}}


def _is_same(one: Document, other: Document) -> bool:
    names = ("key", "operator", "effect", "value")
    return all(one.get(name, "") == other.get(name, "") for name in names)


class LimitPodHardAntiAffinityTopology(Plugin):
    """No pod keeps others away from more than its own node."""

    name = "LimitPodHardAntiAffinityTopology"
    about = frozenset({"Pod"})

    def check(self, change: Change) -> None:
        """Refuses required anti-affinity by anything but the host's name."""
        if not is_pod(change) or change.operation == "DELETE":
            return
        affinity = spec_of(change.new).get("affinity") or {}
        rules = affinity.get("podAntiAffinity") or {}
        for term in rules.get("requiredDuringSchedulingIgnoredDuringExecution") or ():
            if (key := term.get("topologyKey", "")) != HOSTNAME:
                why = (
                    "affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey "
                    f"{key} but only key {HOSTNAME} is allowed"
                )
                raise refused(change, why)


class PodTopologyLabels(Plugin):
    """Pods know the zone and the region of their node, by labels; one that names it when it is made
    is of no template (`api/templates.py`)."""

    name = "PodTopologyLabels"
    about = frozenset({"Pod"})

    def __init__(self, cache: Cache) -> None:
        self._nodes = cache.table(NODES)

    def admit(self, change: Change) -> Document | None:
        """Gives a pod that gets its node the node's labels, where it has none of its own."""
        new, call = change.new, change.call
        if new is None or call.kind.name != "Pod" or call.kind.group:
            return None
        if not (call.subresource == "binding" or (is_pod(change) and change.old is None)):
            return None
        entry = self._nodes.get("", spec_of(new).get("nodeName") or "")
        if entry is None:
            return None
        meta = new["metadata"]
        present = meta.get("labels") or {}
        added = {
            key: entry.labels[key] for key in TOPOLOGY if key in entry.labels and key not in present
        }
        return {**new, "metadata": {**meta, "labels": {**present, **added}}} if added else None


class RuntimeClass(Plugin):
    """A pod's runtime says what it costs and where it can run."""

    name = "RuntimeClass"
    about = frozenset({"Pod"})

    def __init__(self, cache: Cache) -> None:
        self._classes = cache.table(RUNTIME_CLASSES)

    def admit(self, change: Change) -> Document | None:
        """Sets the overhead, the node selector and the tolerations that the class names."""
        found = self._class(change)
        if found is None:
            return None
        assert change.new is not None
        spec = dict(spec_of(change.new))
        if (overhead := found.get("overhead")) is not None:
            fixed = overhead.get("podFixed") or {}
            if spec.get("overhead") and not _is_equal(spec["overhead"], fixed):
                raise refused(change, _OVERHEAD)
            spec["overhead"] = fixed
        if (scheduling := found.get("scheduling")) is not None:
            wanted, own = scheduling.get("nodeSelector") or {}, spec.get("nodeSelector") or {}
            for key in wanted:
                if own.get(key, wanted[key]) != wanted[key]:
                    why = (
                        f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {wanted[key]}; "
                        f"pod.spec.nodeSelector[{key}] = {own[key]}"
                    )
                    raise refused(change, why)
            if wanted:
                spec["nodeSelector"] = {**own, **wanted}
            more = scheduling.get("tolerations") or []
            if more:
                spec["tolerations"] = tolerations.merge(spec.get("tolerations") or [], more)
        return {**change.new, "spec": spec}

    def check(self, change: Change) -> None:
        """Refuses an overhead that is not the class's."""
        if change.operation != "CREATE" or not is_pod(change):
            return
        given = spec_of(change.new).get("overhead")
        overhead = (self._class(change) or {}).get("overhead")
        if overhead is None:
            if given:
                raise refused(change, _NO_OVERHEAD)
        elif not _is_equal(given or {}, overhead.get("podFixed") or {}):
            raise refused(change, _OVERHEAD)

    def _class(self, change: Change) -> Document | None:
        """Returns the class of a new pod, None where it names none."""
        if change.operation != "CREATE" or not is_pod(change):
            return None
        if (name := spec_of(change.new).get("runtimeClassName")) is None:
            return None
        if (entry := self._classes.get("", name)) is None:
            raise refused(change, f"pod rejected: RuntimeClass {quote(name)} not found")
        return entry.document()

    def rests_on(self, call: Call, meta: Document) -> Hashable | None:
        """Rests on the classes."""
        return self._classes.revision


def _is_equal(one: Document, other: Document) -> bool:
    """Says whether two lists of amounts come to the same."""
    return amounts(one) == amounts(other)


class PodResizeValidator(Plugin):
    """A pod does not come to ask for more than its node has."""

    name = "PodResizeValidator"
    about = frozenset({"Pod"})

    def __init__(self, cache: Cache) -> None:
        self._nodes = cache.table(NODES)

    def check(self, change: Change) -> None:
        """Refuses a resize that the node cannot grant."""
        call, new, old = change.call, change.new, change.old
        if call.kind.name != "Pod" or call.subresource != "resize" or new is None or old is None:
            return
        name = spec_of(new).get("nodeName") or ""
        if not name or spec_of(new) == spec_of(old):
            return
        if (entry := self._nodes.get("", name)) is None:
            raise refused(change, f"node {quote(name)} not found")
        node = entry.document()
        if problems := _beyond(spec_of(new), (node.get("status") or {}).get("allocatable") or {}):
            why = "; ".join(problems)
            raise refused(change, f"Node didn't have enough allocatable resources: {why}")
        system = entry.labels.get(OS, "")
        if system != "linux":
            why = f"pod resize is only supported on linux nodes, node {quote(name)} is "
            raise refused(change, why + quote(system))


def _beyond(spec: Document, allocatable: Document) -> list[str]:
    asked = requested(spec)
    add(asked, amounts(spec.get("overhead")))
    problems = []
    for name in ("cpu", "memory"):
        wanted = asked.get(name, quantity.parse("0"))
        has = quantity.parse(allocatable.get(name, "0"))
        asks, has_all = (
            (wanted.milli(), has.milli()) if name == "cpu" else (wanted.value(), has.value())
        )
        if asks > has_all:
            problems.append(f"{name}, requested: {asks}, allocatable: {has_all}")
    return problems
