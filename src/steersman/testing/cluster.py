"""A cluster for a test: API server, controllers, scheduler and simulated nodes in a thread of the
test's own process, in virtual time, with nothing on disk but certificates and a kubeconfig.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from steersman.client import kubeconfig
from steersman.client.http import HTTPTransport
from steersman.cluster.server import ServerSettings, serve
from steersman.listen.certificates import ADMIN, Certificates, ensure
from steersman.testing.clock import VirtualClock
from steersman.testing.invariants.reading import read_state
from steersman.testing.invariants.state import Violation, check
from steersman.world.clock import Clock
from steersman.world.real import RealWorld
from steersman.world.virtual import VirtualLoop, VirtualWorld

SERVICES: Final = "10.96.0.0/16"
PODS: Final = "10.64.0.0/16"
START_SECONDS: Final = 60.0  # a machine with much else to do may be slow
END_SECONDS: Final = 20.0


class Cluster(NamedTuple):
    """A cluster that runs: where it is, how to reach it as its administrator, and its clock."""

    server: str
    kubeconfig: Path
    clock: VirtualClock

    def check(self) -> list[Violation]:
        """Returns the invariants that do not hold now; see `testing.invariants.state`."""

        async def read() -> list[Violation]:
            transport = HTTPTransport(kubeconfig.read(self.kubeconfig))
            try:
                return check((await read_state(transport)).state)
            finally:
                await transport.close()

        return asyncio.run(read())


@contextmanager
def running(
    directory: Path, *, nodes: int = 1, certificates: Path | None = None
) -> Iterator[Cluster]:
    """Runs a cluster for the time of a `with`. Certificates may be shared between clusters: they
    take longest to make."""
    own = certificates or directory / "certificates"
    files = ensure(own, (), RealWorld().wire_now())
    thread = _Thread(own, nodes)
    cluster = Cluster(f"https://127.0.0.1:{thread.port}", directory / "kubeconfig", thread.clock())
    try:
        _write(cluster, files)
        yield cluster
    finally:
        thread.end()


def _write(cluster: Cluster, files: Certificates) -> None:
    text = kubeconfig.write(
        name="steersman-test",
        server=cluster.server,
        authority=files.ca.read_bytes(),
        certificate=files.certificate(ADMIN.file).read_bytes(),
        key=files.key(ADMIN.file).read_bytes(),
    )
    cluster.kubeconfig.touch(mode=0o600)
    cluster.kubeconfig.write_text(text)


class _Thread:
    """The thread in which the cluster runs; `started` is raised what keeps it from starting."""

    def __init__(self, certificates: Path, nodes: int) -> None:
        self.port = _free_port()
        self._settings = ServerSettings(
            store_directory=None,
            certificates=certificates,
            socket=certificates / "unused",
            port=self.port,
            service_cidr=SERVICES,
            pod_cidr=PODS,
            simulated_nodes=nodes,
            node=False,
        )
        self._started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event, Clock]] = Future()
        self._thread = threading.Thread(target=self._run, name="steersman", daemon=True)
        self._thread.start()

    def clock(self) -> VirtualClock:
        """Waits until the cluster is ready and returns its clock."""
        loop, _, clock = self._started.result(START_SECONDS)
        return VirtualClock(clock, loop)

    def end(self) -> None:
        """Ends the cluster; raises RuntimeError where it does not end."""
        loop, stop, _ = self._started.result()
        loop.call_soon_threadsafe(stop.set)
        self._thread.join(END_SECONDS)
        if self._thread.is_alive():
            raise RuntimeError(f"the cluster has not ended after {END_SECONDS:.0f} s")

    def _run(self) -> None:
        wire = RealWorld()
        clock = Clock(wire.wire_now(), wire.monotonic, rate=1.0, keep=lambda *_: None)
        with asyncio.Runner(loop_factory=lambda: VirtualLoop(clock)) as runner:
            try:
                runner.run(self._serve(clock))
            except BaseException as error:
                if self._started.done():
                    raise
                self._started.set_exception(error)

    async def _serve(self, clock: Clock) -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()

        def report(news: dict[str, object]) -> None:
            if news["state"] == "ready":
                self._started.set_result((loop, stop, clock))

        from msgspec.structs import replace

        settings = replace(self._settings, clock=clock)
        await serve(settings, VirtualWorld(clock), report, stop)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
