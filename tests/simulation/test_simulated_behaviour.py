"""Pods and nodes that behave as was said: slow, failing, never ready, evicted, dead."""

from __future__ import annotations

import json
from typing import Any

from simulation.quiet import Quiet, pod_template, quietly
from steersman.model.kinds.node import NODE
from steersman.model.kinds.pod import POD
from steersman.model.types.condition import condition
from steersman.node.simulated.reading import BEHAVIOUR, DEAD

MARK = "steersman.dev/"


async def pod(quiet: Quiet, name: str = "p", restart: str = "Always", **said: str) -> None:
    """Creates a pod of which something is said."""
    marks = {MARK + key.replace("_", "-"): text for key, text in said.items()}
    spec = {**pod_template({})["spec"], "restartPolicy": restart}
    metadata = {"annotations": marks, "labels": {"app": name}}
    await quiet.create(POD, name, metadata=metadata, spec=spec)


async def found(quiet: Quiet, name: str = "p") -> Any:
    return await quiet.admin.get(POD.ref("default", name))


async def is_ready(quiet: Quiet, name: str = "p") -> bool:
    ready = condition((await found(quiet, name)).status.conditions, "Ready")
    return ready is not None and ready.status == "True"


def test_a_pod_starts_and_is_ready_as_slowly_as_was_said() -> None:
    async def scenario(quiet: Quiet) -> None:
        began = quiet.world.now()
        await pod(quiet, start_after="30s", ready_after="1m")
        await quiet.world.sleep(29)
        assert (await found(quiet)).status.phase == "Pending"
        await quiet.world.sleep(2)
        assert (await found(quiet)).status.phase == "Running"
        assert not await is_ready(quiet)
        await quiet.until(lambda: is_ready(quiet))
        assert 90 <= quiet.world.now() - began < 92

    quietly(scenario, nodes=1)


def test_a_pod_that_is_never_ready_runs_and_is_not() -> None:
    async def scenario(quiet: Quiet) -> None:
        await pod(quiet, never_ready="true")
        await quiet.world.sleep(3600)
        assert (await found(quiet)).status.phase == "Running"
        assert not await is_ready(quiet)

    quietly(scenario, nodes=1)


def test_a_pod_whose_readiness_gate_is_closed_is_not_ready_and_says_why() -> None:
    async def scenario(quiet: Quiet) -> None:
        spec = {**pod_template({})["spec"], "readinessGates": [{"conditionType": "example.com/go"}]}
        await quiet.create(POD, "p", spec=spec)
        await quiet.world.sleep(5)
        conditions = (await found(quiet)).status.conditions
        ready, containers = (condition(conditions, it) for it in ("Ready", "ContainersReady"))
        assert ready is not None
        assert containers is not None
        text = 'corresponding condition of pod readiness gate "example.com/go" does not exist.'
        assert (ready.status, ready.reason, ready.message) == (
            "False",
            "ReadinessGatesNotReady",
            text,
        )
        assert containers.status == "True"
        go = {"status": {"conditions": [{"type": "example.com/go", "status": "True"}]}}
        ref = POD.ref("default", "p")
        await quiet.admin.patch(ref, go, how="strategic", subresource="status")
        await quiet.until(lambda: is_ready(quiet))

    quietly(scenario, nodes=1)


def test_a_pod_crashes_with_its_code_and_starts_again_after_a_back_off() -> None:
    async def scenario(quiet: Quiet) -> None:
        await pod(quiet, crash_after="20s", exit_code="3")
        await quiet.world.sleep(22)
        (status,) = (await found(quiet)).status.container_statuses
        assert status.restart_count == 1
        assert status.state.waiting.reason == "CrashLoopBackOff"
        assert status.last_state.terminated.exit_code == 3
        await quiet.world.sleep(10)
        (status,) = (await found(quiet)).status.container_statuses
        assert status.state.running is not None
        await quiet.world.sleep(20)
        (status,) = (await found(quiet)).status.container_statuses
        assert status.restart_count == 2

    quietly(scenario, nodes=1)


def test_a_pod_that_is_not_restarted_ends_when_and_how_was_said() -> None:
    async def scenario(quiet: Quiet) -> None:
        await pod(quiet, "good", "Never", run_for="2m")
        await pod(quiet, "bad", "Never", run_for="1m", exit_code="9")
        await quiet.world.sleep(61)
        assert (await found(quiet, "good")).status.phase == "Running"
        bad = (await found(quiet, "bad")).status
        assert bad.phase == "Failed"
        assert bad.container_statuses[0].state.terminated.exit_code == 9
        await quiet.world.sleep(60)
        assert (await found(quiet, "good")).status.phase == "Succeeded"

    quietly(scenario, nodes=1)


def test_a_pod_takes_its_time_to_stop() -> None:
    async def scenario(quiet: Quiet) -> None:
        await pod(quiet, stop_after="20s")
        await quiet.until(lambda: is_ready(quiet))
        await quiet.admin.delete(POD.ref("default", "p"))
        await quiet.world.sleep(19)
        assert (await found(quiet)).metadata.deletion_timestamp is not None
        await quiet.world.sleep(2)
        assert await quiet.gone(POD.ref("default", "p"))

    quietly(scenario, nodes=1)


def test_an_image_that_cannot_be_had_is_asked_for_with_a_back_off() -> None:
    async def scenario(quiet: Quiet) -> None:
        await pod(quiet, pull_fails="no such host", start_after="5s")
        await quiet.world.sleep(6)
        (status,) = (await found(quiet)).status.container_statuses
        assert (status.state.waiting.reason, status.state.waiting.message) == (
            "ErrImagePull",
            "no such host",
        )
        await quiet.world.sleep(10)
        (status,) = (await found(quiet)).status.container_statuses
        assert status.state.waiting.reason == "ImagePullBackOff"
        image = "example.com/web:1"
        assert status.state.waiting.message == (
            f'Back-off pulling image "{image}": ErrImagePull: no such host'
        )
        assert (await found(quiet)).status.phase == "Pending"
        said = await quiet.events("Pod")
        assert ("Pulling", f'Pulling image "{image}"') in said
        assert ("Failed", f'Failed to pull image "{image}": no such host') in said
        assert ("Failed", "Error: ErrImagePull") in said
        assert ("BackOff", f'Back-off pulling image "{image}"') in said
        assert ("Failed", "Error: ImagePullBackOff") in said
        await quiet.admin.delete(POD.ref("default", "p"))
        await quiet.world.sleep(1)
        assert await quiet.gone(POD.ref("default", "p"))

    quietly(scenario, nodes=1)


def test_a_pod_is_evicted_and_its_node_says_for_five_minutes_that_it_is_short_of_memory() -> None:
    async def scenario(quiet: Quiet) -> None:
        await pod(quiet, evict_after="1m")
        await quiet.world.sleep(62)
        evicted = await found(quiet)
        assert (evicted.status.phase, evicted.status.reason) == ("Failed", "Evicted")
        assert evicted.status.message.startswith("The node was low on resource: memory. ")
        target = condition(evicted.status.conditions, "DisruptionTarget")
        assert target is not None
        assert (target.status, target.reason) == ("True", "TerminationByKubelet")
        assert evicted.status.container_statuses[0].state.terminated.exit_code == 137
        assert ("Evicted", evicted.status.message) in await quiet.events("Pod")
        assert await taints(quiet) == {"node.kubernetes.io/memory-pressure"}
        await quiet.world.sleep(290)
        assert await taints(quiet) == {"node.kubernetes.io/memory-pressure"}
        await quiet.world.sleep(15)
        assert await taints(quiet) == set()

    quietly(scenario, nodes=1)


async def taints(quiet: Quiet, name: str = "node-0") -> set[str]:
    node = await quiet.admin.get(NODE.ref("", name))
    return {taint.key for taint in node.spec.taints}


def test_a_nodes_rules_count_for_the_pods_that_come_to_it_and_a_pods_own_word_before_them() -> None:
    async def scenario(quiet: Quiet) -> None:
        rules = {"pods": [{"match": {"app": "slow"}, "startAfter": "1m"}, {"neverReady": True}]}
        marks = {"metadata": {"annotations": {BEHAVIOUR: json.dumps(rules)}}}
        await quiet.admin.patch(NODE.ref("", "node-0"), marks)
        await quiet.world.sleep(1)
        await pod(quiet, "slow")
        await pod(quiet, "other")
        await pod(quiet, "own", never_ready="false")
        await quiet.world.sleep(30)
        assert (await found(quiet, "slow")).status.phase == "Pending"
        assert (await is_ready(quiet, "other"), await is_ready(quiet, "own")) == (False, True)
        await quiet.world.sleep(32)
        assert await is_ready(quiet, "slow")

    quietly(scenario, nodes=1)


def test_what_cannot_be_is_told_and_does_not_count() -> None:
    async def scenario(quiet: Quiet) -> None:
        marks = {"metadata": {"annotations": {BEHAVIOUR: '{"pods": [{"runFor": 3}]}'}}}
        await quiet.admin.patch(NODE.ref("", "node-0"), marks)
        await pod(quiet, crash_after="soon", never_ready="true")
        await quiet.until(lambda: is_ready(quiet))
        await quiet.world.sleep(60)
        told = [it for it in await quiet.events("Pod") if it[0] == "InvalidBehaviour"]
        why = "'soon' is no duration: it is written as in 3d, 12h30m or 90s"
        assert told == [("InvalidBehaviour", f"steersman.dev/crash-after: {why}")]
        ((reason, note),) = [it for it in await quiet.events("Node") if it[0] == "InvalidBehaviour"]
        assert note.startswith("steersman.dev/behaviour: pods[0].runFor: 3 is no duration")
        assert reason

    quietly(scenario, nodes=1)


def test_a_node_dies_when_it_is_told_to_and_lives_again() -> None:
    async def scenario(quiet: Quiet) -> None:
        ref = NODE.ref("", "node-1")
        await quiet.admin.patch(ref, {"metadata": {"annotations": {DEAD: "true"}}})
        await quiet.world.sleep(70)
        assert "node.kubernetes.io/unreachable" in await taints(quiet, "node-1")
        assert await taints(quiet, "node-0") == set()
        await quiet.admin.patch(ref, {"metadata": {"annotations": {DEAD: None}}})
        await quiet.world.sleep(20)
        assert await taints(quiet, "node-1") == set()

    quietly(scenario, nodes=2, written=False)
    quietly(scenario, nodes=2)


def test_a_node_dies_at_the_age_that_was_said_unless_it_is_taken_back() -> None:
    async def scenario(quiet: Quiet) -> None:
        rules = json.dumps({"nodes": {"dieAfter": "1h"}})
        for name in ("node-0", "node-1"):
            marks = {"metadata": {"annotations": {BEHAVIOUR: rules}}}
            await quiet.admin.patch(NODE.ref("", name), marks)
        await quiet.world.sleep(60)
        marks = {"metadata": {"annotations": {BEHAVIOUR: None}}}
        await quiet.admin.patch(NODE.ref("", "node-1"), marks)
        await quiet.world.sleep(3500)
        assert await taints(quiet) == set()
        await quiet.world.sleep(120)
        assert "node.kubernetes.io/unreachable" in await taints(quiet)
        assert await taints(quiet, "node-1") == set()

    quietly(scenario, nodes=2)
