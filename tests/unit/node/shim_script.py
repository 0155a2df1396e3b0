"""The node's agent and workers against a shim and an API that follow a script.

The shim speaks the runtime's protocol over its socket, as the real one does; nothing runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

from node_documents import UID, pod

from steersman.client.interface import Change, Deleted, Listing
from steersman.cluster.plugins import Plugins
from steersman.images.documents import (
    OCI_CONFIG,
    OCI_MANIFEST,
    Config,
    Descriptor,
    Manifest,
    RootFS,
    host_platform,
    render,
)
from steersman.images.http import StreamHttp
from steersman.images.pull import Puller
from steersman.images.references import parse
from steersman.images.store import Store
from steersman.model.errors import APIError
from steersman.model.kinds.pod import POD, Pod
from steersman.model.ref import Ref
from steersman.node import record
from steersman.node.credentials.certificates import PodCertificates
from steersman.node.credentials.providers import Providers
from steersman.node.credentials.records import PullRecords
from steersman.node.engine.own import OwnEngine
from steersman.node.id_ranges import IDS_PER_POD, IdRanges
from steersman.node.machine import Facts
from steersman.node.objects import FollowedObjects
from steersman.node.observed import Observed
from steersman.node.paths import Paths
from steersman.node.register import Place
from steersman.node.render.downward import Machine
from steersman.node.render.resolution import Resolution
from steersman.node.tools import Tools
from steersman.node.volumes.claims import Claims
from steersman.node.volumes.mounting import Volumes
from steersman.node.volumes.tokens import Tokens
from steersman.node.warm import WarmParent
from steersman.node.worker import Worker
from steersman.reconcile.events import Recorder, Said
from steersman.runtime import protocol
from steersman.runtime.engine import Engine
from steersman.world.interface import Tasks
from steersman.world.real import RealWorld

SECONDS = 20.0
Answer = dict[str, Any]
Verb = Callable[[dict[str, Any]], Answer]
RUNNING = {"status": "running", "pid": 9, "exit": None, "started_at": 50}


def refuse(kind: str, message: str = "not now") -> Answer:
    """Returns the answer that refuses a request."""
    return {"error": {"kind": kind, "message": message}}


def container(name: str, **fields: Any) -> Answer:
    """Returns one container as a shim tells it."""
    times = {"created_at": 1, "started_at": 0, "finished_at": 0}
    rest = {"exit": None, "reason": "", "log_lost_bytes": 0}
    return {"id": name, "status": "created", "pid": 9, **times, **rest, **fields}


def ended(code: int = 0, started_at: int = 50) -> Answer:
    """Returns the end of a run."""
    times = {"started_at": started_at, "finished_at": started_at + 1}
    return {"code": code, "signal": 0, "oom_killed": False, **times}


class Listener:
    """Answers requests on a socket by verb; what no verb is given for is answered with nothing."""

    def __init__(self) -> None:
        self.verbs: dict[str, Verb] = {}
        self.asked: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self._writers: list[asyncio.StreamWriter] = []
        self._open: dict[str, tuple[int, asyncio.StreamWriter]] = {}
        self._server: asyncio.Server

    @contextlib.asynccontextmanager
    async def listening(self, path: Path) -> AsyncIterator[None]:
        """Listens for as long as it is entered."""
        path.parent.mkdir(parents=True, exist_ok=True)
        place = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
        # The path of a test is longer than a socket's may be
        name = f"/proc/self/fd/{place}/{path.name}"
        self._server = await asyncio.start_unix_server(self._serve, name)
        os.close(place)
        try:
            yield
        finally:
            self.die()

    async def until(self, verb: str, container: str = "") -> None:
        """Waits until something has been asked."""
        while await self.asked.get() != (verb, container):
            continue

    def tell(self, event: Answer) -> None:
        """Sends an event to everybody."""
        for writer in self._writers:
            writer.write(protocol.encode({"event": {"pod": UID, **event}}))

    def answer(self, verb: str, said: Answer) -> None:
        """Answers the last request of a verb that was left open."""
        number, writer = self._open.pop(verb)
        writer.write(protocol.encode({"id": number, **said}))

    def die(self) -> None:
        """Breaks every connection off and takes no more, as a process that dies."""
        self._server.close()
        for writer in self._writers:
            writer.close()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        decoder = protocol.Decoder()
        while data := await reader.read(protocol.READ_BYTES):
            for message in decoder.feed(data):
                request = message.document
                self.asked.put_nowait((request["verb"], request.get("container", "")))
                said = self.verbs.get(request["verb"], lambda _: {"result": {}})(request)
                self._open[request["verb"]] = request["id"], writer
                if said:  # else it stays open
                    self.answer(request["verb"], said)


class API:
    """The part of a client that a worker needs: statuses and deletions, as they come."""

    identity = "system:node:vm"

    def __init__(self, *pods: Pod) -> None:
        self.pods = list(pods)
        self.statuses: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.refuses: list[APIError] = []
        self.objects: list[Any] = []  # what is there beside the pods, of one kind
        self.deleted: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.changes: asyncio.Queue[Change] = asyncio.Queue()

    async def list(self, kind: Any, namespace: str = "", **selectors: str) -> Listing:
        """Returns the pods, or what else there is."""
        return Listing(tuple(self.pods if kind is POD else self.objects), 1)

    async def watch(
        self, kind: Any, namespace: str = "", **selectors: Any
    ) -> AsyncIterator[tuple[Change, ...]]:
        """Yields what the test puts into `changes`."""
        while True:
            yield (await self.changes.get(),)

    async def patch(self, ref: Ref, patch: Any, **how: Any) -> Pod:
        """Takes a status, or refuses it."""
        if self.refuses:
            raise self.refuses.pop(0)
        self.statuses.put_nowait(patch["status"])
        return self.pods[0]

    async def delete(self, ref: Ref, **how: Any) -> Deleted:
        """Takes the end of a pod."""
        self.deleted.put_nowait(how)
        return Deleted(None, 9)

    async def until(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Waits for a status of which something holds."""
        while True:
            status = await self.statuses.get()
            if holds(status):
                return status


class Events(Recorder):
    """Notes what is said."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self._came = asyncio.Event()

    def say(self, said: Said) -> None:
        """Notes an event."""
        self.told.append(f"{said.type} {said.reason}: {said.note}")
        self._came.set()

    async def until(self, part: str) -> None:
        """Waits until an event has a text in it; what goes on beside it may be told in between."""
        while not any(part in one for one in self.told):
            self._came.clear()
            await self._came.wait()


class Network:
    """Connects nothing."""

    def __init__(self) -> None:
        self.deleted: asyncio.Queue[str] = asyncio.Queue()

    async def add(self, pod: str, namespace: Path, ports: Any = ()) -> list[str]:
        """Returns one address for all."""
        return ["10.0.0.5"]

    async def delete(self, pod: str) -> None:
        """Notes that a pod is disconnected."""
        self.deleted.put_nowait(pod)

    def restore(self, pod: str, addresses: Any, ports: Any = ()) -> None:
        """Knows no addresses."""


class Stage:
    """One pod, its shim, the warm parent and the API around a node under test."""

    def __init__(self, root: Path, given: Pod | None = None) -> None:
        self.pod = given or pod(spec={"restartPolicy": "Never"}, command=["true"])
        self.paths = Paths(root / "node")
        self.shim, self.warm = Listener(), Listener()
        self.warm.verbs["ping"] = lambda _: {"result": {"pid": 1}}
        self.api = API(self.pod)
        self.network = Network()
        self.events = Events()
        self.engine: Engine

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[tuple[Tools, Tasks]]:
        """Opens the sockets and gives the means of the node, and a group for its tasks."""
        run = self.paths.runtime / "pods" / UID
        world = RealWorld()
        with tempfile.TemporaryDirectory() as short:
            warm = Path(short, "warm.sock")
            async with (
                asyncio.timeout(SECONDS),
                self.warm.listening(warm),
                self.shim.listening(run / "shim.sock"),
                world.tasks() as tasks,
            ):
                self.engine = Engine(str(warm), str(self.paths.runtime))
                yield self._tools(world, tasks, warm), tasks
                tasks.stop()
                await self.engine.close()

    def _tools(self, world: RealWorld, tasks: Tasks, warm: Path) -> Tools:
        client = cast(Any, self.api)
        machine, tokens = Machine({}), Tokens(client, world)
        return Tools(
            client=client,
            world=world,
            engine=OwnEngine(
                self.engine,
                WarmParent(warm, self.paths.runtime),
                self.network,
                "/steersman-test",
                "cluster.local",
                world,
            ),
            images=Puller(self._images(), StreamHttp()),
            pulls=PullRecords(self.paths.pulls, world.uid),
            providers=Providers((), self.paths.root, client, tokens, world),
            paths=self.paths,
            volumes=Volumes(
                self.paths,
                tokens,
                Claims(client),
                PodCertificates(client, world, tasks, "vm"),
                machine,
                world,
                Plugins(client, tokens, self.paths.root, "vm", world, tasks),
                node="vm",
            ),
            ids=IdRanges(self.paths, IDS_PER_POD, 2),
            objects=FollowedObjects(client, world, tasks),
            events=self.events,
            place=Place("vm", "10.0.0.1", 10250, "0"),
            facts=Facts(2, 1 << 30, 1 << 40, "m", "s", "b", "6", "Linux", "amd64"),
            machine=machine,
            resolution=Resolution("10.96.0.10", "cluster.local", ""),
            services=tuple,
        )

    def _images(self) -> Store:
        """Returns a store with the image of the pod, which has no layers."""
        store = Store(self.paths.root / "images")
        here = host_platform()
        config = render(Config(here.architecture, here.os, RootFS("layers", ())))
        told = Descriptor(OCI_CONFIG, store.blobs.add(config), len(config))
        store.add_image(Manifest(2, told, (), OCI_MANIFEST), parse("busybox:1"))
        return store

    def tells(self, *containers: Answer) -> None:
        """Sets what the shim says of its pod."""
        document = {"pod": UID, "pid": 7, "netns": "", "shm": "", "containers": list(containers)}
        self.shim.verbs["pod"] = lambda _: {"result": document}

    def runs(self, started_at: int = 50) -> None:
        """Lets the shim make and start whatever it is asked to."""
        self._runs(self.shim, started_at)

    def _runs(self, listener: Listener, started_at: int) -> None:
        states = {"create": {}, "start": {**RUNNING, "started_at": started_at}}
        for verb, state in states.items():
            listener.verbs[verb] = lambda request, state=state: {
                "result": container(request["container"], **state)
            }

    def makes_sandboxes(self) -> None:
        """Lets the warm parent fork shims that make and start whatever they are asked to."""
        document = {"pod": UID, "pid": 7, "netns": "", "shm": "", "containers": []}
        self.warm.verbs["sandbox"] = lambda _: {"result": document}
        self._runs(self.warm, 50)

    def hosts(self) -> None:
        """Writes the file of the sandbox that a start reads."""
        directory = self.paths.etc(UID)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "hostname").write_text("web\n")

    def left(self, seen: Observed) -> None:
        """Leaves the record of an agent before."""
        record.save(self.paths, seen)


def has_ended(status: dict[str, Any]) -> bool:
    """Whether a status says that its pod has ended."""
    return bool(status["phase"] in ("Succeeded", "Failed"))


def is_up(status: dict[str, Any]) -> bool:
    """Whether a status says that its pod runs."""
    return bool(status["phase"] == "Running")


def state_of(status: dict[str, Any]) -> dict[str, Any]:
    """Returns the state of the first container."""
    state: dict[str, Any] = status["containerStatuses"][0]["state"]
    return state


async def begin(
    stage: Stage,
    tools: Any,
    tasks: Any,
    seen: Observed,
    over: Callable[[str], None] = lambda _: None,
) -> Worker:
    """Starts a worker for the pod of a stage."""
    await stage.engine.connect()
    made = Worker(tools, stage.pod, seen, over)
    made.hear(stage.pod)
    tasks.start(made.run(), name="worker")
    return made
