"""Pods with users of their own (`hostUsers: false`) on a real node: ids, volumes, restarts."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

from node_cluster import SLEEP, Cluster, Session, ended, needs_root
from test_node_agent import runs

from steersman.model.kinds.configmap import CONFIGMAP
from steersman.model.kinds.node import NODE
from steersman.model.kinds.pod import Pod
from steersman.model.kinds.secret import SECRET

pytestmark = needs_root


def first_id(cluster: Cluster, pod: Pod) -> int:
    """The first id of a pod on the machine, as the node has it on disk."""
    path = cluster.data / "node" / "pods" / pod.metadata.uid / "userns"
    (mapping,) = json.loads(path.read_text())["uidMappings"]
    assert mapping["length"] == 65536
    return int(mapping["hostId"])


def uids(cluster: Cluster, pod: Pod) -> set[int]:
    """The users on the machine of the pod's first run of `app`."""
    groups = Path("/sys/fs/cgroup").glob(f"**/pod{pod.metadata.uid}/app.0/cgroup.procs")
    found = set()
    for process in next(groups).read_text().split():
        status = Path("/proc", process, "status").read_text()
        found.add(int(status.partition("Uid:")[2].split()[0]))
    return found


def test_pods_have_users_of_their_own_and_none_the_others(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        own = {"hostUsers": False}
        await session.create("one", script=SLEEP, spec=own)
        user = {"securityContext": {"runAsUser": 1000, "runAsGroup": 1000}}
        await session.create("two", script=SLEEP, spec={**own, **user})
        one, two = [await session.until(name, runs) for name in ("one", "two")]
        first, second = first_id(cluster, one), first_id(cluster, two)
        assert first >= 65536
        assert abs(first - second) >= 65536
        assert (uids(cluster, one), uids(cluster, two)) == ({first}, {second + 1000})
        await session.delete("one")
        assert not (cluster.data / "node" / "pods" / one.metadata.uid / "userns").exists()
        await session.create("three", script=SLEEP, spec=own)
        three = await session.until("three", runs)
        assert first_id(cluster, three) == first
        await asyncio.gather(session.delete("two"), session.delete("three"))

    cluster.run(scenario)


def test_volumes_and_files_of_the_node_are_the_pods_own(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        host = cluster.data.parent / "shared"
        host.mkdir(mode=0o700)
        os.chown(host, 5, 6)
        text = {"metadata": {"name": "words"}, "data": {"a": "b"}}
        await session.client.create(CONFIGMAP, text, namespace="default")
        hidden = {"metadata": {"name": "hidden"}, "stringData": {"c": "d"}}
        await session.client.create(SECRET, hidden, namespace="default")
        volumes = [
            {"name": "room", "emptyDir": {}},
            {"name": "memory", "emptyDir": {"medium": "Memory"}},
            {"name": "words", "configMap": {"name": "words"}},
            {"name": "hidden", "secret": {"secretName": "hidden", "defaultMode": 0o400}},
            {"name": "host", "hostPath": {"path": str(host)}},
        ]
        script = (
            "ls -lnd /v/host /v/room /v/memory; cat /v/words/a /v/hidden/c; echo;"
            "touch /v/room/made /v/memory/made /v/host/made;"
            "echo lost > /dev/termination-log; echo said > /dev/stdout; grep app /etc/hosts"
        )
        await session.create(
            "volumes",
            script=script,
            volumeMounts=[{"name": it["name"], "mountPath": f"/v/{it['name']}"} for it in volumes],
            spec={"hostUsers": False, "restartPolicy": "Never", "hostname": "app",
                  "volumes": volumes},
        )  # fmt: skip
        pod = await session.until("volumes", ended)
        said = cluster.log(pod).splitlines()
        assert pod.status.phase == "Succeeded", said
        assert [line.split()[2:4] for line in said[:3]] == [["5", "6"], ["0", "0"], ["0", "0"]]
        assert said[3] == "bd"
        assert "said" in said
        terminated = pod.status.container_statuses[0].state.terminated
        assert terminated is not None
        assert terminated.message == "lost\n"
        # On the machine they are nobody's in particular: another pod may be given them
        assert (host / "made").stat().st_uid == 0
        assert (cluster.volume(pod, "room") / "made").stat().st_uid == 0
        await session.delete("volumes")

    cluster.run(scenario)


def test_proc_is_masked_but_where_a_pod_with_users_of_its_own_asks_for_the_whole(
    cluster: Cluster,
) -> None:
    script = "busybox stat -c %F /proc/keys; busybox grep -c '/proc/sys ' /proc/self/mounts"

    async def scenario(session: Session) -> None:
        spec = {"hostUsers": False, "restartPolicy": "Never"}
        for name, kind in (("masked", "Default"), ("unmasked", "Unmasked")):
            context = {"procMount": kind}
            await session.create(name, script=script, spec=spec, securityContext=context)
        masked, unmasked = [await session.until(it, ended) for it in ("masked", "unmasked")]
        assert cluster.log(masked) == "character special file\n1\n"
        assert cluster.log(unmasked) == "regular empty file\n0\n"
        await asyncio.gather(session.delete("masked"), session.delete("unmasked"))

    cluster.run(scenario)


def test_a_groups_volume_can_be_written_by_its_group(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        context = {"runAsUser": 70, "runAsGroup": 70, "fsGroup": 2000}
        await session.create(
            "group",
            script="touch /v/made && ls -ln /v/made",
            volumeMounts=[{"name": "room", "mountPath": "/v"}],
            spec={"hostUsers": False, "restartPolicy": "Never", "securityContext": context,
                  "volumes": [{"name": "room", "emptyDir": {}}]},
        )  # fmt: skip
        pod = await session.until("group", ended)
        assert cluster.log(pod).split()[2:4] == ["70", "2000"]
        await session.delete("group")

    cluster.run(scenario)


def test_a_volume_that_cannot_be_mapped_is_told_in_the_pods_status(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        await session.create(
            "unmapped",
            script=SLEEP,
            volumeMounts=[{"name": "kernel", "mountPath": "/v"}],
            spec={"hostUsers": False,
                  "volumes": [{"name": "kernel", "hostPath": {"path": "/sys/kernel"}}]},
        )  # fmt: skip

        def is_told(pod: Pod) -> bool:
            statuses = pod.status.container_statuses
            waiting = statuses[0].state.waiting if statuses else None
            return waiting is not None and "MOUNT_ATTR_IDMAP on /sys/kernel" in waiting.message

        await session.until("unmapped", is_told)
        await session.delete("unmapped", grace=0)

    cluster.run(scenario)


def test_a_restarted_agent_and_a_restarted_container_keep_the_pods_ids(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        await session.create("kept", script=SLEEP, spec={"hostUsers": False})
        before = await session.until("kept", runs)
        first = first_id(cluster, before)
        agent = os.pidfd_open(cluster.agent())
        os.kill(cluster.agent(), signal.SIGKILL)
        await cluster.ended(agent)
        os.kill(next(iter(processes(cluster, before, 0))), signal.SIGKILL)

        def again(pod: Pod) -> bool:
            return runs(pod) and pod.status.container_statuses[0].restart_count == 1

        after = await session.until("kept", again)
        assert first_id(cluster, after) == first
        process = next(iter(processes(cluster, after, 1)))
        maps = Path("/proc", str(process), "uid_map").read_text().split()
        assert maps == ["0", str(first), "65536"]
        await session.create("other", script=SLEEP, spec={"hostUsers": False})
        assert first_id(cluster, await session.until("other", runs)) != first
        await asyncio.gather(session.delete("kept", grace=0), session.delete("other", grace=0))

    cluster.run(scenario)


def processes(cluster: Cluster, pod: Pod, attempt: int) -> list[int]:
    groups = Path("/sys/fs/cgroup").glob(f"**/pod{pod.metadata.uid}/app.{attempt}/cgroup.procs")
    return [int(word) for word in next(groups).read_text().split()]


def test_a_node_says_that_it_can_give_pods_users_of_their_own(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        (node,) = (await session.client.list(NODE)).items
        document = await session.client.read(f"/api/v1/nodes/{node.metadata.name}", {})
        handlers = document["status"]["runtimeHandlers"]
        assert [it["name"] for it in handlers] == ["", "runc", "steersman"]
        assert all(it["features"]["userNamespaces"] is True for it in handlers)

    cluster.run(scenario)
