"""The scenario: pods come and go on nodes that share volumes for one node each, disturbed in a
storm; no volume may be on two nodes, and none may leave a node that has it mounted.

The attacher of a driver and the volume manager of a kubelet are played by two controllers of the
scenario. One seed is one run, exactly. `run(seed)` raises what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, ClassVar

from steersman.client.interface import Views
from steersman.controllers import claims
from steersman.controllers.attach_detach import AttachDetachController
from steersman.controllers.attach_plan import Source
from steersman.controllers.node_lifecycle import BY_NODE, by_node
from steersman.model.errors import APIError
from steersman.model.kind import Document
from steersman.model.kinds.node import ATTACHES, NODE
from steersman.model.kinds.persistentvolume import PERSISTENTVOLUME
from steersman.model.kinds.persistentvolumeclaim import PERSISTENTVOLUMECLAIM
from steersman.model.kinds.pod import POD
from steersman.model.kinds.serviceaccount import SERVICEACCOUNT
from steersman.model.kinds.volumeattachment import VOLUMEATTACHMENT
from steersman.model.ref import Ref, Resource
from steersman.reconcile.actions import Patch, act_one, status
from steersman.reconcile.loop import Controller, Done, Given
from steersman.reconcile.rules import Rule, Watch, to_self
from steersman.testing.invariants.rollouts import Broken
from steersman.world.simulated import SimulatedWorld, simulate

from .control_plane import TESTER, ControlPlane, control_plane
from .faults import Weather
from .storms import CALM_SECONDS, NAMESPACE, Outcome, rest, storm

NODES = ("one", "two", "three")
VOLUMES = ("disk-0", "disk-1")
DRIVER = "a.example.com"
FINALIZER = "external-attacher/a-example-com"
Mounted = set[tuple[str, str]]


def unique(volume: str) -> str:
    """Returns the name under which nodes know a volume; its handle is its name."""
    return Source(DRIVER, volume).name


class Attacher:
    """Attaches and detaches at once, and holds attachments meanwhile, as external-attacher does."""

    name: ClassVar[str] = TESTER
    watches: ClassVar[tuple[Watch, ...]] = (
        Watch(VOLUMEATTACHMENT, partial(to_self, kind=VOLUMEATTACHMENT)),
    )
    writes: ClassVar[tuple[Rule, ...]] = ()

    def __init__(self, given: Given) -> None:
        self._given = given
        self._view = given.views.of(VOLUMEATTACHMENT)

    async def reconcile(self, ref: Ref) -> Done:
        """Makes one attachment true, or lets it go."""
        found = self._view.get(ref)
        if found is None:
            return Done()
        going, held = found.metadata.deletion_timestamp is not None, found.metadata.finalizers
        same = {"uid": found.metadata.uid}
        if going and held:
            await self._act(Patch(ref, {"metadata": {"finalizers": None}}, **same))
        elif not going and not held:
            await self._act(Patch(ref, {"metadata": {"finalizers": [FINALIZER]}}, **same))
        elif not going and not found.status.attached:
            await self._act(status(ref, {"attached": True}, **same))
        return Done()

    async def _act(self, patch: Patch) -> None:
        await act_one(self._given.client, self._given.events, patch)


def _of_pod(_views: Views, old: Any | None, new: Any | None) -> Iterable[Ref]:
    return [NODE.ref("", pod.spec.node_name) for pod in (old, new) if pod is not None]


class Kubelet:
    """Mounts what is attached, after it has said that it uses it; says that it does not after it
    has unmounted."""

    name: ClassVar[str] = TESTER
    watches: ClassVar[tuple[Watch, ...]] = (
        Watch(NODE, partial(to_self, kind=NODE)),
        Watch(POD, _of_pod, {BY_NODE: by_node}),
    )
    writes: ClassVar[tuple[Rule, ...]] = ()
    mounted: ClassVar[Mounted]

    def __init__(self, given: Given) -> None:
        self._given = given
        self._pods = given.views.of(POD)

    async def reconcile(self, ref: Ref) -> Done:
        """Makes the mounts of one node right."""
        pods = self._pods.by(BY_NODE, ref.name)
        wanted = {unique(name) for pod in pods for name in claims.names_of(pod)}
        await self._report(ref, wanted | self._own(ref.name))
        node = await self._given.client.get(ref)
        attached = {it.name for it in node.status.volumes_attached}
        self.mounted.update((ref.name, name) for name in wanted & attached)
        for name in self._own(ref.name) - wanted:
            self.mounted.discard((ref.name, name))
        await self._report(ref, wanted | self._own(ref.name))
        return Done()

    def _own(self, node: str) -> set[str]:
        return {name for place, name in self.mounted if place == node}

    async def _report(self, ref: Ref, names: set[str]) -> None:
        node = await self._given.client.get(ref)
        if set(node.status.volumes_in_use) != names:
            patch = status(ref, {"volumesInUse": sorted(names) or None})
            await act_one(self._given.client, self._given.events, patch)


def kubelet(mounted: Mounted) -> type[Controller]:
    """Returns the kubelets; what they mounted outlives their process."""
    return type("Kubelet", (Kubelet,), {"mounted": mounted})


class Attached:
    """Sees every commit and keeps what is attached where."""

    def __init__(self, mounted: Mounted) -> None:
        self.commits = 0
        self._mounted = mounted
        self._found: dict[str, Document] = {}

    def see(self, resource: Resource, _namespace: str, name: str, new: Document | None) -> None:
        """Judges one write."""
        self.commits += 1
        if resource != VOLUMEATTACHMENT.resource:
            return
        old = self._found.pop(name, None)
        if new is not None:
            self._found[name] = new
        spec = (new or old or {})["spec"]
        volume, node = spec["source"]["persistentVolumeName"], spec["nodeName"]
        going = new is None or new["metadata"].get("deletionTimestamp")
        if going and (node, unique(volume)) in self._mounted:
            raise Broken(f"{volume} leaves {node}, which has it mounted")
        places = [
            it["spec"]["nodeName"]
            for it in self._found.values()
            if it["spec"]["source"]["persistentVolumeName"] == volume
        ]
        if len(places) > 1:
            raise Broken(f"{volume} is attached to {places}")


async def prepare(plane: ControlPlane) -> None:
    """Makes nodes, and claims that are bound to volumes."""
    await plane.admin.create(SERVICEACCOUNT, {"metadata": {"name": "default"}}, namespace=NAMESPACE)
    for name in NODES:
        metadata = {"name": name, "annotations": {ATTACHES: "true"}}
        ready = {"conditions": [{"type": "Ready", "status": "True"}]}
        await plane.admin.create(NODE, {"metadata": metadata, "status": ready})
    for name in VOLUMES:
        await _volume(plane, name)


async def _volume(plane: ControlPlane, name: str) -> None:
    modes, size = {"accessModes": ["ReadWriteOnce"]}, {"storage": "1Gi"}
    asked = {**modes, "resources": {"requests": size}, "storageClassName": "", "volumeName": name}
    claim = await plane.admin.create(
        PERSISTENTVOLUMECLAIM, {"metadata": {"name": name}, "spec": asked}, namespace=NAMESPACE
    )
    owner = {"namespace": NAMESPACE, "name": name, "uid": claim.metadata.uid}
    csi = {"driver": DRIVER, "volumeHandle": name}
    spec = {**modes, "capacity": size, "claimRef": owner, "csi": csi}
    await plane.admin.create(PERSISTENTVOLUME, {"metadata": {"name": name}, "spec": spec})
    ref = PERSISTENTVOLUMECLAIM.ref(NAMESPACE, name)
    await plane.admin.patch(ref, {"status": {"phase": "Bound"}}, subresource="status")


async def change(plane: ControlPlane, random: Any, number: int) -> None:
    """Has a pod come, or one go."""
    pods = (await plane.admin.list(POD, NAMESPACE)).items
    if pods and random.random() < 0.5:
        try:
            await plane.admin.delete(POD.ref(*random.choice(pods).key), grace_seconds=0)
        except APIError as error:
            if error.code != 404:
                raise
        return
    claim = {"persistentVolumeClaim": {"claimName": random.choice(VOLUMES)}}
    spec = {
        "nodeName": random.choice(NODES),
        "containers": [{"name": "c", "image": "i"}],
        "volumes": [{"name": "v", **claim}],
    }
    made = {"metadata": {"name": f"pod-{number}"}, "spec": spec}
    await plane.admin.create(POD, made, namespace=NAMESPACE)


async def problems(plane: ControlPlane) -> list[str]:
    """Returns what is not yet as wanted."""
    pods = (await plane.admin.list(POD, NAMESPACE)).items
    nodes = {it.metadata.name: it for it in (await plane.admin.list(NODE)).items}
    found = (await plane.admin.list(VOLUMEATTACHMENT)).items
    wrong = []
    for volume in VOLUMES:
        wanted = {it.spec.node_name for it in pods if volume in claims.names_of(it)}
        there = [it for it in found if it.spec.source.persistent_volume_name == volume]
        told = {
            name
            for name, node in nodes.items()
            if unique(volume) in {it.name for it in node.status.volumes_attached}
        }
        places = {it.spec.node_name for it in there if it.status.attached}
        if len(there) != min(1, len(wanted)) or not places <= wanted or told != places:
            wrong.append(f"{volume}: wanted on {wanted}, attached to {places}, told to {told}")
    return wrong


async def scenario(world: SimulatedWorld, seed: int) -> Outcome:
    """Runs one seed."""
    random = world.random
    mounted: Mounted = set()
    invariants = Attached(mounted)
    weather = Weather()
    async with control_plane(world, weather, invariants.see) as plane:
        await prepare(plane)
        plane.run_controllers((AttachDetachController, Attacher, kubelet(mounted)))
        storm(weather, random)
        for number in range(random.randint(5, 25)):
            await world.sleep(random.choice((0.1, 1.0, 20.0)))
            await change(plane, random, number)
        weather.calm()
        await rest(world, lambda: problems(plane), 3 * CALM_SECONDS)
        return Outcome(seed, invariants.commits, plane.crashes, world.monotonic())


def run(seed: int) -> Outcome:
    """Runs one seed to its end; raises what is wrong."""
    outcome: Outcome = simulate(seed, lambda world: scenario(world, seed))
    return outcome
