"""The Node object of this machine and its lease: rendered purely, kept true by `Registration`.

The lease is renewed every ten seconds; the status is written when it changes, and every five
minutes to show that it is still true (KEP-589).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

import msgspec

from steersman.client.errors import Unreachable
from steersman.client.interface import Client
from steersman.model import local_path
from steersman.model.errors import AlreadyExists, APIError, NotFound
from steersman.model.kind import Document
from steersman.model.kinds.lease import LEASE
from steersman.model.kinds.node import ATTACHES, DECLARED_FEATURES, NODE, Node, NodeStatus
from steersman.model.quantity import Quantity, of_bytes, parse
from steersman.model.times import rfc3339, rfc3339_micro
from steersman.model.types.condition import condition
from steersman.node.engine.interface import Features, Handler
from steersman.node.machine import Facts
from steersman.node.pressure.monitor import EVENTS
from steersman.node.render.huge_pages import resource_of
from steersman.world.interface import World

KUBELET_VERSION = "v1.37.0"
LEASE_NAMESPACE = "kube-node-lease"
LEASE_SECONDS = 40  # kubelet nodeLeaseDurationSeconds
RENEW_SECONDS = 10.0  # a quarter of it
# Among the pressures: the machine is about to go
SHUTTING_DOWN = "NodeShutdown"
STATUS_SECONDS = 300.0  # kubelet nodeStatusReportFrequency
REGISTER_RETRY_SECONDS = 0.2
# Of each pressure: reason and message while it is there
PRESSURES = {
    "MemoryPressure": ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
    "DiskPressure": ("KubeletHasDiskPressure", "kubelet has disk pressure"),
    "PIDPressure": ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
}
_OWN = {"": Handler(recursive_read_only_mounts=True, user_namespaces=True)}
# Condition: type, status, reason, message
CONDITIONS = (
    (
        "MemoryPressure",
        "False",
        "KubeletHasSufficientMemory",
        "kubelet has sufficient memory available",
    ),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
)
Devices = tuple[Mapping[str, str], Mapping[str, str]]
NO_DEVICES: Devices = ({}, {})


class Place(msgspec.Struct, frozen=True):
    """Where a node is reached; `volumes` is where its directories are that are volumes, `pods`
    the range of its pods' addresses."""

    name: str
    address: str
    port: int
    version: str = ""
    volumes: str = ""
    pods: str = ""


def render_node(place: Place, facts: Facts) -> Document:
    """Returns the Node object without its status."""
    labels = {
        "beta.kubernetes.io/arch": facts.architecture,
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": facts.architecture,
        "kubernetes.io/hostname": place.name,
        "kubernetes.io/os": "linux",
    }
    annotations = {ATTACHES: "true"}
    if place.volumes:
        annotations[local_path.DIRECTORY] = place.volumes
    metadata: Document = {"name": place.name, "labels": labels, "annotations": annotations}
    spec = {"podCIDR": place.pods, "podCIDRs": [place.pods]} if place.pods else {}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": spec}


def render_status(
    place: Place,
    facts: Facts,
    old: Node | None,
    now: float,
    pressures: Collection[str] = (),
    *,
    features: Features | None = None,
    trouble: str = "",
    reserved: Mapping[str, Quantity] = {},
    devices: Devices = NO_DEVICES,
    images: Sequence[Document] = (),
) -> Document:
    """Returns the status; times of conditions that did not change stay. `trouble` is why the
    runtime cannot be used now, `reserved` what pods may not use, `devices` how many of each
    resource there are, and how many can be had, `images` what is here."""
    info: Document = {"swap": {"capacity": facts.swap_bytes}} if facts.swap_bytes else {}
    runtime = features or Features("steersman", place.version, _OWN, groups_policy=True)
    told = [_pressed(it, pressures, trouble) for it in CONDITIONS]
    return {
        "capacity": {**capacity(facts), **devices[0]},
        "allocatable": {**allocatable(facts, reserved), **devices[1]},
        "conditions": [_condition(*it, old, now) for it in told],
        "addresses": [
            {"type": "InternalIP", "address": place.address},
            {"type": "Hostname", "address": place.name},
        ],
        "runtimeHandlers": [_handler(*it) for it in sorted(runtime.handlers.items())],
        "features": {"supplementalGroupsPolicy": runtime.groups_policy},
        "images": list(images) or None,  # a field that is left out of a patch would stay
        "declaredFeatures": list(DECLARED_FEATURES),
        "daemonEndpoints": {"kubeletEndpoint": {"Port": place.port}},
        "nodeInfo": {
            "machineID": facts.machine_id,
            "systemUUID": facts.system_uuid,
            "bootID": facts.boot_id,
            "kernelVersion": facts.kernel,
            "osImage": facts.system,
            "containerRuntimeVersion": f"{runtime.name}://{runtime.version}",
            "kubeletVersion": KUBELET_VERSION,
            "kubeProxyVersion": "",
            "operatingSystem": "linux",
            "architecture": facts.architecture,
            **info,
        },
    }


def capacity(facts: Facts) -> dict[str, str]:
    """Returns what the machine has."""
    pages = {resource_of(size): str(of_bytes(size * count)) for size, count in facts.pages.items()}
    return {
        "cpu": str(facts.cpus),
        "ephemeral-storage": f"{facts.disk_bytes // 1024}Ki",
        **pages,
        "memory": f"{facts.memory_bytes // 1024}Ki",
        "pods": str(facts.most_pods),
    }


def _handler(name: str, handler: Handler) -> Document:
    return {
        "name": name,
        "features": {
            "recursiveReadOnlyMounts": handler.recursive_read_only_mounts,
            "userNamespaces": handler.user_namespaces,
        },
    }


def allocatable(facts: Facts, reserved: Mapping[str, Quantity] = {}) -> dict[str, str]:
    """Returns what pods may use: all but what is reserved; memory in huge pages is no other
    memory (nodestatus/setters.go)."""
    found = capacity(facts)
    kept = {name: amount for name, amount in reserved.items() if name in found}
    pages = sum(size * count for size, count in facts.pages.items())
    if pages:
        kept["memory"] = kept.get("memory", of_bytes(0)) + of_bytes(pages)
    for name, amount in kept.items():
        left = parse(found[name]) - amount
        # Whole units, as the kubelet's: only processors are told in thousandths
        whole = left if name == "cpu" else of_bytes(left.value() // 1024 * 1024)
        found[name] = str(whole) if left.nanos > 0 else "0"
    return found


def _pressed(
    told: tuple[str, str, str, str], pressures: Collection[str], trouble: str
) -> tuple[str, str, str, str]:
    """Returns a condition as it stands under the pressures that there are."""
    kind = told[0]
    if kind == "Ready" and trouble:
        return kind, "False", "KubeletNotReady", trouble
    if kind == "Ready" and SHUTTING_DOWN in pressures:
        return kind, "False", "KubeletNotReady", "node is shutting down"
    return (kind, "True", *PRESSURES[kind]) if kind in pressures else told


def _condition(
    kind: str, status: str, reason: str, message: str, old: Node | None, now: float
) -> Document:
    found = condition(old.status.conditions, kind) if old is not None else None
    changed = now
    if found is not None and found.status == status and found.last_transition_time is not None:
        changed = found.last_transition_time.timestamp()
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastHeartbeatTime": rfc3339(now),
        "lastTransitionTime": rfc3339(changed),
    }


async def _no_images() -> Sequence[Document]:
    return ()


class Registration:
    """Keeps the Node and its lease; `registered` is set once the Node is there and Ready.
    `pressures` gives the conditions of pressure, `features` are the engine's, `trouble` gives why
    it cannot be used now and `devices` what plugins offer; `changed` is called when one of them
    changes. `reserved` is what pods may not use. `images` is asked at each beat for those that
    are here. `say` tells an event of the node: its kind, reason and note."""

    def __init__(
        self,
        client: Client,
        world: World,
        place: Place,
        facts: Facts,
        pressures: Callable[[], Collection[str]] = tuple,
        *,
        features: Features | None = None,
        trouble: Callable[[], str] = str,
        reserved: Mapping[str, Quantity] = {},
        devices: Callable[[], Devices] = lambda: NO_DEVICES,
        images: Callable[[], Awaitable[Sequence[Document]]] = _no_images,
        say: Callable[[str, str, str], None] = lambda kind, reason, note: None,
    ) -> None:
        self._features = features
        self._trouble = trouble
        self._reserved = reserved
        self._pressures = pressures
        self._devices = devices
        self._images = images
        self._say = say
        self._told_images: Sequence[Document] = ()
        self._changed = asyncio.Event()
        self._client = client
        self._world = world
        self._place = place
        self._facts = facts
        self._ref = NODE.ref("", place.name)
        self.uid = ""
        self.registered = asyncio.Event()

    def changed(self) -> None:
        """Tells the status anew at once."""
        self._changed.set()

    async def run(self) -> None:
        """Registers, then beats for ever."""
        self._say("Normal", "Starting", "Starting kubelet.")
        for kind, (with_it, without) in EVENTS.items():
            self._say_status(with_it if kind in self._pressures() else without)
        await self._register()
        self.registered.set()
        told = self._world.now()
        while True:
            changed = await self._pause()
            try:
                await self._renew()
                changed = changed or await self._images() != self._told_images
                if changed or self._world.now() - told >= STATUS_SECONDS:
                    await self._tell()
                    told = self._world.now()
            except NotFound:  # somebody has deleted the Node: it registers anew, as upstream's
                await self._register()
            except (APIError, Unreachable):  # the next beat is the retry
                if changed:
                    told = -STATUS_SECONDS

    async def _pause(self) -> bool:
        """Waits for the next beat, or for a change; says whether there was one."""
        try:
            async with self._world.timeout(self._world.jitter(RENEW_SECONDS, 0.04)):
                await self._changed.wait()
        except TimeoutError:
            return False
        self._changed.clear()
        return True

    async def _register(self) -> None:
        while True:
            try:
                await self._create()
                await self._tell()
                await self._renew()
                return
            except (APIError, Unreachable):  # a node tries for ever, as a kubelet does
                await self._world.sleep(REGISTER_RETRY_SECONDS)

    async def _create(self) -> None:
        document = render_node(self._place, self._facts)
        try:
            await self._client.create(NODE, document)
        except AlreadyExists:
            said = {name: it for name, it in document["metadata"].items() if name != "name"}
            await self._client.patch(self._ref, {"metadata": said})

    async def _tell(self) -> None:
        old: Node = await self._client.get(self._ref)
        self.uid = old.metadata.uid
        now, images = self._world.now(), await self._images()
        status = render_status(
            self._place,
            self._facts,
            old,
            now,
            self._pressures(),
            features=self._features,
            trouble=self._trouble(),
            reserved=self._reserved,
            devices=self._devices(),
            images=images,
        )
        patch = {"status": status}
        await self._client.patch(self._ref, patch, how="strategic", subresource="status")
        self._told_images = images
        self._say_changes(old.status, status)

    def _say_changes(self, old: NodeStatus, new: Document) -> None:
        """Tells that the machine was booted since, or that the node is ready now, or no more."""
        boot = self._facts.boot_id
        if old.node_info.boot_id not in ("", boot):
            note = f"Node {self._place.name} has been rebooted, boot id: {boot}"
            self._say("Warning", "Rebooted", note)
        before = condition(old.conditions, "Ready")
        (ready,) = (it["status"] for it in new["conditions"] if it["type"] == "Ready")
        if before is not None and before.status != ready:
            self._say_status("NodeReady" if ready == "True" else "NodeNotReady")

    def _say_status(self, reason: str) -> None:
        self._say("Normal", reason, f"Node {self._place.name} status is now: {reason}")

    async def _renew(self) -> None:
        ref = LEASE.ref(LEASE_NAMESPACE, self._place.name)
        spec: Document = {"renewTime": rfc3339_micro(self._world.now())}
        try:
            await self._client.patch(ref, {"spec": spec})
        except NotFound:
            name = self._place.name
            spec |= {"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS}
            metadata: Document = {"name": name, "namespace": LEASE_NAMESPACE}
            owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": self.uid}
            metadata["ownerReferences"] = [owner]
            document: Document = {"metadata": metadata, "spec": spec}
            await self._client.create(LEASE, document, namespace=LEASE_NAMESPACE)
