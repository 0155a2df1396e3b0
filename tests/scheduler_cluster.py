"""Pods, nodes and a snapshot of them for the scheduler's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from steersman.model.kind import Kind
from steersman.model.kinds.node import Node
from steersman.model.kinds.pod import Pod
from steersman.model.ref import Ref
from steersman.scheduler.decide import Chosen, Unfit, decide, fitting
from steersman.scheduler.filters.refusal import Refusal
from steersman.scheduler.memory import Ask, Memory
from steersman.scheduler.profile import DEFAULT, Profile
from steersman.scheduler.standing import Rule
from steersman.scheduler.state.bits import places
from steersman.scheduler.state.demand import Demand, demand_of
from steersman.scheduler.state.node import NodeState
from steersman.scheduler.state.snapshot import Snapshot

ROOM = {"cpu": "4", "memory": "8Gi", "pods": "10"}


def pod(name: str = "p", *, labels: Any = None, namespace: str = "default", **spec: Any) -> Pod:
    containers = spec.pop("containers", [{"name": "c", **spec.pop("container", {})}])
    status, more = spec.pop("status", {}), spec.pop("metadata", {})
    metadata = {"name": name, "uid": f"uid-{name}", "namespace": namespace}
    metadata = {**metadata, "labels": labels or {}, **more}
    document = {"metadata": metadata, "spec": {"containers": containers, **spec}, "status": status}
    return msgspec.convert(document, Pod)


def asking(cpu: str = "", memory: str = "", **spec: Any) -> Pod:
    amounts = {"cpu": cpu, "memory": memory}
    requests = {name: text for name, text in amounts.items() if text}
    return pod(container={"resources": {"requests": requests}}, **spec)


def node(name: str = "n", room: Any = ROOM, labels: Any = None, **spec: Any) -> Node:
    status = {"allocatable": room, "images": spec.pop("images", [])}
    document = {
        "metadata": {"name": name, "labels": labels or {}},
        "spec": spec,
        "status": status,
    }
    return msgspec.convert(document, Node)


class Cluster:
    """A snapshot, a memory, and questions to them."""

    def __init__(self, *nodes: Node, profile: Profile = DEFAULT) -> None:
        self.snapshot = Snapshot()
        self.memory = Memory(self.snapshot)
        self.profile = profile
        for one in nodes:
            self.snapshot.node_changed(None, one)

    def put(self, *pods: Pod, on: str) -> Cluster:
        for one in pods:
            self.snapshot.put(one, on)
        return self

    def ask(self, found: Pod) -> Ask:
        return self.memory.of(found, self.profile)

    def decide(self, found: Pod, **how: Any) -> Chosen | Unfit:
        return decide(self.ask(found), **how)

    def chosen(self, found: Pod, **how: Any) -> str:
        answer = self.decide(found, **how)
        assert isinstance(answer, Chosen)
        return answer.node.name

    def refused(self, found: Pod) -> dict[str, tuple[str, ...]]:
        """Returns the reasons by node where nothing fits."""
        answer = self.decide(found)
        assert isinstance(answer, Unfit)
        return {
            state.name: refusal.reasons
            for state in self.snapshot.nodes
            if state is not None
            for refusal, bits in answer.refused.items()
            if bits >> state.place & 1
        }

    def fitting(self, found: Pod) -> set[str]:
        """Returns the names of all nodes where a pod may go."""
        return {self.snapshot.at(place).name for place in places(fitting(self.ask(found)))}


class Held:
    """A view that holds what it was given, and tells what is put into it."""

    def __init__(self, objects: Iterable[Any] = ()) -> None:
        self._objects = {found.key: found for found in objects}
        self._hear: list[Callable[[Any, Any], None]] = []
        self._indexes: dict[str, Callable[[Any], Iterable[str]]] = {}

    def get(self, ref: Ref) -> Any | None:
        return self._objects.get((ref.namespace, ref.name))

    def list(self, namespace: str = "") -> Iterable[Any]:
        return tuple(it for key, it in self._objects.items() if namespace in ("", key[0]))

    def index(self, name: str, values: Callable[[Any], Iterable[str]]) -> None:
        self._indexes[name] = values

    def by(self, index: str, value: str) -> Iterable[Any]:
        values = self._indexes[index]
        return tuple(it for it in self._objects.values() if value in values(it))

    def listen(self, hear: Callable[[Any, Any], None]) -> Callable[[], None]:
        self._hear.append(hear)
        return lambda: self._hear.remove(hear)

    def put(self, new: Any) -> None:
        old = self._objects.get(new.key)
        self._objects[new.key] = new
        for hear in self._hear:
            hear(old, new)

    def remove(self, gone: Any) -> None:
        old = self._objects.pop(gone.key)
        for hear in self._hear:
            hear(old, None)


class HeldViews:
    """Views of objects given as (kind, document)."""

    def __init__(self, *given: tuple[Kind, Any]) -> None:
        self._views: dict[str, Held] = {}
        for kind, document in given:
            self.put(kind, document)

    def of(self, kind: Kind) -> Any:
        return self._views.setdefault(kind.plural, Held())

    def put(self, kind: Kind, document: Any) -> None:
        assert kind.view is not None
        self.of(kind).put(msgspec.convert(document, kind.view))


def state(*args: Any, pods: tuple[Pod, ...] = (), **kwargs: Any) -> NodeState:
    snapshot = Snapshot()
    found = snapshot.node_changed(None, node(*args, **kwargs))
    for one in pods:
        snapshot.put(one, found.name)
    return found


def demand(found: Pod) -> Demand:
    return demand_of(found.spec)


def verdict(found: Pod, where: NodeState) -> Refusal | None:
    return Rule(DEFAULT).refuse(demand(found), where)


def reasons(found: Pod, where: NodeState) -> tuple[str, ...]:
    refusal = verdict(found, where)
    return refusal.reasons if refusal is not None else ()


def final(found: Pod, where: NodeState) -> bool:
    refusal = verdict(found, where)
    assert refusal is not None
    return refusal.final
