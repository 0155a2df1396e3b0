"""Static pods on a real node: from files to containers, shown in the API by mirrors."""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import replace
from node_cluster import IMAGE, SLEEP, Cluster, Session, needs_root, runs

from steersman.model.kinds.event import EVENT
from steersman.model.kinds.node import NODE, Node
from steersman.model.kinds.pod import POD

pytestmark = needs_root
MIRROR = "kubernetes.io/config.mirror"


def write(
    cluster: Cluster, name: str, script: str, mounts: Sequence[Any] = (), **spec: Any
) -> None:
    """Puts a manifest into the folder in one step, as who edits one should."""
    container: dict[str, Any] = {"name": "app", "image": IMAGE}
    container["command"] = ["sh", "-c", script]
    container["volumeMounts"] = list(mounts)
    spec = {"containers": [container], **spec}
    document = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
    folder = cluster.data / "manifests"
    partial = folder / f".{name}"
    partial.write_bytes(msgspec.json.encode(document))
    partial.rename(folder / f"{name}.yaml")


def remove(cluster: Cluster, name: str) -> None:
    (cluster.data / "manifests" / f"{name}.yaml").unlink()


async def node_of(session: Session) -> Node:
    (node,) = (await session.client.list(NODE)).items
    return node  # type: ignore[no-any-return]


def test_a_static_pod_runs_and_is_mirrored_until_its_file_goes(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        node = await node_of(session)
        name = f"first-{node.metadata.name}"
        write(cluster, "first", f"echo here; {SLEEP}")
        mirror = await session.until(name, runs)
        shown = mirror.metadata.annotations
        static = shown["kubernetes.io/config.hash"]
        assert shown[MIRROR] == static
        assert mirror.metadata.uid != static
        assert shown["kubernetes.io/config.source"] == "file"
        (owner,) = mirror.metadata.owner_references
        assert (owner.kind, owner.name, owner.uid) == (
            "Node",
            node.metadata.name,
            node.metadata.uid,
        )
        assert mirror.status.pod_ip.startswith("10.")
        path = cluster.data / "node" / "logs" / f"default_{name}_{static}" / "app" / "0.log"
        assert path.read_text().endswith(" F here\n")
        remove(cluster, "first")
        await session.gone(name)
        assert not (cluster.data / "node" / "pods" / static).exists()

    cluster.run(scenario)


def test_a_mirror_that_is_deleted_comes_back_and_the_pod_goes_on(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        name = f"back-{(await node_of(session)).metadata.name}"
        write(cluster, "back", SLEEP)
        before = await session.until(name, runs)
        await session.client.delete(POD.ref("default", name))
        after = await session.until(
            name, lambda it: runs(it) and it.metadata.uid != before.metadata.uid
        )
        one, other = (it.status.container_statuses[0] for it in (before, after))
        assert one.container_id == other.container_id
        assert other.state.running == one.state.running
        remove(cluster, "back")
        await session.gone(name)

    cluster.run(scenario)


def test_a_changed_file_restarts_its_pod_after_the_old_one_has_ended(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        name = f"changes-{(await node_of(session)).metadata.name}"
        write(cluster, "changes", SLEEP)
        before = await session.until(name, runs)
        write(cluster, "changes", f"echo other; {SLEEP}")
        shown = before.metadata.annotations[MIRROR]
        after = await session.until(
            name, lambda it: runs(it) and it.metadata.annotations[MIRROR] != shown
        )
        assert "echo other" in " ".join(after.spec.containers[0].command)
        assert not (cluster.data / "node" / "pods" / shown).exists()
        remove(cluster, "changes")
        await session.gone(name)

    cluster.run(scenario)


def test_a_broken_file_is_told_with_its_path_and_line(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        node = (await node_of(session)).metadata.name
        path = cluster.data / "manifests" / "broken.yaml"
        path.write_text("apiVersion: v1\nkind: Pod\nmetadata:\n  name: [\n")
        fields = "involvedObject.kind=Node,reason=InvalidManifest"
        listing = await session.client.list(EVENT, "default", fields=fields)
        found = [it.message for it in listing.items]
        watching = session.client.watch(EVENT, "default", after=listing.revision, fields=fields)
        while not found:
            async for changes in watching:
                found += [it.object.message for it in changes if it.object is not None]
                break
        assert found[0].startswith(f"{path}:5: yaml: line 5: ")
        assert found[0] in (cluster.data / "logs" / "node.log").read_text()
        path.unlink()
        write(cluster, "sound", SLEEP)
        await session.until(f"sound-{node}", runs)
        remove(cluster, "sound")
        await session.gone(f"sound-{node}")

    cluster.run(scenario)


def test_static_pods_outlive_the_agent_and_their_mirror_tells_of_it(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        name = f"stays-{(await node_of(session)).metadata.name}"
        script = "while test ! -e /d/go; do sleep 0.05; done; exit 4"
        volume = cluster.data / "go"
        volume.mkdir()
        place = {"name": "d", "hostPath": {"path": str(volume)}}
        mounts = [{"name": "d", "mountPath": "/d"}]
        write(cluster, "stays", script, mounts, volumes=[place], restartPolicy="Never")
        before = await session.until(name, runs)
        os.kill(cluster.agent(), 9)
        (volume / "go").touch()
        ended = await session.until(name, lambda it: it.status.phase == "Failed")
        terminated = ended.status.container_statuses[0].state.terminated
        assert terminated is not None
        assert terminated.exit_code == 4
        assert ended.metadata.uid == before.metadata.uid
        remove(cluster, "stays")
        await session.gone(name)

    cluster.run(scenario)


def test_a_file_that_goes_while_no_agent_runs_takes_its_pod_and_then_its_mirror(
    cluster: Cluster,
) -> None:
    async def scenario(session: Session) -> None:
        name = f"unseen-{(await node_of(session)).metadata.name}"
        write(cluster, "unseen", SLEEP)
        mirror = await session.until(name, runs)
        static = mirror.metadata.annotations["kubernetes.io/config.hash"]
        handle = cluster.process(replace(mirror, metadata=replace(mirror.metadata, uid=static)))
        os.kill(cluster.agent(), 9)
        remove(cluster, "unseen")  # the next agent takes a while to begin
        await session.gone(name)
        assert select.select([handle], [], [], 0)[0], "the mirror went before its pod had ended"
        os.close(handle)

    cluster.run(scenario)


def test_who_claims_to_be_a_mirror_and_is_none_is_removed(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        node = (await node_of(session)).metadata.name
        document = {
            "metadata": {"name": "false", "annotations": {MIRROR: "x"}},
            "spec": {
                "nodeName": node,
                "automountServiceAccountToken": False,
                "containers": [{"name": "app", "image": IMAGE}],
            },
        }
        await session.client.create(POD, document, namespace="default")
        async with asyncio.timeout(60):
            await session.gone("false")

    cluster.run(scenario)
