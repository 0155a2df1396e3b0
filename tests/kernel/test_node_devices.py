"""Devices on a real node: a plugin and a driver of the test's own over real sockets; what their
containers see, and what becomes of it when plugins and the agent die."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from node_cluster import SLEEP, Cluster, Session, ended, hears, needs_root, runs
from test_node_agent import is_ready
from test_node_claims import until

from device_plugin import DevicePlugin, device
from dra_driver import PREPARE, UNPREPARE, DRADriver
from steersman.client.grpc import connect_unix
from steersman.model.kinds.deviceclass import DEVICECLASS
from steersman.model.kinds.node import NODE
from steersman.model.kinds.pod import Pod
from steersman.model.kinds.resourceclaim import RESOURCECLAIM
from steersman.model.kinds.resourceslice import RESOURCESLICE
from steersman.wire.rpc import device_plugin as api
from steersman.wire.rpc import dra, pod_resources
from steersman.world.real import RealWorld

pytestmark = needs_root

NAME = "example.com/thing"
DRIVER = "gpu.test.example"
CDI = Path("/var/run/cdi")


def device_plugins(cluster: Cluster) -> Path:
    return cluster.data / "node" / "device-plugins"


def wanting(count: int) -> dict[str, Any]:
    return {"resources": {"limits": {NAME: str(count)}}}


async def offered(session: Session, capacity: str, allocatable: str, name: str = NAME) -> None:
    """Waits until the Node says so."""

    def good(nodes: list[Any]) -> bool | None:
        found = [(it.status.capacity.get(name), it.status.allocatable.get(name)) for it in nodes]
        return found == [(capacity, allocatable)] or None

    await until(session, NODE, good)


@pytest.fixture
def things() -> Iterator[Path]:
    """Two device nodes, each the same as /dev/full under another name, where users of pods can
    reach them too."""
    directory = Path(f"/dev/steersman-test-{os.getpid()}")
    directory.mkdir(mode=0o755)
    for name in ("t1", "t2"):
        os.mknod(directory / name, 0o666 | 0o020000, os.makedev(1, 7))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A file that devices come with."""
    file = tmp_path / "library"
    file.write_text("of the plugin\n")
    return file


def plugin_of(cluster: Cluster, things: Path, library: Path) -> DevicePlugin:
    """A plugin of two things, which shows each under its name, and its library."""
    plugin = DevicePlugin(NAME, device_plugins(cluster), device("t1"), device("t2", 0))
    plugin.answer = lambda names: api.Allocated(
        {"THINGS": " ".join(names), "MINE": "of the plugin"},
        (api.Mount("/opt/library", str(library), True),),
        tuple(api.DeviceSpec(f"/dev/{it}", str(things / it), "rw") for it in names),
        {"example.com/thing": "given"},
    )
    return plugin


SHOW = 'echo "$THINGS/$MINE"; cat /opt/library; echo x > /dev/t1 || echo full; '
SHOW += "echo x > /opt/library || echo readonly; "


def test_a_pod_has_its_devices_over_the_death_of_plugin_and_agent(
    cluster: Cluster, things: Path, library: Path
) -> None:
    async def scenario(session: Session) -> None:
        door = device_plugins(cluster) / "kubelet.sock"
        plugin = plugin_of(cluster, things, library)
        env = [{"name": "MINE", "value": "of the pod"}]
        async with plugin.presented(door):
            await offered(session, "2", "2")
            script = f"{SHOW}trap 'exit 3' TERM; touch /shown; while true; do sleep 0.1; done"
            shows = {"exec": {"command": ["test", "-e", "/shown"]}, "periodSeconds": 1}
            await session.create(
                "has",
                script=script,
                env=env,
                readinessProbe=shows,
                **wanting(1),
                spec={"restartPolicy": "OnFailure"},
            )
            pod = await session.until("has", is_ready)
            assert plugin.allocated() == [("t1",)]
            health = [{"name": NAME, "resources": [{"resourceID": "t1", "health": "Healthy"}]}]
            assert await told(session, "has") == health
            assert await listed(cluster) == {"has": [(NAME, ("t1",))]}
            # One that comes past the scheduler and asks for more than is left
            await session.create(
                "greedy", script=SLEEP, **wanting(2), spec={"nodeName": await node(session)}
            )
            greedy = await session.until("greedy", ended)
            assert (greedy.status.reason, greedy.status.message) == (
                "UnexpectedAdmissionError",
                "Pod was rejected: Allocate failed due to requested number of devices unavailable "
                f"for {NAME}. Requested: 2, Available: 1, which is unexpected",
            )
        await offered(session, "2", "0")
        os.kill(cluster.agent(), signal.SIGKILL)
        await offered(session, "0", "0")
        # The plugin is not back, and the next run has the device all the same
        process = cluster.process(pod)
        signal.pidfd_send_signal(process, signal.SIGTERM)
        os.close(process)
        await session.until("has", lambda it: is_ready(it) and restarts(it) == 1)
        shown = "t1/of the pod\nof the plugin\nfull\nreadonly\n"
        for attempt in (0, 1):
            log = [it for it in cluster.log(pod, attempt=attempt).splitlines() if "sh:" not in it]
            assert "\n".join(log) + "\n" == shown
        back = plugin_of(cluster, things, library)
        async with back.presented(door):
            await offered(session, "2", "2")
            assert back.allocated() == []
            await session.delete("has", grace=1)
            await session.delete("greedy")
            # With users of its own: the nodes cannot be made, so those of the machine are shown
            script = "for it in t1 t2; do echo x > /dev/$it || echo full; done"
            spec = {"hostUsers": False, "restartPolicy": "Never"}
            pod = await session.create("next", script=script, **wanting(2), spec=spec)
            await session.until("next", ended)
            assert back.allocated() == [("t1", "t2")]
            assert [it for it in cluster.log(pod).splitlines() if "sh:" not in it] == ["full"] * 2
            await session.delete("next")
        await offered(session, "2", "0")

    cluster.run(scenario)


async def told(session: Session, name: str) -> Any:
    """How the devices of a pod's container are."""
    found = await session.client.read(f"/api/v1/namespaces/default/pods/{name}")
    return found["status"]["containerStatuses"][0].get("allocatedResourcesStatus")


def restarts(pod: Pod) -> int:
    return pod.status.container_statuses[0].restart_count


async def listed(cluster: Cluster) -> dict[str, list[tuple[str, tuple[str, ...]]]]:
    """What PodResources tells of the first container of each pod."""
    door = cluster.data / "node" / "pod-resources" / "kubelet.sock"
    async with await connect_unix(door, RealWorld(), 20) as channel:
        found = await channel.ask(pod_resources.LIST, pod_resources.Nothing(), 20)
    return {
        it.name: [(one.resource_name, one.device_ids) for one in it.containers[0].devices]
        for it in found.pod_resources
    }


async def node(session: Session) -> str:
    (found,) = (await session.client.list(NODE)).items
    return str(found.metadata.name)


# Dynamic resource allocation


@pytest.fixture
def cdi() -> Iterator[Callable[[str, dict[str, Any]], None]]:
    """Writes files where vendors do, and takes them away."""
    made: list[Path] = []
    had = CDI.is_dir()
    CDI.mkdir(exist_ok=True)

    def write(name: str, device: dict[str, Any]) -> None:
        path = CDI / f"steersman-test-{os.getpid()}-{name}.json"
        spec = {"cdiVersion": "0.7.0", "kind": f"{DRIVER}/card", "devices": [device]}
        path.write_bytes(msgspec.json.encode(spec))
        made.append(path)

    yield write
    for path in made:
        path.unlink()
    if not had:
        CDI.rmdir()


async def allocate_by(session: Session, name: str) -> None:
    """A class and a slice of a driver with one device, as it publishes them itself."""
    selector = {"cel": {"expression": f'device.driver == "{DRIVER}"'}}
    document = {"metadata": {"name": name}, "spec": {"selectors": [selector]}}
    await session.client.create(DEVICECLASS, document)
    spec = {
        "driver": DRIVER,
        "nodeName": await node(session),
        "pool": {"name": "here", "generation": 1, "resourceSliceCount": 1},
        "devices": [{"name": "card0"}],
    }
    await session.client.create(RESOURCESLICE, {"metadata": {"name": name}, "spec": spec})


async def claim(session: Session, name: str, of_class: str) -> None:
    request = {"name": "card", "exactly": {"deviceClassName": of_class}}
    document = {"metadata": {"name": name}, "spec": {"devices": {"requests": [request]}}}
    await session.client.create(RESOURCECLAIM, document, namespace="default")


@asynccontextmanager
async def driver(cluster: Cluster, session: Session) -> AsyncIterator[DRADriver]:
    """A driver that is registered, with a class, a slice and a claim `card`."""
    made = DRADriver(DRIVER, cluster.data.parent / "driver")
    async with made.on_node(cluster.data / "node" / "plugins_registry") as status:
        assert status.plugin_registered, status.error
        await allocate_by(session, "card")
        await claim(session, "card", "card")
        try:
            yield made
        finally:
            await session.client.delete(RESOURCECLAIM.ref("default", "card"))
            await session.client.delete(DEVICECLASS.ref("", "card"))
            with suppress(Exception):
                await session.client.delete(RESOURCESLICE.ref("", "card"))


USING = {
    "resources": {"claims": [{"name": "mine", "request": "card"}]},
    "spec": {
        "resourceClaims": [{"name": "mine", "resourceClaimName": "card"}],
        "restartPolicy": "Never",
    },
}


@pytest.mark.xdist_group("cdi")
def test_a_claim_is_made_ready_before_its_pod_and_taken_back_after_it(
    cluster: Cluster,
    things: Path,
    library: Path,
    cdi: Callable[[str, dict[str, Any]], None],
) -> None:
    async def scenario(session: Session) -> None:
        hook = library.with_name("hook")
        hook.write_text('#!/bin/sh\ncat > "$0.state"\n')
        hook.chmod(0o755)
        edits = {
            "env": ["CARD=zero"],
            "deviceNodes": [{"path": "/dev/card0", "hostPath": str(things / "t1")}],
            "mounts": [{"hostPath": str(library), "containerPath": "/opt/library"}],
            "hooks": [{"hookName": "createContainer", "path": str(hook)}],
            "additionalGids": [4711],
        }
        name = f"{DRIVER}/card=card0"
        async with driver(cluster, session) as gpu:
            gpu.devices = lambda _: (dra.Device(("card",), "here", "card0", (name,)),)
            gpu.errors["card"] = "it is being reset"
            pod = await session.create(
                "card",
                script='echo "$CARD"; cat /opt/library; echo x > /dev/card0 || echo full',
                **USING,
            )
            assert await hears(session, pod, "FailedPrepareDynamicResources") == (
                "Failed to prepare dynamic resources: prepare dynamic resources: "
                "NodePrepareResources failed for ResourceClaim card: it is being reset"
            )
            gpu.errors.clear()
            # Ready, and what the driver names is nowhere
            failed = await hears(session, pod, "Failed")
            assert failed.startswith(
                "Error: failed to create containerd container: CDI device injection failed: "
                f"unresolvable CDI devices {name}"
            )
            cdi("card", {"name": "card0", "containerEdits": edits})
            done = await session.until("card", ended)
            assert done.status.phase == "Succeeded"
            # The end of the pod is told only when the claim is taken back
            assert gpu.methods()[-1] == (UNPREPARE, ["card"])
            assert gpu.prepared == set()
            log = [it for it in cluster.log(pod).splitlines() if "sh:" not in it]
            assert log == ["zero", "of the plugin", "full"]
            state = msgspec.json.decode(Path(f"{hook}.state").read_bytes())
            assert (state["status"], state["bundle"][:1]) == ("creating", "/")
            await session.delete("card")

    cluster.run(scenario)


@pytest.mark.xdist_group("cdi")
def test_an_extended_resource_is_met_by_a_device_of_its_class(
    cluster: Cluster, cdi: Callable[[str, dict[str, Any]], None]
) -> None:
    async def scenario(session: Session) -> None:
        async with driver(cluster, session) as gpu:
            name = f"{DRIVER}/card=extended"
            gpu.devices = lambda _: (dra.Device((), "here", "card0", (name,)),)
            cdi("extended", {"name": "extended", "containerEdits": {"env": ["CARD=zero"]}})
            asked = {"deviceclass.resource.kubernetes.io/card": "1"}
            pod = await session.create(
                "extended",
                script='echo "$CARD"',
                resources={"limits": asked},
                spec={"restartPolicy": "Never"},
            )
            done = await session.until("extended", ended)
            assert done.status.phase == "Succeeded"
            assert cluster.log(pod).splitlines() == ["zero"]
            made = done.status.extended_resource_claim_status.resource_claim_name
            assert gpu.methods() == [(PREPARE, [made]), (UNPREPARE, [made])]
            await until(session, RESOURCECLAIM, lambda found: names_of(found) == ["card"] or None)
            await session.delete("extended")

    cluster.run(scenario)


def names_of(found: list[Any]) -> list[str]:
    return [it.metadata.name for it in found]


def test_a_claim_is_taken_back_after_the_agent_was_killed(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        async with driver(cluster, session) as gpu:
            await session.create("held", script=SLEEP, **USING)
            await session.until("held", runs)
            assert gpu.methods() == [(PREPARE, ["card"])]
            os.kill(cluster.agent(), signal.SIGKILL)
            await gpu.until(lambda: len(gpu.statuses) == 2)
            # What the driver offered is not offered any more until it says so anew
            await until(session, RESOURCESLICE, lambda found: found == [] or None)
            await session.delete("held", grace=1)
            assert gpu.methods() == [(PREPARE, ["card"]), (UNPREPARE, ["card"])]

    cluster.run(scenario)
