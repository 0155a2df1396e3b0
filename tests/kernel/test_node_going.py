"""A node whose machine is about to go: its pods end in the order of their priority, and no more
begin."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from typing import Any

from node_cluster import SLEEP, Session, clusters, needs_root, runs
from test_node_static import write

from steersman.model.kinds.node import NODE
from steersman.model.kinds.pod import Pod
from steersman.model.kinds.priorityclass import PRIORITYCLASS
from steersman.model.types.condition import condition, is_true

pytestmark = needs_root
SLOW = "trap 'sleep 2; exit 0' TERM; while true; do sleep 0.1; done"


def refused(pod: Pod) -> bool:
    return pod.status.phase == "Failed"


def ended(pod: Pod) -> bool:
    (status,) = pod.status.container_statuses
    return refused(pod) and status.state.terminated is not None


def finished(pod: Pod) -> Any:
    (status,) = pod.status.container_statuses
    assert status.state.terminated is not None
    assert status.state.terminated.exit_code == 0
    return status.state.terminated.finished_at


def test_pods_end_in_the_order_of_their_priority_before_the_machine_goes() -> None:
    async def scenario(session: Session) -> None:
        document = {"metadata": {"name": "high"}, "value": 1000}
        await session.client.create(PRIORITYCLASS, document)
        await session.create("low", script=SLOW)
        await session.create("high", script=SLEEP, spec={"priorityClassName": "high"})
        for name in ("low", "high"):
            await session.until(name, runs)
        (node,) = (await session.client.list(NODE)).items
        os.kill(cluster.agent(), signal.SIGPWR)
        pods = [await session.until(name, ended) for name in ("low", "high")]
        for pod in pods:
            assert pod.status.reason == "Terminated"
            text = "Pod was terminated in response to imminent node shutdown."
            assert pod.status.message == text
            target = condition(pod.status.conditions, "DisruptionTarget")
            assert target is not None
            assert (target.status, target.reason) == ("True", "TerminationByKubelet")
        low, high = (finished(pod) for pod in pods)
        assert high >= low  # which took two seconds to end
        where = {"nodeName": node.metadata.name, "tolerations": [{"operator": "Exists"}]}
        await session.create("late", script=SLEEP, spec=where)
        late = await session.until("late", refused)
        assert (late.status.reason, late.status.message) == (
            "NodeShutdown",
            "Pod was rejected: Pod was rejected as the node is shutting down.",
        )
        (node,) = (await session.client.list(NODE)).items
        ready = condition(node.status.conditions, "Ready")
        assert ready is not None and not is_true(node.status.conditions, "Ready")
        assert (ready.reason, ready.message) == ("KubeletNotReady", "node is shutting down")

    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(
            "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"
            "shutdownGracePeriodByPodPriority:\n"
            "- {priority: 0, shutdownGracePeriodSeconds: 20}\n"
            "- {priority: 1000, shutdownGracePeriodSeconds: 10}\n"
        )
        file.flush()
        with clusters("--kubelet-config", file.name) as cluster:
            cluster.run(scenario)


def test_pods_end_by_their_own_times_before_a_cluster_goes_down_gracefully() -> None:
    ending = "trap 'sleep 1; echo {0} >> /d/order; exit 0' TERM; while true; do sleep 0.1; done"

    def spec(**more: Any) -> dict[str, Any]:
        return {"volumes": [{"name": "d", "hostPath": {"path": str(shared)}}], **more}

    mounts = [{"name": "d", "mountPath": "/d"}]

    async def begin(session: Session) -> None:
        write(cluster, "static", SLEEP)
        fields: dict[str, Any] = {"volumeMounts": mounts}
        critical = spec(priorityClassName="system-node-critical")
        await session.create("last", script=ending.format("last"), spec=critical, **fields)
        await session.create("first", script=ending.format("first"), spec=spec(), **fields)
        (node,) = (await session.client.list(NODE)).items
        for name in ("last", "first", f"static-{node.metadata.name}"):
            await session.until(name, runs)

    async def come_back(session: Session) -> None:
        for name in ("last", "first"):
            pod = await session.until(name, ended)
            assert (pod.status.reason, finished(pod) is None) == ("Terminated", False)
        (node,) = (await session.client.list(NODE)).items
        await session.until(f"static-{node.metadata.name}", runs)

    with clusters() as cluster:
        shared = cluster.data / "shared"
        shared.mkdir()
        cluster.run(begin)
        said = cluster.down("--graceful")
        assert said == "3 pods have ended.\nThe cluster is down.\n"
        assert (shared / "order").read_text() == "first\nlast\n"
        shutil.rmtree(shared)
        cluster.start()
        cluster.run(come_back)
