"""Claims on a real node: a directory that outlives its pods, belongs to their group, and goes with
its claim."""

from __future__ import annotations

import asyncio
import gzip
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from node_cluster import SECONDS, SLEEP, Cluster, Session, needs_root
from test_node_agent import app, events, is_ready, runs

from steersman.model.kind import Kind
from steersman.model.kinds.configmap import CONFIGMAP
from steersman.model.kinds.node import NODE
from steersman.model.kinds.persistentvolume import PERSISTENTVOLUME
from steersman.model.kinds.persistentvolumeclaim import PERSISTENTVOLUMECLAIM as CLAIM
from steersman.model.kinds.pod import Pod
from steersman.node.streams.inotify import DirectoryChanges

pytestmark = needs_root

MOUNT = {"name": "data", "mountPath": "/data"}


def claimed(name: str, **more: Any) -> dict[str, Any]:
    source = {"persistentVolumeClaim": {"claimName": name, **more}}
    return {"volumes": [{"name": "data", **source}]}


async def claim(session: Session, name: str, size: str = "1Mi", **spec: Any) -> None:
    resources = {"requests": {"storage": size}}
    spec = {"accessModes": ["ReadWriteOnce"], "resources": resources, **spec}
    document = {"metadata": {"name": name}, "spec": spec}
    await session.client.create(CLAIM, document, namespace="default")


async def until(session: Session, kind: Kind, good: Callable[[list[Any]], Any]) -> Any:
    """Waits until the objects of a kind are as wanted."""
    listing = await session.client.list(kind)
    async with asyncio.timeout(SECONDS):
        while not (found := good(list(listing.items))):
            async for _ in session.client.watch(kind, after=listing.revision):
                break
            listing = await session.client.list(kind)
    return found


async def ended(session: Session, name: str) -> Pod:
    return await session.until(name, lambda it: it.status.phase in ("Succeeded", "Failed"))


def directories(cluster: Cluster) -> list[Path]:
    place = cluster.data / "node" / "local-path"
    return sorted(place.iterdir()) if place.exists() else []


def test_a_claim_keeps_its_files_from_pod_to_pod_and_goes_with_its_directory(
    cluster: Cluster,
) -> None:
    async def scenario(session: Session) -> None:
        await claim(session, "kept")
        spec = {**claimed("kept"), "restartPolicy": "Never"}
        spec["securityContext"] = {"fsGroup": 3000}
        script = "echo first > /data/file; ls -ldn /data"
        await session.create("one", script=script, volumeMounts=[MOUNT], spec=spec)
        pod = await ended(session, "one")
        assert pod.status.phase == "Succeeded"
        said = cluster.log(pod).split()
        assert (said[0], said[3]) == ("drwxrwsrwx", "3000")
        await session.delete("one")
        (directory,) = directories(cluster)
        assert (directory / "file").read_text() == "first\n"
        readonly = {**spec, **claimed("kept", readOnly=True)}
        script = "cat /data/file; touch /data/no || echo refused"
        await session.create("two", script=script, volumeMounts=[MOUNT], spec=readonly)
        pod = await ended(session, "two")
        assert "first\n" in cluster.log(pod)
        assert "refused\n" in cluster.log(pod)
        (volume,) = (await session.client.list(PERSISTENTVOLUME)).items
        assert volume.status.phase == "Bound"
        assert volume.spec.capacity["storage"] == "1Mi"
        assert volume.spec.local.path == str(directory)
        await session.client.delete(CLAIM.ref("default", "kept"))
        await session.delete("two")
        await until(session, PERSISTENTVOLUME, lambda found: not found)
        assert directories(cluster) == []

    cluster.run(scenario)


def test_what_is_mounted_stays_so_where_its_claim_is_being_deleted(
    cluster: Cluster,
) -> None:
    async def scenario(session: Session) -> None:
        await claim(session, "going")
        meta = {"namespace": "default", "name": "live"}
        await session.client.create(CONFIGMAP, {"metadata": meta, "data": {"a": "one"}})
        live = {"name": "live", "configMap": {"name": "live"}}
        spec = {"volumes": [*claimed("going")["volumes"], live]}
        mounts = [MOUNT, {"name": "live", "mountPath": "/live"}]
        script = f"touch /data/file; {SLEEP}"
        probe = {"exec": {"command": ["grep", "two", "/live/a"]}, "periodSeconds": 1}
        fields = {"volumeMounts": mounts, "readinessProbe": probe, "spec": spec}
        await session.create("holder", script=script, **fields)
        await session.until("holder", runs)
        await session.client.delete(CLAIM.ref("default", "going"))
        await session.client.patch(CONFIGMAP.ref("default", "live"), {"data": {"a": "two"}})
        await session.until("holder", is_ready)  # it sees the new file
        await session.delete("holder")
        await until(session, PERSISTENTVOLUME, lambda found: not found)
        assert directories(cluster) == []

    cluster.run(scenario)


def test_an_ephemeral_volume_goes_with_its_pod(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        resources = {"requests": {"storage": "1Mi"}}
        template = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": resources}}
        volume = {"name": "data", "ephemeral": {"volumeClaimTemplate": template}}
        mount = {**MOUNT, "subPath": "deep/er"}
        script = f"echo x > /data/file; {SLEEP}"
        spec = {"volumes": [volume]}
        await session.create("short", script=script, volumeMounts=[mount], spec=spec)
        await session.until("short", runs)
        (directory,) = directories(cluster)
        assert directory.name.endswith("_default_short-data")
        assert (directory / "deep" / "er").is_dir()
        await session.delete("short")
        await until(session, PERSISTENTVOLUME, lambda found: not found)
        assert directories(cluster) == []

    cluster.run(scenario)


def test_a_pod_waits_for_a_claim_that_is_not_bound_and_says_so(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        await claim(session, "late", storageClassName="manual")
        (node,) = (await session.client.list(NODE)).items
        spec = {**claimed("late"), "nodeName": node.metadata.name}
        pod = await session.create("waits", script=SLEEP, volumeMounts=[MOUNT], spec=spec)
        told = await events(session, pod, "FailedMount")
        assert told["FailedMount"] == (
            "Unable to attach or mount volumes: unmounted volumes=[data], unattached volumes=[], "
            "failed to process volumes=[data]: error processing PVC default/late: PVC is not bound"
        )
        place = cluster.data.parent / "manual"
        place.mkdir()
        document = {
            "metadata": {"name": "manual"},
            "spec": {
                "capacity": {"storage": "1Gi"},
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": "manual",
                "hostPath": {"path": str(place), "type": "Directory"},
            },
        }
        await session.client.create(PERSISTENTVOLUME, document)
        await session.until("waits", runs)
        await session.client.delete(CLAIM.ref("default", "late"))
        await session.delete("waits")
        await until(session, PERSISTENTVOLUME, lambda it: it[0].status.phase == "Released")
        await session.client.delete(PERSISTENTVOLUME.ref("", "manual"))
        assert place.is_dir()

    cluster.run(scenario)


def test_a_full_log_is_moved_aside_and_compressed_while_the_container_writes_on(
    cluster: Cluster,
) -> None:
    async def scenario(session: Session) -> None:
        line = "x" * 1000
        count = 22_000  # 22 MB: more than two files, less than three
        script = f"i=0; while [ $i -lt {count} ]; do echo {line}; i=$((i+1)); done; echo last"
        spec = {"restartPolicy": "Never"}
        await session.create("wordy", script=script, spec=spec)
        pod = await ended(session, "wordy")
        assert pod.status.phase == "Succeeded"
        assert cluster.log(pod).endswith(f"{line}\nlast\n")
        meta = pod.metadata
        place = cluster.data / "node" / "logs" / f"default_wordy_{meta.uid}" / "app"
        changed = asyncio.Event()
        with DirectoryChanges().watch(str(place), changed.set):
            while not (packed := list(place.glob("0.log.*.gz"))):
                await changed.wait()
                changed.clear()
        (oldest,) = packed
        assert oldest.stat().st_size < 1 << 20
        first = gzip.decompress(oldest.read_bytes()).decode()
        plain = sorted(it for it in place.glob("0.log*") if it != oldest)
        assert len(plain) == 2, "the latest that was moved aside can be read as it is"
        kept = [first, *(it.read_text() for it in plain)]
        assert sum(text.count(line) for text in kept) == count
        await session.delete("wordy")

    cluster.run(scenario)


def test_a_new_agent_follows_what_the_pods_of_the_one_before_are_given(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        await claim(session, "over")
        meta = {"namespace": "default", "name": "told"}
        await session.client.create(CONFIGMAP, {"metadata": meta, "data": {"a": "one"}})
        key = {"configMapKeyRef": {"name": "told", "key": "a"}}
        told = {"name": "told", "configMap": {"name": "told"}}
        # The first run ends when the file changes, which a new agent alone can bring about
        script = "echo $A; cat /data/file; echo $A > /data/file; "
        script += "while ! grep -q two /told/a; do sleep 0.1; done; "
        script += f"test $A = one && exit 1; {SLEEP}"
        await session.create(
            "heir",
            script=script,
            env=[{"name": "A", "valueFrom": key}],
            volumeMounts=[MOUNT, {"name": "told", "mountPath": "/told"}],
            spec={"volumes": [*claimed("over")["volumes"], told]},
        )
        await session.until("heir", runs)
        os.kill(cluster.agent(), signal.SIGKILL)
        await session.client.patch(CONFIGMAP.ref("default", "told"), {"data": {"a": "two"}})
        pod = await session.until("heir", lambda it: runs(it) and app(it).restart_count == 1)
        await until(session, CONFIGMAP, lambda _: cluster.log(pod, attempt=1) == "two\none\n")
        await session.client.delete(CLAIM.ref("default", "over"))
        await session.delete("heir")
        await until(session, PERSISTENTVOLUME, lambda found: not found)

    cluster.run(scenario)
