"""Evictions on a real node: bounds of a pod's own, and pressure that is there by a threshold."""

from __future__ import annotations

from node_cluster import SLEEP, Session, clusters, hears, needs_root, runs

from steersman.model.kinds.node import NODE, Node
from steersman.model.kinds.pod import Pod
from steersman.model.types.condition import condition, is_true

pytestmark = needs_root


def evicted(pod: Pod) -> bool:
    ended = pod.status.container_statuses
    stopped = bool(ended) and ended[0].state.terminated is not None
    return pod.status.phase == "Failed" and pod.status.reason == "Evicted" and stopped


def test_pods_beyond_bounds_of_their_own_are_evicted() -> None:
    volume = {"name": "d", "emptyDir": {"sizeLimit": "1Mi"}}
    mounts = [{"name": "d", "mountPath": "/d"}]
    write = "x=0123456789abcdef; for i in {}; do x=$x$x; done; echo $x > {}; " + SLEEP
    doubled = " ".join("x" * 17)  # two megabytes

    with clusters() as cluster:

        async def scenario(session: Session) -> None:
            script = write.format(doubled, "/d/x")
            await session.create(
                "volume", script=script, volumeMounts=mounts, spec={"volumes": [volume]}
            )
            limits = {"limits": {"ephemeral-storage": "1Mi"}}
            script = write.format(doubled, "/x")
            await session.create("layer", script=script, resources=limits)
            await session.create("within", script=SLEEP, resources=limits)
            pod = await session.until("volume", evicted)
            text = 'Usage of EmptyDir volume "d" exceeds the limit "1Mi". '
            assert pod.status.message == text
            assert await hears(session, pod, "Evicted") == text
            found = condition(pod.status.conditions, "DisruptionTarget")
            assert found is not None
            assert (found.status, found.reason) == ("True", "TerminationByKubelet")
            pod = await session.until("layer", evicted)
            total = "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. "
            assert pod.status.message == total
            await session.until("within", runs)
            for name in ("volume", "layer", "within"):
                await session.delete(name)

        cluster.run(scenario)


def test_a_node_under_pressure_says_so_evicts_one_after_the_other_and_takes_no_more() -> None:
    with clusters("--eviction-hard=memory.available<99%") as cluster:

        async def scenario(session: Session) -> None:
            node: Node
            (node,) = (await session.client.list(NODE)).items
            while not is_true(node.status.conditions, "MemoryPressure"):
                (node,) = (await session.client.list(NODE)).items
            told = condition(node.status.conditions, "MemoryPressure")
            assert told is not None
            assert (told.reason, told.message) == (
                "KubeletHasInsufficientMemory",
                "kubelet has insufficient memory available",
            )
            taint = "node.kubernetes.io/memory-pressure"
            while taint not in {it.key for it in node.spec.taints}:
                (node,) = (await session.client.list(NODE)).items
            spec = {"nodeName": node.metadata.name}
            await session.create("best", script=SLEEP, spec=spec)
            pod = await session.until("best", lambda it: it.status.phase == "Failed")
            assert (pod.status.reason, pod.status.message) == (
                "Evicted",
                "Pod was rejected: The node had condition: [MemoryPressure]. ",
            )
            requests = {"requests": {"memory": "1Mi"}}
            await session.create("burst", script=SLEEP, spec=spec, resources=requests)
            pod = await session.until("burst", evicted)
            assert pod.status.message.startswith("The node was low on resource: memory. Threshold")
            for name in ("best", "burst"):
                await session.delete(name)

        cluster.run(scenario)
