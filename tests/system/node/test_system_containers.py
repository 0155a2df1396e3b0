"""Containers as their pods describe them: exits, restarts, probes, init, volumes, environment."""

from __future__ import annotations

import json
import subprocess

import pytest
from steered import (
    TIMEOUT,
    Cluster,
    Document,
    container,
    is_ready,
    pieces,
    pod,
    read_until,
    restarts,
    started,
    state,
    waiting,
)


def ended(found: Document) -> bool:
    """Says whether all of a pod's containers have ended for good."""
    return found["status"]["phase"] in ("Succeeded", "Failed")


def run_to_end(cluster: Cluster, namespace: str, document: Document) -> Document:
    """Runs a pod that is not started again to its end; returns it."""
    document["spec"].setdefault("restartPolicy", "Never")
    cluster.apply(namespace, document)
    return cluster.until(ended, "pod", document["metadata"]["name"], "-n", namespace)


@pytest.mark.parametrize(
    ("code", "phase", "reason"), [(0, "Succeeded", "Completed"), (3, "Failed", "Error")]
)
def test_an_exit_code_decides_the_phase(
    cluster: Cluster, namespace: str, code: int, phase: str, reason: str
) -> None:
    found = run_to_end(cluster, namespace, pod("ends", container(f"echo last; exit {code}")))
    assert found["status"]["phase"] == phase
    terminated = state(found)["terminated"]
    assert (terminated["exitCode"], terminated["reason"]) == (code, reason)
    assert cluster.kubectl("logs", "ends", "-n", namespace) == "last\n"
    row = cluster.kubectl("get", "pod", "ends", "-n", namespace, "--no-headers")
    assert row.split()[1:4] == ["0/1", reason, "0"]


def test_a_container_that_fails_is_started_again_then_waits_in_crash_loop_back_off(
    cluster: Cluster, namespace: str
) -> None:
    cluster.apply(namespace, pod("crashes", container("echo once more; exit 5")))
    found = cluster.until(
        lambda found: waiting(found) == "CrashLoopBackOff", "pod", "crashes", "-n", namespace
    )
    assert restarts(found) >= 1 and found["status"]["phase"] == "Running"
    last = state(found, "lastState")["terminated"]
    assert (last["exitCode"], last["reason"]) == (5, "Error")
    message = state(found)["waiting"]["message"]
    assert message.startswith("back-off 10s restarting failed container=main pod=crashes_")
    event = cluster.until_event("crashes", "BackOff", "-n", namespace)
    assert event["message"].startswith("Back-off restarting failed container main in pod crashes_")
    assert cluster.kubectl("logs", "--previous", "crashes", "-n", namespace) == "once more\n"


def test_on_failure_starts_again_after_a_failure_and_not_after_success(
    cluster: Cluster, namespace: str
) -> None:
    script = "test -e /kept/seen && exit 0; touch /kept/seen; exit 1"
    mounted = container(script, volumeMounts=[{"name": "kept", "mountPath": "/kept"}])
    volumes = [{"name": "kept", "emptyDir": {}}]
    document = pod("retries", mounted, restartPolicy="OnFailure", volumes=volumes)
    found = run_to_end(cluster, namespace, document)
    assert (found["status"]["phase"], restarts(found)) == ("Succeeded", 1)


def test_more_memory_than_the_limit_is_oom_killed(cluster: Cluster, namespace: str) -> None:
    limits = {"limits": {"memory": "16Mi"}}
    hungry = container("exec tail /dev/zero", resources=limits)
    found = run_to_end(cluster, namespace, pod("hungry", hungry))
    terminated = state(found)["terminated"]
    assert (terminated["reason"], terminated["exitCode"]) == ("OOMKilled", 137)


def test_init_containers_run_one_after_the_other_before_the_main_one(
    cluster: Cluster, namespace: str
) -> None:
    mounts = {"volumeMounts": [{"name": "kept", "mountPath": "/kept"}]}
    first = {**container("echo first >> /kept/order", **mounts), "name": "first"}
    second = {**container("sleep 0.2; echo second >> /kept/order", **mounts), "name": "second"}
    main = container("cat /kept/order", **mounts)
    volumes = [{"name": "kept", "emptyDir": {"medium": "Memory"}}]
    document = pod("orders", main, initContainers=[first, second], volumes=volumes)
    found = run_to_end(cluster, namespace, document)
    assert cluster.kubectl("logs", "orders", "-n", namespace) == "first\nsecond\n"
    ready = [each["ready"] for each in found["status"]["initContainerStatuses"]]
    assert ready == [True, True]


def test_an_init_container_that_fails_keeps_the_main_one_from_starting(
    cluster: Cluster, namespace: str
) -> None:
    first = {**container("exit 9"), "name": "first"}
    found = run_to_end(cluster, namespace, pod("stuck", initContainers=[first]))
    assert found["status"]["phase"] == "Failed"
    assert waiting(found) == "PodInitializing"
    row = cluster.kubectl("get", "pod", "stuck", "-n", namespace, "--no-headers")
    assert row.split()[1:3] == ["0/1", "Init:Error"]


def test_a_failing_liveness_probe_restarts_the_container(cluster: Cluster, namespace: str) -> None:
    probe = {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 1}
    cluster.apply(namespace, pod("sick", container(livenessProbe=probe)))
    cluster.until(lambda found: restarts(found) >= 1, "pod", "sick", "-n", namespace)
    event = cluster.until_event("sick", "Killing", "-n", namespace)
    assert event["message"] == "Container main failed liveness probe, will be restarted"
    unhealthy = cluster.until_event("sick", "Unhealthy", "-n", namespace)
    assert unhealthy["message"].startswith("Liveness probe failed:")


def test_a_startup_probe_holds_the_others_back_until_it_succeeds(
    cluster: Cluster, namespace: str
) -> None:
    startup = {"exec": {"command": ["test", "-e", "/tmp/up"]}, "periodSeconds": 1}
    ready = {"tcpSocket": {"port": 80}, "periodSeconds": 1}
    script = "trap 'exit 0' TERM; httpd -f -p 80 & wait"
    slow = container(
        script, startupProbe={**startup, "failureThreshold": 300}, readinessProbe=ready
    )
    cluster.apply(namespace, pod("slow", slow))
    cluster.until_event("slow", "Unhealthy", "-n", namespace)
    found = cluster.json("pod", "slow", "-n", namespace)
    assert not is_ready(found) and not found["status"]["containerStatuses"][0]["started"]
    cluster.kubectl("exec", "slow", "-n", namespace, "--", "touch", "/tmp/up")
    cluster.wait("pod/slow", "condition=Ready", "-n", namespace)


def test_an_http_readiness_probe_sees_the_web_server(cluster: Cluster, namespace: str) -> None:
    probe = {"httpGet": {"path": "/index.html", "port": 80}, "periodSeconds": 1}
    cluster.apply(namespace, pod("web", container("exec sh /bin/serve", readinessProbe=probe)))
    cluster.wait("pod/web", "condition=Ready", "-n", namespace)
    cluster.kubectl("exec", "web", "-n", namespace, "--", "rm", "/www/index.html")
    cluster.wait("pod/web", "condition=Ready=False", "-n", namespace)
    message = "Readiness probe failed: HTTP probe failed with statuscode: 404"
    where = ("events", "--field-selector", "reason=Unhealthy", "-n", namespace)
    cluster.until(lambda found: found["message"] == message, *where)


def configured(cluster: Cluster, namespace: str) -> None:
    """Makes the objects that the pod below refers to."""
    meta = {"apiVersion": "v1", "metadata": {"name": "settings"}}
    cluster.apply(
        namespace,
        {**meta, "kind": "ConfigMap", "data": {"color": "blue", "file.txt": "from a map\n"}},
        {**meta, "kind": "Secret", "stringData": {"word": "hidden"}},
    )


ENVIRONMENT: list[Document] = [
    {"name": "PLAIN", "value": "plain"},
    {"name": "BOTH", "value": "$(PLAIN) and $$(PLAIN)"},
    {"name": "COLOR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "color"}}},
    {"name": "WORD", "valueFrom": {"secretKeyRef": {"name": "settings", "key": "word"}}},
    {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    {"name": "ADDRESS", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
    {"name": "LIMIT", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory"}}},
]


def test_the_environment_comes_from_all_its_sources(cluster: Cluster, namespace: str) -> None:
    configured(cluster, namespace)
    more: Document = {
        "env": ENVIRONMENT,
        "envFrom": [{"prefix": "S_", "secretRef": {"name": "settings"}}],
        "resources": {"limits": {"memory": "32Mi"}},
    }
    found = run_to_end(cluster, namespace, pod("shows", container("env", **more)))
    text = cluster.kubectl("logs", "shows", "-n", namespace)
    shown = dict(line.split("=", 1) for line in text.splitlines())
    wanted = {
        "PLAIN": "plain",
        "BOTH": "plain and $(PLAIN)",
        "COLOR": "blue",
        "WORD": "hidden",
        "S_word": "hidden",
        "NAME": "shows",
        "ADDRESS": found["status"]["podIP"],
        "LIMIT": str(32 << 20),
        "HOSTNAME": "shows",
    }
    assert {name: shown.get(name) for name in wanted} == wanted
    assert shown["KUBERNETES_SERVICE_PORT"] == "443"


VOLUMES: list[Document] = [
    {"name": "map", "configMap": {"name": "settings"}},
    {"name": "secret", "secret": {"secretName": "settings", "defaultMode": 0o400}},
    {"name": "empty", "emptyDir": {"sizeLimit": "1Mi"}},
    {
        "name": "told",
        "downwardAPI": {
            "items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]
        },
    },
    {
        "name": "all",
        "projected": {
            "sources": [
                {"configMap": {"name": "settings", "items": [{"key": "color", "path": "a/b"}]}},
                {"secret": {"name": "settings"}},
                {"serviceAccountToken": {"path": "token", "audience": "elsewhere"}},
            ]
        },
    },
]
LOOK = """
cat /map/file.txt; echo; cat /secret/word; echo; stat -Lc %a /secret/word; cat /told/labels; echo
cat /all/a/b; echo; cat /all/word; echo; cut -c1-3 /all/token; echo; echo mine > /empty/file
cat /empty/file /host/given; touch /map/x || echo refused; echo out > /host/made
"""


def test_volumes_of_every_kind_have_their_contents(
    cluster: Cluster, namespace: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    configured(cluster, namespace)
    here = tmp_path_factory.mktemp("host")
    (here / "given").write_text("from the machine\n")
    mounts = [{"name": each["name"], "mountPath": f"/{each['name']}"} for each in VOLUMES]
    mounts.append({"name": "host", "mountPath": "/host"})
    host = {"name": "host", "hostPath": {"path": str(here), "type": "Directory"}}
    looks = container(LOOK, volumeMounts=mounts)
    document = pod("looks", looks, labels={"app": "looks"}, volumes=[*VOLUMES, host])
    run_to_end(cluster, namespace, document)
    lines = cluster.kubectl("logs", "looks", "-n", namespace).split("\n")
    wanted = ["from a map", "hidden", "400", 'app="looks"', "blue", "hidden", "eyJ", "mine"]
    assert [line for line in lines if line][:8] == wanted, lines
    assert "from the machine" in lines and "refused" in lines
    assert (here / "made").read_text() == "out\n"


def test_a_changed_config_map_reaches_the_running_container(
    cluster: Cluster, namespace: str
) -> None:
    configured(cluster, namespace)
    script = "trap 'exit 0' TERM; while ! grep -q green /map/color; do sleep 0.1; done; echo seen"
    mounts = [{"name": "map", "mountPath": "/map"}]
    volumes = [{"name": "map", "configMap": {"name": "settings"}}]
    follows = container(script, volumeMounts=mounts)
    cluster.apply(namespace, pod("follows", follows, volumes=volumes, restartPolicy="Never"))
    cluster.wait("pod/follows", "condition=Ready", "-n", namespace)
    patch = json.dumps({"data": {"color": "green"}})
    cluster.kubectl("patch", "configmap", "settings", "-n", namespace, "-p", patch)
    cluster.until(ended, "pod", "follows", "-n", namespace)


def test_a_missing_config_map_is_named_and_waited_for(cluster: Cluster, namespace: str) -> None:
    source = {"configMapRef": {"name": "settings"}}
    cluster.apply(
        namespace, pod("lacks", container("env", envFrom=[source]), restartPolicy="Never")
    )
    found = cluster.until(
        lambda found: waiting(found) == "CreateContainerConfigError",
        *("pod", "lacks", "-n", namespace),
    )
    assert state(found)["waiting"]["message"] == 'configmap "settings" not found'
    configured(cluster, namespace)
    cluster.until(ended, "pod", "lacks", "-n", namespace)


def test_deletion_lets_the_container_handle_sigterm(cluster: Cluster, namespace: str) -> None:
    script = "trap 'echo stopping; exit 0' TERM; echo started; sleep 3600 & wait"
    cluster.apply(namespace, pod("polite", container(script)))
    cluster.wait("pod/polite", "condition=Ready", "-n", namespace)
    words = cluster.kubectl_words("logs", "-f", "polite", "-n", namespace)
    with started(words, stdout=subprocess.PIPE) as process:
        assert read_until(process, "started") == "started\n"
        cluster.kubectl("delete", "pod", "polite", "-n", namespace, TIMEOUT)
        assert "".join(pieces(process)) == "stopping\n"


def test_a_container_deaf_to_sigterm_is_killed_after_the_grace_period(
    cluster: Cluster, namespace: str
) -> None:
    document = pod("deaf", container("sleep 3600"), terminationGracePeriodSeconds=1)
    cluster.apply(namespace, document)
    cluster.wait("pod/deaf", "condition=Ready", "-n", namespace)
    process = cluster.process("deaf", namespace)
    cluster.kubectl("delete", "pod", "deaf", "-n", namespace, TIMEOUT)
    assert process not in [pid for pid, _ in cluster.processes()]
