"""The scenario: a job and a stateful set are created, changed and disturbed in a storm; in the
calm after it, the job must end with every pod counted and the set must be as wanted.

One seed is one run, exactly. `run(seed)` raises what is wrong.
"""

from __future__ import annotations

from typing import Any

from steersman.controllers.garbage import GarbageController
from steersman.controllers.job import JobController
from steersman.controllers.node_lifecycle import NodeLifecycleController
from steersman.controllers.pod_garbage import PodGarbageController
from steersman.controllers.serviceaccount import ServiceAccountController
from steersman.controllers.statefulset import StatefulSetController
from steersman.model.errors import APIError
from steersman.model.kind import Document
from steersman.model.kinds.job import JOB
from steersman.model.kinds.pod import POD
from steersman.model.kinds.statefulset import STATEFULSET
from steersman.node.simulated.behaviour import Behaviour
from steersman.testing.invariants.rollouts import Broken
from steersman.testing.invariants.workloads import WorkloadInvariants
from steersman.world.simulated import SimulatedWorld, simulate

from .control_plane import ControlPlane, control_plane
from .faults import Weather
from .storms import CALM_SECONDS, LOOK_SECONDS, NAMESPACE, Outcome, prepare, rest, storm

CONTROLLERS = (
    JobController,
    StatefulSetController,
    GarbageController,
    ServiceAccountController,
    NodeLifecycleController,
    PodGarbageController,  # of a pod deleted before it had a node, a job waits for this one's word
)
SUM = JOB.ref(NAMESPACE, "sum")
DB = STATEFULSET.ref(NAMESPACE, "db")
LABELS = {"app": "db"}
RETRY_SECONDS = 700.0  # a failed pod may wait for ten minutes


def template(version: str, **spec: Any) -> Document:
    """Returns a pod template."""
    containers = [{"name": "main", "image": f"example.com/main:{version}"}]
    return {"metadata": {"labels": LABELS}, "spec": {"containers": containers, **spec}}


def job(random: Any) -> Document:
    """Returns a job that may need retries, but never too many."""
    spec: Document = {
        "completions": random.randint(1, 9),
        "parallelism": random.randint(1, 5),
        "backoffLimit": 60,
        "template": template("one", restartPolicy="Never"),
    }
    del spec["template"]["metadata"]
    if random.random() < 0.5:
        spec["completionMode"] = "Indexed"
    if random.random() < 0.3:
        spec["podReplacementPolicy"] = "Failed"
    return {"metadata": {"name": "sum", "namespace": NAMESPACE}, "spec": spec}


def stateful_set(random: Any) -> Document:
    """Returns a set."""
    spec: Document = {
        "replicas": random.randint(1, 4),
        "serviceName": "db",
        "selector": {"matchLabels": LABELS},
        "template": template("one"),
    }
    if random.random() < 0.3:
        spec["podManagementPolicy"] = "Parallel"
    return {"metadata": {"name": "db", "namespace": NAMESPACE}, "spec": spec}


async def change(plane: ControlPlane, random: Any) -> None:
    """Changes something as a person would."""
    what = random.choice(("image", "scale", "parallelism", "suspend", "resume", "kill"))
    try:
        if what == "image":
            version = random.choice(("one", "two", "three"))
            await plane.admin.patch(DB, {"spec": {"template": template(version)}})
        elif what == "scale":
            await plane.admin.patch(DB, {"spec": {"replicas": random.randint(0, 5)}})
        elif what == "parallelism":
            await plane.admin.patch(SUM, {"spec": {"parallelism": random.randint(1, 6)}})
        elif what == "kill":
            pods = (await plane.admin.list(POD, NAMESPACE)).items
            if pods:
                await plane.admin.delete(POD.ref(*random.choice(pods).key))
        else:
            await plane.admin.patch(SUM, {"spec": {"suspend": what == "suspend"}})
    except APIError as error:
        if error.code not in (404, 409, 422):
            raise


async def problems(plane: ControlPlane) -> list[str]:
    """Returns what is not yet as wanted."""
    found = []
    database = await plane.admin.get(DB)
    status, spec = database.status, database.spec
    counts = {status.replicas, status.updated_replicas, status.available_replicas}
    if counts != {spec.replicas} or status.current_revision != status.update_revision:
        found.append(f"the set wants {spec.replicas}, its status is {status}")
    done = (await plane.admin.get(SUM)).status
    if not any(it.type == "Complete" and it.status == "True" for it in done.conditions):
        found.append(f"the job is not complete: {done}")
    return found + await plane.violations()


async def scenario(world: SimulatedWorld, seed: int) -> Outcome:
    """Runs one seed."""
    random = world.random
    behaviour = Behaviour(
        start_seconds=random.choice((0.0, 1.0, 5.0)),
        stop_seconds=random.choice((0.0, 2.0, 20.0)),
        run_seconds=random.choice((0.0, 3.0, 30.0)),
        crash_chance=random.choice((0.0, 0.0, 0.2)),
    )
    invariants = WorkloadInvariants()
    weather = Weather()
    async with control_plane(world, weather, invariants.see) as plane:
        await prepare(plane, world, behaviour, CONTROLLERS)
        storm(weather, random)
        await plane.admin.create(JOB, job(random))
        await plane.admin.create(STATEFULSET, stateful_set(random))
        for _ in range(random.randint(2, 6)):
            await world.sleep(random.choice((0.1, 5.0, 40.0)))
            await change(plane, random)
        weather.calm()
        await plane.admin.patch(SUM, {"spec": {"suspend": False}})
        await rest(world, lambda: problems(plane), CALM_SECONDS + 10 * RETRY_SECONDS)
        end = world.now() + CALM_SECONDS
        while (wrong := invariants.unended(SUM.name)) and world.now() < end:
            await world.sleep(LOOK_SECONDS)
        if wrong:
            raise Broken(wrong)
        return Outcome(seed, invariants.commits, plane.crashes, world.monotonic())


def run(seed: int) -> Outcome:
    """Runs one seed to its end; raises what is wrong."""
    outcome: Outcome = simulate(seed, lambda world: scenario(world, seed))
    return outcome
