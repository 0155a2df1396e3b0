"""Jobs and stateful sets with real containers, as kubectl waits for them."""

from __future__ import annotations

from typing import Any

from steered import STAY, TIMEOUT, Cluster, Document, container, deployment, pod

INDEX = 'echo "index $JOB_COMPLETION_INDEX of $HOSTNAME"'


def job(name: str, script: str, **spec: Any) -> Document:
    """Returns a Job whose pods run a script to its end."""
    template = {"spec": pod(name, container(script), restartPolicy="Never")["spec"]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"template": template, **spec},
    }


def stateful_set(name: str, replicas: int) -> Document:
    """Returns a StatefulSet whose pods bear `app: name`."""
    spec = {**deployment(name, replicas)["spec"], "serviceName": name}
    return {**deployment(name, replicas), "kind": "StatefulSet", "spec": spec}


def test_a_job_completes_and_kubectl_sees_it(cluster: Cluster, namespace: str) -> None:
    document = job("sum", INDEX, completions=2, parallelism=2, completionMode="Indexed")
    cluster.apply(namespace, document)
    cluster.kubectl(
        "wait", "--for=condition=complete", "job/sum", "-n", namespace, "--timeout=120s"
    )
    row = cluster.kubectl("get", "job", "sum", "-n", namespace, "--no-headers").split()
    assert row[:3] == ["sum", "Complete", "2/2"]
    said = cluster.kubectl("logs", "-l", "job-name=sum", "-n", namespace)
    assert sorted(said.split("\n")[:-1]) == ["index 0 of sum-0", "index 1 of sum-1"]


def test_a_stateful_set_comes_up_in_order_and_rolls_out(cluster: Cluster, namespace: str) -> None:
    cluster.apply(namespace, stateful_set("db", 2))
    words = ("rollout", "status", "statefulset/db", "-n", namespace, "--timeout=120s")
    assert "partitioned roll out complete: 2 new pods" in cluster.kubectl(*words)
    found = cluster.json("pods", "-n", namespace)["items"]
    assert [each["metadata"]["name"] for each in found] == ["db-0", "db-1"]
    events = cluster.json("events", "-n", namespace)["items"]
    said = [each["message"] for each in events if each["involvedObject"]["kind"] == "StatefulSet"]
    expected = [f"create Pod db-{number} in StatefulSet db successful" for number in (0, 1)]
    assert sorted(said) == expected
    cluster.kubectl("set", "env", "statefulset/db", "ROUND=2", "-n", namespace)
    cluster.kubectl(*words)
    said = cluster.kubectl(
        "exec", "db-1", "-n", namespace, "--", "sh", "-c", "echo $ROUND $HOSTNAME"
    )
    assert said == "2 db-1\n"


def test_a_stateful_set_keeps_its_files_and_its_claims_take_them_along(
    cluster: Cluster, namespace: str
) -> None:
    script = f"cat /data/file; echo $HOSTNAME > /data/file; {STAY}"
    mount = {"name": "data", "mountPath": "/data"}
    document = deployment("db", 2, container(script, volumeMounts=[mount]))
    claim = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
    }
    document["kind"] = "StatefulSet"
    document["spec"]["serviceName"] = "db"
    document["spec"]["volumeClaimTemplates"] = [{"metadata": {"name": "data"}, "spec": claim}]
    cluster.apply(namespace, document)
    cluster.kubectl("rollout", "status", "statefulset/db", "-n", namespace, TIMEOUT)
    place = cluster.data / "node" / "local-path"
    made = {each.name.rpartition("_")[2] for each in place.iterdir() if namespace in each.name}
    assert made == {"data-db-0", "data-db-1"}
    rows = cluster.kubectl("get", "pvc", "-n", namespace, "--no-headers").splitlines()
    assert [row.split()[1:6:2] for row in rows] == [["Bound", "1Gi", "local-path"]] * 2
    cluster.kubectl("delete", "pod", "db-0", "-n", namespace)
    cluster.kubectl("rollout", "status", "statefulset/db", "-n", namespace, TIMEOUT)
    assert cluster.kubectl("logs", "db-0", "-n", namespace).split() == ["db-0", "started"]
    cluster.kubectl("delete", "statefulset", "db", "-n", namespace)
    cluster.kubectl("wait", "pod/db-0", "--for=delete", TIMEOUT, "-n", namespace)
    volume = cluster.json("pvc", "data-db-0", "-n", namespace)["spec"]["volumeName"]
    cluster.kubectl("delete", "pvc", "data-db-0", "-n", namespace)
    cluster.kubectl("wait", f"pv/{volume}", "--for=delete", TIMEOUT)
    left = [each.name for each in place.iterdir() if namespace in each.name]
    assert [name.rpartition("_")[2] for name in left] == ["data-db-1"]
