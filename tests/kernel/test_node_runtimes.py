"""A node whose containers are made by runc, or by crun where a RuntimeClass names it, from creation
to removal and through the end of the agent."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cri_kubelet import until
from node_cluster import SLEEP, Cluster, Session, clusters, ended, hears, needs_root, runs, talk
from oci_programs import find_program

from steersman.model.kinds.node import NODE
from steersman.model.kinds.pod import POD, ContainerStatus, Pod
from steersman.model.kinds.runtimeclass import RUNTIMECLASS
from steersman.wire.channels import ERROR, STDIN, STDOUT

pytestmark = needs_root
V4 = "v4.channel.k8s.io"
CLASSES = {"crun": "crun", "runc": "runc", "ours": "steersman"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster whose node has two runtimes beside our own."""
    crun = find_program("crun", tmp_path_factory.mktemp("crun"))
    find_program("runc", Path())
    with clusters("--runtime", f"runc,{crun}") as made:
        made.run(_make_classes)
        yield made


async def _make_classes(session: Session) -> None:
    for name, handler in CLASSES.items():
        await session.client.create(RUNTIMECLASS, {"metadata": {"name": name}, "handler": handler})


def app(pod: Pod) -> ContainerStatus:
    return pod.status.container_statuses[0]


def made_by(cluster: Cluster, pod: Pod) -> str:
    """Returns which program has made the containers of a pod, empty for ours."""
    state = cluster.data / "node" / "runtime" / "pods" / pod.metadata.uid / "state.json"
    return Path(json.loads(state.read_text())["runtime"]).name


@pytest.fixture(params=["", "crun"])
def of(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Fields of a spec: those of no class, and of one that names another runtime."""
    return {"runtimeClassName": request.param} if request.param else {}


def test_the_life_of_a_pod_from_creation_to_removal(cluster: Cluster, of: dict[str, Any]) -> None:
    async def scenario(session: Session) -> None:
        script = f"echo hello $WORD $HOSTNAME; cat /v/file; {SLEEP}"
        await session.create(
            "life",
            script=script,
            env=[{"name": "WORD", "value": "world"}],
            readinessProbe={"exec": {"command": ["cat", "/hooked"]}, "periodSeconds": 1},
            lifecycle={"postStart": {"exec": {"command": ["touch", "/hooked"]}}},
            volumeMounts=[{"name": "v", "mountPath": "/v", "subPath": "inside"}],
            spec={
                "initContainers": [
                    {
                        "name": "writes",
                        "image": "node-test:1",
                        "command": ["sh", "-c", "echo written > /v/file"],
                        "volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "inside"}],
                    }
                ],
                "volumes": [{"name": "v", "emptyDir": {}}],
                **of,
            },
        )
        pod = await session.until("life", lambda it: runs(it) and app(it).ready)
        assert made_by(cluster, pod) == of.get("runtimeClassName", "runc")
        assert app(pod).container_id.startswith("steersman://")
        await until(lambda: cluster.log(pod) == "hello world life\nwritten\n")
        words = {"command": ["sh", "-c", "read line; echo $line; exit 5"]}
        both = await talk(cluster, "life", "exec", V4, **words, stdin="true", stdout="true")
        await both.send(STDIN, b"said\n")
        said = await both.rest()
        assert said[STDOUT] == b"said\n"
        (cause,) = json.loads(said[ERROR])["details"]["causes"]
        assert cause == {"reason": "ExitCode", "message": "5"}
        process = cluster.process(pod)
        await session.delete("life")
        await cluster.ended(process)
        assert not (cluster.data / "node" / "pods" / pod.metadata.uid).exists()

    cluster.run(scenario)


def test_our_own_runtime_makes_what_its_class_names(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        spec = {"runtimeClassName": "ours", "hostUsers": False}
        await session.create("own", script=SLEEP, spec=spec)
        assert made_by(cluster, await session.until("own", runs)) == ""
        await session.delete("own", 0)

    cluster.run(scenario)


def test_the_node_tells_what_each_runtime_can(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        (name,) = [it.metadata.name for it in (await session.client.list(NODE)).items]
        node = await session.client.read(f"/api/v1/{NODE.plural}/{name}")
        found = {it["name"]: it["features"] for it in node["status"]["runtimeHandlers"]}
        own = {"recursiveReadOnlyMounts": True, "userNamespaces": True}
        assert found["steersman"] == own
        assert found["runc"] == found[""] == {**own, "userNamespaces": False}
        assert found["crun"] == dict.fromkeys(own, False)

    cluster.run(scenario)


def test_what_cannot_be_had_is_refused_in_plain_words(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        users = await session.create("users", script=SLEEP, spec={"hostUsers": False})
        text = 'can not set `hostUsers: false`, runtime handler "" does not support user namespaces'
        assert text in await hears(session, users, "FailedCreatePodSandBox")
        path = await session.create("path", command=["/nothing"], spec={"restartPolicy": "Never"})
        over = app(await session.until("path", ended)).state.terminated
        assert over is not None
        assert (over.exit_code, over.reason) == (128, "StartError")
        assert over.message == (
            "failed to create containerd task: failed to create shim task: OCI runtime create "
            'failed: runc create failed: unable to start container process: exec: "/nothing": '
            "stat /nothing: no such file or directory"
        )
        for pod in (users, path):
            await session.delete(pod.metadata.name, 0)

    cluster.run(scenario)


def test_a_container_that_ends_is_seen_and_begins_again(
    cluster: Cluster, of: dict[str, Any]
) -> None:
    async def scenario(session: Session) -> None:
        script = f"test -e /v/again && {{ {SLEEP}; }}; touch /v/again; exit 4"
        volumes = {"volumes": [{"name": "v", "emptyDir": {}}]}
        mounts = [{"name": "v", "mountPath": "/v"}]
        await session.create("again", script=script, volumeMounts=mounts, spec={**volumes, **of})
        pod = await session.until("again", lambda it: runs(it) and app(it).restart_count == 1)
        before = app(pod).last_state.terminated
        assert before is not None
        assert (before.exit_code, before.reason) == (4, "Error")
        await session.delete("again", 0)

    cluster.run(scenario)


def test_a_container_beyond_its_memory_is_told_as_such(
    cluster: Cluster, of: dict[str, Any]
) -> None:
    async def scenario(session: Session) -> None:
        await session.create(
            "greedy",
            command=["busybox", "dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1"],
            resources={"limits": {"memory": "20Mi"}},
            spec={"restartPolicy": "Never", **of},
        )
        over = app(await session.until("greedy", ended)).state.terminated
        assert over is not None
        assert (over.exit_code, over.reason) == (137, "OOMKilled")
        await session.delete("greedy", 0)

    cluster.run(scenario)


@pytest.mark.skipif(
    not Path("/sys/fs/cgroup/memory").is_dir(), reason="control groups of version 1 are read"
)
def test_a_resize_is_carried_out_without_a_restart(cluster: Cluster, of: dict[str, Any]) -> None:
    async def scenario(session: Session) -> None:
        given = {"cpu": "100m", "memory": "64Mi"}
        asked = {"limits": given, "requests": given}
        await session.create("grows", script=SLEEP, resources=asked, spec=of)
        pod = await session.until("grows", runs)
        assert cluster.limit(pod, "memory.limit_in_bytes") == 64 << 20
        wanted = {"cpu": "200m", "memory": "96Mi"}
        container = {"name": "app", "resources": {"limits": wanted, "requests": wanted}}
        await session.client.patch(
            POD.ref("default", "grows"),
            {"spec": {"containers": [container]}},
            how="strategic",
            subresource="resize",
        )
        await session.until("grows", lambda it: app(it).resources.limits.get("memory") == "96Mi")
        for group in ("app.0", ""):
            assert cluster.limit(pod, "memory.limit_in_bytes", group) == 96 << 20
            assert cluster.limit(pod, "cpu.cfs_quota_us", group) == 20_000
        assert app(await session.until("grows", runs)).restart_count == 0
        await session.delete("grows", 0)

    cluster.run(scenario)


def test_containers_share_processes_and_a_debugger_finds_its_target(
    cluster: Cluster, of: dict[str, Any]
) -> None:
    async def scenario(session: Session) -> None:
        await session.create("target", script=SLEEP, spec=of)
        await session.until("target", runs)
        looks = {
            "name": "looks",
            "image": "node-test:1",
            "targetContainerName": "app",
            "command": ["sh", "-c", "cat /proc/1/root/etc/passwd > /dev/null && exit 8"],
        }
        await session.client.patch(
            POD.ref("default", "target"),
            {"spec": {"ephemeralContainers": [looks]}},
            how="strategic",
            subresource="ephemeralcontainers",
        )

        def looked(pod: Pod) -> bool:
            found = [it.state.terminated for it in pod.status.ephemeral_container_statuses]
            return [it.exit_code for it in found if it is not None] == [8]

        await session.until("target", looked)
        await session.delete("target", 0)

    cluster.run(scenario)


def test_pods_outlive_the_agent_and_their_ends_are_not_missed(
    cluster: Cluster, of: dict[str, Any]
) -> None:
    async def scenario(session: Session) -> None:
        await session.create("stays", script=SLEEP, spec=of)
        await session.create(
            "goes",
            script="while ! test -e /v/go; do sleep 0.1; done; exit 6",
            volumeMounts=[{"name": "v", "mountPath": "/v"}],
            spec={"restartPolicy": "Never", "volumes": [{"name": "v", "emptyDir": {}}], **of},
        )
        before = await session.until("stays", runs)
        goes = await session.until("goes", runs)
        agent = cluster.agent()
        os.kill(agent, signal.SIGSTOP)
        (cluster.volume(goes, "v") / "go").touch()
        handle = os.pidfd_open(agent)
        os.kill(agent, signal.SIGKILL)
        await cluster.ended(handle)
        over = app(await session.until("goes", ended)).state.terminated
        assert over is not None
        assert over.exit_code == 6
        await session.delete("goes", 0)
        found: Pod = await session.client.get(POD.ref("default", "stays"))
        assert app(found) == app(before)
        hears_nothing = "trap '' TERM"
        await session.create("deaf", script=f"{hears_nothing}; {SLEEP.partition('; ')[2]}", spec=of)
        await session.until("deaf", runs)
        await session.delete("deaf", 1)
        await session.delete("stays")

    cluster.run(scenario)
