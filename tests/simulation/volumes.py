"""The scenario: a stateful set with claims and some volumes made by hand, disturbed in a storm; in
the calm after it, every claim must have one volume and no volume two claims.

One seed is one run, exactly. `run(seed)` raises what is wrong.
"""

from __future__ import annotations

from typing import Any

from steersman.controllers.garbage import GarbageController
from steersman.controllers.local_path import LocalPathController
from steersman.controllers.node_lifecycle import NodeLifecycleController
from steersman.controllers.serviceaccount import ServiceAccountController
from steersman.controllers.statefulset import StatefulSetController
from steersman.controllers.volume_binder import VolumeBinderController
from steersman.controllers.volume_protection import (
    ClaimProtectionController,
    VolumeProtectionController,
)
from steersman.model.errors import APIError
from steersman.model.kind import Document
from steersman.model.kinds.persistentvolume import PERSISTENTVOLUME
from steersman.model.kinds.persistentvolumeclaim import PERSISTENTVOLUMECLAIM
from steersman.model.kinds.pod import POD
from steersman.model.kinds.statefulset import STATEFULSET
from steersman.model.ref import Resource
from steersman.model.volume_binding import asked, size
from steersman.node.simulated.behaviour import Behaviour
from steersman.testing.invariants.rollouts import Broken
from steersman.world.simulated import SimulatedWorld, simulate

from .batch import template
from .control_plane import ControlPlane, control_plane
from .faults import Weather
from .storms import CALM_SECONDS, NAMESPACE, Outcome, prepare, rest, storm

CONTROLLERS = (
    StatefulSetController,
    VolumeBinderController,
    LocalPathController,
    ClaimProtectionController,
    VolumeProtectionController,
    GarbageController,
    ServiceAccountController,
    NodeLifecycleController,
)
CLAIMS, VOLUMES = Resource("", "persistentvolumeclaims"), Resource("", "persistentvolumes")
DB = STATEFULSET.ref(NAMESPACE, "db")
DONE = "pv.kubernetes.io/bind-completed"
MANUAL = 3  # volumes, and claims for them, that are made by hand


class VolumeInvariants:
    """Sees every commit and keeps what it needs to judge the next."""

    def __init__(self) -> None:
        self.commits = 0
        self._claims: dict[str, Document] = {}
        self._volumes: dict[str, Document] = {}

    def see(self, resource: Resource, _namespace: str, name: str, new: Document | None) -> None:
        """Judges one write."""
        self.commits += 1
        if resource == CLAIMS:
            self._see_claim(name, new)
        elif resource == VOLUMES:
            self._see_volume(name, new)

    def _see_claim(self, name: str, new: Document | None) -> None:
        self._claims.pop(name, None)
        if new is None:
            return
        self._claims[name] = new
        if (new.get("status") or {}).get("phase") == "Lost":
            raise Broken(f"{name} is lost")
        bound = [it["spec"].get("volumeName") for it in self._claims.values() if is_done(it)]
        if len(bound) != len(set(bound)):
            raise Broken(f"two claims are bound to one volume: {bound}")

    def _see_volume(self, name: str, new: Document | None) -> None:
        old = self._volumes.pop(name, None)
        if new is not None:
            self._volumes[name] = new
        owner = ((old or {}).get("spec") or {}).get("claimRef") or {}
        claim = self._claims.get(owner.get("name", ""))
        if claim is None or claim["metadata"]["uid"] != owner.get("uid"):
            return
        named = is_done(claim) and claim["spec"]["volumeName"] == name
        phase = ((new or {}).get("status") or {}).get("phase")
        if named and phase in (None, "Released", "Failed", "Available"):
            raise Broken(f"{name} is {phase}, and its claim {owner['name']} has it")
        if named and (new or {})["spec"].get("claimRef", {}).get("uid") != owner["uid"]:
            raise Broken(f"{name} was taken from {owner['name']}")


def is_done(claim: Document) -> bool:
    """Says whether a claim's binding is completed."""
    return DONE in (claim["metadata"].get("annotations") or {})


def stateful_set(random: Any) -> Document:
    """Returns a set whose claims go with it, or do not."""
    resources = {"requests": {"storage": "1Gi"}}
    claim = {"accessModes": ["ReadWriteOnce"], "resources": resources}
    gone = random.choice(("Delete", "Retain"))
    spec: Document = {
        "replicas": random.randint(1, 4),
        "serviceName": "db",
        "selector": {"matchLabels": {"app": "db"}},
        "template": template("one"),
        "podManagementPolicy": random.choice(("OrderedReady", "Parallel")),
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}],
        "persistentVolumeClaimRetentionPolicy": {"whenScaled": gone, "whenDeleted": "Delete"},
    }
    return {"metadata": {"name": "db", "namespace": NAMESPACE}, "spec": spec}


async def make_by_hand(plane: ControlPlane, random: Any) -> None:
    """Makes volumes and claims that are to find each other."""
    for number in range(MANUAL):
        size = f"{random.randint(2, 4)}Gi"
        spec: Document = {
            "capacity": {"storage": size},
            "accessModes": ["ReadWriteOnce"],
            "hostPath": {"path": "/x"},
        }
        made = {"metadata": {"name": f"hand-{number}"}, "spec": spec}
        await plane.admin.create(PERSISTENTVOLUME, made)
        await plane.admin.create(PERSISTENTVOLUMECLAIM, hand_claim(number), namespace=NAMESPACE)


def hand_claim(number: int) -> Document:
    """Returns a claim for one of the volumes made by hand."""
    spec: Document = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "",
        "resources": {"requests": {"storage": f"{number}500Mi"}},
    }
    return {"metadata": {"name": f"hand-{number}", "namespace": NAMESPACE}, "spec": spec}


async def change(plane: ControlPlane, random: Any) -> None:
    """Changes something as a person would."""
    what = random.choice(("scale", "kill", "kill", "unclaim", "grow"))
    try:
        if what == "scale":
            await plane.admin.patch(DB, {"spec": {"replicas": random.randint(0, 5)}})
        elif what == "kill":
            pods = (await plane.admin.list(POD, NAMESPACE)).items
            if pods:
                await plane.admin.delete(POD.ref(*random.choice(pods).key))
        else:
            claims = (await plane.admin.list(PERSISTENTVOLUMECLAIM, NAMESPACE)).items
            if not claims:  # all were deleted, and none was made anew yet
                return
            ref = PERSISTENTVOLUMECLAIM.ref(*random.choice(claims).key)
            if what == "unclaim":
                await plane.admin.delete(ref)
            else:
                wanted = {"requests": {"storage": f"{random.randint(5, 9)}Gi"}}
                await plane.admin.patch(ref, {"spec": {"resources": wanted}})
    except APIError as error:
        if error.code not in (403, 404, 409, 422):
            raise


async def problems(plane: ControlPlane) -> list[str]:
    """Returns what is not yet as wanted."""
    found = []
    owner = await plane.admin.get(DB)
    if owner.status.available_replicas != owner.spec.replicas:
        found.append(f"the set wants {owner.spec.replicas}, its status is {owner.status}")
    claims = (await plane.admin.list(PERSISTENTVOLUMECLAIM, NAMESPACE)).items
    volumes = {it.metadata.name: it for it in (await plane.admin.list(PERSISTENTVOLUME)).items}
    for claim in claims:
        volume = volumes.pop(claim.spec.volume_name, None)
        ordinal = claim.metadata.name.removeprefix("data-db-")
        used = ordinal.isdecimal() and int(ordinal) < owner.spec.replicas
        if claim.status.phase != "Bound" and used:
            found.append(f"{claim.metadata.name} is {claim.status.phase}")
        elif volume is not None and volume.status.phase != "Bound":
            found.append(f"{volume.metadata.name} is {volume.status.phase}")
        elif volume is not None and claim.spec.storage_class_name:
            # Who asked for more and then for less may have got more already
            has = volume.spec.capacity["storage"]
            if size(volume) < asked(claim) or claim.status.capacity.get("storage") != has:
                wanted, told = claim.spec.resources.requests["storage"], claim.status.capacity
                text = f"{claim.metadata.name} asks for {wanted}, has {has}, its status is {told}"
                found.append(text)
    left = [name for name in volumes if not name.startswith("hand")]
    return [*found, f"volumes are left: {left}"] if left else found


async def scenario(world: SimulatedWorld, seed: int) -> Outcome:
    """Runs one seed."""
    random = world.random
    behaviour = Behaviour(
        start_seconds=random.choice((0.0, 1.0, 5.0)), stop_seconds=random.choice((0.0, 2.0, 20.0))
    )
    invariants = VolumeInvariants()
    weather = Weather()
    async with control_plane(world, weather, invariants.see) as plane:
        await prepare(plane, world, behaviour, CONTROLLERS)
        storm(weather, random)
        await plane.admin.create(STATEFULSET, stateful_set(random))
        await make_by_hand(plane, random)
        for _ in range(random.randint(2, 8)):
            await world.sleep(random.choice((0.1, 5.0, 40.0)))
            await change(plane, random)
        weather.calm()
        await rest(world, lambda: problems(plane), 3 * CALM_SECONDS)
        await world.sleep(CALM_SECONDS)
        return Outcome(seed, invariants.commits, plane.crashes, world.monotonic())


def run(seed: int) -> Outcome:
    """Runs one seed to its end; raises what is wrong."""
    outcome: Outcome = simulate(seed, lambda world: scenario(world, seed))
    return outcome
