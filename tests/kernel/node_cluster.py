"""A whole cluster with one real node for the kernel tests, and that nothing of it is left."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import streams_port
from process_ends import until_ended

from ports import free_port
from steersman.client import kubeconfig
from steersman.client.client import APIClient
from steersman.client.http import HTTPTransport
from steersman.images.building.build import Request, build
from steersman.images.references import parse
from steersman.images.store import Store
from steersman.model.kinds.event import EVENT
from steersman.model.kinds.pod import POD, Pod
from steersman.node.service_classes import group_of
from steersman.node.volumes import memory
from steersman.world.real import RealWorld

ROOT = Path(__file__).parent.parent.parent
BUSYBOX = "/usr/bin/busybox"
APPLETS = ["sh", "cat", "echo", "ls", "sleep", "touch", "test", "httpd", "grep", "nc", "nslookup"]
needs_root = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="making namespaces needs root"),
    pytest.mark.skipif(not os.path.exists(BUSYBOX), reason="busybox-static: not installed here"),
]
IMAGE = "node-test:1"
SECONDS = 120.0
# A shell that goes when it is asked to
SLEEP = "trap 'exit 0' TERM; while true; do sleep 0.1; done"


def build_image(images: Path) -> None:
    """Builds busybox under its names into an image store."""
    images.mkdir(mode=0o700, parents=True)
    with tempfile.TemporaryDirectory() as name:
        context = Path(name)
        context.chmod(0o755)
        (context / "bin").mkdir()
        (context / "etc").mkdir()
        shutil.copy(BUSYBOX, context / "bin" / "busybox")
        for applet in APPLETS:
            (context / "bin" / applet).symlink_to("busybox")
        (context / "etc" / "passwd").write_text("root:x:0:0::/root:/bin/sh\n")
        (context / "Containerfile").write_text("FROM scratch\nCOPY . /\nENV PATH=/bin\n")
        build(Store(images), Request(context, (parse(IMAGE),), time.time()))


class Cluster:
    """One cluster, from an empty directory."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.data = directory / "data"
        self._options = options
        self.kubeconfig = directory / "kubeconfig"
        self._supervisor: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it and waits until it is ready."""
        words = ["up", "--data-dir", str(self.data), "--kubeconfig", str(self.kubeconfig)]
        words += ["--port", str(free_port()), "-o", "json", *self._options]
        command = [sys.executable, "-P", "-m", "steersman", *words]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
        self._supervisor = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
        assert self._supervisor.stdout is not None
        assert json.loads(self._supervisor.stdout.readline())["processes"]["node"]

    def down(self, *options: str) -> str:
        """Ends it by `steer down`; returns what that said."""
        command = [sys.executable, "-P", "-m", "steersman", "down", "--data-dir", str(self.data)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
        done = subprocess.run(
            [*command, *options], env=environment, timeout=SECONDS, check=True, capture_output=True
        )
        self._ended()
        return done.stdout.decode()

    def stop(self) -> None:
        """Ends it."""
        assert self._supervisor is not None
        self._supervisor.send_signal(signal.SIGTERM)
        self._ended()

    def _ended(self) -> None:
        assert self._supervisor is not None
        assert self._supervisor.wait(SECONDS) == 0
        assert self._supervisor.stdout is not None
        self._supervisor.stdout.close()

    def kill(self) -> None:
        """Ends what a failed test may have left."""
        if self._supervisor is not None and self._supervisor.poll() is None:
            self._supervisor.send_signal(signal.SIGTERM)
            self._supervisor.wait(SECONDS)

    @property
    def id(self) -> str:
        """What everything on the machine bears."""
        found: str = json.loads((self.data / "cluster.json").read_text())["id"]
        return found

    def agent(self) -> int:
        """The process of the agent."""
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                named = (entry / "comm").read_text() == "steer-node\n"
                if named and str(self.data).encode() in words:
                    return int(entry.name)
        raise AssertionError("no agent runs")

    def log(self, pod: Pod, container: str = "app", attempt: int = 0) -> str:
        """What a run wrote."""
        meta = pod.metadata
        directory = f"{meta.namespace}_{meta.name}_{meta.uid}"
        path = self.data / "node" / "logs" / directory / container / f"{attempt}.log"
        lines = path.read_text().splitlines()
        return "".join(line.split(" ", 3)[3] + "\n" for line in lines)

    def limit(self, pod: Pod, name: str, container: str = "app.0") -> int:
        """What a file of a control group says, of version 1; of the pod's where none is named."""
        group = f"steersman-{self.id}/{group_of(pod)}/{container}"
        return int((Path("/sys/fs/cgroup") / name.split(".")[0] / group / name).read_text())

    def pid(self, pod: Pod) -> int:
        """The process of the pod's first run of `app`."""
        groups = Path("/sys/fs/cgroup").glob(f"**/pod{pod.metadata.uid}/app.0/cgroup.procs")
        return int(next(groups).read_text().split()[0])

    def process(self, pod: Pod) -> int:
        """A handle of that process; for `ended`."""
        return os.pidfd_open(self.pid(pod))

    def volume(self, pod: Pod, name: str) -> Path:
        """A volume of a pod on the node."""
        return self.data / "node" / "pods" / pod.metadata.uid / "volumes" / name

    def run(self, scenario: Callable[[Session], Coroutine[Any, Any, None]]) -> None:
        """Runs a test with a client."""

        async def run() -> None:
            client = APIClient(HTTPTransport(kubeconfig.read(self.kubeconfig)), RealWorld())
            try:
                async with asyncio.timeout(2 * SECONDS):
                    await scenario(Session(client))
            finally:
                await client.close()

        asyncio.run(run())

    @staticmethod
    async def ended(handle: int) -> None:
        """Waits until a process has ended."""
        await until_ended(handle, SECONDS)

    def leftovers(self, cluster: str) -> list[str]:
        """What is on the machine of this cluster."""
        found = [it for it in os.listdir("/sys/class/net") if cluster in it]
        # Other clusters' groups go while one looks, which `walk` takes
        walked = (it[0] for it in os.walk("/sys/fs/cgroup"))
        found += [it for it in walked if it.endswith(f"/steersman-{cluster}")]
        mounts = Path("/proc/self/mounts").read_text().splitlines()
        found += [line for line in mounts if str(self.data) in line]
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdecimal() and int(entry.name) != os.getpid():
                    words = (entry / "cmdline").read_bytes()
                    found += [words.decode()] if str(self.data).encode() in words else []
        return found


class Session:
    """A client with words for pods."""

    def __init__(self, client: APIClient) -> None:
        self.client = client

    async def create(self, name: str, **fields: Any) -> Pod:
        """Creates a pod with one container, `app`; `spec` goes to the pod."""
        spec = fields.pop("spec", {})
        metadata = {"name": name, "labels": fields.pop("labels", {})}
        if "script" in fields:
            fields["command"] = ["sh", "-c", fields.pop("script")]
        container = {"name": "app", "image": IMAGE, **fields}
        document = {"metadata": metadata, "spec": {"containers": [container], **spec}}
        made: Pod = await self.client.create(POD, document, namespace="default")
        return made

    async def until(self, name: str, good: Callable[[Pod], object]) -> Pod:
        """Waits until a pod is as wanted; returns it."""
        fields = f"metadata.name={name}"
        listing = await self.client.list(POD, "default", fields=fields)
        for found in listing.items:
            if good(found):
                return found  # type: ignore[no-any-return]
        last = listing.items
        try:
            async with asyncio.timeout(SECONDS):
                watching = self.client.watch(POD, "default", after=listing.revision, fields=fields)
                async for changes in watching:
                    for change in changes:
                        last = change.object or last
                        if change.type != "BOOKMARK" and good(change.object):
                            return change.object  # type: ignore[no-any-return]
        except TimeoutError:
            raise AssertionError(f"{name} did not come to be as wanted: {last}") from None
        raise AssertionError("the watch ended")

    async def delete(self, name: str, grace: int | None = None) -> None:
        """Deletes a pod and waits until it is gone."""
        ref = POD.ref("default", name)
        deleted = await self.client.delete(ref, grace_seconds=grace)
        if deleted.object is not None:
            await self._deleted(name, deleted.revision)

    async def gone(self, name: str) -> None:
        """Waits until there is no pod of a name."""
        listing = await self.client.list(POD, "default", fields=f"metadata.name={name}")
        if listing.items:
            await self._deleted(name, listing.revision)

    async def _deleted(self, name: str, after: int) -> None:
        fields = f"metadata.name={name}"
        async for changes in self.client.watch(POD, "default", after=after, fields=fields):
            if any(change.type == "DELETED" for change in changes):
                return


@contextlib.contextmanager
def clusters(*options: str) -> Iterator[Cluster]:
    """A cluster that is there for a while, with options of `steer up`."""
    directory = Path(tempfile.mkdtemp(prefix="steer-node-"))
    cluster = Cluster(directory, *options)
    try:
        build_image(cluster.data / "images")
        cluster.start()
        yield cluster
        cluster.stop()
        assert cluster.leftovers(cluster.id) == []
    finally:
        cluster.kill()
        memory.unmount_below(directory)  # whatever a failed test has left, lest it be emptied
        shutil.rmtree(directory)


def runs(pod: Pod) -> bool:
    """Says whether a pod runs."""
    return pod.status.phase == "Running"


def ended(pod: Pod) -> bool:
    """Says whether a pod has ended."""
    return pod.status.phase in ("Succeeded", "Failed")


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


async def talk(
    cluster: Cluster, pod: str, how: str, protocol: str, **params: Any
) -> streams_port.Talk:
    """Opens a stream into a pod through the API server."""
    transport = HTTPTransport(kubeconfig.read(cluster.kubeconfig))
    path = f"/api/v1/namespaces/default/pods/{pod}/{how}"
    return await streams_port.talk(transport, path, protocol, **params)
