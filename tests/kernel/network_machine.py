"""A machine of its own for each network test: a thread in a fresh network namespace, pods as more
namespaces, sockets made inside them. When the thread ends the kernel removes all of it, so the
machine's own links and tables are never touched, whatever a test does.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import select
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path

from steersman.network import netlink
from steersman.network.bridge import Bridge
from steersman.network.namespaces import setns
from steersman.network.netlink import Netlink
from steersman.network.nft import Rules

CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)
PODS = IPv4Network("10.244.7.0/24")
SERVICES = IPv4Network("10.96.0.0/16")
# Only a machine with far more to do than its cores can makes a packet that late
WAIT_SECONDS = 60.0
TEST_SECONDS = 180.0
Run = Callable[[Callable[["Machine"], None]], None]


def on_a_machine(test: Callable[[Machine], None]) -> None:
    """Runs a test on a machine of its own; raises what the test raises."""

    def run() -> None:
        unshare()
        with Machine() as machine:
            test(machine)

    with ThreadPoolExecutor(max_workers=1) as threads:
        threads.submit(run).result(TEST_SECONDS)


def unshare() -> None:
    """Moves this thread into a new network namespace with its loopback up."""
    if LIBC.unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    with Netlink() as link:
        link.set_up(1)


class Place:
    """A network namespace in which sockets are made."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.path = Path(f"/proc/self/fd/{descriptor}")
        self._sockets: list[socket.socket] = []

    def open(self, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
        """Makes a socket here."""
        with netlink.entered(self.descriptor):
            made = socket.socket(socket.AF_INET, kind)
        made.settimeout(WAIT_SECONDS)
        self._sockets.append(made)
        return made

    def listen(self, port: int, address: str = "0.0.0.0") -> socket.socket:
        """Listens for TCP connections."""
        made = self.open()
        made.bind((address, port))
        made.listen(64)
        return made

    def receive(self, port: int) -> socket.socket:
        """Receives UDP datagrams."""
        made = self.open(socket.SOCK_DGRAM)
        made.bind(("0.0.0.0", port))
        return made

    def dial(self, address: object, port: int) -> socket.socket:
        """Connects by TCP."""
        made = self.open()
        made.connect((str(address), port))
        return made

    def refuses(self, address: object, port: int) -> bool:
        """Says whether a connection is refused at once."""
        try:
            self.dial(address, port)
        except ConnectionRefusedError:
            return True
        return False

    def close(self) -> None:
        """Closes the sockets and lets the namespace go."""
        for made in self._sockets:
            made.close()
        os.close(self.descriptor)


class Pod(Place):
    """A namespace with an address on the bridge."""

    def __init__(self, descriptor: int, address: str) -> None:
        super().__init__(descriptor)
        self.address = address


class Machine(Place):
    """The namespace that stands for a machine; the thread that made it works in it."""

    def __init__(self) -> None:
        super().__init__(_here())
        Path("/proc/sys/net/ipv4/ip_forward").write_text("0")  # as a machine has it at first
        self.cluster = "t" + secrets.token_hex(2)
        self.bridge = Bridge(self.cluster, PODS, SERVICES)
        self.records = Path(tempfile.mkdtemp(prefix="steer-machine-"))
        self.rules = Rules()
        self._places: list[Place] = []

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *error: object) -> None:
        for place in self._places:
            place.close()
        self.rules.close()
        self.close()
        shutil.rmtree(self.records)

    def set_up(self, bridge: Bridge | None = None) -> None:
        """Sets a bridge up, the machine's own where none is given."""
        (bridge or self.bridge).set_up(self.records)

    def place(self) -> Place:
        """Makes another namespace."""
        made = Place(namespace())
        self._places.append(made)
        return made

    def pod(self, name: str, bridge: Bridge | None = None) -> Pod:
        """Makes a pod on the bridge."""
        descriptor = namespace()
        bridge = bridge or self.bridge
        address = bridge.connect(name, Path(f"/proc/self/fd/{descriptor}"))
        made = Pod(descriptor, address)
        self._places.append(made)
        return made

    def outside(self) -> Place:
        """Makes a neighbour on another network, which knows no way to the pods."""
        place = self.place()
        with Netlink() as link:
            link.add_veth("uplink", 0, "eth0", place.descriptor, 1500)
            index = netlink.index_of("uplink")
            link.add_address(index, IPv4Interface("192.0.2.1/24"))
            link.set_up(index)
        with netlink.entered(place.descriptor), Netlink() as inside:
            inside.set_up(1)
            index = netlink.index_of("eth0")
            inside.add_address(index, IPv4Interface("192.0.2.2/24"))
            inside.set_up(index)
        return place


def _here() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def namespace() -> int:
    """Makes a network namespace; returns its descriptor."""
    with contextlib.ExitStack() as stack:
        home = _here()
        stack.callback(os.close, home)
        unshare()
        try:
            return _here()
        finally:
            setns(home)


def accepted(*listeners: socket.socket) -> tuple[int, socket.socket, str]:
    """Takes the connection that waits at one of the listeners: which one, the connection, from
    where."""
    readable, _, _ = select.select(listeners, [], [], WAIT_SECONDS)
    assert len(readable) == 1, f"{len(readable)} listeners have a connection"
    connection, peer = readable[0].accept()
    connection.settimeout(WAIT_SECONDS)
    return listeners.index(readable[0]), connection, str(peer[0])


@contextlib.contextmanager
def exchanged(client: socket.socket, *listeners: socket.socket) -> Iterator[tuple[int, str]]:
    """Sends bytes both ways over a connection that was made; yields who has it, and from where."""
    which, connection, peer = accepted(*listeners)
    with connection, client:
        client.sendall(b"question")
        assert connection.recv(100) == b"question"
        connection.sendall(b"answer")
        assert client.recv(100) == b"answer"
        yield which, peer
