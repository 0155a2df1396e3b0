"""Volumes of CSI drivers on a real node: a driver of the test's own over real sockets, and real
mounts; what drivers are told, in which order, and what becomes of faults."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from node_cluster import SECONDS, SLEEP, Cluster, Session, hears, needs_root
from test_node_agent import is_ready, runs
from test_node_claims import MOUNT, claim, claimed, ended, until

from csi_driver import Driver
from registrar import HANG
from steersman.client import kubeconfig
from steersman.client.client import whole
from steersman.client.http import HTTPTransport
from steersman.model.errors import NotFound
from steersman.model.kind import Kind, Version
from steersman.model.kinds.csidriver import CSIDRIVER
from steersman.model.kinds.csinode import CSINODE
from steersman.model.kinds.customresourcedefinition import CUSTOMRESOURCEDEFINITION
from steersman.model.kinds.node import NODE
from steersman.model.kinds.persistentvolume import PERSISTENTVOLUME
from steersman.model.kinds.persistentvolumeclaim import PERSISTENTVOLUMECLAIM as CLAIM
from steersman.model.kinds.pod import POD
from steersman.model.kinds.secret import SECRET
from steersman.model.kinds.storageclass import STORAGECLASS
from steersman.model.kinds.volumeattachment import VOLUMEATTACHMENT
from steersman.node.volumes import block
from steersman.runtime.kernel import syscalls
from steersman.wire.http2 import grpc
from steersman.wire.http2.grpc import Failed
from steersman.wire.message import Request
from steersman.wire.rpc import csi

pytestmark = needs_root

NAME = "csi.test.example"
STAGED = ["NodeStageVolume", "NodePublishVolume"]
TAKEN_BACK = ["NodeUnpublishVolume", "NodeUnstageVolume"]


def registry(cluster: Cluster) -> Path:
    return cluster.data / "node" / "plugins_registry"


@asynccontextmanager
async def driver(
    cluster: Cluster,
    session: Session,
    *,
    name: str = NAME,
    spec: dict[str, Any] | None = None,
    marks: Callable[[Driver], dict[str, str]] = lambda _: {},
    **given: Any,
) -> AsyncIterator[Driver]:
    """A driver that is registered, with its CSIDriver, which needs no attaching."""
    made = Driver(name, cluster.data.parent / "driver", **given)
    metadata = {"name": name, "annotations": marks(made)}
    document = {"metadata": metadata, "spec": {"attachRequired": False, **(spec or {})}}
    await session.client.create(CSIDRIVER, document)
    try:
        async with made.presented(registry(cluster)):
            await until(session, CSINODE, lambda found: drivers(found) == [name])
            yield made
        await until(session, CSINODE, lambda found: drivers(found) == [] or None)
    finally:
        await session.client.delete(CSIDRIVER.ref("", name))


def drivers(nodes: list[Any]) -> list[str] | None:
    return [it.name for node in nodes for it in node.spec.drivers] if nodes else None


async def volume(session: Session, name: str, csi_fields: Any = (), **spec: Any) -> None:
    """A volume of the driver, and a claim that is bound to it."""
    source = {"driver": NAME, "volumeHandle": f"id-{name}", **dict(csi_fields)}
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "manual",
        "csi": source,
        **spec,
    }
    await session.client.create(PERSISTENTVOLUME, {"metadata": {"name": name}, "spec": spec})
    wanted = {
        "accessModes": spec["accessModes"],
        "storageClassName": "manual",
        "volumeName": name,
        "volumeMode": spec.get("volumeMode", "Filesystem"),
        "resources": {"requests": {"storage": "1Gi"}},
    }
    document = {"metadata": {"name": name}, "spec": wanted}
    await session.client.create(CLAIM, document, namespace="default")


async def forget(session: Session, name: str) -> None:
    await session.client.delete(CLAIM.ref("default", name))
    await until(
        session,
        PERSISTENTVOLUME,
        lambda found: (
            not any(it.metadata.name == name and it.status.phase == "Bound" for it in found) or None
        ),
    )
    await session.client.delete(PERSISTENTVOLUME.ref("", name))


async def metrics_of(cluster: Cluster, path: str) -> list[str]:
    """Returns the lines of metrics at a path of the API server."""
    transport = HTTPTransport(kubeconfig.read(cluster.kubeconfig))
    try:
        return (await whole(await transport.send(Request("GET", path)))).decode().splitlines()
    finally:
        await transport.close()


def mounts(cluster: Cluster) -> list[str]:
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return [
        line.split()[1] for line in lines if "kubernetes.io" in line and str(cluster.data) in line
    ]


def test_a_volume_is_staged_once_published_for_each_pod_and_taken_back(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        zone = {"zone.test.example/z": "a"}
        able = (csi.STAGE_UNSTAGE_VOLUME, csi.NODE_EXPAND_VOLUME, csi.GET_VOLUME_STATS)
        given = {"topology": zone, "max_volumes": 7, "abilities": able}
        async with driver(cluster, session, **given) as made:
            (node,) = (await session.client.list(NODE)).items
            (listed,) = (await session.client.list(CSINODE)).items
            assert listed.metadata.owner_references[0].uid == node.metadata.uid
            (entry,) = listed.spec.drivers
            assert (entry.node_id, entry.topology_keys, entry.allocatable.count) == (
                "node-of-test",
                ("zone.test.example/z",),
                7,
            )
            assert node.metadata.labels["zone.test.example/z"] == "a"
            ids = node.metadata.annotations["csi.volume.kubernetes.io/nodeid"]
            assert json.loads(ids) == {NAME: "node-of-test"}

            attributes = {"volumeAttributes": {"kind": "fast"}, "fsType": "ext4"}
            await volume(session, "shared", attributes, mountOptions=["noatime"])
            script = f"echo $NAME >> /data/file; {SLEEP}"
            for name in ("one", "two"):
                env = [{"name": "NAME", "value": name}]
                spec = {**claimed("shared"), "securityContext": {"fsGroup": 3000}}
                await session.create(name, script=script, env=env, volumeMounts=[MOUNT], spec=spec)
                pod = await session.until(name, runs)
            assert made.methods() == [*STAGED, "NodePublishVolume"]
            (stage,), publishes = made.asked("NodeStageVolume"), made.asked("NodePublishVolume")
            root = cluster.data / "node"
            assert stage.volume_id == "id-shared"
            assert stage.volume_context == {"kind": "fast"}
            assert stage.staging_target_path.startswith(f"{root}/plugins/kubernetes.io/csi/{NAME}/")
            assert stage.staging_target_path.endswith("/globalmount")
            assert stage.volume_capability == csi.VolumeCapability(
                mount=csi.MountVolume("ext4", ("noatime",)),
                access_mode=csi.AccessMode(csi.SINGLE_NODE_WRITER),
            )
            uid = pod.metadata.uid
            target = f"{root}/pods/{uid}/volumes/kubernetes.io~csi/shared/mount"
            assert (publishes[1].target_path, publishes[1].staging_target_path) == (
                target,
                stage.staging_target_path,
            )
            assert not publishes[1].readonly
            place = made.directory / "volumes" / "id-shared"
            assert (place / "file").read_text() == "one\ntwo\n"
            assert place.stat().st_gid == 3000  # ReadWriteOnceWithFSType
            record = json.loads((Path(target).parent / "vol_data.json").read_text())
            assert record == {
                "driverName": NAME,
                "volumeHandle": "id-shared",
                "specVolID": "shared",
                "nodeName": node.metadata.name,
            }
            proxy = f"/api/v1/nodes/{node.metadata.name}/proxy"
            summary = await session.client.read(f"{proxy}/stats/summary")
            told = {it["podRef"]["uid"]: it for it in summary["pods"]}[uid]["volume"]
            (full,) = [it for it in told if it["name"] == "data"]
            assert full["pvcRef"] == {"name": "shared", "namespace": "default"}
            assert (full["usedBytes"], full["capacityBytes"], full["inodesFree"]) == (400, 1000, 90)
            asked = made.asked("NodeGetVolumeStats")
            assert {(it.volume_id, it.volume_path) for it in asked} >= {("id-shared", target)}
            labels = 'namespace="default",persistentvolumeclaim="shared"'
            metrics = await metrics_of(cluster, f"{proxy}/metrics")
            assert f"kubelet_volume_stats_used_bytes{{{labels}}} 400" in metrics
            assert 'kubelet_running_containers{container_state="running"} 2' in metrics
            await session.delete("one")
            assert made.methods()[3:] == ["NodeUnpublishVolume"]
            assert mounts(cluster)
            await session.delete("two")
            assert made.methods()[4:] == TAKEN_BACK
            assert mounts(cluster) == []
            assert list((root / "plugins" / "kubernetes.io" / "csi" / NAME).iterdir()) == []
            await forget(session, "shared")

    cluster.run(scenario)


def test_an_inline_volume_has_what_the_driver_asks_to_know(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        spec = {
            "volumeLifecycleModes": ["Ephemeral"],
            "podInfoOnMount": True,
            "tokenRequests": [{"audience": "vault", "expirationSeconds": 3600}],
            "requiresRepublish": True,
        }
        secret = {"metadata": {"name": "key"}, "stringData": {"password": "p"}}
        await session.client.create(SECRET, secret, namespace="default")
        async with driver(cluster, session, spec=spec, abilities=()) as made:
            inline = {
                "driver": NAME,
                "readOnly": True,
                "volumeAttributes": {"foo": "bar"},
                "nodePublishSecretRef": {"name": "key"},
            }
            script = "touch /data/x || echo refused"
            pod = await session.create(
                "inline",
                script=script,
                volumeMounts=[MOUNT],
                spec={"volumes": [{"name": "data", "csi": inline}], "restartPolicy": "Never"},
            )
            pod = await ended(session, "inline")
            assert cluster.log(pod).endswith("refused\n")
            assert made.methods() == ["NodePublishVolume"]
            (publish,) = made.asked("NodePublishVolume")
            assert publish.volume_id.startswith("csi-")
            assert len(publish.volume_id) == 68
            assert publish.readonly
            assert publish.secrets == {"password": "p"}
            context = dict(publish.volume_context)
            ((audience, token),) = json.loads(
                context.pop("csi.storage.k8s.io/serviceAccount.tokens")
            ).items()
            assert audience == "vault"
            assert token["token"].count(".") == 2
            assert token["expirationTimestamp"].endswith("Z")
            assert context == {
                "foo": "bar",
                "csi.storage.k8s.io/pod.name": "inline",
                "csi.storage.k8s.io/pod.namespace": "default",
                "csi.storage.k8s.io/pod.uid": pod.metadata.uid,
                "csi.storage.k8s.io/serviceAccount.name": "default",
                "csi.storage.k8s.io/ephemeral": "true",
            }
            await session.delete("inline")  # it has ended, so that it goes at once
            await made.until(lambda: made.methods()[1:] == ["NodeUnpublishVolume"])
            await made.until(lambda: mounts(cluster) == [])

            # For what a driver does not do it is not asked
            await volume(session, "no")
            pod = await session.create("no", script=SLEEP, volumeMounts=[MOUNT], spec=claimed("no"))
            text = await hears(session, pod, "FailedMount")
            assert text == (
                'MountVolume.NewMounter initialization failed for volume "no" : '
                f'volume mode "Persistent" not supported by driver {NAME} '
                '(only supports ["Ephemeral"])'
            )
            await session.delete("no")
            await forget(session, "no")
        await session.client.delete(SECRET.ref("default", "key"))

    cluster.run(scenario)


def test_a_volume_is_attached_first_and_detached_once_it_is_not_in_use(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        async with driver(cluster, session, spec={"attachRequired": True}) as made:
            await volume(session, "far")
            await session.create("far", script=SLEEP, volumeMounts=[MOUNT], spec=claimed("far"))
            attachments = await until(session, VOLUMEATTACHMENT, lambda found: found)
            name = attachments[0].metadata.name
            unique = f"kubernetes.io/csi/{NAME}^id-far"
            await until(session, NODE, lambda found: found[0].status.volumes_in_use == (unique,))
            assert made.methods() == []
            status = {"attached": True, "attachmentMetadata": {"device": "sdx"}}
            ref = VOLUMEATTACHMENT.ref("", name)
            await session.client.patch(ref, {"status": status}, subresource="status")
            await session.until("far", runs)
            (stage,) = made.asked("NodeStageVolume")
            (publish,) = made.asked("NodePublishVolume")
            assert stage.publish_context == publish.publish_context == {"device": "sdx"}
            await session.delete("far")
            assert made.methods()[2:] == TAKEN_BACK
            await until(session, NODE, lambda found: found[0].status.volumes_in_use == ())
            await until(session, VOLUMEATTACHMENT, lambda found: not found)
            await forget(session, "far")

    cluster.run(scenario)


def test_what_a_driver_says_is_told_and_tried_again(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        async with driver(cluster, session) as made:
            await volume(session, "bad")
            made.faults["NodeStageVolume"] = Failed(grpc.INTERNAL, "no disk")
            pod = await session.create(
                "bad", script=SLEEP, volumeMounts=[MOUNT], spec=claimed("bad")
            )
            assert await hears(session, pod, "FailedMount") == (
                'MountVolume.MountDevice failed for volume "bad" : rpc error: code = Internal '
                "desc = no disk"
            )
            await made.until(lambda: len(made.asked("NodeStageVolume")) > 1)
            made.faults = {"NodePublishVolume": Failed(grpc.NOT_FOUND, "gone")}
            await made.until(lambda: made.asked("NodePublishVolume"))
            made.faults = {}
            await session.until("bad", runs)
            # What cannot be taken back holds the pod until it can
            made.faults["NodeUnpublishVolume"] = Failed(grpc.UNAVAILABLE, "busy")
            deleting = asyncio.create_task(session.delete("bad"))
            await made.until(lambda: len(made.asked("NodeUnpublishVolume")) > 1)
            assert not deleting.done()
            assert not made.asked("NodeUnstageVolume")
            made.faults = {}
            await deleting
            assert mounts(cluster) == []
            await forget(session, "bad")

    cluster.run(scenario)


def test_a_driver_that_is_not_there_is_waited_for(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        await session.client.create(
            CSIDRIVER, {"metadata": {"name": NAME}, "spec": {"attachRequired": False}}
        )
        await volume(session, "early")
        pod = await session.create(
            "early", script=SLEEP, volumeMounts=[MOUNT], spec=claimed("early")
        )
        assert await hears(session, pod, "FailedMount") == (
            'MountVolume.MountDevice failed for volume "early" : kubernetes.io/csi: '
            "attacher.MountDevice failed to create newCsiDriverClient: driver name "
            f"{NAME} not found in the list of registered CSI drivers"
        )
        made = Driver(NAME, cluster.data.parent / "driver")
        async with made.presented(registry(cluster)):
            assert made.statuses[-1].plugin_registered
            await session.until("early", runs)
        # Without it the volume cannot be taken back
        await until(session, CSINODE, lambda found: drivers(found) == [] or None)
        deleting = asyncio.create_task(session.delete("early"))
        async with made.presented(registry(cluster)):
            await deleting
        assert mounts(cluster) == []
        await forget(session, "early")
        await session.client.delete(CSIDRIVER.ref("", NAME))

    cluster.run(scenario)


def test_what_an_agent_was_in_the_middle_of_the_next_one_takes_back(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        async with driver(cluster, session) as made:
            await volume(session, "half")
            made.faults["NodePublishVolume"] = HANG
            await session.create("half", script=SLEEP, volumeMounts=[MOUNT], spec=claimed("half"))
            await volume(session, "whole")
            await made.until(lambda: made.asked("NodePublishVolume"))
            os.kill(cluster.agent(), signal.SIGKILL)
            made.faults = {}
            # The next agent finds the driver by its socket, and goes on
            await session.until("half", runs)
            os.kill(cluster.agent(), signal.SIGKILL)
            count = len(made.asked("NodePublishVolume"))
            await made.until(lambda: len(made.asked("NodePublishVolume")) > count)
            pod = await session.until("half", runs)
            assert pod.status.container_statuses[0].restart_count == 0
            await session.delete("half")
            assert made.methods()[-2:] == TAKEN_BACK
            assert mounts(cluster) == []
            await forget(session, "half")
            await forget(session, "whole")

    cluster.run(scenario)


async def ask_for(session: Session, size: str) -> None:
    patch = {"spec": {"resources": {"requests": {"storage": size}}}}
    await session.client.patch(CLAIM.ref("default", "dyn"), patch)


async def grows_under_a_pod(session: Session, made: Driver) -> None:
    """The volume grows, and its file system while the pod runs, at the second try."""
    pod = await session.until("dyn", runs)
    made.faults["NodeExpandVolume"] = Failed(grpc.INTERNAL, "busy")
    await ask_for(session, "2Mi")
    (pending,) = await until(session, CLAIM, lambda it: it[0].status.conditions)
    assert pending.type == "FileSystemResizePending"
    assert made.asked("ControllerExpandVolume")[0].capacity_range.required_bytes == 2 << 20
    name = await bound(session, "dyn")
    assert await hears(session, pod, "VolumeResizeFailed") == (
        f"NodeExpandVolume.NodeExpandVolume failed for volume {name} : Expander.NodeExpand failed: "
        "rpc error: code = Internal desc = busy"
    )
    made.faults = {}
    size = await until(
        session,
        CLAIM,
        lambda it: None if it[0].status.conditions else it[0].status.capacity["storage"],
    )
    assert size == "2Mi"
    assert await hears(session, pod, "FileSystemResizeSuccessful") == (
        f'MountVolume.NodeExpandVolume succeeded for volume "{name}" {pod.spec.node_name}'
    )
    expand, publish = made.asked("NodeExpandVolume")[-1], made.asked("NodePublishVolume")[-1]
    assert (expand.volume_path, expand.staging_target_path) == (
        publish.target_path,
        publish.staging_target_path,
    )
    assert expand.capacity_range.required_bytes == 2 << 20
    after = await session.until("dyn", runs)
    assert after.metadata.uid == pod.metadata.uid
    assert after.status.container_statuses[0].restart_count == 0


def test_without_sidecars_a_volume_is_made_attached_grown_and_removed(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        made = Driver(
            NAME,
            cluster.data.parent / "driver",
            topology={"zone.test.example/z": "a"},
            controller=(
                csi.CREATE_DELETE_VOLUME,
                csi.PUBLISH_UNPUBLISH_VOLUME,
                csi.EXPAND_VOLUME,
            ),
        )
        opted = {
            "name": NAME,
            "annotations": {"steersman.dev/csi-controller-socket": str(made.socket)},
        }
        await session.client.create(CSIDRIVER, {"metadata": opted, "spec": {}})
        secret = {"metadata": {"name": "key-dyn"}, "stringData": {"password": "p"}}
        await session.client.create(SECRET, secret, namespace="default")
        document = {
            "metadata": {"name": "fast"},
            "provisioner": NAME,
            "parameters": {
                "kind": "fast",
                "csi.storage.k8s.io/fstype": "ext4",
                "csi.storage.k8s.io/provisioner-secret-name": "key-${pvc.name}",
                "csi.storage.k8s.io/provisioner-secret-namespace": "${pvc.namespace}",
                "csi.storage.k8s.io/node-stage-secret-name": "key-dyn",
                "csi.storage.k8s.io/node-stage-secret-namespace": "default",
            },
            "mountOptions": ["noatime"],
            "allowVolumeExpansion": True,
            "volumeBindingMode": "WaitForFirstConsumer",
        }
        await session.client.create(STORAGECLASS, document)
        async with made.presented(registry(cluster)):
            made.faults["CreateVolume"] = Failed(grpc.RESOURCE_EXHAUSTED, "no room")
            await claim(session, "dyn", storageClassName="fast")
            await session.create("dyn", script=SLEEP, volumeMounts=[MOUNT], spec=claimed("dyn"))
            await made.until(lambda: len(made.asked("CreateVolume")) > 1)
            waiting = await session.client.get(CLAIM.ref("default", "dyn"))
            assert await hears(session, waiting, "ProvisioningFailed") == (
                'failed to provision volume with StorageClass "fast": rpc error: code = '
                "ResourceExhausted desc = no room"
            )
            made.faults = {"ControllerPublishVolume": Failed(grpc.INTERNAL, "no slot")}
            pod = await session.until("dyn", lambda it: it.spec.node_name)
            assert await hears(session, pod, "FailedAttachVolume") == (
                f'AttachVolume.Attach failed for volume "{await bound(session, "dyn")}" : rpc '
                "error: code = Internal desc = no slot"
            )
            made.faults = {}
            await session.until("dyn", runs)
            create = made.asked("CreateVolume")[-1]
            found = await session.client.get(CLAIM.ref("default", "dyn"))
            assert create.name == found.spec.volume_name == f"pvc-{found.metadata.uid}"
            assert create.parameters == {"kind": "fast"}
            assert create.secrets == {"password": "p"}
            assert create.capacity_range == csi.CapacityRange(1 << 20)
            (capability,) = create.volume_capabilities
            assert capability.mount == csi.MountVolume("ext4", ("noatime",))
            zone = csi.Topology({"zone.test.example/z": "a"})
            assert create.accessibility_requirements == csi.TopologyRequirement((zone,), (zone,))
            pv = await session.client.get(PERSISTENTVOLUME.ref("", create.name))
            assert pv.spec.csi["volumeAttributes"] == {"made": "here", "kind": "fast"}
            term = pv.spec.node_affinity.required.node_selector_terms[0].match_expressions[0]
            assert (term.key, term.values) == ("zone.test.example/z", ("a",))
            attach, stage = (
                made.asked("ControllerPublishVolume")[-1],
                made.asked("NodeStageVolume")[0],
            )
            assert attach.node_id == "node-of-test"
            assert attach.volume_context == stage.volume_context == pv.spec.csi["volumeAttributes"]
            assert stage.publish_context == {"device": f"of {attach.volume_id}"}
            assert stage.secrets == {"password": "p"}

            await grows_under_a_pod(session, made)
            await session.delete("dyn")
            await ask_for(session, "3Mi")
            (pending,) = await until(session, CLAIM, lambda it: it[0].status.conditions)
            assert pending.type == "FileSystemResizePending"
            await session.create("dyn", script=SLEEP, volumeMounts=[MOUNT], spec=claimed("dyn"))
            await session.until("dyn", runs)
            found = await session.client.get(CLAIM.ref("default", "dyn"))
            assert found.status.capacity["storage"] == "3Mi"
            assert not found.status.conditions
            assert made.asked("NodeExpandVolume")[-1].capacity_range.required_bytes == 3 << 20

            await session.delete("dyn")
            await session.client.delete(CLAIM.ref("default", "dyn"))
            await until(session, PERSISTENTVOLUME, lambda it: not it)
            assert made.volumes == made.attached == {}
            gone = [it for it in made.methods() if it.startswith(("Delete", "ControllerUn"))]
            assert gone[-2:] == ["ControllerUnpublishVolume", "DeleteVolume"]
            assert made.asked("DeleteVolume")[0].secrets == {"password": "p"}
        await session.client.delete(STORAGECLASS.ref("", "fast"))
        await session.client.delete(SECRET.ref("default", "key-dyn"))
        await session.client.delete(CSIDRIVER.ref("", NAME))

    cluster.run(scenario)


SNAPSHOT = "snapshot.storage.k8s.io"


def snapshot_kind(name: str, plural: str, *, namespaced: bool) -> Kind:
    versions = (Version("v1", ""),)
    return Kind(
        group=SNAPSHOT,
        name=name,
        plural=plural,
        namespaced=namespaced,
        versions=versions,
        storage="v1",
        strategic=False,
    )


CLASSES = snapshot_kind("VolumeSnapshotClass", "volumesnapshotclasses", namespaced=False)
SNAPSHOTS = snapshot_kind("VolumeSnapshot", "volumesnapshots", namespaced=True)


def definition(kind: str, plural: str, scope: str) -> dict[str, Any]:
    """A definition of snapshots, as far as the API needs it."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
    }
    names = {"kind": kind, "plural": plural}
    group = "snapshot.storage.k8s.io"
    return {
        "metadata": {
            "name": f"{plural}.{group}",
            "annotations": {"api-approved.kubernetes.io": "unapproved, of a test"},
        },
        "spec": {"group": group, "names": names, "scope": scope, "versions": [version]},
    }


def test_without_sidecars_a_snapshot_is_taken_told_and_removed(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        client = session.client
        made = Driver(
            NAME, cluster.data.parent / "driver", controller=(csi.CREATE_DELETE_SNAPSHOT,)
        )
        marks = {"steersman.dev/csi-controller-socket": str(made.socket)}
        await client.create(
            CSIDRIVER,
            {"metadata": {"name": NAME, "annotations": marks}, "spec": {"attachRequired": False}},
        )
        for kind, plural, scope in (
            ("VolumeSnapshotClass", "volumesnapshotclasses", "Cluster"),
            ("VolumeSnapshotContent", "volumesnapshotcontents", "Cluster"),
            ("VolumeSnapshot", "volumesnapshots", "Namespaced"),
        ):
            await client.create(CUSTOMRESOURCEDEFINITION, definition(kind, plural, scope))
        base = "/apis/snapshot.storage.k8s.io/v1"
        ours = f"{base}/namespaces/default/volumesnapshots"
        async with made.listening():
            await volume(session, "shot")
            await until(session, CLAIM, lambda found: found[0].status.phase == "Bound")
            found = {"driver": NAME, "deletionPolicy": "Delete", "parameters": {"a": "b"}}
            await put(session, CLASSES, "fast", **found)
            made.faults["CreateSnapshot"] = Failed(grpc.UNAVAILABLE, "not yet")
            source = {"persistentVolumeClaimName": "shot"}
            spec = {"volumeSnapshotClassName": "fast", "source": source}
            await put(session, SNAPSHOTS, "one", spec=spec)
            await made.until(lambda: len(made.asked("CreateSnapshot")) > 1)
            made.faults = {}
            ready = lambda it: it["status"].get("readyToUse")  # noqa: E731
            snapshot = await read_until(session, f"{ours}/one", ready)
            status = snapshot["status"]
            uid = snapshot["metadata"]["uid"]
            assert status["boundVolumeSnapshotContentName"] == f"snapcontent-{uid}"
            assert status["creationTime"] == "2023-11-14T22:13:20Z"
            assert status["restoreSize"] == "1024"
            asked = made.asked("CreateSnapshot")[-1]
            assert (asked.source_volume_id, asked.name) == ("id-shot", f"snapshot-{uid}")
            assert asked.parameters == {"a": "b"}
            content = await client.read(f"{base}/volumesnapshotcontents/snapcontent-{uid}")
            assert content["status"]["snapshotHandle"] == f"snap-snapshot-{uid}"
            assert content["status"]["creationTime"] == 1_700_000_000 * 10**9
            await client.create(STORAGECLASS, {"metadata": {"name": "now"}, "provisioner": NAME})
            group = {"apiGroup": SNAPSHOT}
            of_snapshot = {**group, "kind": "VolumeSnapshot", "name": "one"}
            of_claim = {"kind": "PersistentVolumeClaim", "name": "shot"}
            for name, data, made_from in (
                (
                    "restored",
                    of_snapshot,
                    csi.ContentSource(csi.SnapshotSource(f"snap-{asked.name}")),
                ),
                ("cloned", of_claim, csi.ContentSource(volume=csi.VolumeSource("id-shot"))),
            ):
                await claim(session, name, storageClassName="now", dataSource=data)
                await until(session, CLAIM, lambda it, n=name: phase(it, n) == "Bound")
                assert made.asked("CreateVolume")[-1].volume_content_source == made_from
                await client.delete(CLAIM.ref("default", name))
            odd = {**of_snapshot, "name": "none"}
            await claim(session, "odd", storageClassName="now", dataSource=odd)
            waiting = await client.get(CLAIM.ref("default", "odd"))
            assert "error getting snapshot none from api server" in await hears(
                session, waiting, "ProvisioningFailed"
            )
            await client.delete(CLAIM.ref("default", "odd"))
            await until(session, PERSISTENTVOLUME, lambda it: len(it) == 1)
            await client.delete(STORAGECLASS.ref("", "now"))
            await client.delete(SNAPSHOTS.ref("default", "one"))
            await made.until(lambda: made.snapshots == {})
            with pytest.raises(NotFound):
                await read_until(session, f"{ours}/one", lambda _: False)
            await forget(session, "shot")
        for plural in ("volumesnapshotclasses", "volumesnapshotcontents", "volumesnapshots"):
            await client.delete(
                CUSTOMRESOURCEDEFINITION.ref("", f"{plural}.snapshot.storage.k8s.io")
            )
        await client.delete(CSIDRIVER.ref("", NAME))

    cluster.run(scenario)


def phase(claims: list[Any], name: str) -> str:
    return next((it.status.phase for it in claims if it.metadata.name == name), "")


async def put(session: Session, kind: Kind, name: str, **fields: Any) -> None:
    """Creates a custom object; a kind that was just defined may take a moment."""
    document = {
        "apiVersion": f"{SNAPSHOT}/v1",
        "kind": kind.name,
        "metadata": {"name": name},
        **fields,
    }
    async with asyncio.timeout(SECONDS):
        while True:
            try:
                await session.client.create(kind, document, namespace="default")
                return
            except NotFound:
                await session.client.list(NODE)  # as long as the API takes


async def read_until(session: Session, path: str, good: Callable[[Any], Any]) -> Any:
    async with asyncio.timeout(SECONDS):
        while True:
            found = await session.client.read(path)
            if "status" in found and good(found):
                return found


async def bound(session: Session, name: str) -> str:
    found = await session.client.get(CLAIM.ref("default", name))
    return str(found.spec.volume_name)


WRITE = "echo hello | busybox dd of=/dev/disk conv=notrunc bs=512 2>/dev/null && cat /dev/disk"
DEVICE = {"name": "data", "devicePath": "/dev/disk"}


def test_a_volume_of_a_driver_is_a_device(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        async with driver(cluster, session) as made:
            await volume(session, "disk", volumeMode="Block")
            script = f"{WRITE} | busybox head -c 5; {SLEEP}"
            await session.create(
                "disk", script=script, volumeDevices=[DEVICE], spec=claimed("disk")
            )
            pod = await session.until("disk", runs)
            (publish,) = made.asked("NodePublishVolume")
            (stage,) = made.asked("NodeStageVolume")
            devices = f"{cluster.data}/node/plugins/kubernetes.io/csi/volumeDevices"
            assert stage.staging_target_path == f"{devices}/staging/disk"
            assert publish.target_path == f"{devices}/publish/disk/{pod.metadata.uid}"
            assert publish.volume_capability.block == csi.BlockVolume()
            assert publish.volume_capability.mount is None
            image = made.directory / "volumes" / "id-disk" / "image"
            await session.delete("disk")
            assert image.read_bytes().startswith(b"hello\n")
            assert made.methods()[2:] == TAKEN_BACK
            assert not Path(devices, "publish", "disk").exists()
            assert not list(Path(devices, "staging").iterdir())
            await forget(session, "disk")

    cluster.run(scenario)


def test_a_file_of_the_node_is_a_device_and_its_loop_goes_with_the_last_pod(
    cluster: Cluster,
) -> None:
    async def scenario(session: Session) -> None:
        image = cluster.data.parent / "image"
        image.write_bytes(bytes(1 << 20))
        (node,) = (await session.client.list(NODE)).items
        name = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node.metadata.name]}
        terms = {"required": {"nodeSelectorTerms": [{"matchExpressions": [name]}]}}
        await volume(
            session,
            "loop",
            volumeMode="Block",
            csi=None,
            local={"path": str(image)},
            nodeAffinity=terms,
        )
        for pod in ("first", "second"):
            await session.create(
                pod, script=f"{WRITE}; {SLEEP}", volumeDevices=[DEVICE], spec=claimed("loop")
            )
            await session.until(pod, runs)
        device = block.find(image)
        assert device is not None
        os.kill(cluster.agent(), signal.SIGKILL)
        await session.delete("first")
        assert block.find(image) == device
        await session.delete("second")
        assert block.find(image) is None
        assert image.read_bytes().startswith(b"hello\n")

        pod = await session.create("no", script=SLEEP, volumeMounts=[MOUNT], spec=claimed("loop"))
        assert await hears(session, pod, "FailedMount") == (
            "Unable to attach or mount volumes: unmounted volumes=[data], unattached volumes=[], "
            "failed to process volumes=[data]: volume data has volumeMode Block, but is specified "
            "in volumeMounts"
        )
        await session.delete("no")
        await forget(session, "loop")

    cluster.run(scenario)


def test_what_a_driver_in_a_pod_mounts_is_seen_on_the_node_and_the_other_way_round(
    cluster: Cluster,
) -> None:
    async def scenario(session: Session) -> None:
        plugins = cluster.data / "node" / "plugins"
        (plugins / "inside").mkdir()
        (plugins / "outside").mkdir()
        script = (
            "busybox mount -t tmpfs none /plugins/inside && echo in > /plugins/inside/file; "
            "until [ -e /plugins/outside/file ]; do sleep 0.1; done; "
            "busybox umount /plugins/inside && echo seen"
        )
        probe = {"exec": {"command": ["test", "-e", "/plugins/inside/file"]}, "periodSeconds": 1}
        name = {"name": "plugins", "hostPath": {"path": str(plugins)}}
        mounted = {"name": "plugins", "mountPath": "/plugins", "mountPropagation": "Bidirectional"}
        await session.create(
            "inside",
            script=script,
            volumeMounts=[mounted],
            securityContext={"privileged": True},
            readinessProbe=probe,
            spec={"volumes": [name], "restartPolicy": "Never"},
        )
        await session.until("inside", is_ready)
        assert (plugins / "inside" / "file").read_text() == "in\n"
        syscalls.mount("none", str(plugins / "outside"), "tmpfs", 0, "")
        (plugins / "outside" / "file").touch()
        pod = await ended(session, "inside")
        assert cluster.log(pod) == "seen\n"
        syscalls.umount(str(plugins / "outside"), 0)
        await session.delete("inside")
        assert not (plugins / "inside" / "file").exists()
        (plugins / "inside").rmdir()
        (plugins / "outside").rmdir()

    cluster.run(scenario)


def test_a_plugin_that_cannot_be_registered_is_told_why(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        old = Driver("old.test.example", cluster.data.parent / "old", versions=("0.3.0",))
        async with old.presented(registry(cluster)):
            assert old.statuses == [
                type(old.statuses[0])(
                    False,
                    "RegisterPlugin error -- plugin registration failed with err: "
                    "kubernetes.io/csi: driver old.test.example speaks versions [0.3.0], and none "
                    "of 1.x",
                )
            ]
        assert drivers((await session.client.list(CSINODE)).items) == []

    cluster.run(scenario)


EBS = "ebs.csi.aws.com"


def our_socket(made: Driver) -> dict[str, str]:
    return {"steersman.dev/csi-controller-socket": str(made.socket)}


def elastic(volume: str, **more: Any) -> dict[str, Any]:
    return {"awsElasticBlockStore": {"volumeID": f"aws://z/{volume}", "fsType": "ext4", **more}}


def test_a_volume_of_upstreams_tree_is_attached_mounted_and_grown_by_its_driver(
    cluster: Cluster,
) -> None:
    async def scenario(session: Session) -> None:
        given: dict[str, Any] = {
            "name": EBS,
            "spec": {"attachRequired": True},
            "marks": our_socket,
            "abilities": (
                csi.STAGE_UNSTAGE_VOLUME,
                csi.NODE_EXPAND_VOLUME,
                csi.GET_VOLUME_STATS,
            ),
            "controller": (csi.PUBLISH_UNPUBLISH_VOLUME, csi.EXPAND_VOLUME),
        }
        async with driver(cluster, session, **given) as made:
            grows = {"metadata": {"name": "manual"}, "provisioner": "kubernetes.io/aws-ebs"}
            await session.client.create(STORAGECLASS, {**grows, "allowVolumeExpansion": True})
            await volume(session, "old", csi=None, **elastic("vol-1", partition=3))
            script = f"echo hello > /data/file; {SLEEP}"
            spec = {**claimed("old"), "securityContext": {"fsGroup": 3000}}
            await session.create("old", script=script, volumeMounts=[MOUNT], spec=spec)
            pod = await session.until("old", runs)
            attach = made.asked("ControllerPublishVolume")[-1]
            (stage,), (publish,) = made.asked("NodeStageVolume"), made.asked("NodePublishVolume")
            assert {it.volume_id for it in (attach, stage, publish)} == {"vol-1"}
            assert attach.volume_context == stage.volume_context == {"partition": "3"}
            assert stage.publish_context == {"device": "of vol-1"}
            assert stage.volume_capability.mount == csi.MountVolume("ext4", ())
            (found,) = (await session.client.list(VOLUMEATTACHMENT)).items
            assert found.spec.source.persistent_volume_name == "old"
            place = made.directory / "volumes" / "vol-1"
            assert (place / "file").read_text() == "hello\n"
            assert place.stat().st_gid == 3000
            proxy = f"/api/v1/nodes/{found.spec.node_name}/proxy"
            summary = await session.client.read(f"{proxy}/stats/summary")
            (told,) = [it for it in summary["pods"] if it["podRef"]["uid"] == pod.metadata.uid]
            assert [it["usedBytes"] for it in told["volume"] if it["name"] == "data"] == [400]
            wanted = {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}
            await session.client.patch(CLAIM.ref("default", "old"), wanted)
            await until(
                session, CLAIM, lambda it: it[0].status.capacity.get("storage") == "2Gi" or None
            )
            assert made.asked("ControllerExpandVolume")[-1].volume_id == "vol-1"
            assert made.asked("NodeExpandVolume")[-1].volume_path == publish.target_path
            await session.delete("old")
            await until(session, VOLUMEATTACHMENT, lambda it: not it)
            assert made.methods()[-3:] == [*TAKEN_BACK, "ControllerUnpublishVolume"]
            assert made.staged == made.published == made.attached == {}
            assert mounts(cluster) == []
            await session.client.delete(STORAGECLASS.ref("", "manual"))
            await forget(session, "old")

    cluster.run(scenario)


def test_what_a_pod_names_itself_is_attached_and_mounted_by_its_driver(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        given: dict[str, Any] = {
            "name": EBS,
            "spec": {"attachRequired": True, "podInfoOnMount": True},
            "marks": our_socket,
            "controller": (csi.PUBLISH_UNPUBLISH_VOLUME,),
            "abilities": (
                csi.STAGE_UNSTAGE_VOLUME,
                csi.NODE_EXPAND_VOLUME,
                csi.GET_VOLUME_STATS,
            ),
        }
        async with driver(cluster, session, **given) as made:
            for name, readonly in (("writes", False), ("reads", True)):
                source = elastic(f"vol-{name}", readOnly=readonly)
                await session.create(
                    name,
                    script=f"touch /data/{name} || echo refused; {SLEEP}",
                    volumeMounts=[MOUNT],
                    spec={"volumes": [{"name": "data", **source}]},
                )
                pod = await session.until(name, runs)
            attachments = (await session.client.list(VOLUMEATTACHMENT)).items
            inline = [it.spec.source.inline_volume_spec for it in attachments]
            assert {it.csi["volumeHandle"] for it in inline} == {"vol-writes", "vol-reads"}
            assert {it.access_modes for it in inline} == {("ReadWriteOnce",)}
            first, second = made.asked("NodePublishVolume")
            assert (first.readonly, second.readonly) == (False, True)
            assert first.volume_context["csi.storage.k8s.io/ephemeral"] == "false"
            root = cluster.data / "node"
            target = (
                f"{root}/pods/{pod.metadata.uid}/volumes/kubernetes.io~csi/{EBS}-vol-reads/mount"
            )
            assert second.target_path == target
            assert made.asked("NodeStageVolume")[0].volume_context == {"partition": "0"}
            assert made.asked("NodeExpandVolume") == []
            files = [it.name for it in (made.directory / "volumes").glob("vol-[rw]*/*")]
            assert files == ["writes"]
            proxy = f"/api/v1/nodes/{pod.spec.node_name}/proxy"
            summary = await session.client.read(f"{proxy}/stats/summary")
            (told,) = [it for it in summary["pods"] if it["podRef"]["uid"] == pod.metadata.uid]
            assert [it["usedBytes"] for it in told["volume"] if it["name"] == "data"] == [400]
            os.kill(cluster.agent(), signal.SIGKILL)
            await session.delete("writes")
            await session.delete("reads")
            await until(session, VOLUMEATTACHMENT, lambda it: not it)
            assert made.staged == made.published == made.attached == {}
            assert mounts(cluster) == []
            assert list((root / "plugins" / "kubernetes.io" / "csi" / EBS).iterdir()) == []

    cluster.run(scenario)


def test_a_volume_of_upstreams_tree_is_a_device_by_its_driver(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        async with driver(cluster, session, name=EBS) as made:
            await volume(session, "raw", csi=None, volumeMode="Block", **elastic("vol-3"))
            script = f"{WRITE}; {SLEEP}"
            spec = claimed("raw")
            await session.create("raw", script=script, volumeDevices=[DEVICE], spec=spec)
            await session.until("raw", runs)
            (publish,) = made.asked("NodePublishVolume")
            assert publish.volume_capability.block == csi.BlockVolume()
            await session.delete("raw")
            image = made.directory / "volumes" / "vol-3" / "image"
            assert image.read_bytes().startswith(b"hello\n")
            assert made.methods()[2:] == TAKEN_BACK
            await forget(session, "raw")

    cluster.run(scenario)


def test_a_volume_of_upstreams_tree_waits_for_its_driver(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        document = {"metadata": {"name": EBS}, "spec": {"attachRequired": False}}
        await session.client.create(CSIDRIVER, document)
        for name, handle in (("waits", "vol-4"), ("bad", "disk")):
            source = {"volumes": [{"name": "data", **elastic(handle)}]}
            await session.create(name, script=SLEEP, volumeMounts=[MOUNT], spec=source)
        pod = await session.client.get(POD.ref("default", "waits"))
        assert await hears(session, pod, "FailedMount") == (
            f'MountVolume.MountDevice failed for volume "{EBS}-vol-4" : kubernetes.io/csi: '
            "attacher.MountDevice failed to create newCsiDriverClient: driver name "
            f"{EBS} not found in the list of registered CSI drivers"
        )
        pod = await session.client.get(POD.ref("default", "bad"))
        assert await hears(session, pod, "FailedMount") == (
            "Unable to attach or mount volumes: unmounted volumes=[data], unattached volumes=[], "
            "failed to process volumes=[data]: failed to translate in-tree volume to CSI: failed "
            "to translate Kubernetes ID to EBS Volume ID Invalid format for AWS volume "
            "(aws://z/disk)"
        )
        await session.delete("bad")
        made = Driver(EBS, cluster.data.parent / "driver")
        async with made.presented(registry(cluster)):
            await session.until("waits", runs)
            await session.delete("waits")
            assert made.staged == made.published == {}
        await until(session, CSINODE, lambda found: drivers(found) == [] or None)
        await session.client.delete(CSIDRIVER.ref("", EBS))

    cluster.run(scenario)
