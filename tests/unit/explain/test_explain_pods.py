"""What is said of pods: by their scheduling, what they refer to, their containers, their end."""

from __future__ import annotations

from typing import Any

import pytest

from explained import READY, RUNS, cause, event, node, pod, thing, waiting, why

BIG = [{"name": "main", "resources": {"requests": {"cpu": "3", "memory": "1Gi"}}}]
PROBED: dict[str, Any] = {"name": "main", "image": "web:1"}
UNREADY = {"name": "main", "ready": False, "started": True, "state": {"running": {}}}


def test_a_pod_that_is_too_big_is_told_how_far_each_node_is_from_fitting() -> None:
    nodes = node("a", cpu="2500m"), node("b", cpu="4")
    other = pod(
        "other", on="b", containers=[{"name": "c", "resources": {"requests": {"cpu": "2"}}}]
    )
    assert why("pod/p", *nodes, other, pod(containers=BIG)) == (
        "pod/p: has no node: all 2 refuse it\n"
        "  2 of them: Insufficient cpu (a lacks 500m cpu, b lacks 1 cpu)\n"
        "  -> ask for less, or add a larger node: even empty, a is too small"
    )


def test_room_that_another_pod_has_taken_could_be_made() -> None:
    other = pod("other", on="b", containers=BIG)
    assert why("pod/p", node("b", cpu="4"), other, pod(containers=BIG)).splitlines()[2] == (
        "  -> free 2 cpu on b, which is nearest to fitting; or add a node"
    )
    gone = {**other, "status": {"phase": "Succeeded"}}
    assert "fits on 1 of 1 nodes" in why("pod/p", node("b", cpu="4"), gone, pod(containers=BIG))


def test_memory_that_is_missing_is_told_in_bytes() -> None:
    asks = [{"name": "main", "resources": {"requests": {"memory": "6Gi"}}}]
    assert "a lacks 2Gi memory" in why("pod/p", node("a"), pod(containers=asks))


def test_taints_cordons_and_selectors_are_told_with_what_would_help() -> None:
    taints = [
        {"key": "gpu", "value": "yes", "effect": "NoSchedule"},
        {"key": "soft", "effect": "PreferNoSchedule"},
    ]
    nodes = node("a", taints=taints), node("b", unschedulable=True), node("c"), node("d")
    text = why("pod/p", *nodes, pod(nodeSelector={"disk": "ssd"}))
    assert text == (
        "pod/p: has no node: all 4 refuse it\n"
        "  2 of them: node(s) didn't match Pod's node affinity/selector (c, d)\n"
        "  1 of them: node(s) had untolerated taint(s) (a)\n"
        "  1 of them: node(s) were unschedulable (b)\n"
        "  -> tolerate gpu:NoSchedule, or kubectl taint nodes a gpu:NoSchedule-\n"
        "  -> kubectl uncordon b\n"
        "  -> label a node as spec.nodeSelector and spec.affinity.nodeAffinity ask, or ask for less"
    )


def test_of_many_nodes_the_first_are_named() -> None:
    nodes = [node(f"n{number}") for number in range(10)]
    assert "n6, n7, and 2 more nodes)" in why("pod/p", *nodes, pod(nodeSelector={"disk": "ssd"}))


def test_gates_other_schedulers_and_missing_nodes_are_told() -> None:
    assert why("pod/p", node("a"), pod(schedulingGates=[{"name": "x/y"}])) == (
        "pod/p: is not looked at by the scheduler: its gates are x/y\n"
        "  -> whoever set a gate removes it from spec.schedulingGates"
    )
    assert "waits for the scheduler 'mine'" in why("pod/p", node("a"), pod(schedulerName="mine"))
    assert why("pod/p", pod()) == "pod/p: has no node: there are none\n  -> add a node"


def test_a_pod_that_fits_is_told_where_and_what_was_said() -> None:
    told = {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"}
    text = why("pod/p", node("a"), pod(status={"phase": "Pending", "conditions": [told]}))
    assert text.splitlines()[:3] == [
        "pod/p: fits on 1 of 1 nodes and is not bound yet",
        "  it fits on a",
        "  it was said: 0/1 nodes are available",
    ]


def test_a_claim_that_does_not_exist_keeps_a_pod_from_every_node() -> None:
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]
    assert why("pod/p", node("a"), pod(volumes=volumes)) == (
        'pod/p: can run nowhere yet: persistentvolumeclaim "data" not found\n'
        "  persistentvolumeclaim/data: does not exist\n"
        "    -> create it"
    )


def test_a_node_that_is_gone_or_says_nothing_is_the_cause() -> None:
    assert why("pod/p", pod(on="a")).startswith(
        "pod/p: is placed on the node a, which does not exist\n"
    )
    assert why("pod/p", node("a", ready="Unknown"), pod(on="a", status=RUNS)) == (
        "pod/p: is on the node a, which is not ready\n"
        "  node/a: is not ready\n"
        "    R: as it says\n"
        "    -> see whether its agent runs and reaches the API server"
    )


@pytest.mark.parametrize(
    ("spec", "missing"),
    [
        ({"volumes": [{"name": "v", "configMap": {"name": "x"}}]}, "configmap/x"),
        ({"volumes": [{"name": "v", "secret": {"secretName": "x"}}]}, "secret/x"),
        (
            {"volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "x"}}]}}]},
            "secret/x",
        ),
        ({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "x"}}]}, "x"),
        ({"volumes": [{"name": "v", "ephemeral": {}}]}, "persistentvolumeclaim/p-v"),
        ({"serviceAccountName": "x"}, "serviceaccount/x"),
        (
            {"containers": [{"name": "main", "envFrom": [{"configMapRef": {"name": "x"}}]}]},
            "configmap/x",
        ),
        (
            {
                "initContainers": [
                    {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "x"}}}]}
                ]
            },
            "secret/x",
        ),
    ],
)
def test_what_a_pod_refers_to_and_is_not_there_is_named(spec: Any, missing: str) -> None:
    found = cause("pod/p", node("a"), pod(on="a", **spec))
    assert found.finding == "waits for what it refers to"
    assert [missing in it.about for it in found.causes] == [True]
    assert found.causes[0].finding == "does not exist in the namespace default"


def test_what_is_optional_or_there_is_not_missing() -> None:
    volumes = [
        {"name": "a", "configMap": {"name": "x", "optional": True}},
        {"name": "b", "configMap": {"name": "y"}},
    ]
    there = thing("configmap", "y")
    assert cause("pod/p", node("a"), there, pod(on="a", volumes=volumes, status=RUNS)).sound
    elsewhere = thing("configmap", "y", namespace="other")
    assert not cause("pod/p", node("a"), elsewhere, pod(on="a", volumes=volumes)).sound


def test_a_mount_that_failed_is_told_by_its_latest_event() -> None:
    one = pod(on="a", volumes=[{"name": "v", "configMap": {"name": "x"}}])
    events = event(one, "FailedMount", "old", at=1), event(one, "FailedMount", "new", at=2)
    assert cause("pod/p", node("a"), one, *events).details == ("FailedMount: new",)


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        ("ImagePullBackOff", "its image cannot be had, and is tried again after a while"),
        ("ErrImageNeverPull", "its image is not on the node, and it must not be pulled"),
        ("InvalidImageName", "its image's name cannot be read"),
        ("CreateContainerConfigError", "it cannot be configured"),
        ("RunContainerError", "it cannot be started"),
        ("Unheard", "it waits"),
    ],
)
def test_a_container_that_waits_is_told_by_its_reason(reason: str, says: str) -> None:
    found = cause("pod/p", node("a"), pod(on="a", status=waiting(reason, "a message")))
    assert found.finding == "is Pending, and does not run yet"
    [container] = found.causes
    assert container.about == "container main"
    assert container.finding == f"is waiting ({reason}): {says}"
    assert "a message" in container.details
    assert ("image web:1" in container.details) == ("Image" in reason)


def test_a_container_that_ends_again_and_again_is_told_its_last_end() -> None:
    ended = {"terminated": {"exitCode": 127}}
    status = waiting("CrashLoopBackOff", lastState=ended, restartCount=4)
    assert why("pod/p", node("a"), pod(on="a", status=status)).splitlines()[2:] == [
        "    it ended 4 times, last: exit code 127, its command was not found",
        "    -> kubectl logs --previous shows what it said before it ended",
    ]


def test_a_container_out_of_memory_is_told_so() -> None:
    ended = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    status = {"phase": "Failed", "containerStatuses": [{"name": "main", "state": ended}]}
    text = why("pod/p", pod(status=status))
    assert "it used more memory than its limit (OOMKilled, exit code 137)" in text
    assert "-> raise its memory limit, or have it use less" in text


@pytest.mark.parametrize(
    ("probe", "asked"),
    [
        ({"httpGet": {"path": "/up", "port": 80}}, "GET /up on port 80"),
        ({"httpGet": {"port": "web"}}, "GET / on port web"),
        ({"tcpSocket": {"port": 1}}, "a connection to port 1"),
        ({"grpc": {"port": 2}}, "gRPC health on port 2"),
        ({"exec": {"command": ["cat", "/ok"]}}, "the command cat /ok"),
    ],
)
def test_a_probe_that_does_not_pass_is_told_with_what_it_asks(probe: Any, asked: str) -> None:
    status = {"phase": "Running", "containerStatuses": [UNREADY]}
    one = pod(on="a", containers=[{**PROBED, "readinessProbe": probe}], status=status)
    said = event(one, "Unhealthy", "Readiness probe failed: no", at=1)
    other = event(one, "Unhealthy", "Liveness probe failed: no", at=2)
    found = cause("pod/p", node("a"), one, said, other)
    assert found.finding == "runs and is not ready"
    assert found.causes[0].finding == f"runs, and its readinessProbe does not pass: {asked}"
    assert found.causes[0].details == ("Readiness probe failed: no",)


def test_before_it_has_started_the_startup_probe_is_meant() -> None:
    status = {"phase": "Running", "containerStatuses": [{**UNREADY, "started": False}]}
    probe = {"tcpSocket": {"port": 1}}
    one = pod(on="a", containers=[{**PROBED, "startupProbe": probe}], status=status)
    assert "its startupProbe does not pass" in why("pod/p", node("a"), one)


def test_the_first_init_container_that_is_not_done_holds_up_all_others() -> None:
    init = [
        {"name": "side", "restartPolicy": "Always"},
        {"name": "one", "image": "a:1"},
        {"name": "two", "image": "b:1"},
    ]
    statuses = [
        {"name": "side", "ready": True, "state": {"running": {}}},
        {"name": "one", "state": {"running": {}}},
        {"name": "two", "state": {"waiting": {"reason": "PodInitializing"}}},
    ]
    status = {**waiting("PodInitializing"), "initContainerStatuses": statuses}
    found = cause("pod/p", node("a"), pod(on="a", initContainers=init, status=status))
    assert [it.about for it in found.causes] == ["init container one"]
    assert found.causes[0].finding == "runs; the pod's other containers wait for its end"


def test_readiness_gates_that_are_closed_are_named() -> None:
    status = {**RUNS, "conditions": [{"type": "x/open", "status": "True"}]}
    gates = [{"conditionType": "x/open"}, {"conditionType": "x/closed"}]
    text = why("pod/p", node("a"), pod(on="a", readinessGates=gates, status=status))
    assert text.startswith("pod/p: is not ready: its readiness gates x/closed are not True\n")


def test_pods_that_are_well_or_done_are_sound() -> None:
    assert cause("pod/p", node("a"), pod(on="a", status=RUNS)).sound
    assert cause("pod/p", pod(status={"phase": "Succeeded"})).sound
    assert not cause("pod/p", pod(status={"phase": "Failed"})).sound
    assert READY["status"] == "True"


def test_an_evicted_pod_says_why() -> None:
    status = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory."}
    text = why("pod/p", pod(status=status))
    assert text.startswith("pod/p: has failed: Evicted: The node was low on memory.\n")


def test_a_pod_whose_node_has_not_said_anything_is_told_by_its_latest_event() -> None:
    one = pod(on="a")
    text = why("pod/p", node("a"), one)
    assert text.splitlines()[1] == "  its node has not said why"
    said = event(one, "FailedCreatePodSandBox", "no address left")
    assert why("pod/p", node("a"), one, said).splitlines()[1] == (
        "  FailedCreatePodSandBox: no address left"
    )


def test_a_pod_that_is_being_deleted_is_held_by_finalizers_its_time_or_its_node() -> None:
    deleted = {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 30}
    one = pod(on="a", meta=deleted, status=RUNS)
    assert why("pod/p", node("a"), one) == (
        "pod/p: is being deleted since 2026-01-01T00:00:00Z\n"
        "  its containers have 30 s from then on to end"
    )
    assert "which is not ready" in why("pod/p", node("a", ready="False"), one)
    held = pod(on="a", meta={**deleted, "finalizers": ["batch.kubernetes.io/job-tracking", "x/y"]})
    assert why("pod/p", node("a", ready="False"), held).splitlines()[1:] == [
        "  finalizer batch.kubernetes.io/job-tracking: waits until the Job controller has counted "
        "the pod",
        "  finalizer x/y: waits for the controller that set it",
        "    -> see whether that controller runs; who removes a finalizer by hand skips its work",
    ]


def test_an_extender_that_refused_is_named() -> None:
    message = "0/1 nodes are available: 1 no card."
    told = {"type": "PodScheduled", "status": "False", "message": message}
    one = pod(status={"phase": "Pending", "conditions": [told]})
    refused = event(one, "FailedScheduling", message, at=2)
    refused["related"] = {"kind": "Extender", "name": "http://cards"}
    text = why("pod/p", node("a"), one, event(one, "FailedScheduling", "before", at=1), refused)
    assert text == (
        "pod/p: is refused by the scheduler's extender http://cards\n"
        f"  it was said: {message}\n"
        "  -> see what that server waits for; the scheduler's configuration names it"
    )
    later = event(one, "FailedScheduling", "something else", at=3)
    assert "http://cards" not in why("pod/p", node("a"), one, refused, later)


def test_a_pod_that_waits_for_its_group_names_who_holds_it_up() -> None:
    def member(name: str, message: str, group: str = "g") -> Any:
        told = {"type": "PodScheduled", "status": "False", "message": message}
        meta = {"labels": {"scheduling.x-k8s.io/pod-group": group}}
        return pod(name, meta=meta, status={"phase": "Pending", "conditions": [told]})

    rejected = "optimistic rejection in PostFilter"
    held = member("b", "0/1 nodes are available: 1 Insufficient cpu.")
    other = member("c", "another matter", group="h")
    text = why("pod/p", node("a"), member("p", rejected), held, other)
    assert text == (
        "pod/p: waits for its pod group default/g, whose pods are placed together\n"
        "  pod/b: it was said: 0/1 nodes are available: 1 Insufficient cpu.\n"
        "  -> room for the pods that fit nowhere, or a smaller spec.minMember of the PodGroup"
    )
