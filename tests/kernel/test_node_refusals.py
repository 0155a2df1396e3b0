"""Pods that are bound to a real node past the scheduler, and do not belong there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from node_cluster import SLEEP, Cluster, Session, clusters, ended, hears, needs_root, runs

from steersman.model.kinds.node import NODE

pytestmark = [*needs_root]


async def refused(session: Session, name: str, reason: str, why: str, **fields: Any) -> None:
    """Creates a pod on the node and sees it refused."""
    (node,) = (await session.client.list(NODE)).items
    spec = {"nodeName": node.metadata.name, **fields.pop("spec", {})}
    await session.create(name, script=SLEEP, spec=spec, **fields)
    pod = await session.until(name, ended)
    text = f"Predicate {reason} failed: node(s) {why}"
    assert (pod.status.phase, pod.status.reason) == ("Failed", reason)
    assert pod.status.message == f"Pod was rejected: {text}"
    # What kubectl shows is the reason then, and not how a container is that never began
    assert pod.status.container_statuses == pod.status.init_container_statuses == ()
    assert await hears(session, pod, reason) == text
    await session.delete(name)


@pytest.fixture(scope="module")
def lonely() -> Iterator[Cluster]:
    """A node whose taints nobody else enforces: the controller would delete a pod first."""
    with clusters("--controllers=*,-taint-eviction-controller") as found:
        yield found


def test_pods_that_do_not_belong_on_a_node_are_refused(lonely: Cluster) -> None:
    async def scenario(session: Session) -> None:
        (node,) = (await session.client.list(NODE)).items
        ref, name = NODE.ref("", node.metadata.name), node.metadata.name
        why = "didn't match Pod's node affinity/selector"
        selector = {"nodeSelector": {"disk": "ssd"}}
        await refused(session, "picky", "NodeAffinity", why, spec=selector)
        await session.client.patch(ref, {"metadata": {"labels": {"disk": "ssd"}}})
        await session.create("picky", script=SLEEP, spec={"nodeName": name, **selector})
        await session.until("picky", runs)
        # One that runs stays, whatever its node is called
        await session.client.patch(ref, {"metadata": {"labels": {"disk": None}}})
        await refused(session, "late", "NodeAffinity", why, spec=selector)
        assert runs(await session.until("picky", lambda _: True))

        ports = [{"containerPort": 80, "hostPort": 18080}]
        await session.create("first", script=SLEEP, ports=ports, spec={"nodeName": name})
        await session.until("first", runs)
        why = "didn't have free ports for the requested pod ports"
        await refused(session, "second", "NodePorts", why, ports=ports)
        for one in ("picky", "first"):
            await session.delete(one)

        spec = {"nodeName": name, "os": {"name": "windows"}}
        await session.create("other", script=SLEEP, spec=spec)
        pod = await session.until("other", ended)
        assert pod.status.reason == "PodOSNotSupported"
        await session.delete("other")

        taint = {"key": "example.com/gone", "effect": "NoExecute"}
        await session.client.patch(ref, {"spec": {"taints": [taint]}})
        why = "had taints that the pod didn't tolerate"
        await refused(session, "tainted", "TaintToleration", why)
        await session.client.patch(ref, {"spec": {"taints": []}})
        await session.create("welcome", script="true", spec={"restartPolicy": "Never"})
        assert (await session.until("welcome", ended)).status.phase == "Succeeded"
        await session.delete("welcome")

    lonely.run(scenario)
