"""Small plugins about pods and nodes: DefaultTolerationSeconds, Priority, TaintNodesByCondition."""

from __future__ import annotations

from collections.abc import Hashable

from steersman.api.admission.chain import Change
from steersman.api.cache import Cache
from steersman.api.call import Call
from steersman.model import errors
from steersman.model.kind import Document
from steersman.model.ref import Resource

PRIORITY_CLASSES = Resource("scheduling.k8s.io", "priorityclasses")
TOLERATION_SECONDS = 300
NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"


def _is_new_pod(change: Change) -> bool:
    call = change.call
    return change.operation == "CREATE" and call.kind.name == "Pod" and not call.subresource


class DefaultTolerationSeconds:
    """Lets pods stay five minutes on a node that is not ready or unreachable."""

    name = "DefaultTolerationSeconds"

    def admit(self, change: Change) -> Document | None:
        """Adds the tolerations that a new pod does not have."""
        if not _is_new_pod(change):
            return None
        assert change.new is not None
        spec = change.new.get("spec") or {}
        present = spec.get("tolerations") or []
        added = [
            {
                "key": key,
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": TOLERATION_SECONDS,
            }
            for key in (NOT_READY, UNREACHABLE)
            if not any(_covers(toleration, key) for toleration in present)
        ]
        if not added:
            return None
        return {**change.new, "spec": {**spec, "tolerations": [*present, *added]}}

    def check(self, change: Change) -> None:
        """Refuses nothing."""

    def rests_on(self, call: Call, meta: Document) -> Hashable | None:
        """Rests on the object alone."""
        return ()


def _covers(toleration: Document, key: str) -> bool:
    right_key = toleration.get("key", "") in ("", key)
    return right_key and toleration.get("effect", "") in ("", "NoExecute")


class Priority:
    """Gives new pods the number that their priority class names."""

    name = "Priority"

    def __init__(self, cache: Cache) -> None:
        self._classes = cache.table(PRIORITY_CLASSES)
        self._default: tuple[int, Document | None] = (-1, None)

    def admit(self, change: Change) -> Document | None:
        """Sets priority, priorityClassName and preemptionPolicy."""
        if not _is_new_pod(change):
            return _with_old_priority(change)
        assert change.new is not None
        pod = change.new
        spec = dict(pod.get("spec") or {})
        found = self._class_of(pod, spec.get("priorityClassName", ""))
        value = found["value"] if found else 0
        policy = (found or {}).get("preemptionPolicy") or "PreemptLowerPriority"
        name = pod["metadata"].get("name", "")
        if spec.get("priority") not in (None, value):
            why = (
                f"the integer value of priority ({spec['priority']}) must not be provided in pod "
                f"spec; priority admission controller computed {value} from the given "
                "PriorityClass name"
            )
            raise errors.forbidden("", "pods", name, why)
        if spec.get("preemptionPolicy") not in (None, policy):
            why = (
                f"the string value of PreemptionPolicy ({spec['preemptionPolicy']}) must not be "
                f"provided in pod spec; priority admission controller computed {policy} from the "
                "given PriorityClass name"
            )
            raise errors.forbidden("", "pods", name, why)
        spec["priority"], spec["preemptionPolicy"] = value, policy
        if found and not spec.get("priorityClassName"):
            spec["priorityClassName"] = found["metadata"]["name"]
        return {**pod, "spec": spec}

    def _class_of(self, pod: Document, name: str) -> Document | None:
        if not name:
            return self._default_class()
        entry = self._classes.get("", name)
        if entry is None:
            why = f"no PriorityClass with name {name} was found"
            raise errors.forbidden("", "pods", pod["metadata"].get("name", ""), why)
        return entry.document()

    def _default_class(self) -> Document | None:
        """Returns the global default of lowest value, looked for again when a class changed."""
        if self._default[0] != self._classes.revision:
            classes = [entry.document() for entry in self._classes.ordered()]
            defaults = [found for found in classes if found.get("globalDefault")]
            lowest = min(defaults, key=lambda found: found["value"], default=None)
            self._default = (self._classes.revision, lowest)
        return self._default[1]

    def check(self, change: Change) -> None:
        """Refuses a second class that is to be the default."""
        call, new = change.call, change.new
        if call.kind.name != "PriorityClass" or new is None or not new.get("globalDefault"):
            return
        present = self._default_class()
        if present is None:
            return
        name, other = new["metadata"].get("name", ""), present["metadata"]["name"]
        if change.operation == "CREATE" or name != other:
            why = f"PriorityClass {other} is already marked as default. Only one default can exist"
            raise errors.forbidden(call.kind.group, call.kind.plural, name, why)

    def rests_on(self, call: Call, meta: Document) -> Hashable | None:
        """Rests on the priority classes."""
        return self._classes.revision


def _with_old_priority(change: Change) -> Document | None:
    """Returns a pod that is replaced by a document without what this plugin set, with that."""
    new, old = change.new, change.old
    if change.call.kind.name != "Pod" or change.operation != "UPDATE" or new is None or old is None:
        return None
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    kept = {
        name: before[name]
        for name in ("priority", "preemptionPolicy")
        if spec.get(name) is None and before.get(name) is not None
    }
    return {**new, "spec": {**spec, **kept}} if kept else None


class TaintNodesByCondition:
    """A new node is not ready until its lifecycle controller has seen it so."""

    name = "TaintNodesByCondition"

    def admit(self, change: Change) -> Document | None:
        """Adds the not-ready taint to a new node."""
        call = change.call
        if change.operation != "CREATE" or call.kind.name != "Node" or call.subresource:
            return None
        assert change.new is not None
        spec = change.new.get("spec") or {}
        taints = spec.get("taints") or []
        if any(taint.get("key") == NOT_READY for taint in taints):
            return None
        taint = {"key": NOT_READY, "effect": "NoSchedule"}
        return {**change.new, "spec": {**spec, "taints": [*taints, taint]}}

    def check(self, change: Change) -> None:
        """Refuses nothing."""

    def rests_on(self, call: Call, meta: Document) -> Hashable | None:
        """Rests on the object alone."""
        return ()
