"""The scheduler `flow` on a whole control plane: batches, policies, who is left over, and moves."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from simulation.quiet import Quiet, quietly
from steersman.model.kind import Document
from steersman.model.kinds.deployment import DEPLOYMENT
from steersman.model.kinds.node import NODE
from steersman.model.kinds.pod import POD
from steersman.model.kinds.poddisruptionbudget import PODDISRUPTIONBUDGET
from steersman.model.kinds.priorityclass import PRIORITYCLASS
from steersman.node.simulated.behaviour import Behaviour
from steersman.scheduler.flow import solver

SMALL = Behaviour(cpu="4", stop_seconds=3.0)
PREFIX = "flow.steersman.dev/"


@pytest.fixture
def ortools() -> None:
    try:
        solver.load()
    except solver.NotInstalled as error:
        pytest.skip(str(error))


def wanting(cpu: str, **spec: Any) -> Document:
    container = {"name": "c", "image": "i:1", "resources": {"requests": {"cpu": cpu}}}
    return {"containers": [container], "schedulerName": "flow", **spec}


def deployment(replicas: int, cpu: str, **told: str) -> Document:
    annotations = {PREFIX + name: text for name, text in told.items()}
    metadata = {"labels": {"app": "web"}, "annotations": annotations}
    return {
        "replicas": replicas,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": metadata, "spec": wanting(cpu)},
    }


async def running(quiet: Quiet, count: int) -> bool:
    return len(await quiet.pods()) == count


async def spread(quiet: Quiet) -> list[int]:
    """Returns how many pods that run each node has, the most first."""
    return sorted(Counter(pod.spec.node_name for pod in await quiet.pods()).values(), reverse=True)


async def message(quiet: Quiet, name: str) -> str:
    found = await quiet.admin.get(POD.ref("default", name))
    return next((it.message for it in found.status.conditions if it.type == "PodScheduled"), "")


@pytest.mark.usefixtures("ortools")
def test_a_crowd_is_spread_evenly_and_the_last_ones_say_why_they_wait() -> None:
    async def scenario(quiet: Quiet) -> None:
        await quiet.create(DEPLOYMENT, "web", spec=deployment(14, "1"))
        await quiet.until(lambda: running(quiet, 12))
        assert await spread(quiet) == [4, 4, 4]
        left = [it for it in await quiet.items(POD) if not it.spec.node_name]
        assert len(left) == 2
        for pod in left:
            assert (await message(quiet, pod.metadata.name)).startswith(
                "0/3 nodes are available: 3 Insufficient cpu. "
            )
        (going, *_) = await quiet.pods()
        await quiet.admin.delete(POD.ref(*going.key))
        await quiet.until(lambda: running(quiet, 12))
        assert await spread(quiet) == [4, 4, 4]

    quietly(scenario, behaviour=SMALL)


@pytest.mark.usefixtures("ortools")
def test_pods_that_pack_fill_one_node_after_the_other() -> None:
    async def scenario(quiet: Quiet) -> None:
        await quiet.create(DEPLOYMENT, "web", spec=deployment(6, "1", policy="pack"))
        await quiet.until(lambda: running(quiet, 6))
        assert await spread(quiet) == [4, 2]

    quietly(scenario, behaviour=SMALL)


@pytest.mark.usefixtures("ortools")
def test_pods_go_to_their_data_and_away_from_what_disturbs_them() -> None:
    async def scenario(quiet: Quiet) -> None:
        here = {
            PREFIX + "data": "kubernetes.io/hostname=node-1:8Gi,kubernetes.io/hostname=node-0:1"
        }
        await quiet.create(POD, "near", spec=wanting("1"), metadata={"annotations": here})
        await quiet.until(lambda: running(quiet, 1))
        (near,) = await quiet.pods()
        assert near.spec.node_name == "node-1"
        noisy = {"nodeSelector": {"kubernetes.io/hostname": "node-0"}}
        labels = {"labels": {"noise": "much"}}
        await quiet.create(POD, "noisy", spec=wanting("1", **noisy), metadata=labels)
        await quiet.until(lambda: running(quiet, 2))
        calm = {"annotations": {PREFIX + "avoid": "noise=much"}}
        for number in range(2):
            await quiet.create(POD, f"calm-{number}", spec=wanting("100m"), metadata=calm)
        await quiet.until(lambda: running(quiet, 4))
        places = {it.metadata.name: it.spec.node_name for it in await quiet.pods()}
        assert "node-0" not in (places["calm-0"], places["calm-1"])

    quietly(scenario, behaviour=SMALL)


@pytest.mark.usefixtures("ortools")
def test_who_has_a_deadline_goes_first_where_not_all_can() -> None:
    async def scenario(quiet: Quiet) -> None:
        early = {"annotations": {PREFIX + "deadline": "2000-01-01T00:00:00Z"}}
        await quiet.create(POD, "idle", spec=wanting("3"))
        await quiet.create(POD, "due", spec=wanting("3"), metadata=early)
        await quiet.until(lambda: running(quiet, 1))
        (found,) = await quiet.pods()
        assert found.metadata.name == "due"
        assert "Insufficient cpu" in await message(quiet, "idle")

    quietly(scenario, nodes=1, behaviour=SMALL)


@pytest.mark.usefixtures("ortools")
def test_a_bad_annotation_is_told_and_heard_again_when_it_is_mended() -> None:
    async def scenario(quiet: Quiet) -> None:
        bad = {"annotations": {PREFIX + "policy": "best"}}
        await quiet.create(POD, "p", spec=wanting("1"), metadata=bad)
        await quiet.until(lambda: message(quiet, "p"))
        assert await message(quiet, "p") == (
            "annotation flow.steersman.dev/policy: 'best' is neither spread nor pack"
        )
        good = {"metadata": {"annotations": {PREFIX + "policy": "pack"}}}
        await quiet.admin.patch(POD.ref("default", "p"), good)
        await quiet.until(lambda: running(quiet, 1))

    quietly(scenario, behaviour=SMALL)


def test_without_or_tools_every_pod_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(solver, "MODULE", "ortools_is_not_here")

    async def scenario(quiet: Quiet) -> None:
        for name in "ab":
            await quiet.create(POD, name, spec=wanting("1"))
            await quiet.until(lambda name=name: message(quiet, name))  # type: ignore[misc]
            assert await message(quiet, name) == solver.NOT_INSTALLED
        await quiet.create(POD, "other", spec=wanting("1", schedulerName="default-scheduler"))
        await quiet.until(lambda: running(quiet, 1))

    quietly(scenario, behaviour=SMALL)
    assert caplog.messages.count(solver.NOT_INSTALLED) == 1


@pytest.mark.usefixtures("ortools")
def test_an_important_pod_of_flow_preempts_as_any_other() -> None:
    async def scenario(quiet: Quiet) -> None:
        await quiet.create(PRIORITYCLASS, "high", value=1000)
        await quiet.create(POD, "old", spec=wanting("3"))
        await quiet.until(lambda: running(quiet, 1))
        await quiet.create(POD, "new", spec=wanting("3", priorityClassName="high"))
        await quiet.until(lambda: named(quiet, "new"))
        assert ("Preempted" in {it[0] for it in await quiet.events("Pod")}) is True

    quietly(scenario, nodes=1, behaviour=SMALL)


async def named(quiet: Quiet, *names: str) -> bool:
    return {it.metadata.name for it in await quiet.pods()} == set(names)


@pytest.mark.usefixtures("ortools")
@pytest.mark.parametrize("guarded", [False, True])
def test_movable_pods_go_to_a_node_that_comes_within_their_budget(guarded: bool) -> None:
    async def scenario(quiet: Quiet) -> None:
        away = {"spec": {"unschedulable": True}}
        await quiet.admin.patch(NODE.ref("", "node-1"), away)
        if guarded:
            budget = {"selector": {"matchLabels": {"app": "web"}}, "minAvailable": 4}
            await quiet.create(PODDISRUPTIONBUDGET, "web", spec=budget)
        await quiet.create(DEPLOYMENT, "web", spec=deployment(4, "1", movable="true"))
        await quiet.until(lambda: running(quiet, 4))
        assert await spread(quiet) == [4]
        await quiet.admin.patch(NODE.ref("", "node-1"), {"spec": {"unschedulable": None}})
        await quiet.world.sleep(120)
        moved = [it for it in await quiet.events("Pod") if it[0] == "Rescheduled"]
        if guarded:
            assert await spread(quiet) == [4]
            assert not moved
        else:
            assert await spread(quiet) == [2, 2]
            assert moved == [("Rescheduled", "another node costs less by more than the move")] * 2

    quietly(scenario, nodes=2, behaviour=SMALL)


@pytest.mark.usefixtures("ortools")
def test_pods_that_may_not_be_moved_stay() -> None:
    async def scenario(quiet: Quiet) -> None:
        await quiet.admin.patch(NODE.ref("", "node-1"), {"spec": {"unschedulable": True}})
        await quiet.create(DEPLOYMENT, "web", spec=deployment(4, "1"))
        await quiet.until(lambda: running(quiet, 4))
        await quiet.admin.patch(NODE.ref("", "node-1"), {"spec": {"unschedulable": None}})
        await quiet.world.sleep(120)
        assert await spread(quiet) == [4]

    quietly(scenario, nodes=2, behaviour=SMALL)
