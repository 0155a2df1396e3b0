"""The shared manifests, applied with kubectl: they behave and the tables are as upstream's."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from steered import AGE, COMMAND_SECONDS, TIMEOUT, Cluster, is_ready, read_until, run, started


@pytest.fixture(scope="module")
def nginx(cluster: Cluster, shared: Path) -> Iterator[str]:
    """The Pod of the shared manifest, ready."""
    manifest = str(shared / "manifests" / "pod.yaml")
    cluster.kubectl("apply", "-f", manifest)
    cluster.wait("pod/nginx", "condition=Ready")
    # Ready says that the container runs, not that its program listens
    listens = "until wget -qO- http://127.0.0.1/; do sleep 0.1; done"
    cluster.kubectl("exec", "nginx", "--", "sh", "-c", listens)
    yield "nginx"
    cluster.kubectl("delete", "-f", manifest)


@pytest.fixture
def rolled_out(cluster: Cluster, shared: Path, namespace: str) -> str:
    """A namespace with the Deployment of the shared manifest, rolled out."""
    cluster.kubectl("apply", "-n", namespace, "-f", str(shared / "manifests" / "deployment.yaml"))
    status(cluster, namespace)
    return namespace


def status(cluster: Cluster, namespace: str) -> str:
    """Waits until the Deployment is rolled out."""
    return cluster.kubectl(
        "rollout", "status", "deployment/nginx-deployment", "-n", namespace, TIMEOUT
    )


def test_the_pod_serves_and_its_logs_are_there(cluster: Cluster, nginx: str) -> None:
    assert cluster.kubectl("logs", nginx) == "serving\n"
    answer = cluster.kubectl("exec", nginx, "--", "wget", "-qO-", "http://127.0.0.1/")
    assert answer == "nginx\n"


def test_the_pods_table_has_upstreams_columns(cluster: Cluster, nginx: str) -> None:
    head, row = cluster.kubectl("get", "pods").splitlines()
    assert head.split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert re.fullmatch(rf"nginx +1/1 +Running +0 +{AGE}", row)
    wide = cluster.kubectl("get", "pods", "-o", "wide").splitlines()[0]
    more = ["IP", "NODE", "NOMINATED NODE", "READINESS GATES"]
    assert re.split(r" {2,}", wide)[-4:] == more


def test_describe_tells_the_pods_whole_story_in_upstreams_words(
    cluster: Cluster, nginx: str
) -> None:
    for reason in ("Scheduled", "Pulled", "Created", "Started"):
        cluster.until_event(nginx, reason)
    text = cluster.kubectl("describe", "pod", nginx)
    for words in (
        r"^Status: +Running$",
        r"^Service Account: +default$",
        r"^    Image: +nginx:1.14.2$",
        r"^    Port: +80/TCP$",
        r"^  Ready +True *$",
        r"^QoS Class: +BestEffort$",
        r"Normal +Scheduled .*default-scheduler +Successfully assigned default/nginx to ",
        r"Normal +Pulled .*kubelet .*Container image \"nginx:1.14.2\" already present on machine",
        r"Normal +Created ",
        r"Normal +Started ",
    ):
        assert re.search(words, text, re.M), (words, text)


def test_exec_hands_on_input_exit_code_and_both_outputs(cluster: Cluster, nginx: str) -> None:
    done = cluster.try_kubectl(
        "exec", "-i", nginx, "--", "sh", "-c", "cat; echo bad >&2; exit 7", input="good"
    )
    assert (done.returncode, done.stdout) == (7, "good")
    assert done.stderr.splitlines() == ["bad", "command terminated with exit code 7"]


def test_a_megabyte_copied_in_by_exec_comes_back_the_same(cluster: Cluster, nginx: str) -> None:
    data = "".join(f"{number:015d}\n" for number in range(65536))
    cluster.kubectl("exec", "-i", nginx, "--", "sh", "-c", "cat > /tmp/copied", input=data)
    assert cluster.kubectl("exec", nginx, "--", "cat", "/tmp/copied") == data


def test_exec_with_a_terminal_has_one(cluster: Cluster, nginx: str) -> None:
    words = cluster.kubectl_words("exec", "-it", nginx, "--", "tty")
    done = run(["script", "-qec", " ".join(words), "/dev/null"])
    # `script` has no input and says so; the terminal may show that (^@, ^D) before kubectl is there
    assert re.search(r"^(\^.)*/dev/(pts/\d+|console)\s*$", done.stdout, re.M), done.stdout


@contextmanager
def saying(cluster: Cluster, name: str, words: str) -> Iterator[None]:
    """Lets a container print words over and over: nothing tells when a follower is there."""
    said = f"until test -e /tmp/heard; do echo {words} > /proc/1/fd/1; sleep 0.1; done"
    script = f"rm -f /tmp/heard; {said}"
    with started(cluster.kubectl_words("exec", name, "--", "sh", "-c", script)) as process:
        try:
            yield
        finally:
            cluster.kubectl("exec", name, "--", "touch", "/tmp/heard")
            process.wait(COMMAND_SECONDS)


def test_attach_shows_what_the_container_prints_from_then_on(cluster: Cluster, nginx: str) -> None:
    words = cluster.kubectl_words("attach", nginx)
    both = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with started(words, **both) as process, saying(cluster, nginx, "from outside"):
        read_until(process, "from outside")


def test_port_forward_reaches_the_container(cluster: Cluster, nginx: str) -> None:
    words = cluster.kubectl_words("port-forward", nginx, ":80")
    with started(words, stdout=subprocess.PIPE) as process:
        text = read_until(process, "->")
        found = re.search(r"127\.0\.0\.1:(\d+)", text)
        assert found
        answer = run(["busybox", "wget", "-qO-", f"http://127.0.0.1:{found[1]}/"])
    assert answer.stdout == "nginx\n"


def test_logs_follow_and_take_tail_and_previous(cluster: Cluster, nginx: str) -> None:
    words = cluster.kubectl_words("logs", "-f", "--tail=0", nginx)
    with started(words, stdout=subprocess.PIPE) as process, saying(cluster, nginx, "more"):
        text = read_until(process, "more\n")
    assert set(text.splitlines()) == {"more"}
    previous = cluster.try_kubectl("logs", "--previous", nginx)
    assert previous.returncode == 1
    assert "previous terminated container" in previous.stderr
    assert cluster.kubectl("logs", "--tail=1", "--timestamps", nginx).endswith("Z more\n")


def test_top_shows_what_the_node_uses(cluster: Cluster) -> None:
    header, *rows = cluster.kubectl("top", "nodes").splitlines()
    assert header.split() == ["NAME", "CPU(cores)", "CPU(%)", "MEMORY(bytes)", "MEMORY(%)"]
    [row] = rows
    assert re.fullmatch(r"\S+ +\d+m +\d+% +\d+Mi +\d+% *", row)


def test_the_deployment_rolls_out_three_replicas(cluster: Cluster, rolled_out: str) -> None:
    rows = cluster.kubectl("get", "deployments,replicasets", "-n", rolled_out).splitlines()
    assert rows[0].split() == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
    assert re.fullmatch(rf"deployment.apps/nginx-deployment +3/3 +3 +3 +{AGE}", rows[1])
    assert re.fullmatch(rf"replicaset.apps/nginx-deployment-\w+ +3 +3 +3 +{AGE}", rows[4])
    cluster.until_event("nginx-deployment", "ScalingReplicaSet", "-n", rolled_out)
    text = cluster.kubectl("describe", "deployment", "nginx-deployment", "-n", rolled_out)
    assert re.search(r"ScalingReplicaSet .*Scaled up replica set \S+ from 0 to 3", text)
    assert "3 desired | 3 updated | 3 total | 3 available | 0 unavailable" in text


def test_restart_undo_and_history_go_through_the_revisions(
    cluster: Cluster, rolled_out: str
) -> None:
    where = ("deployment/nginx-deployment", "-n", rolled_out)
    first = ready_pods(cluster, rolled_out)
    cluster.kubectl("rollout", "restart", *where)
    assert "successfully rolled out" in status(cluster, rolled_out)
    assert first.isdisjoint(ready_pods(cluster, rolled_out))
    cluster.kubectl("rollout", "undo", *where)
    assert "successfully rolled out" in status(cluster, rolled_out)
    history = cluster.kubectl("rollout", "history", *where)
    assert re.findall(r"^\d+", history, re.M) == ["2", "3"]


def ready_pods(cluster: Cluster, namespace: str) -> set[str]:
    """Returns the names of the pods that stay."""
    found = cluster.json("pods", "-n", namespace)["items"]
    return {each["metadata"]["name"] for each in found if is_ready(each)}


def test_scale_down_deletes_pods_and_events_say_so(cluster: Cluster, rolled_out: str) -> None:
    cluster.kubectl("scale", "deployment/nginx-deployment", "--replicas=1", "-n", rolled_out)
    cluster.wait("deployment/nginx-deployment", "jsonpath={.status.replicas}=1", "-n", rolled_out)
    chosen = ("--field-selector", "reason=ScalingReplicaSet", "-n", rolled_out)
    cluster.until(lambda found: "Scaled down" in found["message"], "events", *chosen)
    events = cluster.kubectl("events", "-n", rolled_out)
    assert events.split()[:5] == ["LAST", "SEEN", "TYPE", "REASON", "OBJECT"]
    assert re.search(r"Scaled down replica set \S+ from 3 to 1", events)


def test_the_daemon_set_runs_on_the_node_with_its_volumes(cluster: Cluster, shared: Path) -> None:
    manifest = str(shared / "manifests" / "daemonset.yaml")
    cluster.kubectl("apply", "-f", manifest)
    name = "daemonset/fluentd-elasticsearch"
    cluster.kubectl("rollout", "status", name, "-n", "kube-system", TIMEOUT)
    row = cluster.kubectl("get", name, "-n", "kube-system", "--no-headers")
    assert re.fullmatch(rf"fluentd-elasticsearch +1 +1 +1 +1 +1 +<none> +{AGE}\n", row)
    script = "ls /var/log >/dev/null && ! touch /var/lib/docker/containers/x 2>&1"
    text = cluster.kubectl("exec", "-n", "kube-system", name, "--", "sh", "-c", script)
    assert "Read-only file system" in text
    cluster.kubectl("delete", "-f", manifest, TIMEOUT)


def test_the_service_has_an_address_and_no_endpoints(cluster: Cluster, shared: Path) -> None:
    manifest = str(shared / "manifests" / "service.yaml")
    cluster.kubectl("apply", "-f", manifest)
    row = cluster.kubectl("get", "service", "my-service").splitlines()
    assert row[0].split() == ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"]
    assert re.fullmatch(rf"my-service +ClusterIP +10[\d.]+ +<none> +80/TCP +{AGE}", row[1])
    described = cluster.kubectl("describe", "service", "my-service")
    assert re.search(r"^TargetPort: +9376/TCP$", described, re.M)
    assert re.search(r"^Endpoints: +$", described, re.M)
    cluster.kubectl("delete", "-f", manifest)


def test_a_second_apply_of_the_manifests_changes_nothing(
    cluster: Cluster, rolled_out: str, shared: Path
) -> None:
    manifest = str(shared / "manifests" / "deployment.yaml")
    text = cluster.kubectl("apply", "-n", rolled_out, "-f", manifest)
    assert text == "deployment.apps/nginx-deployment unchanged\n"
    assert cluster.kubectl("diff", "-n", rolled_out, "-f", manifest) == ""
