"""Rows of upstream's conformance suite about pods in the API and on a node together.

The rows are those of test/e2e/common/node/pods.go, ephemeral_containers.go, container.go and
test/e2e/node/pods.go.
"""

from __future__ import annotations

import asyncio
import shutil
from typing import Any

import pytest
from node_cluster import BUSYBOX, IMAGE, SECONDS, SLEEP, Cluster, Session, ended, needs_root, runs

from steersman.client import kubeconfig
from steersman.client.http import HTTPTransport
from steersman.images.building.build import Request, build
from steersman.images.references import parse
from steersman.images.store import Store
from steersman.model.errors import Forbidden
from steersman.model.kinds.pod import POD, Pod
from steersman.model.kinds.runtimeclass import RUNTIMECLASS
from steersman.wire.message import Request as Upgrading
from steersman.wire.websocket import WebSocket

pytestmark = needs_root


async def make(session: Session, name: str, spec: dict[str, Any], **metadata: Any) -> Pod:
    document = {"metadata": {"name": name, **metadata}, "spec": spec}
    made: Pod = await session.client.create(POD, document, namespace="default")
    return made


def spec(*scripts: str, **fields: Any) -> dict[str, Any]:
    """A pod whose containers run these scripts."""
    containers = [
        {"name": f"c{number}", "image": IMAGE, "command": ["sh", "-c", script]}
        for number, script in enumerate(scripts)
    ]
    return {"containers": containers, **fields}


def test_commands_and_arguments_are_the_images_or_the_containers(
    cluster: Cluster, tmp_path: Any
) -> None:
    context = tmp_path / "context"
    (context / "bin").mkdir(parents=True)
    context.chmod(0o755)
    shutil.copy(BUSYBOX, context / "bin/echo")
    (context / "bin/echo").chmod(0o755)
    lines = ["FROM scratch", "COPY . /", 'ENTRYPOINT ["/bin/echo", "entry"]', 'CMD ["default"]']
    (context / "Containerfile").write_text("\n".join(lines) + "\n")
    build(Store(cluster.data / "images"), Request(context, (parse("words:1"),), 0.0))
    given: dict[str, dict[str, Any]] = {
        "blank": {},
        "args": {"args": ["own"]},
        "command": {"command": ["/bin/echo", "other"]},
        "both": {"command": ["/bin/echo", "other"], "args": ["own"]},
    }

    async def scenario(session: Session) -> None:
        containers = [{"name": it, "image": "words:1", **more} for it, more in given.items()]
        await make(session, "words", {"containers": containers, "restartPolicy": "Never"})
        pod = await session.until("words", ended)
        assert {it: cluster.log(pod, it) for it in given} == {
            "blank": "entry default\n",
            "args": "entry own\n",
            "command": "other\n",
            "both": "other own\n",
        }
        await session.delete("words")

    cluster.run(scenario)


def test_a_pod_is_updated_while_it_runs_and_ends_when_its_deadline_is_over(
    cluster: Cluster,
) -> None:
    async def scenario(session: Session) -> None:
        client, ref = session.client, POD.ref("default", "changing")
        made = await make(session, "changing", spec(SLEEP), labels={"time": "one"})
        assert made.metadata.generation == 1
        await session.until("changing", runs)
        path = "/api/v1/namespaces/default/pods/changing"
        document = await client.read(path)
        document["metadata"]["labels"]["time"] = "two"
        pod = await client.update(ref, document)
        assert (pod.metadata.labels["time"], pod.metadata.generation) == ("two", 1)
        pod = await client.patch(ref, {"spec": {"activeDeadlineSeconds": 3600}})
        assert pod.metadata.generation == 2
        seen = await session.until("changing", lambda it: it.status.observed_generation == 2)
        assert runs(seen)
        pod = await client.patch(ref, {"spec": {"activeDeadlineSeconds": 1}})
        assert pod.metadata.generation == 3
        pod = await session.until("changing", ended)
        assert (pod.status.phase, pod.status.reason) == ("Failed", "DeadlineExceeded")
        assert pod.status.observed_generation == 3
        await session.delete("changing")

    cluster.run(scenario)


def test_the_generation_of_a_pod_is_the_servers_and_counts_a_graceful_deletion(
    cluster: Cluster,
) -> None:
    async def scenario(session: Session) -> None:
        client, ref = session.client, POD.ref("default", "counted")
        made = await make(session, "counted", spec(SLEEP), generation=100, finalizers=["a.b/c"])
        assert made.metadata.generation == 1
        await session.until("counted", runs)
        for number in range(2, 42):  # toleration for toleration, as upstream's row of 500
            more = {"key": f"k{number}", "operator": "Exists", "effect": "NoExecute"}
            patch = [{"op": "add", "path": "/spec/tolerations/-", "value": more}]
            pod = await client.patch(ref, patch, how="json")
            assert pod.metadata.generation == number
        pod = await session.until("counted", lambda it: it.status.observed_generation == 41)
        deleted = await client.delete(ref)
        assert deleted.object is not None
        assert deleted.object.metadata.generation == 42
        await session.until("counted", lambda it: it.status.observed_generation == 42)
        await client.patch(ref, {"metadata": {"finalizers": None}})

    cluster.run(scenario)


def test_a_pods_status_is_patched_and_a_collection_deleted(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        client = session.client
        for number in range(3):
            await make(session, f"set-{number}", spec(SLEEP), labels={"type": "Testing"})
        for number in range(3):
            pod = await session.until(f"set-{number}", runs)
            assert pod.status.host_ip and pod.status.pod_ip
        ref = POD.ref("default", "set-0")
        note = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set"}
        for patch in ([note], None):
            conditions = {"conditions": patch} if patch else {"message": "Patched"}
            pod = await client.patch(
                ref, {"status": conditions}, how="strategic", subresource="status"
            )
        kinds = {it.type for it in pod.status.conditions}
        assert {"StatusUpdate", "Ready"} <= kinds
        await client.delete_collection(POD, "default", labels="type=Testing")
        for number in range(3):
            await session.gone(f"set-{number}")

    cluster.run(scenario)


def test_ephemeral_containers_are_added_to_a_pod_that_runs(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        await make(session, "host", spec(SLEEP))
        await session.until("host", runs)
        document: dict[str, Any] = {}
        for name in ("first", "second"):  # the second by an update of the whole
            document = await session.client.read("/api/v1/namespaces/default/pods/host")
            del document["metadata"]["resourceVersion"]  # its status may change meanwhile
            more = {"name": name, "image": IMAGE, "command": ["sh", "-c", f"echo {name}"]}
            document["spec"].setdefault("ephemeralContainers", []).append(more)
            await session.client.update(
                POD.ref("default", "host"), document, subresource="ephemeralcontainers"
            )
        pod = await session.until(
            "host",
            lambda it: [
                one.name for one in it.status.ephemeral_container_statuses if one.state.terminated
            ] == ["first", "second"],
        )  # fmt: skip
        assert [cluster.log(pod, it) for it in ("first", "second")] == ["first\n", "second\n"]
        assert runs(pod)
        await session.delete("host")

    cluster.run(scenario)


def test_a_command_that_always_fails_has_its_reason_and_can_be_deleted(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        await make(session, "fails", spec("exit 1"))

        def told(pod: Pod) -> bool:
            return any(
                state.terminated is not None and state.terminated.reason == "Error"
                for it in pod.status.container_statuses
                for state in (it.state, it.last_state)
            )

        await session.until("fails", told)
        await session.delete("fails")
        await session.gone("fails")

    cluster.run(scenario)


def test_the_quality_of_a_pod_is_told_from_the_first(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        amounts = {"cpu": "100m", "memory": "100Mi"}
        document = spec(SLEEP)
        document["containers"][0]["resources"] = {"requests": amounts, "limits": amounts}
        made = await make(session, "quality", document)
        assert made.status.qos_class == "Guaranteed"
        await session.delete("quality")

    cluster.run(scenario)


def test_a_runtime_class_has_its_overhead_and_a_class_that_is_not_there_no_pods(
    cluster: Cluster,
) -> None:
    async def scenario(session: Session) -> None:
        for name, fixed in (("plain", None), ("heavy", {"cpu": "10m", "memory": "1Mi"})):
            document: dict[str, Any] = {"metadata": {"name": name}, "handler": "runc"}
            document |= {"overhead": {"podFixed": fixed}} if fixed else {}
            await session.client.create(RUNTIMECLASS, document)
            await make(session, name, spec(SLEEP, runtimeClassName=name))
            pod = await session.until(name, runs)
            assert pod.spec.overhead == (fixed or {})
            await session.delete(name)
        await session.client.delete(RUNTIMECLASS.ref("", "plain"))
        for name in ("plain", "never"):
            with pytest.raises(Forbidden, match=f'pod rejected: RuntimeClass "{name}" not found'):
                await make(session, "rejected", spec(SLEEP, runtimeClassName=name))

    cluster.run(scenario)


def test_a_log_is_read_within_a_websocket(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        await session.create("alive", script=f"echo container is alive; {SLEEP}")
        pod = await session.until("alive", runs)
        async with asyncio.timeout(SECONDS):
            while not cluster.log(pod):  # noqa: ASYNC110 - the log is a file
                await asyncio.sleep(0.02)
        transport = HTTPTransport(kubeconfig.read(cluster.kubeconfig))
        headers = {
            "connection": "Upgrade",
            "upgrade": "websocket",
            "sec-websocket-version": "13",
            "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
            "sec-websocket-protocol": "binary.k8s.io",
        }
        path = "/api/v1/namespaces/default/pods/alive/log"
        channel = await transport.upgrade(Upgrading("GET", path, "container=app", headers))
        spoken, said, closed = WebSocket(mask=lambda: b"mask"), b"", False
        while not closed and (data := await channel.read()):
            for message in spoken.feed(data):
                closed = closed or message.kind == "close"
                said += b"" if closed else message.data
        await channel.write(spoken.close())
        assert closed
        assert said == b"container is alive\n"
        channel.close()
        await transport.close()
        await session.delete("alive")

    cluster.run(scenario)
