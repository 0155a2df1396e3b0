"""The scenario: a deployment is created, updated and scaled in a storm; in the calm after it,
everything must come to rest as wanted.

One seed is one run, exactly. `run(seed)` raises what is wrong.
"""

from __future__ import annotations

from typing import Any

from steersman.controllers.deployment import DeploymentController
from steersman.controllers.node_lifecycle import NodeLifecycleController
from steersman.controllers.replicaset import ReplicaSetController
from steersman.controllers.serviceaccount import ServiceAccountController
from steersman.model.kind import Document
from steersman.model.kinds.deployment import DEPLOYMENT
from steersman.model.kinds.pod import POD
from steersman.model.kinds.replicaset import REPLICASET
from steersman.node.simulated.behaviour import Behaviour
from steersman.testing.invariants.rollouts import Invariants
from steersman.world.simulated import SimulatedWorld, simulate

from .control_plane import ControlPlane, control_plane
from .faults import Weather
from .storms import CALM_SECONDS, NAMESPACE, Outcome, prepare, rest, storm

NAME = "web"
CONTROLLERS = (
    DeploymentController,
    ReplicaSetController,
    ServiceAccountController,
    NodeLifecycleController,
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


async def problems(plane: ControlPlane) -> list[str]:
    """Returns what is not yet as wanted."""
    deployment = await plane.admin.get(DEPLOYMENT.ref(NAMESPACE, NAME))
    pods = (await plane.admin.list(POD, NAMESPACE)).items
    sets = (await plane.admin.list(REPLICASET, NAMESPACE)).items
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
    return found + await plane.violations()


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
        await prepare(plane, world, behaviour, CONTROLLERS)
        await plane.admin.create(DEPLOYMENT, manifest(random))
        await rest(world, lambda: problems(plane), CALM_SECONDS)
        invariants.settle()
        storm(weather, random)
        for _ in range(random.randint(2, 4)):
            await change(plane, random)
            await world.sleep(random.choice((0.1, 5.0, 40.0)))
        weather.calm()
        await rest(world, lambda: problems(plane), CALM_SECONDS)
        return Outcome(seed, invariants.commits, plane.crashes, world.monotonic())


def run(seed: int) -> Outcome:
    """Runs one seed to its end; raises what is wrong."""
    outcome: Outcome = simulate(seed, lambda world: scenario(world, seed))
    return outcome
