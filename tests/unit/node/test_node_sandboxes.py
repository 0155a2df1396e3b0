"""The ground of a pod: what is made, what is taken back after a failure, what is removed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from node_documents import UID, pod

from steersman.model.kinds.pod import Pod
from steersman.model.types.container import ContainerPort
from steersman.node.acting import sandboxes
from steersman.node.engine.own import OwnEngine
from steersman.node.id_ranges import BadRange
from steersman.node.objects import BadConfiguration
from steersman.node.observed import Sandbox
from steersman.node.paths import Paths
from steersman.node.render.resolution import Resolution
from steersman.node.render.swap import NO_SWAP
from steersman.node.service_classes import ServiceClasses
from steersman.node.tools import Tools
from steersman.node.topology.pinning import Pinning
from steersman.runtime.engine import EngineError
from steersman.world.real import RealWorld


class Node:
    """Runtime, network and volumes that note in which order they are asked."""

    def __init__(self, root: Path) -> None:
        self.done: list[str] = []
        self.refusals: list[EngineError] = []
        self.network_error: Exception | None = None
        self.said: list[str] = []
        self.tools = cast(
            Tools,
            SimpleNamespace(
                engine=OwnEngine(
                    cast(Any, self),
                    cast(Any, SimpleNamespace(ensure=lambda: self.done.append("warm parent"))),
                    cast(Any, SimpleNamespace(add=self.add, delete=self.delete)),
                    "/steersman-x",
                    "cluster.local",
                    RealWorld(),
                ),
                volumes=SimpleNamespace(release=self.release),
                ids=SimpleNamespace(release=lambda _: self.done.append("release")),
                placement=SimpleNamespace(release=lambda _: self.done.append("place")),
                pinning=Pinning(),
                claims=SimpleNamespace(unprepare=self.unprepare),
                page_sizes=(),
                swap=NO_SWAP,
                pod_processes=-1,
                classes=ServiceClasses(),
                paths=Paths(root),
                place=SimpleNamespace(address="10.0.0.1"),
                resolution=Resolution("10.96.0.10", "cluster.local", ""),
                say=lambda _pod, kind, reason, note: self.said.append(f"{kind} {reason}: {note}"),
            ),
        )

    async def start_sandbox(self, uid: str, wanted: Any) -> Any:
        self.done.append(f"sandbox {uid}")
        self.wanted = wanted
        if self.refusals:
            raise self.refusals.pop()
        return SimpleNamespace(pid=7, shm="/shm", netns="/net", userns="", pidns="")

    async def release(self, uid: str) -> None:
        self.done.append(f"volumes of {uid}")

    async def unprepare(self, uid: str) -> None:
        self.done.append(f"claims of {uid}")

    async def remove_sandbox(self, uid: str) -> None:
        self.done.append(f"remove {uid}")

    async def add(self, uid: str, namespace: Path, ports: tuple[ContainerPort, ...]) -> list[str]:
        self.done.append(f"connect {uid} {namespace}")
        self.ports = ports
        if self.network_error is not None:
            raise self.network_error
        return ["10.244.0.5"]

    async def delete(self, uid: str) -> None:
        self.done.append(f"disconnect {uid}")

    def start(self, given: Pod) -> Sandbox:
        return asyncio.run(sandboxes.start(self.tools, given))


GROUP = f"besteffort/pod{UID}"


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_a_sandbox_is_made_and_connected_and_its_files_name_its_address(node: Node) -> None:
    assert node.start(pod()) == Sandbox(7, "/shm", ("10.244.0.5",), group=GROUP)
    assert node.done == [f"sandbox {UID}", f"connect {UID} /net"]
    assert node.wanted["resources"] == {"cpu": {"shares": 2}}
    assert "10.244.0.5\tweb" in (node.tools.paths.etc(UID) / "hosts").read_text()
    assert node.said == []


def test_a_pod_has_as_many_processes_as_a_node_lets_each_have(node: Node) -> None:
    cast(Any, node.tools).pod_processes = 40
    node.start(pod())
    assert node.wanted["resources"]["pids"] == {"limit": 40}


def test_a_pod_in_the_nodes_network_is_not_connected(node: Node) -> None:
    assert node.start(pod(spec={"hostNetwork": True})) == Sandbox(7, "/shm", (), group=GROUP)
    assert node.done == [f"sandbox {UID}"]


def test_what_was_made_before_a_failure_is_taken_back(node: Node) -> None:
    node.network_error = OSError("no address left")
    with pytest.raises(OSError, match="no address left"):
        node.start(pod())
    assert node.done[-2:] == [f"remove {UID}", f"disconnect {UID}"]


def test_a_warm_parent_that_was_killed_is_started_again_and_asked_once_more(node: Node) -> None:
    node.refusals = [EngineError("unavailable", "warm parent: connection refused")]
    assert node.start(pod()).pid == 7
    assert node.done[:3] == [f"sandbox {UID}", "warm parent", f"sandbox {UID}"]


def test_another_error_of_the_runtime_is_told_at_once(node: Node) -> None:
    node.refusals = [EngineError("failed", "no room")]
    with pytest.raises(EngineError, match="no room"):
        node.start(pod())
    assert node.done == [f"sandbox {UID}"]


def test_ports_of_the_node_lead_to_the_sandbox_and_are_written_down(node: Node) -> None:
    made = node.start(pod(ports=[{"containerPort": 80, "hostPort": 8080}, {"containerPort": 81}]))
    assert [it.host_port for it in node.ports] == [8080]
    assert made.ports == node.ports


def test_a_pod_in_the_nodes_network_has_its_ports_without_rules(node: Node) -> None:
    ports = [{"containerPort": 80, "hostPort": 80}]
    assert node.start(pod(ports=ports, spec={"hostNetwork": True})).ports == ()
    assert node.done == [f"sandbox {UID}"]


def test_what_does_not_fit_into_a_pods_resolution_is_told(node: Node) -> None:
    node.start(pod(spec={"dnsConfig": {"nameservers": ["192.0.2.1", "192.0.2.2", "192.0.2.3"]}}))
    (told,) = node.said
    assert told.startswith("Warning DNSConfigForming: Nameserver limits were exceeded")
    assert (node.tools.paths.etc(UID) / "resolv.conf").exists()


def test_a_pod_with_users_of_its_own_has_the_maps_that_it_was_given(node: Node) -> None:
    cast(Any, node.tools).ids.take = lambda uid: {"uidMappings": [uid]}
    node.start(pod(spec={"hostUsers": False}))
    assert node.wanted["uidMappings"] == [UID]
    node.start(pod(spec={"hostUsers": True}))
    assert "uidMappings" not in node.wanted


def test_without_a_range_for_its_users_a_pod_is_not_begun(node: Node) -> None:
    def refuse(_uid: str) -> Any:
        raise BadRange("no range is left")

    cast(Any, node.tools).ids.take = refuse
    with pytest.raises(BadConfiguration, match="create user namespace: no range is left"):
        node.start(pod(spec={"hostUsers": False}))
    assert node.done == []


def test_a_sandbox_goes_with_its_connection_and_its_volumes(node: Node) -> None:
    asyncio.run(sandboxes.tear_down(node.tools, UID))
    gone = [f"remove {UID}", f"disconnect {UID}", "place", f"volumes of {UID}"]
    assert node.done == [*gone, "release", f"claims of {UID}"]
