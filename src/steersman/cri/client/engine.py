"""A runtime of others as the agent's engine: sandboxes and containers over the CRI, as the kubelet
has them. Control groups of pods are the agent's own, as they are the kubelet's.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final

import orjson

from steersman.cri.client.calls import Calls, Unimplemented
from steersman.cri.client.container_config import render_container
from steersman.cri.client.following import Following
from steersman.cri.client.groups import Groups
from steersman.cri.client.known import (
    Known,
    Listing,
    Place,
    Run,
    exit_of,
    sandbox_state,
    state_of,
)
from steersman.cri.client.listing import list_all
from steersman.cri.client.naming import CLUSTER, POD_UID
from steersman.cri.client.reading import read_stats
from steersman.cri.client.removal import remove_all
from steersman.cri.client.resources import render_resources
from steersman.cri.client.sandbox_config import Surroundings, render_sandbox
from steersman.cri.client.status import read_features
from steersman.cri.client.streams import ProxiedStreaming
from steersman.cri.client.subpaths import SubPaths
from steersman.cri.messages import containers as c
from steersman.cri.messages import runtime as r
from steersman.cri.messages import sandboxes as s
from steersman.cri.messages import stats as st
from steersman.cri.messages.values import ImageSpec, UInt64Value
from steersman.model.kind import Document
from steersman.model.kinds.pod import Pod
from steersman.node.engine.interface import Features, Handler, Order
from steersman.node.measure.measuring import Told
from steersman.node.objects import BadConfiguration
from steersman.node.observed import Sandbox, engine_name
from steersman.node.paths import Paths
from steersman.runtime.engine import (
    ContainerState,
    EngineError,
    Event,
    ExitStatus,
    SandboxState,
)
from steersman.world.interface import World

SANDBOX_SECONDS: Final = 240.0  # kubelet's twice its runtimeRequestTimeout, for RunPodSandbox
# For a runtime that begins anew when it has begun a run, which takes some seconds
BEGAN_TRIES: Final = 15
BEGAN_SECONDS: Final = 1.0
NO_LIMIT: Final = 1 << 62
MAX_OUTPUT_BYTES: Final = 10 * 1024  # kubelet's probe maxReadLength
# What gRPC, containerd and CRI-O say of a command that has taken too long
_LATE: Final = ("DeadlineExceeded", "deadline exceeded", "timed out")


class CRIEngine:
    """See `node.engine.interface.Engine`.

    around: what every sandbox has; its cluster is whose they are
    users:  gives the maps of a pod with users of its own
    """

    def __init__(
        self,
        calls: Calls,
        around: Surroundings,
        paths: Paths,
        users: Callable[[str], Document],
        groups: Groups,
        world: World,
    ) -> None:
        self._calls = calls
        self._around = around
        self._paths = paths
        self._users = users
        self._groups = groups
        self._world = world
        self._known = Known()
        self._subpaths = SubPaths(paths)
        self._following = Following(calls, self._known, self.list_all, world)
        self._features: Features | None = None
        self.streaming = ProxiedStreaming(calls, self._known, world)

    @property
    def features(self) -> Features:
        """What the runtime says that it is; known once it is prepared."""
        assert self._features is not None
        return self._features

    async def prepare(self) -> None:
        """Asks who the runtime is and what it can do; raises EngineError where it does not answer,
        or cannot be used."""
        self._features = await read_features(self._calls)

    def events(self) -> AsyncIterator[Event]:
        """Yields what `follow` finds."""
        return self._following.events()

    async def follow(self) -> None:
        """Follows what happens, for ever."""
        await self._following.run()

    async def connect(self) -> list[SandboxState]:
        """Takes up the cluster's own sandboxes and their runs."""
        found = await self.pods()
        self._following.look()
        return found

    async def pods(self) -> list[SandboxState]:
        """Lists sandboxes and runs, with the end of those that have ended."""
        listing = await self.list_all()
        runs, found = listing.runs(), []
        for uid, sandbox in listing.newest().items():
            states = []
            for (of, name), run in runs.items():
                if of == uid and (status := await self._look_up(run.id)) is not None:
                    states.append(state_of(name, status))
                    self._note((uid, name), run.id, status)
            found.append(sandbox_state(uid, sandbox, states))
            if not found[-1].lost:
                self._known.sandboxes[uid] = sandbox.id
                self._following.begin()
        return found

    async def _look_up(self, id: str) -> c.ContainerStatus | None:
        """Returns how a run that was listed is, None where it has gone since."""
        try:
            return await self._status(id)
        except EngineError as error:
            if error.kind != "not-found":
                raise
        return None

    def _note(self, place: Place, id: str, status: c.ContainerStatus) -> None:
        """Takes up a run; the end of one that was known before is told to whoever hears events."""
        is_new = place not in self._known.runs
        if is_new:
            self._known.runs[place] = Run(id, status.log_path, status.started_at)
        if status.state == c.EXITED and is_new:
            self._known.ended(place, exit_of(status))
        elif status.state == c.EXITED:
            self._following.tell_exit(place, exit_of(status))

    async def list_all(self) -> Listing:
        """Lists what is the cluster's; raises EngineError."""
        return await list_all(self._calls, {CLUSTER: self._around.cluster})

    async def close(self) -> None:
        """Ends the connection."""
        self._calls.close()

    # Sandboxes

    async def start_sandbox(
        self, pod: Pod, handler: str, resources: Document, ids: Document
    ) -> Sandbox:
        """Makes a sandbox in the pod's own control group; the runtime connects it (CNI)."""
        uid = pod.metadata.uid
        await self.remove_sandbox(uid)
        await asyncio.to_thread(self._groups.make, pod, resources)
        logs = self._paths.pod_logs(pod.metadata.namespace, pod.metadata.name, uid)
        await asyncio.to_thread(lambda: logs.mkdir(mode=0o755, parents=True, exist_ok=True))
        config = render_sandbox(pod, self._around, logs, resources, ids)
        asked = s.RunPodSandboxRequest(config, handler)
        try:
            made = await self._calls.runtime(
                "RunPodSandbox", asked, s.RunPodSandboxResponse, SANDBOX_SECONDS
            )
            found = await self._sandbox(made.pod_sandbox_id, host=pod.spec.host_network)
        except BaseException:
            with contextlib.suppress(EngineError):  # the next try removes it
                await self.remove_sandbox(uid)
            raise
        self._known.sandboxes[uid] = made.pod_sandbox_id
        self._following.begin()
        return found

    async def _sandbox(self, id: str, *, host: bool) -> Sandbox:
        asked = s.PodSandboxStatusRequest(id, verbose=True)
        answer = await self._calls.runtime("PodSandboxStatus", asked, r.PodSandboxStatusResponse)
        addresses: tuple[str, ...] = ()
        status = answer.status
        if status is not None and status.state == s.NOT_READY:
            raise EngineError("lost", f"sandbox {id} has ended as soon as it was made")
        if not host and status is not None and status.network is not None:
            network = status.network
            addresses = (network.ip, *(it.ip for it in network.additional_ips))
        return Sandbox(_pid(answer.info), "", tuple(it for it in addresses if it))

    def restore(self, pod: str, sandbox: Sandbox) -> None:
        """Notes the pod's control group; addresses are the runtime's to give."""
        self._groups.note(pod, sandbox.group)

    async def remove_sandbox(self, pod: str) -> None:
        """Stops and removes every sandbox of a pod, and its control group."""
        self._known.forget(pod)
        await remove_all(self._calls, {CLUSTER: self._around.cluster, POD_UID: pod})
        await asyncio.to_thread(self._clear, pod)

    def _clear(self, pod: str) -> None:
        self._subpaths.release(pod)
        self._groups.remove(pod)

    # Containers

    async def create(self, order: Order) -> None:
        """Has the runtime make a container."""
        pod, container = order.pod, order.container
        uid, name = pod.metadata.uid, engine_name(container.name, order.attempt)
        sandbox = self._known.sandbox(uid)
        ids = self._users(uid) if pod.spec.host_users is False else {}
        target = self._target(order) if container.target_container_name else ""
        images = await asyncio.to_thread(self._images, order)
        paths = await asyncio.to_thread(self._subpaths.prepare, order, images)
        handler = self.features.handlers.get("", Handler())
        seccomp = str(self._paths.seccomp)
        config = render_container(
            order, self._around.cluster, handler, ids, paths, images, target, seccomp
        )
        logs = self._paths.pod_logs(pod.metadata.namespace, pod.metadata.name, uid)
        around = render_sandbox(pod, self._around, logs, {}, ids)
        asked = c.CreateContainerRequest(sandbox, config, around)
        made = await self._calls.runtime("CreateContainer", asked, c.CreateContainerResponse)
        self._known.runs[uid, name] = Run(made.container_id, str(order.ground.log))

    def _images(self, order: Order) -> dict[str, ImageSpec]:
        """Returns the images that the container mounts, by the volume."""
        named = {it.name for it in order.container.volume_mounts}
        found = {}
        for volume in order.pod.spec.volumes:
            if volume.image is None or volume.name not in named:
                continue
            if not self.features.image_volumes:
                text = "image volumes are not supported by the container runtime"
                raise BadConfiguration(f"{text} {self.features.name} {self.features.version}")
            digest = order.ground.volumes[volume.name].read_text()
            found[volume.name] = ImageSpec(digest, user_specified_image=volume.image.reference)
        return found

    def _target(self, order: Order) -> str:
        """Returns the container among whose processes a run is put (kubectl debug --target)."""
        name = order.container.target_container_name
        run = order.seen.of(name).run
        if run is None or run.state != "running":
            raise EngineError("failed", f"target container {name} does not run")
        return self._known.run(order.seen.uid, engine_name(name, run.attempt)).id

    async def start(self, pod: str, container: str) -> ContainerState:
        """Has the runtime start a container."""
        run = self._known.run(pod, container)
        asked = c.StartContainerRequest(run.id)
        await self._calls.runtime("StartContainer", asked, c.StartContainerResponse)
        status = await self._began(run.id)
        run.started_at = status.started_at
        return state_of(container, status)

    async def _began(self, id: str) -> c.ContainerStatus:
        """Returns how a run is that has been begun. A runtime that begins anew meanwhile is
        waited for: what was begun goes on, and is not to be begun twice."""
        for _ in range(BEGAN_TRIES):
            try:
                return await self._status(id)
            except EngineError as error:
                if error.kind != "unavailable":
                    raise
            await self._world.sleep(BEGAN_SECONDS)
        return await self._status(id)

    async def _status(self, id: str) -> c.ContainerStatus:
        asked = c.ContainerStatusRequest(id)
        answer = await self._calls.runtime("ContainerStatus", asked, c.ContainerStatusResponse)
        return answer.status or c.ContainerStatus(id)

    async def stop(self, pod: str, container: str, signal: int, seconds: float) -> ExitStatus:
        """Has the runtime stop a container, by the signal that it or its image names."""
        del signal  # the runtime was told with the container
        run = self._known.run(pod, container)
        whole = math.ceil(seconds)
        asked = c.StopContainerRequest(run.id, whole)
        await self._calls.runtime(
            "StopContainer", asked, c.StopContainerResponse, whole + SANDBOX_SECONDS / 2
        )
        status = await self._status(run.id)
        if status.state == c.EXITED:
            self._known.ended((pod, container), exit_of(status))
        return run.exit or await self._known.wait(pod, container)

    async def kill(self, pod: str, container: str) -> None:
        """Has the runtime kill a container."""
        asked = c.StopContainerRequest(self._known.run(pod, container).id, 0)
        await self._calls.runtime("StopContainer", asked, c.StopContainerResponse)

    async def wait(self, pod: str, container: str) -> ExitStatus:
        """Waits for a container."""
        return await self._known.wait(pod, container)

    async def delete(self, pod: str, container: str, *, force: bool = False) -> None:
        """Has the runtime remove a container, found by its labels where a call that began it was
        never answered."""
        del force  # the CRI always does so
        run = self._known.runs.get((pod, container))
        ids = [run.id] if run is not None else await self._find(pod, container)
        for id in ids:
            asked = c.RemoveContainerRequest(id)
            await self._calls.runtime("RemoveContainer", asked, c.RemoveContainerResponse)
        self._known.forget_run((pod, container))
        await asyncio.to_thread(self._subpaths.release, pod, container)

    async def _find(self, pod: str, container: str) -> list[str]:
        listing = await list_all(self._calls, {CLUSTER: self._around.cluster, POD_UID: pod})
        found = listing.runs().get((pod, container))
        return [] if found is None else [found.id]

    async def run(
        self, pod: str, container: str, command: Sequence[str], seconds: float | None
    ) -> tuple[int, bytes]:
        """Has the runtime run a command in a container (ExecSync)."""
        run = self._known.run(pod, container)
        asked = c.ExecSyncRequest(run.id, tuple(command), math.ceil(seconds or 0))
        try:
            async with self._world.timeout(seconds):
                answer = await self._calls.runtime("ExecSync", asked, c.ExecSyncResponse, None)
        except EngineError as error:
            if seconds is not None and is_late(error):
                raise TimeoutError from error
            raise
        return answer.exit_code, (answer.stdout + answer.stderr)[:MAX_OUTPUT_BYTES]

    async def update(self, pod: str, container: str, resources: Mapping[str, Any]) -> None:
        """Has the runtime change the limits of a container; those of a pod are changed here."""
        if not container:
            await asyncio.to_thread(self._groups.limit, pod, resources)
            await self._tell_resources(pod, resources)
            return
        run = self._known.run(pod, container)
        asked = c.UpdateContainerResourcesRequest(run.id, render_resources(resources))
        await self._calls.runtime(
            "UpdateContainerResources", asked, c.UpdateContainerResourcesResponse
        )

    async def _tell_resources(self, pod: str, resources: Mapping[str, Any]) -> None:
        """Tells the runtime what a pod has now, for whoever asks it; many have no ear for that."""
        told = render_resources(resources)
        asked = s.UpdatePodSandboxResourcesRequest(self._known.sandbox(pod), resources=told)
        answer = s.UpdatePodSandboxResourcesResponse
        with contextlib.suppress(Unimplemented):
            await self._calls.runtime("UpdatePodSandboxResources", asked, answer)

    async def stats(self, pod: str, container: str) -> Mapping[str, int]:
        """Asks what a container uses; of limits the CRI does not tell."""
        asked = st.ContainerStatsRequest(self._known.run(pod, container).id)
        answer = await self._calls.runtime("ContainerStats", asked, st.ContainerStatsResponse)
        memory = answer.stats.memory if answer.stats is not None else None
        used = memory.usage_bytes if memory is not None else None
        used = used or (memory.working_set_bytes if memory is not None else None) or UInt64Value()
        return {"memory_usage_bytes": used.value, "memory_limit_bytes": NO_LIMIT}

    async def ask_all(self) -> Mapping[Place, Told]:
        """Asks what the containers of the cluster use that run."""
        wanted = st.ContainerStatsFilter(label_selector={CLUSTER: self._around.cluster})
        asked = st.ListContainerStatsRequest(wanted)
        answer = await self._calls.runtime(
            "ListContainerStats", asked, st.ListContainerStatsResponse
        )
        places = {run.id: place for place, run in self._known.runs.items()}
        told = ((it, places.get(it.attributes.id if it.attributes else "")) for it in answer.stats)
        return {place: read_stats(it) for it, place in told if place is not None}

    def logs(self) -> list[tuple[Place, str]]:
        """Returns the runs that go on with the paths of their logs."""
        runs = ((place, run) for place, run in self._known.runs.items() if run.exit is None)
        return [(place, run.log) for place, run in runs if run.started_at and run.log]

    async def reopen_log(self, pod: str, container: str) -> None:
        """Has the runtime write to a new file at the path of the log."""
        asked = c.ReopenContainerLogRequest(self._known.run(pod, container).id)
        await self._calls.runtime("ReopenContainerLog", asked, c.ReopenContainerLogResponse)

    def container_id(self, pod: str, container: str) -> str:
        """Returns the runtime's own id behind its name."""
        run = self._known.runs.get((pod, container))
        return "" if run is None else f"{self.features.name}://{run.id}"


def is_late(error: EngineError) -> bool:
    """Whether a runtime has given up a command for taking too long: one that is not there, as while
    it begins anew, says nothing of a container."""
    return any(it in str(error) for it in _LATE)


def _pid(info: Mapping[str, str]) -> int:
    """Returns the sandbox's process, of which containerd and CRI-O tell where they are asked for
    more than the interface has; 0 where they do not."""
    try:
        found = orjson.loads(info.get("info", "{}"))
    except orjson.JSONDecodeError:
        return 0
    pid = found.get("pid", 0) if isinstance(found, dict) else 0
    return pid if isinstance(pid, int) else 0
