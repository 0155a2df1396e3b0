"""Restart rules, full host names and runtime classes of pods on a real node."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from node_cluster import BUSYBOX, SLEEP, Cluster, Session, clusters

from steersman.model.kinds.event import EVENT
from steersman.model.kinds.pod import Pod
from steersman.model.kinds.runtimeclass import RUNTIMECLASS

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="making namespaces needs root"),
    pytest.mark.skipif(not os.path.exists(BUSYBOX), reason="busybox-static: not installed here"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with clusters() as found:
        yield found


def runs(pod: Pod) -> bool:
    return pod.status.phase == "Running"


async def hears(session: Session, pod: Pod, reason: str) -> str:
    """Waits until an event is told; returns its message."""
    fields = f"involvedObject.uid={pod.metadata.uid},reason={reason}"
    listing = await session.client.list(EVENT, "default", fields=fields)
    for found in listing.items:
        return str(found.message)
    watching = session.client.watch(EVENT, "default", after=listing.revision, fields=fields)
    async for changes in watching:
        for change in changes:
            if change.type != "BOOKMARK" and change.object is not None:
                return str(change.object.message)
    raise AssertionError(reason)


def test_a_rule_restarts_a_container_whose_pod_never_does(cluster: Cluster) -> None:
    rules = [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]
    spec = {"restartPolicy": "Never", "volumes": [{"name": "d", "emptyDir": {}}]}
    mount = [{"name": "d", "mountPath": "/d"}]
    script = "test -e /d/once && exit 3; touch /d/once; exit 42"

    async def scenario(session: Session) -> None:
        await session.create(
            "rules",
            script=script,
            spec=spec,
            volumeMounts=mount,
            restartPolicy="Never",
            restartPolicyRules=rules,
        )
        pod = await session.until("rules", lambda it: it.status.phase == "Failed")
        (app,) = pod.status.container_statuses
        assert app.restart_count == 1
        ended = [app.state.terminated, app.last_state.terminated]
        assert [it.exit_code for it in ended if it is not None] == [3, 42]
        await session.delete("rules")

    cluster.run(scenario)


def test_a_pod_may_be_told_its_full_name(cluster: Cluster) -> None:
    spec = {"setHostnameAsFQDN": True, "subdomain": "sub"}

    async def scenario(session: Session) -> None:
        script = f"cat /proc/sys/kernel/hostname; {SLEEP}"
        await session.create("named", script=script, spec=spec)
        pod = await session.until("named", runs)
        while not (text := cluster.log(pod)):
            continue
        assert text == "named.sub.default.svc.cluster.local\n"
        await session.delete("named")

    cluster.run(scenario)


def test_a_runtime_class_is_known_or_refused_in_plain_sight(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        for name, handler in (("known", "runc"), ("unknown", "kata")):
            document = {"metadata": {"name": name}, "handler": handler}
            await session.client.create(RUNTIMECLASS, document)
        await session.create("classed", script=SLEEP, spec={"runtimeClassName": "known"})
        await session.until("classed", runs)
        await session.delete("classed")
        pod = await session.create("other", script=SLEEP, spec={"runtimeClassName": "unknown"})
        why = 'failed to get sandbox runtime: no runtime for "kata" is configured'
        assert await hears(session, pod, "FailedCreatePodSandBox") == (
            f"Failed to create pod sandbox: rpc error: code = Unknown desc = {why}"
        )
        await session.delete("other")

    cluster.run(scenario)
