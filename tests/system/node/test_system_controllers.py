"""Controllers over real containers: what replicas serve, how jobs read exit codes, and a pod that
its node refuses.
"""

from __future__ import annotations

import pytest
from steered import Cluster, Document, container, pod
from test_system_workloads import job, stateful_set

# Fails at its first run and succeeds at its second, in the same pod
ONCE = "if [ -e /data/ran ]; then exit 0; fi; touch /data/ran; exit 1"


def replicas_of(kind: str, name: str, count: int) -> Document:
    """Returns a ReplicaSet or ReplicationController whose pods tell their own names."""
    labels = {"name": name}
    spec = pod(name, {"name": "main", "image": "tools:1"})["spec"]
    selector = labels if kind == "ReplicationController" else {"matchLabels": labels}
    return {
        "apiVersion": "v1" if kind == "ReplicationController" else "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {
            "replicas": count,
            "selector": selector,
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


@pytest.mark.parametrize("kind", ["ReplicaSet", "ReplicationController"])
def test_every_replica_serves_its_own_name(cluster: Cluster, namespace: str, kind: str) -> None:
    cluster.apply(namespace, replicas_of(kind, "hostname", 2))
    cluster.wait(f"{kind.lower()}/hostname", "jsonpath={.status.readyReplicas}=2", "-n", namespace)
    found = cluster.json("pods", "-n", namespace, "-l", "name=hostname")["items"]
    names = [each["metadata"]["name"] for each in found]
    assert len(names) == 2
    for name in names:
        at = f"/api/v1/namespaces/{namespace}/pods/{name}/proxy/"
        cluster.wait(f"pod/{name}", "condition=Ready", "-n", namespace)
        assert cluster.kubectl("get", "--raw", at) == f"{name}\n"


def test_a_job_whose_tasks_fail_once_and_are_restarted_in_place_completes(
    cluster: Cluster, namespace: str
) -> None:
    document = job("local", ONCE, completions=4, parallelism=2, backoffLimit=12)
    spec = document["spec"]["template"]["spec"]
    spec["restartPolicy"] = "OnFailure"
    spec["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    spec["volumes"] = [{"name": "data", "emptyDir": {}}]
    cluster.apply(namespace, document)
    cluster.wait("job/local", "condition=complete", "-n", namespace)
    found = cluster.json("pods", "-n", namespace, "-l", "job-name=local")["items"]
    assert [each["status"]["phase"] for each in found] == ["Succeeded"] * 4
    restarts = [each["status"]["containerStatuses"][0]["restartCount"] for each in found]
    assert restarts == [1] * 4


def test_an_exit_code_that_the_policy_names_fails_the_job_early(
    cluster: Cluster, namespace: str
) -> None:
    codes = {"containerName": "main", "operator": "In", "values": [42]}
    policy = {"rules": [{"action": "FailJob", "onExitCodes": codes}]}
    document = job("coded", "exit 42", backoffLimit=3, podFailurePolicy=policy)
    cluster.apply(namespace, document)
    cluster.wait("job/coded", "condition=failed", "-n", namespace)
    found = cluster.json("job", "coded", "-n", namespace)
    failed = next(it for it in found["status"]["conditions"] if it["type"] == "Failed")
    assert failed["reason"] == "PodFailurePolicy"
    assert f"Container main for pod {namespace}/coded-" in failed["message"]
    assert "failed with exit code 42 matching FailJob rule at index 0" in failed["message"]
    pods = cluster.json("pods", "-n", namespace, "-l", "job-name=coded")["items"]
    assert len(pods) == 1


def test_an_index_whose_exit_code_the_policy_names_fails_alone(
    cluster: Cluster, namespace: str
) -> None:
    codes = {"containerName": "main", "operator": "In", "values": [42]}
    policy = {"rules": [{"action": "FailIndex", "onExitCodes": codes}]}
    script = "test $((JOB_COMPLETION_INDEX % 2)) = 0 || exit 42"
    sizes = {"completions": 4, "parallelism": 4, "completionMode": "Indexed"}
    rules = {"backoffLimitPerIndex": 1, "podFailurePolicy": policy}
    cluster.apply(namespace, job("indexed", script, **sizes, **rules))
    cluster.wait("job/indexed", "condition=failed", "-n", namespace)
    status = cluster.json("job", "indexed", "-n", namespace)["status"]
    assert (status["failedIndexes"], status["completedIndexes"]) == ("1,3", "0,2")
    assert (status["failed"], status["succeeded"]) == (2, 2)


def test_a_stateful_pod_that_its_node_refuses_is_made_anew_until_there_is_room(
    cluster: Cluster, namespace: str
) -> None:
    (node,) = cluster.json("nodes")["items"]
    cpus = int(node["status"]["allocatable"]["cpu"])
    most = {"requests": {"cpu": f"{cpus * 600}m"}}  # twice is more than there is
    cluster.apply(namespace, pod("blocker", container(resources=most)))
    cluster.wait("pod/blocker", "condition=Ready", "-n", namespace)
    document = stateful_set("ss", 1)
    spec = document["spec"]["template"]["spec"]
    spec["nodeName"] = node["metadata"]["name"]  # past the scheduler, as upstream's test does it
    spec["containers"][0]["resources"] = most
    cluster.apply(namespace, document)
    names = ("-n", namespace, "-l", "app=ss")
    failed = cluster.until(lambda it: it["status"].get("phase") == "Failed", "pods", *names)
    assert failed["status"]["reason"] == "OutOfcpu"
    cluster.until(lambda it: it["metadata"]["uid"] != failed["metadata"]["uid"], "pods", *names)
    cluster.kubectl("delete", "pod", "blocker", "-n", namespace)
    cluster.wait("statefulset/ss", "jsonpath={.status.readyReplicas}=1", "-n", namespace)
