"""What a pod asks of a node, worked out once for all pods of the same shape.

Resources are whole numbers: millis of a CPU, units of everything else, as upstream counts them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping

import msgspec
from msgspec import field
from msgspec.structs import replace

from steersman.model.kinds.pod import Pod
from steersman.model.quantity import parse
from steersman.model.types.container import Container
from steersman.model.types.podspec import PodSpec
from steersman.model.types.scheduling import Affinity, Toleration, TopologySpreadConstraint

Amounts = dict[str, int]
Port = tuple[str, str, int]  # host address, protocol, port

CPU, MEMORY, PODS = "cpu", "memory", "pods"
DEFAULT_CPU_MILLIS = 100  # upstream's DefaultMilliCPURequest: what a pod without a request counts
DEFAULT_MEMORY_BYTES = 200 * 1024 * 1024  # DefaultMemoryRequest
EVERY_ADDRESS = "0.0.0.0"
_ANEW = frozenset(("RestartAllContainersOnContainerExits",))
MAX_SHAPES = 256  # shapes remembered; each deployment is one


class Demand(msgspec.Struct, frozen=True, eq=False):
    """The shape of a pod, as far as it matters where the pod runs; compared by identity.

    `requests` are what must be free, `scored` the amounts by which scores count the pod. `images`
    are by their full names, `containers` counts those that need one. `delegated` are resources that
    devices meet on nodes that do not have them by themselves. A node has to
    declare the `features`.
    """

    requests: Mapping[str, int]
    scored: Mapping[str, int]
    ports: tuple[Port, ...] = ()
    node_name: str = ""
    node_selector: Mapping[str, str] = field(default_factory=dict)
    affinity: Affinity | None = None
    tolerations: tuple[Toleration, ...] = ()
    preempts: bool = True
    priority: int = 0
    spread: tuple[TopologySpreadConstraint, ...] = ()
    images: tuple[str, ...] = ()
    containers: int = 1
    delegated: frozenset[str] = frozenset()
    features: frozenset[str] = frozenset()


def amount(name: str, text: str) -> int:
    """Returns a quantity of a resource as the whole number in which it is counted."""
    quantity = parse(text)
    return quantity.milli() if name == CPU else quantity.value()


def amounts(quantities: Mapping[str, str]) -> Amounts:
    """Returns quantities as whole numbers."""
    return {name: amount(name, text) for name, text in quantities.items()}


def _plus(one: Mapping[str, int], other: Mapping[str, int]) -> Amounts:
    return {name: one.get(name, 0) + other.get(name, 0) for name in {**one, **other}}


def _most(one: Mapping[str, int], other: Mapping[str, int]) -> Amounts:
    return {name: max(one.get(name, 0), other.get(name, 0)) for name in {**one, **other}}


def requested(spec: PodSpec, *, scored: bool = False) -> Amounts:
    """Returns what a pod asks for: its containers together, or its hungriest moment of
    initialization where that is more (component-helpers/resource PodRequests).

    `scored` counts a container without a request as if it had asked for a little.
    """
    total: Amounts = {}
    for container in spec.containers:
        total = _plus(total, _of(container, scored))
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in spec.init_containers:
        wants = _of(container, scored)
        if container.restart_policy == "Always":
            sidecars = _plus(sidecars, wants)
            wants = {}
        peak = _most(peak, _plus(wants, sidecars))
    total = _most(_plus(total, sidecars), peak)
    if spec.resources is not None:
        total = {**total, **amounts(spec.resources.requests)}
    return _plus(total, amounts(spec.overhead)) if spec.overhead else total


def _of(container: Container, scored: bool) -> Amounts:
    wants = amounts(container.resources.requests)
    if scored:
        return {CPU: DEFAULT_CPU_MILLIS, MEMORY: DEFAULT_MEMORY_BYTES, **wants}
    return wants


def host_ports(containers: Iterable[Container]) -> tuple[Port, ...]:
    """Returns the ports that containers take on their node."""
    return tuple(
        (port.host_ip or EVERY_ADDRESS, port.protocol or "TCP", port.host_port)
        for container in containers
        for port in container.ports
        if port.host_port > 0
    )


class Shapes:
    """Remembers the demands of the shapes seen last."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, Demand] = OrderedDict()
        # Asked about last: a pod is placed in the form in which it was asked about
        self._last: tuple[PodSpec, str, Demand] | None = None
        self._delegated: frozenset[str] = frozenset()

    def delegate(self, names: frozenset[str]) -> None:
        """Says which resources devices meet; what was worked out without them is forgotten."""
        if names != self._delegated:
            self._delegated = names
            self._known.clear()
            self._last = None

    def of(self, pod: Pod) -> Demand:
        """Returns the pod's demand; the same object for pods of one shape."""
        return self._of(pod.spec, pod.spec.node_name)

    def placed(self, pod: Pod) -> Demand:
        """Returns the demand of a pod that has its node: that of its like that have none yet."""
        return self._of(pod.spec, "")

    def _of(self, spec: PodSpec, node_name: str) -> Demand:
        last = self._last
        if last is not None and last[0] is spec and last[1] == node_name:
            return last[2]
        found = self._find(spec, node_name)
        self._last = (spec, node_name, found)
        return found

    def _find(self, spec: PodSpec, node_name: str) -> Demand:
        key = _key(spec, node_name)
        if (found := self._known.get(key)) is not None:
            self._known.move_to_end(key)
            return found
        found = demand_of(replace(spec, node_name=node_name), self._delegated)
        self._known[key] = found
        if len(self._known) > MAX_SHAPES:
            self._known.popitem(last=False)
        return found


def _key(spec: PodSpec, node_name: str) -> bytes:
    parts = (
        [(item.image, item.resources, item.ports) for item in spec.containers],
        [(item.image, item.resources, item.restart_policy) for item in spec.init_containers],
        [item.restart_policy_rules for item in (*spec.init_containers, *spec.containers)],
        [item.ports for item in spec.init_containers],
        node_name,
        spec.node_selector,
        spec.affinity,
        spec.tolerations,
        spec.overhead,
        spec.resources,
        spec.preemption_policy,
        spec.priority,
        spec.topology_spread_constraints,
    )
    return msgspec.json.encode(parts)


def demand_of(spec: PodSpec, delegated: frozenset[str] = frozenset()) -> Demand:
    """Works a demand out; `delegated` are all resources that devices meet."""
    sidecars = [item for item in spec.init_containers if item.restart_policy == "Always"]
    requests = {name: count for name, count in requested(spec).items() if count}
    return Demand(
        requests=requests,
        scored=requested(spec, scored=True),
        ports=host_ports((*spec.containers, *sidecars)),
        node_name=spec.node_name,
        node_selector=spec.node_selector,
        affinity=spec.affinity,
        tolerations=spec.tolerations,
        preempts=spec.preemption_policy != "Never",
        priority=spec.priority,
        spread=spec.topology_spread_constraints,
        images=tuple(full_name(item.image) for item in (*spec.init_containers, *spec.containers)),
        containers=len(spec.init_containers) + len(spec.containers),
        delegated=delegated.intersection(requests),
        features=features_of(spec),
    )


def features_of(spec: PodSpec) -> frozenset[str]:
    """Returns the features of nodes without which a pod cannot run (InferForScheduling)."""
    containers = (*spec.init_containers, *spec.containers)
    rules = (rule for container in containers for rule in container.restart_policy_rules)
    return _ANEW if any(rule.action == "RestartAllContainers" for rule in rules) else frozenset()


def full_name(image: str) -> str:
    """Returns an image's name with its tag (imagelocality normalizedImageName)."""
    return image if ":" in image.rpartition("/")[2] else f"{image}:latest"
