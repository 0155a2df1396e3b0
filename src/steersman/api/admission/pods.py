"""Small plugins about pods and nodes: DefaultTolerationSeconds, Priority, TaintNodesByCondition."""

from __future__ import annotations

from collections.abc import Hashable

from steersman.api.admission.chain import Change, Plugin
from steersman.api.admission.plugins.plain import is_of, is_pod, refused, spec_of
from steersman.api.cache import Cache
from steersman.api.call import Call
from steersman.model.kind import Document
from steersman.model.ref import Resource

SCHEDULING = "scheduling.k8s.io"
PRIORITY_CLASSES = Resource(SCHEDULING, "priorityclasses")
NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"


def _is_new_pod(change: Change) -> bool:
    return change.operation == "CREATE" and is_pod(change)


class DefaultTolerationSeconds(Plugin):
    """Lets pods stay a while on a node that is not ready, and on one that is unreachable; both in
    seconds."""

    name = "DefaultTolerationSeconds"
    about = frozenset({"Pod"})

    def __init__(self, not_ready: int, unreachable: int) -> None:
        self._seconds = {NOT_READY: not_ready, UNREACHABLE: unreachable}

    def admit(self, change: Change) -> Document | None:
        """Adds the tolerations that a new pod does not have."""
        if not _is_new_pod(change):
            return None
        assert change.new is not None
        spec = spec_of(change.new)
        present = spec.get("tolerations") or []
        added = [
            {
                "key": key,
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": seconds,
            }
            for key, seconds in self._seconds.items()
            if not any(_covers(toleration, key) for toleration in present)
        ]
        if not added:
            return None
        return {**change.new, "spec": {**spec, "tolerations": [*present, *added]}}


def _covers(toleration: Document, key: str) -> bool:
    right_key = toleration.get("key", "") in ("", key)
    return right_key and toleration.get("effect", "") in ("", "NoExecute")


class Priority:
    """Gives new pods the number that their priority class names."""

    name = "Priority"
    about = frozenset({"Pod", "PriorityClass"})

    def __init__(self, cache: Cache) -> None:
        self._classes = cache.table(PRIORITY_CLASSES)
        self._default: tuple[int, Document | None] = (-1, None)

    def admit(self, change: Change) -> Document | None:
        """Sets priority, priorityClassName and preemptionPolicy."""
        if not _is_new_pod(change):
            return _with_old_priority(change)
        assert change.new is not None
        pod = change.new
        spec = dict(spec_of(pod))
        found = self._class_of(change, spec.get("priorityClassName", ""))
        value = found["value"] if found else 0
        policy = (found or {}).get("preemptionPolicy") or "PreemptLowerPriority"
        if spec.get("priority") not in (None, value):
            why = (
                f"the integer value of priority ({spec['priority']}) must not be provided in pod "
                f"spec; priority admission controller computed {value} from the given "
                "PriorityClass name"
            )
            raise refused(change, why)
        if spec.get("preemptionPolicy") not in (None, policy):
            why = (
                f"the string value of PreemptionPolicy ({spec['preemptionPolicy']}) must not be "
                f"provided in pod spec; priority admission controller computed {policy} from the "
                "given PriorityClass name"
            )
            raise refused(change, why)
        spec["priority"], spec["preemptionPolicy"] = value, policy
        if found and not spec.get("priorityClassName"):
            spec["priorityClassName"] = found["metadata"]["name"]
        return {**pod, "spec": spec}

    def _class_of(self, change: Change, name: str) -> Document | None:
        if not name:
            return self._default_class()
        entry = self._classes.get("", name)
        if entry is None:
            raise refused(change, f"no PriorityClass with name {name} was found")
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
        new = change.new
        if new is None or not is_of(change.call, SCHEDULING, "PriorityClass"):
            return
        if not new.get("globalDefault") or (present := self._default_class()) is None:
            return
        other = present["metadata"]["name"]
        if change.operation == "CREATE" or new["metadata"].get("name", "") != other:
            why = f"PriorityClass {other} is already marked as default. Only one default can exist"
            raise refused(change, why)

    def rests_on(self, call: Call, meta: Document) -> Hashable | None:
        """Rests on the priority classes."""
        return self._classes.revision


def _with_old_priority(change: Change) -> Document | None:
    """Returns a pod that is replaced by a document without what this plugin set, with that."""
    new, old = change.new, change.old
    if new is None or old is None or not is_pod(change):
        return None
    spec, before = spec_of(new), spec_of(old)
    kept = {
        name: before[name]
        for name in ("priority", "preemptionPolicy")
        if spec.get(name) is None and before.get(name) is not None
    }
    return {**new, "spec": {**spec, **kept}} if kept else None


class TaintNodesByCondition(Plugin):
    """A new node is not ready until its lifecycle controller has seen it so."""

    name = "TaintNodesByCondition"
    about = frozenset({"Node"})

    def admit(self, change: Change) -> Document | None:
        """Adds the not-ready taint to a new node."""
        if change.operation != "CREATE" or not is_of(change.call, "", "Node"):
            return None
        assert change.new is not None
        spec = spec_of(change.new)
        taints = spec.get("taints") or []
        if any(taint.get("key") == NOT_READY for taint in taints):
            return None
        taint = {"key": NOT_READY, "effect": "NoSchedule"}
        return {**change.new, "spec": {**spec, "taints": [*taints, taint]}}
