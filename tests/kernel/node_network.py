"""Pods with sockets of the test inside their network, and what is asked of them over Services."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

from network_machine import Place
from node_cluster import SECONDS, Cluster, Session, runs

from steersman.model.kind import Document
from steersman.model.kinds.endpointslice import ENDPOINTSLICE
from steersman.model.kinds.pod import Pod
from steersman.model.kinds.service import SERVICE

OF_SERVICE = "kubernetes.io/service-name"
# Says which pod it is, at a port; httpd itself does not end when it is asked to
SERVES = "echo $HOSTNAME > /hostname; trap 'exit 0' TERM; httpd -f -p {} -h / & wait"
# Beginning a query anew takes longer than a rule takes to be applied
RETRY_SECONDS = 0.02


class Inside(Place):
    """The network of a pod, and commands of its image."""

    def __init__(self, pod: Pod, process: int) -> None:
        super().__init__(os.open(f"/proc/{process}/ns/net", os.O_RDONLY | os.O_CLOEXEC))
        self.pod = pod
        self.address = pod.status.pod_ip
        self._process = process

    def run(self, *words: str) -> str:
        """Runs a command with the files and the network of the first container."""
        entered = ("nsenter", "-t", str(self._process), "-m", "-n", *words)
        done = subprocess.run(entered, capture_output=True, text=True, timeout=SECONDS, check=False)
        return done.stdout + done.stderr

    def resolve(self, name: str) -> set[str]:
        """Returns the addresses that the C library finds for a name as the pod has it do."""
        # What another mount namespace has mounted cannot be mounted here: a copy can
        script = (
            "mount -t tmpfs tmpfs /mnt && "
            f"cat /proc/{self._process}/root/etc/resolv.conf > /mnt/resolv.conf && "
            f"mount --bind /mnt/resolv.conf /etc/resolv.conf && getent ahostsv4 {name}"
        )
        entered = ("nsenter", "-t", str(self._process), "-n", "unshare", "-m", "sh", "-c", script)
        done = subprocess.run(entered, capture_output=True, text=True, timeout=SECONDS, check=False)
        return {line.split()[0] for line in done.stdout.splitlines()}


class Network:
    """One namespace of a cluster with its pods and Services."""

    def __init__(self, cluster: Cluster, session: Session) -> None:
        self.cluster = cluster
        self.session = session
        self.client = session.client
        here = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self.node = Place(here)
        self._made: list[str] = []
        self._services: list[str] = []
        self._places: list[Place] = [self.node]

    async def pod(self, name: str, port: int = 8080, **fields: Any) -> Inside:
        """Makes a pod that serves its name, and enters it once it does."""
        labels = fields.pop("labels", {"app": name})
        await self.session.create(name, script=SERVES.format(port), labels=labels, **fields)
        self._made.append(name)
        made = self.enter(await self.session.until(name, runs))
        await so(lambda: get(self.node, made.address, port) != REFUSED)
        return made

    async def pods(self, *names: str, **fields: Any) -> list[Inside]:
        """Makes several pods at once."""
        return await asyncio.gather(*(self.pod(name, **fields) for name in names))

    def enter(self, pod: Pod) -> Inside:
        made = Inside(pod, self.cluster.pid(pod))
        self._places.append(made)
        return made

    async def remove(self, name: str) -> None:
        self._made.remove(name)
        await self.session.delete(name, grace=0)

    async def service(self, name: str, **spec: Any) -> Document:
        """Makes a Service of some ports; `app` is whom it selects."""
        if (app := spec.pop("app", "")) != "":
            spec["selector"] = {"app": app}
        spec.setdefault("ports", [{"name": "http", "port": 80, "targetPort": 8080}])
        self._services.append(name)
        await self.client.create(
            SERVICE, {"metadata": {"name": name}, "spec": spec}, namespace="default"
        )
        return await self.read(name)

    async def read(self, name: str) -> Document:
        return await self.client.read(f"/api/v1/namespaces/default/services/{name}")

    async def change(self, name: str, **spec: Any) -> Document:
        """Patches a Service; None takes a field away."""
        await self.client.patch(SERVICE.ref("default", name), {"spec": spec})
        return await self.read(name)

    async def endpoints(self, name: str, *wanted: tuple[str, int]) -> None:
        """Waits until the slices of a Service have these addresses and ports, and no others."""
        chosen = f"{OF_SERVICE}={name}"
        known: dict[str, Any] = {}
        listing = await self.client.list(ENDPOINTSLICE, "default", labels=chosen)
        known = {it.metadata.name: it for it in listing.items}
        if _ends(known) == sorted(wanted):
            return
        watching = self.client.watch(
            ENDPOINTSLICE, "default", after=listing.revision, labels=chosen
        )
        async with asyncio.timeout(SECONDS):
            async for changes in watching:
                for change in changes:
                    if change.type == "DELETED":
                        known.pop(change.object.metadata.name)
                    elif change.type != "BOOKMARK":
                        known[change.object.metadata.name] = change.object
                if _ends(known) == sorted(wanted):
                    return

    async def clear(self) -> None:
        """Removes what a test has made."""
        for name in self._services:
            await self.client.delete(SERVICE.ref("default", name))
        await asyncio.gather(*(self.session.delete(name, grace=0) for name in self._made))
        for place in self._places:
            place.close()


def _ends(known: dict[str, Any]) -> list[tuple[str, int]]:
    return sorted(
        (address, port.port)
        for one in known.values()
        for endpoint in one.endpoints
        if endpoint.conditions.ready is not False
        for address in endpoint.addresses
        for port in one.ports
    )


@asynccontextmanager
async def network(cluster: Cluster, session: Session) -> AsyncIterator[Network]:
    """A network that is cleared afterwards."""
    made = Network(cluster, session)
    try:
        yield made
    finally:
        await made.clear()


def get(place: Place, address: str, port: int, path: str = "/hostname") -> str:
    """Asks over HTTP; returns what the body says, or why there is none."""
    try:
        with place.dial(address, port) as connection:
            connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
    except OSError as error:
        return type(error).__name__
    return answer.partition(b"\r\n\r\n")[2].decode().strip()


REFUSED = "ConnectionRefusedError"


async def so(holds: Callable[[], object]) -> None:
    """Waits until something holds: the rules follow the API within milliseconds, and nobody tells
    when they are applied."""
    async with asyncio.timeout(SECONDS):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(RETRY_SECONDS)


async def until(place: Place, address: str, port: int, wanted: str | set[str]) -> str:
    """Asks until the answer is a wanted one; returns it."""
    good, said = {wanted} if isinstance(wanted, str) else wanted, [""]

    def answered() -> bool:
        said.append(get(place, address, port))
        return said[-1] in good

    await so(answered)
    return said[-1]


@contextlib.contextmanager
def echoing(place: Place, port: int, name: str) -> Iterator[Callable[[], None]]:
    """Has a place hear datagrams at a port; what is yielded answers one with the name."""
    server = place.receive(port)

    def answer() -> None:
        _, peer = server.recvfrom(100)
        server.sendto(name.encode(), peer)

    with server:
        yield answer


def hears(place: Place, address: str, port: int, answer: Callable[[], None]) -> str:
    """Asks with a datagram that is answered; returns what comes back."""
    with place.open(socket.SOCK_DGRAM) as client:
        client.connect((address, port))
        client.send(b"who")
        answer()
        return client.recv(100).decode()
