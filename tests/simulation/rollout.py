"""The scenario: a deployment is created, updated and scaled in a storm; in the calm after it,
everything must come to rest as wanted.

One seed is one run, exactly. `run(seed)` raises what is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from steersman.controllers.deployment import DeploymentController
from steersman.controllers.node_lifecycle import NodeLifecycleController
from steersman.controllers.replicaset import ReplicaSetController
from steersman.controllers.serviceaccount import ServiceAccountController
from steersman.model.errors import APIError
from steersman.model.kind import Document
from steersman.model.kinds.deployment import DEPLOYMENT, Deployment
from steersman.model.kinds.node import NODE
from steersman.model.kinds.pod import POD
from steersman.model.kinds.replicaset import REPLICASET
from steersman.model.kinds.serviceaccount import SERVICEACCOUNT
from steersman.node.simulated import Behaviour
from steersman.reconcile.loop import Controller
from steersman.world.simulated import START, SimulatedWorld, simulate

from .control_plane import ControlPlane, control_plane
from .faults import Weather
from .invariants import Broken, Invariants

NAMESPACE, NAME = "default", "web"
NODES = 4
CALM_SECONDS = 1500.0  # above the longest back-off of a key: what was retried in vain comes again
LOOK_SECONDS = 5.0
CONTROLLERS = (
    DeploymentController,
    ReplicaSetController,
    ServiceAccountController,
    NodeLifecycleController,
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to, for people who watch."""

    seed: int
    commits: int
    crashes: int
    seconds: float


def storm(random: Any) -> Weather:
    """Returns bad weather; some kinds of trouble are absent in some seeds, to find each alone."""
    return Weather(
        lose_request=random.choice((0.0, 0.05, 0.2)),
        lose_answer=random.choice((0.0, 0.05, 0.2)),
        break_watch=random.choice((0.0, 0.02)),
        slow_call=random.choice((0.0, 0.05, 0.5)),
        slow_watch=random.choice((0.0, 0.5, 5.0)),
        crash_every=random.choice((0, 0, 37, 11)),
    )


def manifest(random: Any) -> Document:
    """Returns a deployment."""
    rolling = {
        "maxSurge": random.choice((0, 1, 2, "25%", "50%")),
        "maxUnavailable": random.choice((0, 1, "25%", "40%")),
    }
    if rolling["maxSurge"] == 0 and rolling["maxUnavailable"] == 0:
        rolling["maxSurge"] = 1  # validation refuses both zero
    strategy: Document = {"type": "RollingUpdate", "rollingUpdate": rolling}
    if random.random() < 0.1:
        strategy = {"type": "Recreate"}
    labels = {"app": NAME}
    return {
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {
            "replicas": random.randint(1, 7),
            "strategy": strategy,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": template_spec("one")},
        },
    }


def template_spec(version: str) -> Document:
    """Returns the pod's spec in a version."""
    return {"containers": [{"name": "web", "image": f"example.com/web:{version}"}]}


async def change(plane: ControlPlane, random: Any) -> None:
    """Changes the deployment as a person would."""
    ref = DEPLOYMENT.ref(NAMESPACE, NAME)
    what = random.choice(("image", "image", "scale"))
    if what == "scale":
        patch: Document = {"spec": {"replicas": random.randint(0, 8)}}
    else:
        version = random.choice(("one", "two", "three"))
        patch = {"spec": {"template": {"spec": template_spec(version)}}}
    await plane.admin.patch(ref, patch)


def problems(deployment: Deployment, pods: list[Any], sets: list[Any]) -> list[str]:
    """Returns what is not yet as wanted."""
    status, wanted = deployment.status, deployment.spec.replicas
    found = []
    if status.observed_generation != deployment.metadata.generation:
        found.append("its generation is not observed")
    counts = (status.replicas, status.updated_replicas, status.available_replicas)
    if counts != (wanted, wanted, wanted):
        found.append(f"status counts {counts}, wanted {wanted}")
    if len(pods) != wanted:
        found.append(f"{len(pods)} pods exist, wanted {wanted}")
    if sum(it.spec.replicas for it in sets) != wanted:
        found.append(f"sets want {[it.spec.replicas for it in sets]}, wanted {wanted}")
    return found


async def rest(plane: ControlPlane, world: SimulatedWorld) -> None:
    """Waits until everything is as wanted; raises Broken when it takes too long."""
    end = world.now() + CALM_SECONDS
    while True:
        deployment = await plane.admin.get(DEPLOYMENT.ref(NAMESPACE, NAME))
        pods = list((await plane.admin.list(POD, NAMESPACE)).items)
        sets = list((await plane.admin.list(REPLICASET, NAMESPACE)).items)
        found = problems(deployment, pods, sets)
        if not found:
            return
        if world.now() > end:
            raise Broken(f"not at rest {CALM_SECONDS} s after the storm: {'; '.join(found)}")
        await world.sleep(LOOK_SECONDS)


async def prepare(
    plane: ControlPlane,
    world: SimulatedWorld,
    behaviour: Behaviour,
    controllers: Sequence[type[Controller]] = CONTROLLERS,
) -> None:
    """Starts the parts and waits for what a pod needs."""
    plane.run_controllers(controllers)
    plane.run_scheduler()
    plane.run_nodes(NODES, behaviour)
    while world.now() < START + CALM_SECONDS:
        try:
            await plane.admin.get(SERVICEACCOUNT.ref(NAMESPACE, "default"))
            if len((await plane.admin.list(NODE)).items) == NODES:
                return
        except APIError:
            pass
        await world.sleep(0.1)
    raise Broken("the nodes never came up")


async def scenario(world: SimulatedWorld, seed: int) -> Outcome:
    """Runs one seed."""
    random = world.random
    behaviour = Behaviour(
        start_seconds=random.choice((0.0, 1.0, 10.0)),
        ready_seconds=random.choice((0.0, 3.0)),
        stop_seconds=random.choice((0.0, 2.0, 20.0)),
        crash_chance=0.0,
    )
    invariants = Invariants(int(behaviour.pods))
    weather = Weather()
    async with control_plane(world, weather, invariants.see) as plane:
        await prepare(plane, world, behaviour)
        await plane.admin.create(DEPLOYMENT, manifest(random))
        await rest(plane, world)
        invariants.settle()
        bad = storm(random)
        for field in Weather.__slots__:
            setattr(weather, field, getattr(bad, field))
        for _ in range(random.randint(2, 4)):
            await change(plane, random)
            await world.sleep(random.choice((0.1, 5.0, 40.0)))
        weather.calm()
        await rest(plane, world)
        return Outcome(seed, invariants.commits, plane.crashes, world.monotonic())


def run(seed: int) -> Outcome:
    """Runs one seed to its end; raises what is wrong."""
    outcome: Outcome = simulate(seed, lambda world: scenario(world, seed))
    return outcome
