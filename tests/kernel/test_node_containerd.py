"""A node whose engine is containerd: pods from creation to removal over the CRI, through the end of
the agent and of the runtime itself."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from containerd import Containerd, containerds, needs_containerd
from cri_kubelet import until
from node_cluster import (
    IMAGE,
    SECONDS,
    SLEEP,
    Cluster,
    Session,
    clusters,
    ended,
    hears,
    needs_root,
    runs,
    talk,
)
from small_registry import USER, content, registry
from test_streams_forward import SPDY_HEADERS, Client, TunnelClient

from steersman.client import kubeconfig
from steersman.client.http import HTTPTransport
from steersman.cri.client.calls import Calls
from steersman.cri.client.engine import CRIEngine
from steersman.cri.client.groups import Groups
from steersman.cri.client.images import KeptImages, RuntimeImages
from steersman.cri.client.removal import remove_all
from steersman.cri.client.rotation import Rotation
from steersman.cri.client.sandbox_config import Surroundings
from steersman.cri.messages.sandboxes import (
    LinuxPodSandboxConfig,
    LinuxSandboxSecurityContext,
    PodSandboxConfig,
    PodSandboxMetadata,
    RunPodSandboxRequest,
    RunPodSandboxResponse,
)
from steersman.cri.messages.values import NODE as HOST
from steersman.cri.messages.values import NamespaceOption
from steersman.images.pull import NotPresent
from steersman.images.references import parse
from steersman.images.store import Store
from steersman.model.kinds.node import NODE, Node
from steersman.model.kinds.pod import POD, ContainerStatus, Pod
from steersman.model.kinds.runtimeclass import RUNTIMECLASS
from steersman.model.kinds.secret import SECRET
from steersman.model.kinds.service import SERVICE
from steersman.model.types.condition import condition
from steersman.node.paths import Paths
from steersman.node.render.resolution import Resolution
from steersman.runtime.kernel.cgroups import Hierarchies
from steersman.wire.channels import ERROR, STDIN, STDOUT, TUNNEL
from steersman.wire.message import Request
from steersman.world.real import RealWorld

pytestmark = [*needs_root, needs_containerd, pytest.mark.xdist_group("containerd")]


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containerd]:
    """A containerd."""
    with containerds(tmp_path_factory.mktemp("containerd")) as made:
        yield made


@pytest.fixture(scope="module")
def cluster(runtime: Containerd) -> Iterator[Cluster]:
    """A cluster whose node runs its pods by it; nothing of it is left there."""
    with clusters("--container-runtime-endpoint", f"unix://{runtime.socket}") as made:
        yield made
    assert runtime.left() == []


def app(pod: Pod) -> ContainerStatus:
    return pod.status.container_statuses[0]


def is_ready(pod: Pod) -> bool:
    return runs(pod) and app(pod).ready


def is_refused(pod: Pod) -> bool:
    shown = pod.status.container_statuses
    return bool(shown) and (it := shown[0].state.waiting) is not None and "Error" in it.reason


def test_the_life_of_a_pod_from_creation_to_removal(cluster: Cluster, runtime: Containerd) -> None:
    async def scenario(session: Session) -> None:
        script = f"echo hello $WORD $HOSTNAME; ls /v; {SLEEP}"
        probe = {"exec": {"command": ["cat", "/etc/passwd"]}, "periodSeconds": 1}
        hook = {"postStart": {"exec": {"command": ["touch", "/hooked"]}}}
        await session.create(
            "life",
            script=script,
            env=[{"name": "WORD", "value": "world"}],
            readinessProbe=probe,
            lifecycle=hook,
            volumeMounts=[{"name": "v", "mountPath": "/v", "subPath": "inside"}],
            spec={"volumes": [{"name": "v", "emptyDir": {}}]},
        )
        pod = await session.until("life", is_ready)
        assert pod.status.pod_ip.startswith("10.249.")
        id = app(pod).container_id
        assert id.startswith("containerd://")
        assert id.removeprefix("containerd://") in runtime.left()
        await until(lambda: cluster.log(pod) == "hello world life\n")
        output = await talk(
            cluster, "life", "exec", "v4.channel.k8s.io", command=["ls", "/hooked"], stdout="true"
        )
        assert (await output.rest())[STDOUT] == b"/hooked\n"
        await session.delete("life")
        assert runtime.left() == []
        assert not (cluster.data / "node" / "pods" / pod.metadata.uid).exists()

    cluster.run(scenario)


def test_the_node_tells_who_runs_its_pods(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        (node,) = (await session.client.list(NODE)).items
        assert node.status.node_info.container_runtime_version.startswith("containerd://1.")
        ready = condition(node.status.conditions, "Ready")
        assert ready is not None and (ready.status, ready.reason) == ("True", "KubeletReady")

    cluster.run(scenario)


def test_streams_go_through_the_runtimes_own_server(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        script = "echo begun; while read line; do echo got $line; done"
        await session.create("talks", script=script, stdin=True, ports=[{"containerPort": 80}])
        await session.until("talks", runs)
        words = {"command": ["sh", "-c", "read line; echo $line; exit 5"]}
        both = await talk(
            cluster, "talks", "exec", "v4.channel.k8s.io", **words, stdin="true", stdout="true"
        )
        await both.send(STDIN, b"said\n")
        said = await both.rest()
        assert said[STDOUT] == b"said\n"
        (cause,) = json.loads(said[ERROR])["details"]["causes"]
        assert cause == {"reason": "ExitCode", "message": "5"}
        both_ways = {"command": "cat", "stdin": "true", "stdout": "true"}
        newer = await talk(cluster, "talks", "exec", "v5.channel.k8s.io", **both_ways)
        await newer.send(STDIN, b"to the end")
        await newer.end(STDIN)
        assert (await newer.rest())[STDOUT] == b"to the end"
        attached = await talk(
            cluster, "talks", "attach", "v4.channel.k8s.io", stdin="true", stdout="true"
        )
        await attached.send(STDIN, b"hear\n")
        await attached.until(STDOUT, b"got hear\n")
        attached.channel.close()
        await session.delete("talks", 0)

    cluster.run(scenario)


async def spoken(cluster: Cluster, pod: str, how: str, protocol: str, **params: Any) -> Client:
    """Opens SPDY into a pod through the API server, in a WebSocket where the protocol says so."""
    if protocol == TUNNEL:
        return Client(TunnelClient((await talk(cluster, pod, how, protocol)).channel))
    transport = HTTPTransport(kubeconfig.read(cluster.kubeconfig))
    headers = {**SPDY_HEADERS, "x-stream-protocol-version": protocol}
    path, query = f"/api/v1/namespaces/default/pods/{pod}/{how}", urlencode(params, doseq=True)
    return Client(await transport.upgrade(Request("POST", path, query, headers)))


def test_clients_of_spdy_are_handed_on_to_the_runtime(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        serve = "mkdir /www; echo served > /www/index.html; busybox httpd -f -p 8080 -h /www"
        probe = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
        await session.create("older", script=f"busybox {serve}", readinessProbe=probe)
        await session.until("older", is_ready)
        asked = {"command": ["echo", "said"], "stdout": "true"}
        exec = await spoken(cluster, "older", "exec", "v4.channel.k8s.io", **asked)
        error, stdout = [await exec.open(streamtype=it) for it in ("error", "stdout")]
        while await exec.read():
            continue
        assert exec.got[stdout] == b"said\n"
        assert json.loads(exec.got[error])["status"] == "Success"
        exec.channel.close()
        for protocol in ("portforward.k8s.io", TUNNEL):
            forward = await spoken(cluster, "older", "portforward", protocol)
            data, _ = await forward.pair(8080, 0)
            await forward.send(data, b"GET / HTTP/1.0\r\n\r\n")
            while b"served" not in forward.got.get(data, b""):
                assert await forward.read()
            forward.channel.close()
        await session.delete("older", 0)

    cluster.run(scenario)


def test_a_container_that_ends_is_seen_and_begins_again(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        await session.create("once", script="echo why > /dev/termination-log; exit 3",
                             spec={"restartPolicy": "Never"})  # fmt: skip
        over = app(await session.until("once", ended)).state.terminated
        assert over is not None
        assert (over.exit_code, over.reason, over.message) == (3, "Error", "why\n")
        script = f"test -e /v/again && {{ {SLEEP}; }}; touch /v/again; exit 4"
        await session.create(
            "again",
            script=script,
            volumeMounts=[{"name": "v", "mountPath": "/v"}],
            spec={"volumes": [{"name": "v", "emptyDir": {}}]},
        )
        pod = await session.until("again", lambda it: runs(it) and app(it).restart_count == 1)
        before = app(pod).last_state.terminated
        assert before is not None and before.exit_code == 4
        assert before.container_id != app(pod).container_id
        for name in ("once", "again"):
            await session.delete(name, 0)

    cluster.run(scenario)


def test_what_cannot_be_had_is_refused_in_plain_words(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        users = await session.create("users", script=SLEEP, spec={"hostUsers": False})
        told = await hears(session, users, "FailedCreatePodSandBox")
        assert "does not support user namespaces" in told
        volume = {"name": "v", "image": {"reference": "node-test:1"}}
        image = await session.create(
            "image",
            script=SLEEP,
            volumeMounts=[{"name": "v", "mountPath": "/v"}],
            spec={"volumes": [volume]},
        )
        refused = app(await session.until("image", is_refused)).state.waiting
        assert refused is not None and refused.reason == "CreateContainerConfigError"
        (node,) = (await session.client.list(NODE)).items
        version = node.status.node_info.container_runtime_version.replace("://", " ")
        text = "image volumes are not supported by the container runtime"
        assert refused.message == f"{text} {version}"
        path = await session.create("path", command=["/nothing"], spec={"restartPolicy": "Never"})
        over = app(await session.until("path", ended)).state.terminated
        assert over is not None and (over.exit_code, over.reason) == (128, "StartError")
        assert '"/nothing": stat /nothing: no such file or directory' in over.message
        for pod in (users, image, path):
            await session.delete(pod.metadata.name, 0)

    cluster.run(scenario)


def test_a_class_names_another_runtime_of_containerd(cluster: Cluster, runtime: Containerd) -> None:
    async def scenario(session: Session) -> None:
        for handler in ("other", "kata"):
            made = {"metadata": {"name": handler}, "handler": handler}
            await session.client.create(RUNTIMECLASS, made)
        await session.create("other", script=SLEEP, spec={"runtimeClassName": "other"})
        pod = await session.until("other", runs)
        id = app(pod).container_id.removeprefix("containerd://")
        assert (runtime.home / "other" / "k8s.io" / id).is_dir()
        kata = await session.create("kata", script=SLEEP, spec={"runtimeClassName": "kata"})
        told = await hears(session, kata, "FailedCreatePodSandBox")
        assert 'no runtime for "kata" is configured' in told
        for name in ("other", "kata"):
            await session.delete(name, 0)

    cluster.run(scenario)


def test_a_resize_is_carried_out_without_a_restart(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        given = {"cpu": "100m", "memory": "64Mi"}
        pod = await session.create(
            "grows", script=SLEEP, resources={"limits": given, "requests": given}
        )
        pod = await session.until("grows", runs)
        id = app(pod).container_id.removeprefix("containerd://")
        assert cluster.limit(pod, "memory.limit_in_bytes", id) == 64 << 20
        assert cluster.limit(pod, "memory.limit_in_bytes", "") == 64 << 20
        wanted = {"cpu": "100m", "memory": "96Mi"}
        container = {"name": "app", "resources": {"limits": wanted, "requests": wanted}}
        await session.client.patch(
            POD.ref("default", "grows"), {"spec": {"containers": [container]}},
            how="strategic", subresource="resize",
        )  # fmt: skip
        await session.until("grows", lambda it: app(it).resources.limits.get("memory") == "96Mi")
        assert cluster.limit(pod, "memory.limit_in_bytes", id) == 96 << 20
        assert cluster.limit(pod, "memory.limit_in_bytes", "") == 96 << 20
        await session.delete("grows", 0)

    cluster.run(scenario)


def test_pods_outlive_the_agent_their_ends_are_not_missed_and_others_are_left_alone(
    cluster: Cluster, runtime: Containerd
) -> None:
    async def scenario(session: Session) -> None:
        await session.create("stays", script=SLEEP)
        await session.create(
            "goes",
            script="while ! test -e /v/go; do sleep 0.1; done; exit 6",
            volumeMounts=[{"name": "v", "mountPath": "/v"}],
            spec={"restartPolicy": "Never", "volumes": [{"name": "v", "emptyDir": {}}]},
        )
        before = await session.until("stays", runs)
        goes = await session.until("goes", runs)
        foreign = await other_pod(cluster, runtime)
        agent = cluster.agent()
        os.kill(agent, signal.SIGSTOP)
        (cluster.volume(goes, "v") / "go").touch()
        handle = os.pidfd_open(agent)
        os.kill(agent, signal.SIGKILL)
        await cluster.ended(handle)
        over = app(await session.until("goes", ended)).state.terminated
        assert over is not None and over.exit_code == 6
        await session.delete("goes", 0)
        found: Pod = await session.client.get(POD.ref("default", "stays"))
        assert app(found) == app(before)
        await session.delete("stays")
        assert foreign in runtime.left()
        await remove_foreign(runtime)

    cluster.run(scenario)


async def other_pod(cluster: Cluster, runtime: Containerd) -> str:
    """Makes a sandbox that is nobody's; returns its id."""
    calls = Calls(runtime.socket, RealWorld())
    options = NamespaceOption(network=HOST)
    config = PodSandboxConfig(
        PodSandboxMetadata("foreign", "f", "default"),
        linux=LinuxPodSandboxConfig(
            f"/steersman-{cluster.id}/foreign", LinuxSandboxSecurityContext(options)
        ),
        labels={"io.kubernetes.pod.uid": "f"},
    )
    asked = RunPodSandboxRequest(config)
    made = await calls.runtime("RunPodSandbox", asked, RunPodSandboxResponse)
    calls.close()
    return made.pod_sandbox_id


async def remove_foreign(runtime: Containerd) -> None:
    calls = Calls(runtime.socket, RealWorld())
    await remove_all(calls, {"io.kubernetes.pod.uid": "f"})
    calls.close()


def test_a_sandbox_that_is_lost_is_made_anew(cluster: Cluster, runtime: Containerd) -> None:
    async def scenario(session: Session) -> None:
        await session.create("lost", script=SLEEP)
        pod = await session.until("lost", runs)
        mine = app(pod).container_id.removeprefix("containerd://")
        (sandbox,) = set(runtime.left()) - {mine}
        runtime.ctr("task", "kill", "-s", "SIGKILL", sandbox)
        again = await session.until("lost", lambda it: runs(it) and app(it).restart_count == 1)
        assert app(again).container_id != app(pod).container_id
        await session.delete("lost", 0)

    cluster.run(scenario)


def test_a_runtime_that_is_gone_is_told_and_taken_up_again(
    cluster: Cluster, runtime: Containerd
) -> None:
    async def scenario(session: Session) -> None:
        await session.create("through", script=SLEEP)
        before = await session.until("through", runs)
        runtime.stop()
        ready = await readiness(session, "False")
        assert ready == ("KubeletNotReady", "container runtime is down")
        runtime.start()
        assert await readiness(session, "True") == (
            "KubeletReady",
            "kubelet is posting ready status",
        )
        found: Pod = await session.client.get(POD.ref("default", "through"))
        assert app(found).container_id == app(before).container_id
        await session.delete("through", 0)

    cluster.run(scenario)


async def readiness(session: Session, status: str) -> tuple[str, str]:
    """Waits until the node is ready, or is not; returns reason and message."""

    def told(node: Node) -> tuple[str, str] | None:
        found = condition(node.status.conditions, "Ready")
        if found is None or found.status != status:
            return None
        return found.reason, found.message

    listing = await session.client.list(NODE)
    for node in listing.items:
        if (found := told(node)) is not None:
            return found
    async with asyncio.timeout(SECONDS):
        async for changes in session.client.watch(NODE, after=listing.revision):
            for change in changes:
                if change.type != "BOOKMARK" and (found := told(change.object)) is not None:
                    return found
    raise AssertionError(status)


def test_images_are_pulled_with_a_login_and_removed_when_nobody_has_them(
    cluster: Cluster, runtime: Containerd
) -> None:
    store = Store(runtime.home / "images")
    image = store.find(parse(IMAGE))
    assert image is not None

    async def scenario(session: Session) -> None:
        with registry(content(store, image, "app")) as host:
            name = f"{host}/app:1"
            refused = await session.create("refused", script=SLEEP, image=name)
            told = await hears(session, refused, "Failed")
            assert told.startswith(f'Failed to pull image "{name}": rpc error: code = Unknown')
            login = dict(zip(("username", "password"), USER, strict=True))
            data = {".dockerconfigjson": json.dumps({"auths": {host: login}})}
            secret = {"metadata": {"name": "login"}, "type": "kubernetes.io/dockerconfigjson"}
            await session.client.create(SECRET, {**secret, "stringData": data}, namespace="default")
            spec = {"imagePullSecrets": [{"name": "login"}]}
            await session.create("pulled", script=SLEEP, image=name, spec=spec)
            pod = await session.until("pulled", runs)
            assert app(pod).image_id == f"{host}/app@{image.digest}"
            for gone in ("refused", "pulled"):
                await session.delete(gone, 0)
        calls = Calls(runtime.socket, RealWorld())
        kept = KeptImages(calls)
        mine = [it for it in await kept.images() if any(host in ref for ref in it.references)]
        assert len(mine) == 1
        assert await kept.remove(mine, {f"{host}/app:1"}) == (0, frozenset())
        images = RuntimeImages(calls)
        found = await images.ensure(IMAGE, "Never")
        assert (await kept.remove(mine, set()))[1] == {mine[0].digest} == {found.digest}
        with pytest.raises(NotPresent):
            await images.ensure(IMAGE, "Never")
        runtime.ctr("image", "import", str(runtime.home / "images.tar"))
        disk = await kept.disk()
        assert disk is not None and disk.is_relative_to(runtime.home)
        calls.close()

    cluster.run(scenario)


def test_what_pods_use_is_asked_of_the_runtime(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        await session.create("uses", script=f"busybox head -c 3000000 /dev/zero > /big; {SLEEP}")
        pod = await session.until("uses", runs)
        client = session.client
        (node,) = (await client.list(NODE)).items
        path = f"/api/v1/nodes/{node.metadata.name}/proxy"
        summary = await client.read(f"{path}/stats/summary")
        (told,) = [it for it in summary["pods"] if it["podRef"]["name"] == "uses"]
        (one,) = told["containers"]
        assert one["memory"]["workingSetBytes"] > 0
        assert one["cpu"]["usageCoreNanoSeconds"] > 0
        assert told["network"]["name"] == "eth0"
        await session.delete(pod.metadata.name, 0)

    cluster.run(scenario)


def test_a_full_log_is_moved_aside_and_the_runtime_goes_on_in_a_new_one(
    cluster: Cluster, runtime: Containerd
) -> None:
    async def scenario(session: Session) -> None:
        script = f"echo first; while ! test -e /v/go; do sleep 0.1; done; echo second; {SLEEP}"
        spec = {"volumes": [{"name": "v", "emptyDir": {}}]}
        mounts = [{"name": "v", "mountPath": "/v"}]
        await session.create("writes", script=script, volumeMounts=mounts, spec=spec)
        pod = await session.until("writes", runs)
        await until(lambda: cluster.log(pod) == "first\n")
        calls, world = Calls(runtime.socket, RealWorld()), RealWorld()
        around = Surroundings(cluster.id, "/x", Resolution("", "", ""))
        paths = Paths(cluster.data / "node")
        groups = Groups(Hierarchies({}, "", frozenset()), "/x")
        engine = CRIEngine(calls, around, paths, lambda _: {}, groups, world)
        await engine.connect()
        log = dict(engine.logs())[pod.metadata.uid, "app.0"]
        await Rotation(engine, world, 10).look()
        (moved,) = Path(log).parent.glob("0.log.*")
        assert moved.read_text().endswith("first\n")
        (cluster.volume(pod, "v") / "go").touch()
        await until(lambda: Path(log).read_text().endswith("second\n"))
        assert cluster.log(pod) == "second\n"
        await engine.close()
        await session.delete("writes", 0)

    cluster.run(scenario)


def test_services_and_names_reach_pods_on_the_runtimes_network(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        serve = "busybox httpd -f -p 8080 -h /www & trap 'exit 0' TERM; wait"
        await session.create(
            "web",
            script=f"mkdir /www; echo served > /www/index.html; {serve}",
            readinessProbe={"tcpSocket": {"port": 8080}, "periodSeconds": 1},
        )
        await session.until("web", is_ready)
        labelled = {"metadata": {"labels": {"app": "web"}}}
        await session.client.patch(POD.ref("default", "web"), labelled)
        spec = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}
        service = await session.client.create(
            SERVICE, {"metadata": {"name": "web"}, "spec": spec}, namespace="default"
        )
        look = "busybox nslookup web.default.svc.cluster.local"
        ask = f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 3 {service.spec.cluster_ip} 80"
        script = f"{look}; until {ask} | grep served; do sleep 0.2; done"
        await session.create("asks", script=script, spec={"restartPolicy": "Never"})
        asks = await session.until("asks", ended)
        assert cluster.log(asks).endswith("served\n")
        assert f"Address: {service.spec.cluster_ip}\n" in cluster.log(asks)
        forward = await talk(cluster, "web", "portforward", "v4.channel.k8s.io", ports="8080")
        await forward.send(0, b"GET /index.html HTTP/1.0\r\n\r\n")
        await forward.until(0, b"served\n")
        forward.channel.close()
        for name in ("web", "asks"):
            await session.delete(name, 0)

    cluster.run(scenario)
