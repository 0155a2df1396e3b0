"""Measures the scheduler's decisions, in process: no API, no clock, no writes.

Run: PYTHONPATH=src python bench/scheduler.py [nodes]. Each line is one shape of work: how many
decisions a second, the first of them (nothing worked out yet) and the slowest of the others.
"""

from __future__ import annotations

import gc
import random
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec

from steersman.model.kind import Kind
from steersman.model.kinds.node import Node
from steersman.model.kinds.persistentvolume import PersistentVolume
from steersman.model.kinds.persistentvolumeclaim import PersistentVolumeClaim
from steersman.model.kinds.pod import Pod
from steersman.model.kinds.storageclass import StorageClass
from steersman.model.ref import Ref
from steersman.model.selectors import Selector, of_map
from steersman.model.volume_binding import BIND_COMPLETED
from steersman.scheduler.decide import Chosen, decide
from steersman.scheduler.flow.classes import sort
from steersman.scheduler.flow.plan import plan_batch
from steersman.scheduler.flow.solver import NotInstalled, load, solve
from steersman.scheduler.memory import Ask, Memory
from steersman.scheduler.preemption import Candidate, Trials, preempt
from steersman.scheduler.profile import Profile
from steersman.scheduler.state.snapshot import Snapshot
from steersman.scheduler.volumes.rule import VolumeRule, rule_of
from steersman.scheduler.volumes.storage import Storage

DECISIONS = 5_000
ZONES = 3
EVERY_NODE = Profile(percentage=100)
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def node(number: int, cpu: str = "32") -> Node:
    name = f"node-{number}"
    labels = {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": f"z{number % ZONES}"}
    room = {"cpu": cpu, "memory": "256Gi", "pods": "110"}
    document = {"metadata": {"name": name, "labels": labels}, "status": {"allocatable": room}}
    return msgspec.convert(document, Node)


def pod(number: int, app: str = "web", namespace: str = "default", **spec: Any) -> Pod:
    requests = {"cpu": spec.pop("cpu", "100m"), "memory": "200Mi"}
    containers = [{"name": "c", "image": "web:1", "resources": {"requests": requests}}]
    metadata = {
        "name": f"{app}-{number}",
        "uid": f"{app}-{number}",
        "namespace": namespace,
        "labels": {"app": app},
    }
    document = {"metadata": metadata, "spec": {"containers": containers, **spec}}
    return msgspec.convert(document, Pod)


class Bench:
    """A cluster of nodes, and decisions that bind at once."""

    def __init__(self, nodes: int, cpu: str = "32") -> None:
        self.snapshot = Snapshot()
        self.memory = Memory(self.snapshot)
        self.random = random.Random(1)
        self.start = 0
        for number in range(nodes):
            self.snapshot.node_changed(None, node(number, cpu))

    def place(self, found: Pod, profile: Profile, selector: Selector | None = None) -> None:
        ask = self.memory.of(found, profile, selector)
        answer = decide(ask, start=self.start, draw=self.random.random())
        assert isinstance(answer, Chosen), answer
        self.start = answer.start
        self.snapshot.put(found, answer.node.name, assumed=True)


def measure(name: str, work: Callable[[int], None], count: int = DECISIONS) -> None:
    gc.collect()
    gc.freeze()  # as the server does after its start
    took = []
    for number in range(count):
        began = time.process_time()
        work(number)
        took.append(time.process_time() - began)
    rate = (count - 1) / sum(took[1:])
    first, slowest = took[0] * 1e3, max(took[1:]) * 1e3
    print(f"{name:44} {rate:8.0f}/s   first {first:6.1f} ms   slowest {slowest:6.2f} ms")


def basic(nodes: int, profile: Profile, name: str) -> None:
    bench = Bench(nodes)
    pods = [pod(number) for number in range(DECISIONS)]
    measure(name, lambda number: bench.place(pods[number], profile))


def spread_by_default(nodes: int) -> None:
    bench, selector = Bench(nodes), of_map({"app": "web"})
    pods = [pod(number) for number in range(DECISIONS)]
    measure(
        "basic, spread by default", lambda number: bench.place(pods[number], EVERY_NODE, selector)
    )


def hard_spread(nodes: int) -> None:
    bench = Bench(nodes)
    constraint = {
        "maxSkew": 1,
        "topologyKey": "topology.kubernetes.io/zone",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}},
    }
    pods = [pod(number, topologySpreadConstraints=[constraint]) for number in range(DECISIONS)]
    measure("spread over zones, required", lambda number: bench.place(pods[number], EVERY_NODE))


def affinity(nodes: int, side: str, key: str, name: str, count: int = DECISIONS) -> None:
    """Pods of two namespaces with terms that take both by a namespace selector."""
    bench = Bench(nodes)
    for namespace in ("red", "blue"):
        bench.snapshot.namespace_changed(namespace, {"team": "devops"})
    term = {
        "topologyKey": key,
        "labelSelector": {"matchLabels": {"app": "web"}},
        "namespaceSelector": {"matchLabels": {"team": "devops"}},
    }
    pods = [
        pod(number, namespace=("red", "blue")[number % 2], affinity={side: {REQUIRED: [term]}})
        for number in range(count)
    ]
    measure(name, lambda number: bench.place(pods[number], EVERY_NODE), count)


def preemption(nodes: int) -> None:
    """Every node is full of four pods of low priority; each decision chooses victims, takes them
    away and places the important pod."""
    bench, trials = Bench(nodes, cpu="4"), Trials()
    for number in range(nodes * 4):
        bench.snapshot.put(pod(number, "low", cpu="900m"), f"node-{number // 4}")
    pods = [pod(number, "high", cpu="3", priority=10) for number in range(DECISIONS // 2)]
    budgets: list[Any] = []

    def work(number: int) -> None:
        found = pods[number]
        ask = bench.memory.of(found, EVERY_NODE)
        unfit = decide(ask, draw=bench.random.random())
        assert not isinstance(unfit, Chosen)
        best = preempt(ask, unfit, budgets, draw=bench.random.random(), trials=trials)
        assert isinstance(best, Candidate)
        bench.snapshot.nominate(found, best.node.name)
        for victim in best.victims:
            bench.snapshot.remove(victim.pod.metadata.uid)
        bench.snapshot.put(found, best.node.name, assumed=True)

    measure("preemption", work, len(pods))


class Copies:
    """Followed copies that hold what they were given and are followed by nobody."""

    def __init__(self, found: dict[str, list[Any]]) -> None:
        self._found = found

    def of(self, kind: Kind) -> Copy:
        """Returns the copy of a kind."""
        return Copy(self._found.get(kind.plural, []))


class Copy:
    """The copy of one kind."""

    def __init__(self, found: list[Any]) -> None:
        self._found = {it.key: it for it in found}

    def get(self, ref: Ref) -> Any | None:
        """Returns an object."""
        return self._found.get((ref.namespace, ref.name))

    def list(self, _namespace: str = "") -> Any:
        """Returns all objects."""
        return self._found.values()


def claim(number: int, volume: str = "", **spec: Any) -> PersistentVolumeClaim:
    done = {"annotations": {BIND_COMPLETED: "yes"}} if volume else {}
    metadata = {"name": f"c{number}", "namespace": "default", "uid": f"c{number}", **done}
    size = {"requests": {"storage": "1Gi"}}
    given = {"resources": size, "accessModes": ["ReadWriteOnce"], "volumeName": volume, **spec}
    return msgspec.convert({"metadata": metadata, "spec": given}, PersistentVolumeClaim)


def volume(number: int, key: str, value: str, **spec: Any) -> PersistentVolume:
    near = {"matchExpressions": [{"key": key, "operator": "In", "values": [value]}]}
    given = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "nodeAffinity": {"required": {"nodeSelectorTerms": [near]}},
        **spec,
    }
    status = {"phase": "Available"}
    metadata = {"name": f"v{number}", "uid": f"v{number}"}
    document = {"metadata": metadata, "spec": given, "status": status}
    return msgspec.convert(document, PersistentVolume)


def claims(nodes: int, name: str, found: dict[str, list[Any]], count: int) -> None:
    """Pods with a claim of their own each; volumes that were given are so from then on."""
    bench, storage, profile = Bench(nodes), Storage(Copies(found)), Profile()  # type: ignore[arg-type]
    volumes = [
        [{"name": "d", "persistentVolumeClaim": {"claimName": f"c{number}"}}]
        for number in range(count)
    ]
    pods = [pod(number, volumes=volumes[number]) for number in range(count)]

    def work(number: int) -> None:
        rule = rule_of(pods[number], profile, storage, bench.snapshot)
        assert isinstance(rule, VolumeRule)
        ask = bench.memory.of(pods[number], profile, None, rule)
        answer = decide(ask, start=bench.start, draw=bench.random.random())
        assert isinstance(answer, Chosen), answer
        bench.start = answer.start
        for one, chosen in rule.choice(answer.node).given:
            storage.promise(chosen.metadata.name, one.metadata.uid)
        bench.snapshot.put(pods[number], answer.node.name, assumed=True)

    measure(name, work, count)


def all_claims(nodes: int, count: int = 200) -> None:
    """Claims with a volume in a zone, claims for which one is made, claims for local volumes."""
    zone, host = "topology.kubernetes.io/zone", "kubernetes.io/hostname"
    bound = [claim(number, f"v{number}") for number in range(count)]
    zoned = [volume(number, zone, f"z{number % ZONES}") for number in range(count)]
    found: dict[str, list[Any]] = {"persistentvolumeclaims": bound, "persistentvolumes": zoned}
    claims(nodes, "claims with a volume in a zone", found, count)
    waits = {"volumeBindingMode": "WaitForFirstConsumer", "provisioner": "p"}
    late = msgspec.convert({"metadata": {"name": "late"}, **waits}, StorageClass)
    found = {
        "persistentvolumeclaims": [claim(n, storageClassName="late") for n in range(count)],
        "storageclasses": [late],
    }
    claims(nodes, "claims whose volume is made", found, count)
    named = [f"node-{number}" for number in range(nodes)]
    local = [volume(n, host, name, storageClassName="late") for n, name in enumerate(named)]
    found = {**found, "persistentvolumes": local}
    claims(nodes, "claims for one of a local volume a node", found, count)


def flow(nodes: int, kinds: int, pods: int) -> None:
    """One batch of equal pods on nodes of some sizes: sorted, solved, and counted on their nodes;
    OR-Tools is loaded before."""
    try:
        load()
    except NotInstalled as error:
        print(error)
        return
    bench, profile = Bench(0), Profile(name="flow")
    for number in range(nodes):
        bench.snapshot.node_changed(None, node(number, cpu=f"{32_000 + number % kinds}m"))
    batch = [pod(number) for number in range(pods)]

    def ask(found: Pod) -> Ask:
        return bench.memory.of(found, profile)

    gc.collect()
    gc.freeze()
    began = time.perf_counter()
    classes = sort(batch, bench.snapshot, ask).classes
    plan = plan_batch(classes, bench.snapshot, ask, solve, 0.0)
    took = time.perf_counter() - began
    assert len(plan.placed) == pods
    print(f"flow: {pods} equal pods, {nodes} nodes of {kinds} sizes{'':12} {took:8.2f} s")


def main() -> None:
    nodes = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000
    print(f"{nodes} nodes")
    basic(nodes, EVERY_NODE, "basic, every node scored")
    basic(nodes, Profile(), "basic, upstream's share")
    spread_by_default(nodes)
    hard_spread(nodes)
    zone, host = "topology.kubernetes.io/zone", "kubernetes.io/hostname"
    affinity(nodes, "podAffinity", zone, "affinity, namespace selector, zone")
    few = min(DECISIONS, nodes)
    affinity(nodes, "podAntiAffinity", host, "anti-affinity, namespace selector, host", few)
    preemption(nodes)
    all_claims(nodes)
    for kinds in (1, 1_000):
        flow(1_000, kinds, 10_000)


if __name__ == "__main__":
    main()
