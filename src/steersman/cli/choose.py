"""What a new cluster takes: an id, and of its machine a port and two ranges of addresses that
nobody else uses."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
import socket
from collections.abc import Container, Iterable, Sequence
from ipaddress import IPv4Network, ip_network
from pathlib import Path

from steersman.cli.directory import ID_ALPHABET, ID_LENGTH
from steersman.cli.failure import Failure

# The first is upstream's; below those that the kernel gives to connections
PORTS = range(6443, 6543)
# Pod and service ranges go together: 10.64/10.96 for the first cluster of a machine, and so on
_PODS = tuple(ip_network(f"10.{64 + number}.0.0/16") for number in range(32))
_SERVICES = tuple(ip_network(f"10.{96 + number}.0.0/16") for number in range(32))


def new_id() -> str:
    """Returns an id for a new cluster."""
    return "".join(secrets.choice(ID_ALPHABET) for _ in range(ID_LENGTH))


class Reservations:
    """Which ranges and ports the clusters of this machine have, so that two that start at once
    differ.

    A file for each range of pods names the directories of the clusters that have it, a line each;
    one whose directory is gone counts for nothing. Clusters share a range only where none is left,
    and then only one of them runs at a time. To be used with `with`, which holds a lock.
    """

    def __init__(self, place: Path) -> None:
        self._place = place
        self._lock = -1

    def __enter__(self) -> Reservations:
        self._place.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = os.open(self._place / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._lock)

    def taken(self, own: Path, *, running: bool = False) -> list[str]:
        """Returns the pod ranges that other clusters than that of a directory have, with `running`
        only those of clusters that run or have left containers running."""
        return [
            pods for pods, file in self._others(own) if not running or self._runs(_read(file, "id"))
        ]

    def choose(self, routes: Sequence[IPv4Network], own: Path) -> tuple[str, str]:
        """Returns pod and service ranges for a new cluster: those of nobody, else those of clusters
        that do not run now. Raises Failure where there are none."""
        try:
            return choose_ranges(routes, self.taken(own))
        except Failure:
            return choose_ranges(routes, self.taken(own, running=True))

    def ports(self, own: Path) -> set[int]:
        """Returns the ports of other clusters, which may be about to listen there."""
        known = (_read(file, "port") for _, file in self._others(own))
        return {port for port in known if isinstance(port, int)}

    def _others(self, own: Path) -> list[tuple[str, Path]]:
        """Returns the pod ranges of other clusters, and the files that describe those."""
        found = []
        for file in sorted(self._place.glob("*_*")):
            for owner in map(Path, file.read_text().splitlines()):
                described = owner / "cluster.json"
                if owner != own and described.exists():
                    found.append((file.name.replace("_", "/"), described))
        return found

    def take(self, pods: str, own: Path, name: str) -> None:
        """Notes whose a range is, and that its cluster, of a name, runs from now on. Raises Failure
        where another one that has it runs."""
        owners = [file.parent for range_, file in self._others(own) if range_ == pods]
        for owner in owners:
            if self._runs(_read(owner / "cluster.json", "id")):
                raise Failure(
                    f"the cluster in {owner} runs and has the same addresses ({pods}): stop it"
                    f" first (steer down --data-dir {owner})"
                )
        text = "".join(f"{owner}\n" for owner in (*owners, own))
        (self._place / pods.replace("/", "_")).write_text(text)
        (self._place.parent / name).mkdir(mode=0o700, exist_ok=True)

    def _runs(self, name: object) -> bool:
        """Says whether a cluster runs: its sockets' directory goes with `steer down`."""
        return isinstance(name, str) and bool(name) and (self._place.parent / name).is_dir()


def _read(described: Path, name: str) -> object:
    """Returns a field of a cluster's description; None where that is damaged: its own commands say
    so."""
    try:
        found: object = json.loads(described.read_text())[name]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found


def choose_ranges(routes: Iterable[IPv4Network], taken: Iterable[str]) -> tuple[str, str]:
    """Returns pod and service ranges that no route of the machine and no other cluster touches."""
    busy = [*routes, *(ip_network(text) for text in taken)]
    for pods, services in zip(_PODS, _SERVICES, strict=True):
        if not any(pods.overlaps(net) or services.overlaps(net) for net in busy):
            return str(pods), str(services)
    raise Failure("no free address range is left on this machine: remove a cluster first")


def parse_routes(table: str) -> list[IPv4Network]:
    """Reads /proc/net/route; default routes do not count."""
    networks = []
    for line in table.splitlines()[1:]:
        fields = line.split("\t")
        destination, mask = (bytes.fromhex(fields[index])[::-1] for index in (1, 7))
        if mask != bytes(4):
            bits = sum(byte.bit_count() for byte in mask)
            networks.append(IPv4Network((destination, bits), strict=False))
    return networks


def read_routes() -> list[IPv4Network]:
    """Returns the machine's routes."""
    try:
        return parse_routes(Path("/proc/net/route").read_text())
    except FileNotFoundError:
        return []


def choose_port(
    wanted: int | None, remembered: int | None, taken: Container[int] = frozenset()
) -> int:
    """Returns a port that can be listened on: the one asked for, the cluster's own, or the first
    of the usual ones that is not `taken`. Raises Failure where the one asked for is in use."""
    if wanted is not None:
        return _check(wanted, "choose another with --port")
    if remembered is not None:
        return _check(remembered, "something else listens there; choose another with --port")
    for port in PORTS:
        if port not in taken and _is_free(port):
            return port
    raise Failure(f"no port from {PORTS[0]} to {PORTS[-1]} is free: choose another with --port")


def _check(port: int, what: str) -> int:
    if not _is_free(port):
        raise Failure(f"port {port} is in use: {what}")
    return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True
