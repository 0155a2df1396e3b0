"""Namespaces, garbage, nodes and placement on a whole control plane."""

from __future__ import annotations

from typing import Any

import pytest

from controlled import BUNDLE
from customs import definition
from simulation.quiet import Quiet, pod_template, quietly, ready
from steersman.controllers.namespace import EVENTS_SECONDS
from steersman.controllers.trust_bundle import name_of
from steersman.model.errors import TooManyRequests
from steersman.model.kind import Kind
from steersman.model.kinds.clustertrustbundle import CLUSTERTRUSTBUNDLE
from steersman.model.kinds.configmap import CONFIGMAP
from steersman.model.kinds.customresourcedefinition import CUSTOMRESOURCEDEFINITION
from steersman.model.kinds.daemonset import DAEMONSET
from steersman.model.kinds.deployment import DEPLOYMENT
from steersman.model.kinds.event import EVENT
from steersman.model.kinds.namespace import NAMESPACE
from steersman.model.kinds.node import NODE
from steersman.model.kinds.pod import POD, Pod
from steersman.model.kinds.poddisruptionbudget import PODDISRUPTIONBUDGET
from steersman.model.kinds.rbac import CLUSTERROLE
from steersman.model.kinds.replicaset import REPLICASET
from steersman.model.kinds.serviceaccount import SERVICEACCOUNT
from steersman.model.ref import Ref
from steersman.model.view import Object
from steersman.node.simulated.behaviour import Behaviour

PUBLISHED = "kubernetes.io:kube-apiserver-serving:"
WIDGET = Kind(
    group="example.com",
    name="Widget",
    plural="widgets",
    namespaced=True,
    versions=(),
    storage="v1",
    view=Object,
)
APP = {"app": "web"}


async def deploy(quiet: Quiet, replicas: int, namespace: str = "default") -> None:
    selector = {"matchLabels": APP}
    spec = {"replicas": replicas, "selector": selector, "template": pod_template(APP)}
    await quiet.create(DEPLOYMENT, "web", namespace, spec=spec)
    await quiet.until(lambda: count(quiet, replicas, namespace))


async def count(quiet: Quiet, number: int, namespace: str = "default") -> bool:
    return len(await quiet.pods(namespace)) == number


def test_a_namespace_has_its_account_and_bundle_and_gets_them_back() -> None:
    async def scenario(quiet: Quiet) -> None:
        await quiet.create(NAMESPACE, "team")
        account = SERVICEACCOUNT.ref("team", "default")
        bundle = CONFIGMAP.ref("team", "kube-root-ca.crt")
        await quiet.until(lambda: quiet.admin.get(account))
        found = await quiet.until(lambda: quiet.admin.get(bundle))
        assert dict(found.data) == {"ca.crt": BUNDLE}
        await quiet.admin.delete(account)
        await quiet.admin.patch(bundle, {"data": {"ca.crt": "forged", "more": "x"}})
        await quiet.until(lambda: quiet.admin.get(account))
        await quiet.until(lambda: restored(quiet, bundle))

    quietly(scenario)


async def restored(quiet: Quiet, ref: Ref) -> bool:
    return dict((await quiet.admin.get(ref)).data) == {"ca.crt": BUNDLE}


def test_the_authority_is_published_as_a_bundle_that_comes_back_and_is_the_only_one() -> None:
    async def scenario(quiet: Quiet) -> None:
        async def only_ours() -> Any:
            found = await quiet.items(CLUSTERTRUSTBUNDLE, "")
            return found[0] if [it.metadata.name for it in found] == [name_of(BUNDLE)] else None

        found = await quiet.until(only_ours)
        assert found.spec.signer_name == "kubernetes.io/kube-apiserver-serving"
        assert found.spec.trust_bundle == BUNDLE
        spec = {"signerName": found.spec.signer_name, "trustBundle": BUNDLE}
        await quiet.create(CLUSTERTRUSTBUNDLE, f"{PUBLISHED}forged", spec=spec)
        await quiet.admin.delete(CLUSTERTRUSTBUNDLE.ref("", found.metadata.name))
        await quiet.until(only_ours)

    quietly(scenario)


def test_a_deleted_namespace_is_emptied_tells_what_remains_and_goes() -> None:
    async def scenario(quiet: Quiet) -> None:
        await quiet.create(NAMESPACE, "team")
        await quiet.until(lambda: quiet.admin.get(SERVICEACCOUNT.ref("team", "default")))
        await deploy(quiet, 2, "team")
        held = {"finalizers": ["example.com/hold"]}
        await quiet.create(CONFIGMAP, "held", "team", metadata=held, data={"a": "b"})
        await quiet.admin.delete(NAMESPACE.ref("", "team"))
        found = await quiet.until(lambda: only_held(quiet))
        told = {it.type: (it.status, it.reason, it.message) for it in found.status.conditions}
        text = "Some resources are remaining: configmaps. has 1 resource instances"
        assert told["NamespaceContentRemaining"] == ("True", "SomeResourcesRemain", text)
        text = "Some content in the namespace has finalizers remaining: "
        text += "example.com/hold in 1 resource instances"
        assert told["NamespaceFinalizersRemaining"] == ("True", "SomeFinalizersRemain", text)
        text = "All content successfully deleted, may be waiting on finalization"
        assert told["NamespaceDeletionContentFailure"] == ("False", "ContentDeleted", text)
        patch = {"metadata": {"finalizers": None}}
        await quiet.admin.patch(CONFIGMAP.ref("team", "held"), patch)
        await quiet.until(lambda: quiet.gone(NAMESPACE.ref("", "team")))
        assert await quiet.items(POD, "team") == []

    quietly(scenario, behaviour=Behaviour(stop_seconds=3.0))


async def only_held(quiet: Quiet) -> Any:
    found = await quiet.admin.get(NAMESPACE.ref("", "team"))
    texts = [it.message for it in found.status.conditions]
    return found if any("configmaps. has 1" in it and "pods" not in it for it in texts) else None


def test_a_namespace_ends_when_its_last_event_is_let_go_though_nothing_follows_events() -> None:
    async def scenario(quiet: Quiet) -> None:
        team, held = NAMESPACE.ref("", "team"), EVENT.ref("team", "held")
        await quiet.create(NAMESPACE, "team")
        await quiet.until(lambda: quiet.admin.get(SERVICEACCOUNT.ref("team", "default")))
        about = {"apiVersion": "v1", "kind": "Pod", "namespace": "team", "name": "p"}
        for name, finalizers in (("held", ["example.com/hold"]), ("free", [])):
            metadata = {"finalizers": finalizers}
            await quiet.create(EVENT, name, "team", metadata=metadata, involvedObject=about)
        await quiet.admin.delete(team)
        await quiet.until(lambda: says(quiet, "events. has 1 resource instances"))
        assert [it.key for it in await quiet.items(EVENT, "team")] == [("team", "held")]
        await quiet.admin.patch(held, {"metadata": {"finalizers": None}})
        await quiet.until(lambda: quiet.gone(team), EVENTS_SECONDS + 1)
        assert await quiet.gone(held)

    quietly(scenario)


async def says(quiet: Quiet, text: str) -> bool:
    found = await quiet.admin.get(NAMESPACE.ref("", "team"))
    return any(text in it.message for it in found.status.conditions)


def test_deleting_a_deployment_takes_its_sets_and_pods_along() -> None:
    async def scenario(quiet: Quiet) -> None:
        await deploy(quiet, 2)
        ref = DEPLOYMENT.ref("default", "web")
        await quiet.admin.delete(ref, propagation="Background")
        assert await quiet.gone(ref)
        await quiet.until(lambda: nothing_left(quiet))

    quietly(scenario, behaviour=Behaviour(stop_seconds=2.0))


async def nothing_left(quiet: Quiet) -> bool:
    return not await quiet.items(REPLICASET) and not await quiet.items(POD)


def test_foreground_deletion_ends_the_dependents_before_the_owner() -> None:
    async def scenario(quiet: Quiet) -> None:
        await deploy(quiet, 2)
        ref = DEPLOYMENT.ref("default", "web")
        await quiet.admin.delete(ref, propagation="Foreground")
        assert (await quiet.admin.get(ref)).metadata.deletion_timestamp is not None
        await quiet.until(lambda: quiet.gone(ref))
        assert await nothing_left(quiet)

    quietly(scenario, behaviour=Behaviour(stop_seconds=2.0))


def test_what_pods_of_a_namespace_use_stays_until_they_have_ended() -> None:
    """KEP-5080."""

    async def scenario(quiet: Quiet) -> None:
        await quiet.create(NAMESPACE, "n")
        await quiet.until(lambda: quiet.admin.get(SERVICEACCOUNT.ref("n", "default")))
        await deploy(quiet, 2, "n")
        used = CONFIGMAP.ref("n", "used")
        await quiet.create(CONFIGMAP, "used", "n")
        await quiet.admin.delete(NAMESPACE.ref("", "n"))
        await quiet.until(lambda: are_ending(quiet, "n"))
        await quiet.world.sleep(2)
        assert len(await quiet.items(POD, "n")) == 2
        assert not await quiet.gone(used)
        await quiet.until(lambda: quiet.gone(NAMESPACE.ref("", "n")))

    quietly(scenario, behaviour=Behaviour(stop_seconds=5.0))


async def are_ending(quiet: Quiet, namespace: str) -> bool:
    found = await quiet.items(POD, namespace)
    return all(it.metadata.deletion_timestamp is not None for it in found)


def test_an_owner_goes_when_who_holds_it_back_is_no_more_its_own() -> None:
    async def scenario(quiet: Quiet) -> None:
        owner = CONFIGMAP.ref("default", "owner")
        uid = (await quiet.create(CONFIGMAP, "owner")).metadata.uid
        named = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}
        held = {"ownerReferences": [{**named, "blockOwnerDeletion": True}]}
        child = CONFIGMAP.ref("default", "child")
        await quiet.create(CONFIGMAP, "child", metadata={**held, "finalizers": ["x.io/kept"]})
        await quiet.admin.delete(owner, propagation="Foreground")
        await quiet.until(lambda: is_ending(quiet, child))
        assert not await quiet.gone(owner)
        await quiet.admin.patch(child, {"metadata": {"ownerReferences": None}})
        await quiet.until(lambda: quiet.gone(owner))
        assert await is_ending(quiet, child)

    quietly(scenario)


async def is_ending(quiet: Quiet, ref: Ref) -> bool:
    return (await quiet.admin.get(ref)).metadata.deletion_timestamp is not None


def test_orphans_stay_and_name_no_owner() -> None:
    async def scenario(quiet: Quiet) -> None:
        await deploy(quiet, 2)
        before = {pod.metadata.uid for pod in await quiet.pods()}
        ref = DEPLOYMENT.ref("default", "web")
        await quiet.admin.delete(ref, propagation="Orphan")
        await quiet.until(lambda: quiet.gone(ref))
        await quiet.world.sleep(5)
        (left,) = await quiet.items(REPLICASET)
        assert left.metadata.owner_references == ()
        assert {pod.metadata.uid for pod in await quiet.pods()} == before

    quietly(scenario)


def test_an_object_with_one_owner_left_stays_and_forgets_the_other() -> None:
    async def scenario(quiet: Quiet) -> None:
        one = await quiet.create(CONFIGMAP, "one")
        two = await quiet.create(CONFIGMAP, "two")
        named = {"apiVersion": "v1", "kind": "ConfigMap"}
        owners = [{**named, "name": it.metadata.name, "uid": it.metadata.uid} for it in (one, two)]
        child = CONFIGMAP.ref("default", "child")
        await quiet.create(CONFIGMAP, "child", metadata={"ownerReferences": owners})
        await quiet.admin.delete(CONFIGMAP.ref("default", "one"))
        await quiet.until(lambda: owned_by(quiet, child, ["two"]))
        await quiet.admin.delete(CONFIGMAP.ref("default", "two"))
        await quiet.until(lambda: quiet.gone(child))

    quietly(scenario)


async def owned_by(quiet: Quiet, ref: Ref, names: list[str]) -> bool:
    found = await quiet.admin.get(ref)
    return [it.name for it in found.metadata.owner_references] == names


def test_an_object_born_with_a_dead_owner_is_collected() -> None:
    async def scenario(quiet: Quiet) -> None:
        uid = "00000000-0000-4000-8000-000000000000"
        owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "never", "uid": uid}
        await quiet.create(CONFIGMAP, "child", metadata={"ownerReferences": [owner]})
        await quiet.until(lambda: quiet.gone(CONFIGMAP.ref("default", "child")))

    quietly(scenario)


def test_a_silent_node_becomes_unknown_its_pods_unready_then_evicted_and_replaced() -> None:
    async def scenario(quiet: Quiet) -> None:
        await deploy(quiet, 3)
        (lost,) = {pod.spec.node_name for pod in await quiet.pods()} & {"node-1"} or {""}
        if not lost:
            lost = (await quiet.pods())[0].spec.node_name
        began = quiet.world.now()
        quiet.plane.nodes.silence(lost)
        node = await quiet.until(lambda: unknown(quiet, lost), 120)
        assert 40 <= quiet.world.now() - began <= 61
        ready_condition = next(it for it in node.status.conditions if it.type == "Ready")
        assert ready_condition.reason == "NodeStatusUnknown"
        assert ready_condition.message == "Kubelet stopped posting node status."
        await quiet.world.sleep(1)
        node = await quiet.admin.get(NODE.ref("", lost))
        taints = {(it.key, it.effect) for it in node.spec.taints}
        key = "node.kubernetes.io/unreachable"
        assert taints == {(key, "NoSchedule"), (key, "NoExecute")}
        assert all(pod.spec.node_name != lost for pod in await quiet.pods())
        assert len([it for it in await quiet.items(POD) if it.spec.node_name == lost]) >= 1
        await quiet.world.sleep(310)  # the default toleration of unreachable nodes
        assert len(await quiet.pods()) == 3
        left = [it for it in await quiet.items(POD) if it.spec.node_name == lost]
        assert all(it.metadata.deletion_timestamp for it in left)
        assert ("NodeNotReady", "Node is not ready") in await quiet.events("Pod")
        quiet.plane.nodes.speak(lost)
        await quiet.until(lambda: ready(quiet, 3), 60)
        await quiet.until(lambda: three_pods(quiet))

    quietly(scenario)


async def unknown(quiet: Quiet, name: str) -> Any:
    node = await quiet.admin.get(NODE.ref("", name))
    found = any(it.type == "Ready" and it.status == "Unknown" for it in node.status.conditions)
    return node if found else None


async def three_pods(quiet: Quiet) -> bool:
    return len(await quiet.items(POD)) == 3


def test_a_pod_that_is_called_ready_where_the_node_is_silent_is_not_ready_again() -> None:
    late = POD.ref("default", "late")

    async def scenario(quiet: Quiet) -> None:
        quiet.plane.nodes.silence("node-0")
        await quiet.until(lambda: unknown(quiet, "node-0"), 120)
        await quiet.world.sleep(10)
        spec = pod_template({})["spec"]
        bearing = {"nodeName": "node-0", "tolerations": [{"operator": "Exists"}]}
        await quiet.create(POD, "late", spec={**spec, **bearing})
        await quiet.world.sleep(1)
        told = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
        await quiet.admin.patch(late, told, how="strategic", subresource="status")
        await quiet.world.sleep(1)
        assert not await quiet.pods()
        assert ("NodeNotReady", "Node is not ready") in await quiet.events("Pod")

    quietly(scenario)


def test_pods_of_a_removed_node_are_removed_and_replaced() -> None:
    async def scenario(quiet: Quiet) -> None:
        await deploy(quiet, 3)
        lost = (await quiet.pods())[0].spec.node_name
        quiet.plane.nodes.silence(lost)
        await quiet.admin.delete(NODE.ref("", lost))
        await quiet.world.sleep(60)
        assert all(it.spec.node_name != lost for it in await quiet.items(POD))
        assert len(await quiet.pods()) == 3

    quietly(scenario)


def test_a_pod_that_fits_nowhere_says_why_and_is_placed_as_soon_as_it_fits() -> None:
    async def scenario(quiet: Quiet) -> None:
        spec = pod_template(APP)["spec"]
        spec["containers"][0]["resources"] = {"requests": {"cpu": "3"}}
        for name in ("a", "b", "c"):
            await quiet.create(POD, name, spec=spec)
        await quiet.world.sleep(5)
        (waiting,) = [it for it in await quiet.items(POD) if not it.spec.node_name]
        (told,) = [it for it in waiting.status.conditions if it.type == "PodScheduled"]
        assert (told.status, told.reason) == ("False", "Unschedulable")
        assert told.message == (
            "0/2 nodes are available: 2 Insufficient cpu. no new claims to deallocate, "
            "preemption: 0/2 nodes are available: "
            "2 No preemption victims found for incoming pod."
        )
        assert ("FailedScheduling", told.message) in await quiet.events("Pod")
        placed = next(it for it in await quiet.items(POD) if it.spec.node_name)
        began = quiet.world.now()
        await quiet.admin.delete(POD.ref(*placed.key))
        await quiet.until(lambda: bound(quiet, waiting.metadata.name))
        assert quiet.world.now() - began < 2

    quietly(scenario, nodes=2, behaviour=Behaviour(cpu="4"))


async def bound(quiet: Quiet, name: str) -> bool:
    return bool((await quiet.admin.get(POD.ref("default", name))).spec.node_name)


def test_a_gated_pod_waits_for_its_gate_and_another_schedulers_pod_for_its_scheduler() -> None:
    async def scenario(quiet: Quiet) -> None:
        spec = pod_template(APP)["spec"]
        gated = {**spec, "schedulingGates": [{"name": "example.com/wait"}]}
        await quiet.create(POD, "gated", spec=gated)
        await quiet.create(POD, "other", spec={**spec, "schedulerName": "mine"})
        await quiet.world.sleep(5)
        assert not await bound(quiet, "gated")
        await quiet.admin.patch(POD.ref("default", "gated"), {"spec": {"schedulingGates": None}})
        await quiet.until(lambda: bound(quiet, "gated"))
        assert not await bound(quiet, "other")
        said = await quiet.events("Pod")
        await quiet.world.sleep(1)
        said = [text for reason, text in await quiet.events("Pod") if reason == "Scheduled"]
        assert len(said) == 1
        assert said[0].startswith("Successfully assigned default/gated to node-")

    quietly(scenario)


def test_a_container_that_crashes_starts_again() -> None:
    async def scenario(quiet: Quiet) -> None:
        await quiet.create(POD, "one", spec=pod_template(APP)["spec"])
        await quiet.until(lambda: count(quiet, 1))
        pod = (await quiet.pods())[0]
        quiet.plane.nodes.crash(pod)
        await quiet.until(lambda: count(quiet, 0))
        await quiet.until(lambda: count(quiet, 1))
        (state,) = (await quiet.pods())[0].status.container_statuses
        assert state.restart_count == 1
        assert state.last_state.terminated.exit_code == 137

    quietly(scenario)


def test_a_pod_that_is_not_restarted_ends() -> None:
    async def scenario(quiet: Quiet) -> None:
        spec = {**pod_template(APP)["spec"], "restartPolicy": "Never"}
        await quiet.create(POD, "task", spec=spec)
        await quiet.until(lambda: ended(quiet))
        found = await quiet.admin.get(POD.ref("default", "task"))
        assert found.status.phase == "Succeeded"

    quietly(scenario)


async def ended(quiet: Quiet) -> bool:
    found = await quiet.admin.get(POD.ref("default", "task"))
    return found.status.phase in ("Succeeded", "Failed")


def test_an_aggregated_role_has_the_rules_of_the_roles_it_selects() -> None:
    async def scenario(quiet: Quiet) -> None:
        selectors = [{"matchLabels": {"part": "yes"}}]
        rule = {"verbs": ["get"], "apiGroups": ["example.com"], "resources": ["things"]}
        whole = CLUSTERROLE.ref("", "whole")
        await quiet.create(
            CLUSTERROLE, "whole", aggregationRule={"clusterRoleSelectors": selectors}, rules=[]
        )
        await quiet.create(CLUSTERROLE, "part", metadata={"labels": {"part": "yes"}}, rules=[rule])
        found = await quiet.until(lambda: with_rules(quiet, whole, 1))
        assert found.rules[0].resources == ("things",)
        await quiet.admin.delete(CLUSTERROLE.ref("", "part"))
        await quiet.until(lambda: with_rules(quiet, whole, 0))

    quietly(scenario, nodes=1)


async def with_rules(quiet: Quiet, ref: Ref, count: int) -> Any:
    found = await quiet.admin.get(ref)
    return found if len(found.rules) == count else None


def test_an_eviction_waits_for_its_budget_and_the_budget_follows_the_pods() -> None:
    async def scenario(quiet: Quiet) -> None:
        await deploy(quiet, 3)
        budget = PODDISRUPTIONBUDGET.ref("default", "web")
        spec = {"maxUnavailable": 1, "selector": {"matchLabels": APP}}
        await quiet.create(PODDISRUPTIONBUDGET, "web", spec=spec)
        found = await quiet.until(lambda: allows(quiet, budget, 1))
        assert (found.expected_pods, found.current_healthy, found.desired_healthy) == (3, 3, 2)
        first, second, _ = await quiet.pods()

        async def evict(pod: Pod) -> None:
            eviction = {"metadata": {"name": pod.metadata.name}}
            await quiet.admin.post(POD.ref(*pod.key), "eviction", eviction)

        await evict(first)
        with pytest.raises(TooManyRequests):
            await evict(second)
        found = await quiet.until(lambda: allows(quiet, budget, 1))
        assert (found.current_healthy, dict(found.disrupted_pods)) == (3, {})
        await evict(second)
        scale = {"spec": {"replicas": 1}}
        await quiet.admin.patch(DEPLOYMENT.ref("default", "web"), scale)
        found = await quiet.until(lambda: expects(quiet, budget, 1))
        assert found.desired_healthy == 0

    quietly(scenario, behaviour=Behaviour(start_seconds=1.0, stop_seconds=1.0))


async def allows(quiet: Quiet, ref: Ref, count: int) -> Any:
    status = (await quiet.admin.get(ref)).status
    return status if status.disruptions_allowed == count else None


async def expects(quiet: Quiet, ref: Ref, count: int) -> Any:
    status = (await quiet.admin.get(ref)).status
    return status if status.expected_pods == count else None


def test_a_budget_counts_the_pods_that_a_custom_resource_is_scaled_to() -> None:
    async def scenario(quiet: Quiet) -> None:
        await quiet.admin.create(CUSTOMRESOURCEDEFINITION, definition())

        async def made() -> Any:
            return await quiet.create(WIDGET, "w", spec={"size": 3})

        widget = await quiet.until(made)
        owner = {
            "apiVersion": "example.com/v1",
            "kind": "Widget",
            "name": "w",
            "uid": widget.metadata.uid,
            "controller": True,
        }
        for name in ("a", "b"):
            metadata = {"labels": APP, "ownerReferences": [owner]}
            await quiet.create(POD, name, metadata=metadata, spec=pod_template(APP)["spec"])
        await quiet.until(lambda: count(quiet, 2))
        spec = {"maxUnavailable": 2, "selector": {"matchLabels": APP}}
        await quiet.create(PODDISRUPTIONBUDGET, "web", spec=spec)
        budget = PODDISRUPTIONBUDGET.ref("default", "web")
        status = await quiet.until(lambda: expects(quiet, budget, 3))
        assert (status.desired_healthy, status.disruptions_allowed) == (1, 1)

    quietly(scenario)


def test_a_budget_that_covers_pods_without_a_size_says_so_and_allows_nothing() -> None:
    async def scenario(quiet: Quiet) -> None:
        daemon = {"selector": {"matchLabels": APP}, "template": pod_template(APP)}
        await quiet.create(DAEMONSET, "web", spec=daemon)
        budget = PODDISRUPTIONBUDGET.ref("default", "web")
        spec = {"maxUnavailable": 1, "selector": {"matchLabels": APP}}
        await quiet.until(lambda: count(quiet, 3))
        await quiet.create(PODDISRUPTIONBUDGET, "web", spec=spec)
        await quiet.world.sleep(5)
        status = (await quiet.admin.get(budget)).status
        (condition,) = status.conditions
        text = "daemonsets.apps does not implement the scale subresource"
        assert (status.disruptions_allowed, condition.reason) == (0, "SyncFailed")
        assert condition.message == text
        why = f"Failed to calculate the number of expected pods: {text}"
        assert ("CalculateExpectedPodCountFailed", why) in await quiet.events("PodDisruptionBudget")

    quietly(scenario)
