"""A node makes itself known and stays so: its object, its lease, and what it does when refused."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from served import Served, served
from steersman.client.client import APIClient
from steersman.client.errors import Unreachable
from steersman.client.local import LocalTransport
from steersman.model.errors import Conflict
from steersman.node import register
from steersman.node.machine import Facts
from steersman.node.register import Place, Registration
from steersman.wire.message import User

FACTS = Facts(4, 8 << 30, 100 << 30, "m", "u", "b", "6.1", "Debian", "amd64")
PLACE = Place("vm", "10.0.0.1", 10250, "0.1")
NODE_USER = User("system:node:vm", ("system:nodes", "system:authenticated"))
NODE = "/api/v1/nodes/vm"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/vm"


class Client(APIClient):
    """A client whose way to the server breaks when a test says so."""

    fails: list[Exception]
    images: tuple[dict[str, Any], ...] = ()
    said: list[str]

    def say(self, kind: str, reason: str, note: str) -> None:
        """Takes an event of the node."""
        self.said.append(f"{kind} {reason}: {note}")

    async def list_images(self) -> Sequence[dict[str, Any]]:
        """What there is of images on the node."""
        return self.images

    async def patch(self, ref: Any, patch: Any, **how: Any) -> Any:
        if self.fails:
            raise self.fails.pop(0)
        return await super().patch(ref, patch, **how)


@asynccontextmanager
async def registering(api: Served, *fails: Exception) -> AsyncIterator[Registration]:
    """Runs the registration of a node with the rights of a node."""
    async with api.world.tasks() as tasks:
        transport = LocalTransport(api.assembly.api.handle, NODE_USER, tasks)
        client = Client(transport, api.world, find=api.assembly.kinds.of)
        client.fails, client.said = list(fails), []
        made = Registration(
            client, api.world, PLACE, FACTS, images=client.list_images, say=client.say
        )
        tasks.start(made.run(), name="registration")
        await made.registered.wait()
        yield made
        tasks.stop()


def heartbeat(node: dict[str, Any]) -> str:
    """When the node last said that it is ready."""
    (ready,) = (it for it in node["status"]["conditions"] if it["type"] == "Ready")
    assert ready["status"] == "True"
    return str(ready["lastHeartbeatTime"])


@served
async def test_a_node_is_there_and_ready_and_has_a_lease_that_is_its_own(api: Served) -> None:
    async with registering(api) as registration:
        node = (await api.get(NODE)).document
        assert heartbeat(node)
        assert registration.uid == node["metadata"]["uid"]
        lease = (await api.get(LEASE)).document
        spec = lease["spec"]
        assert (spec["holderIdentity"], spec["leaseDurationSeconds"]) == ("vm", 40)
        owner = {"apiVersion": "v1", "kind": "Node", "name": "vm", "uid": registration.uid}
        assert lease["metadata"]["ownerReferences"] == [owner]


@served
async def test_the_lease_is_renewed_long_before_it_ends_and_the_status_told_now_and_then(
    api: Served,
) -> None:
    async with registering(api):
        renewed, told = set(), set()
        for _ in range(11):
            renewed.add((await api.get(LEASE)).document["spec"]["renewTime"])
            told.add(heartbeat((await api.get(NODE)).document))
            await api.world.sleep(10.5)
        assert len(renewed) == 11
        assert len(told) == 1
        await api.world.sleep(register.STATUS_SECONDS)
        assert heartbeat((await api.get(NODE)).document) not in told


@served
async def test_a_node_that_is_deleted_registers_again(api: Served) -> None:
    async with registering(api) as registration:
        before = registration.uid
        await api.delete(NODE)
        await api.world.sleep(register.STATUS_SECONDS + 20)
        node = (await api.get(NODE)).document
        assert node["metadata"]["uid"] == registration.uid != before
        assert heartbeat(node)


@served
async def test_a_node_that_is_there_already_is_taken_over_with_what_others_gave_it(
    api: Served,
) -> None:
    metadata = {"name": "vm", "labels": {"disk": "ssd", "kubernetes.io/arch": "old"}}
    given = {"metadata": metadata, "spec": {"unschedulable": True}}
    await api.post("/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", **given})
    async with registering(api):
        node = (await api.get(NODE)).document
        labels = node["metadata"]["labels"]
        assert (labels["disk"], labels["kubernetes.io/arch"]) == ("ssd", "amd64")
        assert node["spec"]["unschedulable"] is True
        assert heartbeat(node)


@served
async def test_a_registration_that_fails_is_tried_again_soon(api: Served) -> None:
    began = api.world.monotonic()
    async with registering(api, Unreachable("away"), Conflict("faster")):
        assert heartbeat((await api.get(NODE)).document)
        waited = api.world.monotonic() - began
        assert waited == pytest.approx(2 * register.REGISTER_RETRY_SECONDS)


@served
async def test_a_beat_that_fails_is_made_good_by_the_next(api: Served) -> None:
    async with registering(api) as registration:
        before = (await api.get(LEASE)).document["spec"]["renewTime"]
        client = registration._client
        assert isinstance(client, Client)
        client.fails = [Unreachable("away"), Conflict("faster")]
        await api.world.sleep(35)
        assert client.fails == []
        assert (await api.get(LEASE)).document["spec"]["renewTime"] > before


@served
async def test_images_that_come_and_go_are_told_with_the_next_beat(api: Served) -> None:
    async with registering(api, Unreachable("away")) as registration:
        client = registration._client
        assert isinstance(client, Client)
        assert "images" not in (await api.get(NODE)).document["status"]
        here = {"names": ["a/b@sha256:1", "a/b:1"], "sizeBytes": 5}
        client.images, client.fails = (here,), [Unreachable("away")]
        await api.world.sleep(21)
        assert (await api.get(NODE)).document["status"]["images"] == [here]
        client.images = ()
        await api.world.sleep(10.5)
        assert "images" not in (await api.get(NODE)).document["status"]


@served
async def test_a_node_tells_of_its_beginning_of_a_boot_and_of_being_ready_again(
    api: Served,
) -> None:
    async with registering(api) as registration:
        client = registration._client
        assert isinstance(client, Client)
        start = [
            "Normal Starting: Starting kubelet.",
            "Normal NodeHasSufficientMemory: Node vm status is now: NodeHasSufficientMemory",
            "Normal NodeHasNoDiskPressure: Node vm status is now: NodeHasNoDiskPressure",
            "Normal NodeHasSufficientPID: Node vm status is now: NodeHasSufficientPID",
        ]
        assert client.said == start
    lost = {"conditions": [{"type": "Ready", "status": "Unknown"}], "nodeInfo": {"bootID": "a"}}
    await api.patch(f"{NODE}/status", {"status": lost})
    async with registering(api) as registration:
        client = registration._client
        assert isinstance(client, Client)
        assert client.said == [
            *start,
            "Warning Rebooted: Node vm has been rebooted, boot id: b",
            "Normal NodeReady: Node vm status is now: NodeReady",
        ]
