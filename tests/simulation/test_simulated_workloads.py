"""Deployments, ReplicaSets and DaemonSets on a whole control plane, as a client sees them."""

from __future__ import annotations

from typing import Any

from simulation.quiet import Quiet, pod_template, quietly
from steersman.model.kinds.daemonset import DAEMONSET
from steersman.model.kinds.deployment import DEPLOYMENT
from steersman.model.kinds.event import EVENT
from steersman.model.kinds.node import NODE
from steersman.model.kinds.pod import POD
from steersman.model.kinds.replicaset import REPLICASET
from steersman.model.kinds.replicationcontroller import REPLICATIONCONTROLLER
from steersman.node.simulated.behaviour import Behaviour

APP = {"app": "web"}
WEB = DEPLOYMENT.ref("default", "web")


async def deploy(quiet: Quiet, replicas: int = 3, **spec: Any) -> None:
    spec = {"replicas": replicas, "selector": {"matchLabels": APP}, **spec}
    await quiet.create(DEPLOYMENT, "web", spec={"template": pod_template(APP), **spec})
    await quiet.until(lambda: rolled_out(quiet))


async def rolled_out(quiet: Quiet) -> bool:
    found = await quiet.admin.get(WEB)
    status, spec = found.status, found.spec
    counts = {status.replicas, status.updated_replicas, status.available_replicas}
    return counts == {spec.replicas} and status.observed_generation == found.metadata.generation


def condition(found: Any, kind: str) -> tuple[str, str, str]:
    one = next(it for it in found.status.conditions if it.type == kind)
    return one.status, one.reason, one.message


def test_a_deployment_comes_up_and_says_so_in_upstreams_words() -> None:
    async def scenario(quiet: Quiet) -> None:
        await deploy(quiet)
        found = await quiet.admin.get(WEB)
        (owned,) = await quiet.items(REPLICASET)
        text = f'ReplicaSet "{owned.metadata.name}" has successfully progressed.'
        assert condition(found, "Progressing") == ("True", "NewReplicaSetAvailable", text)
        words = ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
        assert condition(found, "Available") == words
        assert found.metadata.annotations["deployment.kubernetes.io/revision"] == "1"
        annotations = owned.metadata.annotations
        assert annotations["deployment.kubernetes.io/desired-replicas"] == "3"
        assert annotations["deployment.kubernetes.io/max-replicas"] == "4"
        await quiet.world.sleep(1)
        said = ("ScalingReplicaSet", f"Scaled up replica set {owned.metadata.name} from 0 to 3")
        assert said in await quiet.events("Deployment")
        created = {text for reason, text in await quiet.events("ReplicaSet")}
        assert created == {f"Created pod: {pod.metadata.name}" for pod in await quiet.pods()}

    quietly(scenario)


def test_the_hash_label_is_on_set_selector_and_pods() -> None:
    async def scenario(quiet: Quiet) -> None:
        await deploy(quiet, 1)
        (owned,) = await quiet.items(REPLICASET)
        text = owned.metadata.labels["pod-template-hash"]
        assert owned.metadata.name == f"web-{text}"
        assert owned.spec.selector.match_labels == {**APP, "pod-template-hash": text}
        (pod,) = await quiet.pods()
        assert pod.metadata.labels == {**APP, "pod-template-hash": text}

    quietly(scenario)


def test_an_update_replaces_all_pods_and_keeps_the_old_set_for_rolling_back() -> None:
    async def scenario(quiet: Quiet) -> None:
        await deploy(quiet)
        await quiet.admin.patch(WEB, {"spec": {"template": pod_template(APP, "web:2")}})
        await quiet.until(lambda: rolled_out(quiet))
        sets = await quiet.items(REPLICASET)
        assert sorted(it.spec.replicas for it in sets) == [0, 3]
        assert {pod.spec.containers[0].image for pod in await quiet.pods()} == {"web:2"}
        await quiet.admin.patch(WEB, {"spec": {"template": pod_template(APP)}})
        await quiet.until(lambda: rolled_out(quiet))
        back = next(it for it in await quiet.items(REPLICASET) if it.spec.replicas == 3)
        assert back.metadata.annotations["deployment.kubernetes.io/revision"] == "3"
        assert back.metadata.annotations["deployment.kubernetes.io/revision-history"] == "1"
        assert len(await quiet.items(REPLICASET)) == 2

    quietly(scenario)


def test_old_sets_above_the_limit_are_removed() -> None:
    async def scenario(quiet: Quiet) -> None:
        await deploy(quiet, 1, revisionHistoryLimit=1)
        for number in range(2, 5):
            template = pod_template(APP, f"web:{number}")
            await quiet.admin.patch(WEB, {"spec": {"template": template}})
            await quiet.until(lambda: rolled_out(quiet))
            await quiet.world.sleep(1)
        revisions = {
            it.metadata.annotations["deployment.kubernetes.io/revision"]
            for it in await quiet.items(REPLICASET)
        }
        assert revisions == {"3", "4"}

    quietly(scenario)


def test_recreate_ends_all_old_pods_before_the_first_new_one() -> None:
    async def scenario(quiet: Quiet) -> None:
        await deploy(quiet, 3, strategy={"type": "Recreate"})
        await quiet.admin.patch(WEB, {"spec": {"template": pod_template(APP, "web:2")}})
        images: list[set[str]] = []
        for _ in range(600):
            if await rolled_out(quiet):
                break
            pods = await quiet.items(POD)
            images.append({pod.spec.containers[0].image for pod in pods})
            await quiet.world.sleep(0.1)
        assert await rolled_out(quiet)
        assert all(len(one) <= 1 for one in images)

    quietly(scenario, behaviour=Behaviour(start_seconds=1.0, stop_seconds=3.0))


def test_a_paused_deployment_scales_but_does_not_roll() -> None:
    async def scenario(quiet: Quiet) -> None:
        await deploy(quiet, 2)
        template = pod_template(APP, "web:2")
        await quiet.admin.patch(
            WEB, {"spec": {"paused": True, "template": template, "replicas": 4}}
        )
        await quiet.until(lambda: count(quiet, 4))
        assert {pod.spec.containers[0].image for pod in await quiet.pods()} == {"example.com/web:1"}
        found = await quiet.admin.get(WEB)
        assert condition(found, "Progressing") == (
            "Unknown",
            "DeploymentPaused",
            "Deployment is paused",
        )
        await quiet.admin.patch(WEB, {"spec": {"paused": False}})
        await quiet.until(lambda: rolled_out(quiet))
        assert {pod.spec.containers[0].image for pod in await quiet.pods()} == {"web:2"}

    quietly(scenario)


async def count(quiet: Quiet, number: int) -> bool:
    return len(await quiet.pods()) == number


def test_a_rollout_that_does_not_move_is_told_after_its_deadline() -> None:
    async def scenario(quiet: Quiet) -> None:
        template = pod_template(APP)
        template["spec"]["nodeSelector"] = {"disk": "none-such"}
        spec = {"replicas": 1, "selector": {"matchLabels": APP}, "progressDeadlineSeconds": 30}
        await quiet.create(DEPLOYMENT, "web", spec={"template": template, **spec})
        await quiet.world.sleep(20)
        (owned,) = await quiet.items(REPLICASET)
        early = condition(await quiet.admin.get(WEB), "Progressing")
        assert early[:2] == ("True", "ReplicaSetUpdated")
        await quiet.world.sleep(20)
        text = f'ReplicaSet "{owned.metadata.name}" has timed out progressing.'
        late = condition(await quiet.admin.get(WEB), "Progressing")
        assert late == ("False", "ProgressDeadlineExceeded", text)
        (pod,) = await quiet.items(POD)
        (scheduled,) = [it for it in pod.status.conditions if it.type == "PodScheduled"]
        assert scheduled.message == (
            "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector. "
            "no new claims to deallocate, preemption: 0/3 nodes are available: 3 Preemption "
            "is not helpful for scheduling."
        )

    quietly(scenario)


def test_a_deleted_pod_is_replaced_and_an_orphan_is_adopted() -> None:
    async def scenario(quiet: Quiet) -> None:
        await deploy(quiet, 2)
        first = (await quiet.pods())[0]
        await quiet.admin.delete(POD.ref(*first.key))
        await quiet.until(lambda: replaced(quiet, first.metadata.name))
        (owned,) = await quiet.items(REPLICASET)
        labels = dict(owned.spec.selector.match_labels)
        spec = pod_template(labels)["spec"]
        orphan = await quiet.create(POD, "orphan", metadata={"labels": labels}, spec=spec)
        await quiet.until(lambda: count(quiet, 2))
        await quiet.world.sleep(5)
        present = {pod.metadata.uid: pod for pod in await quiet.items(POD)}
        adopted = present.get(orphan.metadata.uid)
        assert adopted is None or adopted.metadata.controller.uid == owned.metadata.uid
        assert len(present) == 2

    quietly(scenario)


async def replaced(quiet: Quiet, name: str) -> bool:
    found = await quiet.pods()
    return len(found) == 2 and name not in {pod.metadata.name for pod in found}


def test_a_pod_whose_labels_no_longer_match_is_released_and_replaced() -> None:
    async def scenario(quiet: Quiet) -> None:
        await deploy(quiet, 1)
        (pod,) = await quiet.pods()
        await quiet.admin.patch(POD.ref(*pod.key), {"metadata": {"labels": {"app": "debug"}}})
        await quiet.until(lambda: count(quiet, 2))
        released = await quiet.admin.get(POD.ref(*pod.key))
        assert released.metadata.owner_references == ()

    quietly(scenario)


def test_a_daemon_set_has_one_pod_on_every_eligible_node_and_follows_the_nodes() -> None:
    async def scenario(quiet: Quiet) -> None:
        node = NODE.ref("", "node-2")
        taint = {"key": "dedicated", "value": "db", "effect": "NoSchedule"}
        await quiet.admin.patch(node, {"spec": {"taints": [taint]}})
        spec = {"selector": {"matchLabels": APP}, "template": pod_template(APP)}
        await quiet.create(DAEMONSET, "web", spec=spec)
        await quiet.until(lambda: nodes_are(quiet, {"node-0", "node-1"}))
        await quiet.admin.patch(node, {"spec": {"taints": None}})
        await quiet.until(lambda: nodes_are(quiet, {"node-0", "node-1", "node-2"}))
        status = await quiet.until(lambda: daemon_status(quiet, 3))
        assert status.current_number_scheduled == status.updated_number_scheduled == 3
        assert status.number_available == 3
        assert status.number_unavailable == status.number_misscheduled == 0
        await quiet.world.sleep(30)
        assert len(await quiet.items(POD)) == 3

    quietly(scenario)


async def nodes_are(quiet: Quiet, names: set[str]) -> bool:
    found = await quiet.pods()
    return {pod.spec.node_name for pod in found} == names and len(found) == len(names)


async def daemon_status(quiet: Quiet, number: int) -> Any:
    found = await quiet.admin.get(DAEMONSET.ref("default", "web"))
    return found.status if found.status.number_ready == number else None


def test_daemon_pods_that_fail_again_and_again_are_replaced_ever_more_slowly() -> None:
    async def scenario(quiet: Quiet) -> None:
        template = pod_template(APP)
        template["metadata"]["annotations"] = {"steersman.dev/evict-after": "100ms"}
        spec = {"selector": {"matchLabels": APP}, "template": template}
        await quiet.create(DAEMONSET, "web", spec=spec)
        await quiet.world.sleep(600)
        told = [it for it in await quiet.items(EVENT) if it.reason == "FailedDaemonPod"]
        assert 8 <= len(told) <= 10
        (pod,) = await quiet.items(POD)
        assert (pod.status.phase, pod.metadata.deletion_timestamp) == ("Failed", None)

    quietly(scenario, nodes=1)


def test_a_daemon_set_update_replaces_one_pod_after_the_other() -> None:
    async def scenario(quiet: Quiet) -> None:
        spec = {"selector": {"matchLabels": APP}, "template": pod_template(APP)}
        await quiet.create(DAEMONSET, "web", spec=spec)
        await quiet.until(lambda: count(quiet, 3))
        ref = DAEMONSET.ref("default", "web")
        await quiet.admin.patch(ref, {"spec": {"template": pod_template(APP, "web:2")}})
        least = 3
        for _ in range(600):
            if {pod.spec.containers[0].image for pod in await quiet.pods()} == {"web:2"}:
                break
            least = min(least, len(await quiet.pods()))
            await quiet.world.sleep(0.1)
        await quiet.until(lambda: count(quiet, 3))
        assert least == 2

    quietly(scenario, behaviour=Behaviour(start_seconds=1.0, stop_seconds=1.0))


def test_a_replication_controller_keeps_its_pods_and_says_what_it_does() -> None:
    async def scenario(quiet: Quiet) -> None:
        spec = {"replicas": 2, "selector": APP, "template": pod_template(APP)}
        await quiet.create(REPLICATIONCONTROLLER, "web", spec=spec)
        await quiet.until(lambda: count(quiet, 2))
        ref = REPLICATIONCONTROLLER.ref("default", "web")
        pod = (await quiet.pods())[0]
        owner = pod.metadata.controller
        assert (owner.api_version, owner.kind) == ("v1", "ReplicationController")
        await quiet.admin.delete(POD.ref(*pod.key))
        await quiet.until(lambda: replaced(quiet, pod.metadata.name))
        await quiet.admin.patch(ref, {"spec": {"replicas": 1}})
        await quiet.until(lambda: count(quiet, 1))
        await quiet.world.sleep(1)
        status = (await quiet.admin.get(ref)).status
        assert (status.replicas, status.ready_replicas, status.available_replicas) == (1, 1, 1)
        said = [reason for reason, _ in await quiet.events("ReplicationController")]
        assert sorted(said) == ["SuccessfulCreate"] * 3 + ["SuccessfulDelete"]

    quietly(scenario)
