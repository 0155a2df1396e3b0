"""Pods on a real node: from creation to removal, through crashes of containers and of the agent."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
import struct
from pathlib import Path

from node_cluster import SLEEP, Cluster, Session, clusters, needs_root

from steersman.cli.certify import certify, node_name
from steersman.cli.directory import Directory
from steersman.cluster.node import KUBELET_PORT
from steersman.cluster.server import first_address
from steersman.listen.certificates import Certificates
from steersman.model.kinds.configmap import CONFIGMAP
from steersman.model.kinds.event import EVENT
from steersman.model.kinds.node import NODE
from steersman.model.kinds.pod import POD, ContainerStatus, Pod
from steersman.model.kinds.secret import SECRET
from steersman.model.types.condition import is_true
from steersman.wire.http2 import hpack

pytestmark = needs_root


def app(pod: Pod) -> ContainerStatus:
    return pod.status.container_statuses[0]


def runs(pod: Pod) -> bool:
    return pod.status.phase == "Running" and app(pod).state.running is not None


def is_ready(pod: Pod) -> bool:
    return is_true(pod.status.conditions, "Ready")


def waits_with(reason: str, pod: Pod) -> bool:
    statuses = pod.status.container_statuses
    return bool(statuses) and (w := statuses[0].state.waiting) is not None and w.reason == reason


async def events(session: Session, pod: Pod, *reasons: str) -> dict[str, str]:
    """Waits until the events of these reasons are told; returns their messages."""
    found: dict[str, str] = {}
    fields = f"involvedObject.uid={pod.metadata.uid}"
    listing = await session.client.list(EVENT, "default", fields=fields)
    found |= {it.reason: it.message for it in listing.items}
    if found.keys() >= set(reasons):
        return found
    watching = session.client.watch(EVENT, "default", after=listing.revision, fields=fields)
    async for changes in watching:
        found |= {it.object.reason: it.object.message for it in changes if it.object is not None}
        if found.keys() >= set(reasons):
            return found
    raise AssertionError(found)


async def hears(session: Session, pod: Pod, note: str) -> None:
    """Waits until an event with this message is told."""
    fields = f"involvedObject.uid={pod.metadata.uid}"
    listing = await session.client.list(EVENT, "default", fields=fields)
    if any(it.message == note for it in listing.items):
        return
    watching = session.client.watch(EVENT, "default", after=listing.revision, fields=fields)
    async for changes in watching:
        if any(it.object is not None and it.object.message == note for it in changes):
            return
    raise AssertionError(note)


def test_a_pod_runs_writes_its_log_and_goes_without_a_trace(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        script = f"echo hello $HOSTNAME; touch /ready; {SLEEP}"
        probe = {"exec": {"command": ["test", "-e", "/ready"]}, "periodSeconds": 1}
        await session.create("plain", script=script, readinessProbe=probe)
        pod = await session.until("plain", is_ready)
        assert runs(pod)
        assert pod.status.pod_ip.startswith("10.")
        assert app(pod).container_id.startswith("steersman://")
        assert app(pod).image_id.startswith("sha256:")
        told = await events(session, pod, "Scheduled", "Pulled", "Created", "Started")
        assert told["Created"] == "Container created"
        assert told["Started"] == "Container started"
        assert cluster.log(pod) == "hello plain\n"
        await session.delete("plain")
        assert (await events(session, pod, "Killing"))["Killing"] == "Stopping container app"
        assert not (cluster.data / "node" / "pods" / pod.metadata.uid).exists()
        assert list((cluster.data / "node" / "logs").iterdir()) == []

    cluster.run(scenario)


def test_the_node_is_ready(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        (node,) = (await session.client.list(NODE)).items
        assert is_true(node.status.conditions, "Ready")
        assert node.status.node_info.kubelet_version == "v1.37.0"
        assert node.status.daemon_endpoints.kubelet_endpoint.port > 0

    cluster.run(scenario)


def test_a_node_and_its_pods_are_measured(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        client = session.client
        await session.create("busy", script="trap 'exit 0' TERM; while true; do :; done")
        pod = await session.until("busy", runs)
        (node,) = (await client.list(NODE)).items
        metrics = "/apis/metrics.k8s.io/v1beta1"
        used = await client.read(f"{metrics}/namespaces/default/pods/busy")
        (one,) = used["containers"]
        assert one["name"] == "app"
        assert int(one["usage"]["cpu"].removesuffix("n")) > 10_000_000
        assert int(one["usage"]["memory"].removesuffix("Ki")) > 0
        whole = await client.read(f"{metrics}/nodes/{node.metadata.name}")
        assert int(whole["usage"]["cpu"].removesuffix("n")) > 10_000_000
        proxy = f"/api/v1/nodes/{node.metadata.name}/proxy"
        summary = await client.read(f"{proxy}/stats/summary")
        told = {it["podRef"]["uid"]: it for it in summary["pods"]}[pod.metadata.uid]
        assert told["cpu"]["usageCoreNanoSeconds"] > 0
        assert told["network"]["interfaces"]
        (used_by,) = told["containers"]
        assert used_by["rootfs"]["capacityBytes"] > used_by["logs"]["usedBytes"]
        (token,) = told["volume"]
        assert token["name"].startswith("kube-api-access-")
        assert token["usedBytes"] > 0
        assert told["ephemeral-storage"]["capacityBytes"] == used_by["logs"]["capacityBytes"]
        listed = await client.read(f"{proxy}/pods")
        assert pod.metadata.uid in [it["metadata"]["uid"] for it in listed["items"]]
        assert (await client.read(f"{proxy}/configz"))["kubeletconfig"]["maxPods"] == 110
        await session.delete("busy")

    cluster.run(scenario)


def test_a_crash_is_followed_by_a_restart_and_then_by_back_off(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        await session.create("crash", script="echo why > /dev/termination-log; exit 3")
        pod = await session.until("crash", lambda it: waits_with("CrashLoopBackOff", it))
        assert app(pod).restart_count == 1
        last = app(pod).last_state.terminated
        assert last is not None
        assert (last.exit_code, last.reason, last.message) == (3, "Error", "why\n")
        told = await events(session, pod, "BackOff")
        assert told["BackOff"].startswith("Back-off restarting failed container app in pod crash_")
        await session.delete("crash")

    cluster.run(scenario)


def test_init_containers_sidecars_and_completion(cluster: Cluster) -> None:
    init = [
        {"name": "one", "image": "node-test:1", "command": ["sh", "-c", "echo one > /d/one"]},
        {
            "name": "side",
            "image": "node-test:1",
            "restartPolicy": "Always",
            "command": ["sh", "-c", SLEEP],
        },
    ]
    mount = [{"name": "d", "mountPath": "/d"}]
    spec = {
        "restartPolicy": "Never",
        "initContainers": [{**it, "volumeMounts": mount} for it in init],
        "volumes": [{"name": "d", "emptyDir": {}}],
    }

    async def scenario(session: Session) -> None:
        await session.create("job", script="cat /d/one", volumeMounts=mount, spec=spec)
        pod = await session.until("job", lambda it: it.status.phase == "Succeeded")
        assert cluster.log(pod) == "one\n"
        pod = await session.until(
            "job",
            lambda it: it.status.init_container_statuses[1].state.terminated is not None,
        )
        ended = [it.state.terminated for it in pod.status.init_container_statuses]
        assert [it.exit_code for it in ended if it is not None] == [0, 0]
        await session.delete("job")

    cluster.run(scenario)


def test_volumes_and_variables_reach_the_container(cluster: Cluster) -> None:
    spec = {
        "volumes": [
            {"name": "cm", "configMap": {"name": "settings"}},
            {"name": "se", "secret": {"secretName": "hidden"}},
            {"name": "mem", "emptyDir": {"medium": "Memory"}},
        ]
    }
    mounts = [{"name": name, "mountPath": f"/v/{name}"} for name in ("cm", "se", "mem")]
    token = "/var/run/secrets/kubernetes.io/serviceaccount"
    script = f"cat /v/cm/a /v/se/pw; echo $A; ls {token}; touch /v/cm/x || echo kept"
    script = f"{script}; touch /v/mem/read; {SLEEP}"
    read = {"exec": {"command": ["ls", "/v/mem/read"]}, "periodSeconds": 1}
    probe = {"exec": {"command": ["grep", "two", "/v/cm/a"]}, "periodSeconds": 1}
    env = [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "a"}}}]

    async def scenario(session: Session) -> None:
        client = session.client
        settings = {"metadata": {"name": "settings"}, "data": {"a": "one\n"}}
        await client.create(CONFIGMAP, settings, namespace="default")
        hidden = {"metadata": {"name": "hidden"}, "stringData": {"pw": "hush\n"}}
        await client.create(SECRET, hidden, namespace="default")
        probes = {"startupProbe": read, "readinessProbe": probe}
        await session.create(
            "vols", script=script, env=env, volumeMounts=mounts, spec=spec, **probes
        )
        pod = await session.until("vols", lambda it: runs(it) and bool(app(it).started))
        file = cluster.volume(pod, "cm") / "a"
        assert file.read_text() == "one\n"
        await client.patch(CONFIGMAP.ref("default", "settings"), {"data": {"a": "two"}})
        await session.until("vols", is_ready)
        assert file.read_text() == "two"
        names = "ca.crt\nnamespace\ntoken\n"
        refused = "touch: /v/cm/x: Read-only file system\nkept\n"
        wanted = f"one\nhush\none\n{names}{refused}"
        assert sorted(cluster.log(pod).splitlines()) == sorted(wanted.splitlines())
        await session.delete("vols")

    cluster.run(scenario)


def test_a_missing_object_is_waited_for_in_plain_sight(cluster: Cluster) -> None:
    source = [{"configMapRef": {"name": "later"}}]

    async def scenario(session: Session) -> None:
        made = await session.create("wait", script=SLEEP, envFrom=source)
        reason = "CreateContainerConfigError"
        pod = await session.until("wait", lambda it: waits_with(reason, it))
        assert app(pod).state.waiting is not None
        assert app(pod).state.waiting.message == 'configmap "later" not found'
        told = await events(session, made, "Failed")
        assert told["Failed"] == 'Error: configmap "later" not found'
        later = {"metadata": {"name": "later"}, "data": {"a": "one"}}
        await session.client.create(CONFIGMAP, later, namespace="default")
        await session.until("wait", runs)
        await session.delete("wait")

    cluster.run(scenario)


def test_an_image_that_cannot_be_had_backs_off(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        await session.create("nopull", image="127.0.0.1:1/nope:1")
        await session.until("nopull", lambda it: waits_with("ErrImagePull", it))
        pod = await session.until("nopull", lambda it: waits_with("ImagePullBackOff", it))
        told = await events(session, pod, "BackOff", "Pulling", "Failed")
        assert told["BackOff"] == 'Back-off pulling image "127.0.0.1:1/nope:1"'
        await session.create("never", image="nope:1", imagePullPolicy="Never")
        await session.until("never", lambda it: waits_with("ErrImageNeverPull", it))
        for name in ("nopull", "never"):
            await session.delete(name)

    cluster.run(scenario)


def test_a_program_that_is_not_there_is_a_start_error(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        await session.create("noprogram", command=["/nope"], spec={"restartPolicy": "Never"})
        pod = await session.until("noprogram", lambda it: it.status.phase == "Failed")
        ended = app(pod).state.terminated
        assert ended is not None
        assert (ended.exit_code, ended.reason) == (128, "StartError")
        assert 'exec: "/nope": stat /nope: no such file or directory' in ended.message
        await session.delete("noprogram")

    cluster.run(scenario)


def test_readiness_follows_its_probe(cluster: Cluster) -> None:
    probe = {"exec": {"command": ["test", "-e", "/d/ready"]}, "periodSeconds": 1}
    spec = {"volumes": [{"name": "d", "emptyDir": {}}]}
    mount = [{"name": "d", "mountPath": "/d"}]

    async def scenario(session: Session) -> None:
        await session.create(
            "slow", script=SLEEP, readinessProbe=probe, volumeMounts=mount, spec=spec
        )
        pod = await session.until("slow", runs)
        assert not is_ready(pod)
        (cluster.volume(pod, "d") / "ready").touch()
        await session.until("slow", is_ready)
        await session.delete("slow")

    cluster.run(scenario)


def test_a_failed_liveness_probe_restarts_the_container(cluster: Cluster) -> None:
    script = f"echo hi > /index.html; httpd -p 8080 -h /; {SLEEP}"
    alive = {"httpGet": {"port": 8080, "path": "/none"}, "periodSeconds": 1, "failureThreshold": 2}
    started = {"tcpSocket": {"port": 8080}, "periodSeconds": 1, "failureThreshold": 20}

    async def scenario(session: Session) -> None:
        await session.create("ill", script=script, livenessProbe=alive, startupProbe=started)
        pod = await session.until("ill", lambda it: runs(it) and app(it).restart_count == 1)
        told = await events(session, pod, "Unhealthy", "Killing")
        assert told["Killing"] == "Container app failed liveness probe, will be restarted"
        await session.delete("ill")

    cluster.run(scenario)


def grpc_answer(state: int) -> bytes:
    """What a gRPC server sends for a health check, frame by frame."""

    def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
        size = struct.pack(">I", len(payload))[1:]
        return size + struct.pack(">BBI", kind, flags, stream) + payload

    begun = frame(1, 4, 1, hpack.encode([(":status", "200")]))
    message = frame(0, 0, 1, b"\0\0\0\0\x02\x08" + bytes((state,)))
    ended = frame(1, 5, 1, hpack.encode([("grpc-status", "0")]))
    return begun + message + ended


def test_a_grpc_probe_follows_the_health_service(cluster: Cluster) -> None:
    probe = {"grpc": {"port": 8080, "service": "shop"}, "periodSeconds": 1, "failureThreshold": 1}
    spec = {"volumes": [{"name": "d", "emptyDir": {}}]}
    mount = [{"name": "d", "mountPath": "/d"}]
    # Settings first, and the answer when the call has come: of 48 bytes is all that is before it
    serve = "printf '\\0\\0\\0\\4\\0\\0\\0\\0\\0'; busybox head -c 60 > /d/asked; cat /d/answer"
    script = f'while true; do nc -l -p 8080 -e sh -c "{serve}"; done'

    async def scenario(session: Session) -> None:
        await session.create(
            "grpc", script=script, readinessProbe=probe, volumeMounts=mount, spec=spec
        )
        pod = await session.until("grpc", runs)
        place = cluster.volume(pod, "d")
        (place / "answer").write_bytes(grpc_answer(1))
        await session.until("grpc", is_ready)
        (place / "next").write_bytes(grpc_answer(2))
        (place / "next").rename(place / "answer")
        await session.until("grpc", lambda it: not is_ready(it))
        note = 'Readiness probe failed: service unhealthy (responded with "NOT_SERVING")'
        await hears(session, pod, note)
        await session.delete("grpc", grace=0)

    cluster.run(scenario)


def test_an_ephemeral_container_sees_the_processes_of_its_target(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        await session.create("target", script=SLEEP)
        await session.until("target", runs)
        debug = {
            "name": "debug",
            "image": "node-test:1",
            "targetContainerName": "app",
            "command": ["sh", "-c", "cat /proc/1/cmdline | grep -c trap"],
        }
        await session.client.patch(
            POD.ref("default", "target"),
            {"spec": {"ephemeralContainers": [debug]}},
            how="strategic",
            subresource="ephemeralcontainers",
        )

        def ended(pod: Pod) -> bool:
            found = pod.status.ephemeral_container_statuses
            return bool(found) and found[0].state.terminated is not None

        pod = await session.until("target", ended)
        terminated = pod.status.ephemeral_container_statuses[0].state.terminated
        assert terminated is not None
        assert terminated.exit_code == 0
        await session.delete("target")

    cluster.run(scenario)


def test_pods_outlive_the_agent_and_are_found_again(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        await session.create("stays", script=f"echo once; {SLEEP}")
        script = "while test ! -e /d/go; do sleep 0.05; done; exit 4"
        spec = {"restartPolicy": "Never", "volumes": [{"name": "d", "emptyDir": {}}]}
        mount = [{"name": "d", "mountPath": "/d"}]
        await session.create("ends", script=script, volumeMounts=mount, spec=spec)
        before = await session.until("stays", runs)
        ending = await session.until("ends", runs)
        killed = cluster.agent()
        os.kill(killed, signal.SIGKILL)
        (cluster.volume(ending, "d") / "go").touch()  # it ends while nobody looks
        ended = await session.until("ends", lambda it: it.status.phase == "Failed")
        terminated = app(ended).state.terminated
        assert terminated is not None
        assert terminated.exit_code == 4
        assert cluster.agent() != killed
        after = await session.until("stays", runs)
        assert app(after) == app(before)
        assert cluster.log(after) == "once\n"
        for name in ("stays", "ends"):
            await session.delete(name)

    cluster.run(scenario)


async def shown(address: str, authority: Path) -> bytes:
    """The certificate that the agent's port shows to a new connection."""
    trusting = ssl.create_default_context(cafile=str(authority))
    trusting.check_hostname = False
    _, writer = await asyncio.open_connection(address, KUBELET_PORT, ssl=trusting)
    found: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.transport.abort()
    return found


def test_renewed_certificates_are_taken_by_an_agent_that_goes_on(cluster: Cluster) -> None:
    directory = Directory(cluster.data)
    identity, files = directory.identity(), Certificates(directory.certificates)
    own, agent = f"node-{node_name()}", cluster.agent()
    address = first_address(identity.pod_cidr)

    async def scenario(session: Session) -> None:
        old = await shown(address, files.ca)
        for path in (files.certificate(own), files.key(own)):
            path.unlink()
        certify(directory, identity)
        new = ssl.PEM_cert_to_DER_cert(files.certificate(own).read_text())
        os.kill(agent, signal.SIGHUP)
        while (found := await shown(address, files.ca)) != new:
            assert found == old
        await session.create("renewed", script=SLEEP)
        await session.until("renewed", runs)
        assert cluster.agent() == agent
        await session.delete("renewed")

    cluster.run(scenario)


def test_a_pod_that_is_forced_away_is_ended_all_the_same(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        await session.create("forced", script="sleep 1000")
        process = cluster.process(await session.until("forced", runs))
        await session.delete("forced", grace=0)
        await cluster.ended(process)

    cluster.run(scenario)


def test_a_shorter_grace_given_later_counts(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        await session.create("stubborn", script="sleep 1000")
        process = cluster.process(await session.until("stubborn", runs))
        await session.client.delete(POD.ref("default", "stubborn"))
        await session.until("stubborn", lambda it: it.metadata.deletion_timestamp is not None)
        await session.delete("stubborn", grace=1)
        await cluster.ended(process)

    cluster.run(scenario)


def test_a_cluster_that_stops_with_pods_leaves_nothing_and_runs_them_again() -> None:
    with clusters() as cluster:

        async def begin(session: Session) -> None:
            await session.create("again", script=SLEEP)
            await session.until("again", runs)

        async def resumed(session: Session) -> None:
            pod = await session.until("again", lambda it: runs(it) and app(it).restart_count == 1)
            last = app(pod).last_state.terminated
            assert last is not None
            assert last.reason == "ContainerStatusUnknown"

        cluster.run(begin)
        cluster.stop()
        assert cluster.leftovers(cluster.id) == []
        cluster.start()
        cluster.run(resumed)
