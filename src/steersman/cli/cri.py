"""`steer cri`: the container engine alone, for kubelets and tools that speak the CRI.

Containers outlive it; `--clean` ends them and removes what they left.
"""

from __future__ import annotations

import argparse
import hashlib
import os
from ipaddress import IPv4Network
from pathlib import Path

from steersman.cli.directory import ID_ALPHABET, ID_LENGTH, Directory, Lock
from steersman.cli.failure import Failure
from steersman.cli.server import reporter

EXAMPLE = """example:
  steer cri --listen /run/steersman/cri.sock
  crictl --runtime-endpoint unix:///run/steersman/cri.sock ps"""
DIRECTORY = Path("/var/lib/steersman-cri")
RUN = Path("/run/steersman")
SOCKET = RUN / "cri.sock"
POD_CIDR = "10.89.0.0/16"


def add(name: str, parser: argparse.ArgumentParser) -> None:
    """Adds the options of `steer cri`."""
    del name
    parser.epilog = EXAMPLE
    parser.add_argument("--data-dir", type=Path, default=DIRECTORY, help=f"default: {DIRECTORY}")
    parser.add_argument("--listen", type=Path, default=SOCKET, help=f"default: {SOCKET}")
    text = f"the range of the sandboxes' addresses; default: {POD_CIDR}"
    parser.add_argument("--pod-cidr", default=POD_CIDR, help=text)
    parser.add_argument("--clean", action="store_true", help="end all containers, and do not serve")
    parser.add_argument("--status-fd", type=int, help=argparse.SUPPRESS)
    parser.set_defaults(run=run)


def id_of(directory: Path) -> str:
    """Returns what marks all that an engine makes: the same for the same directory."""
    digest = hashlib.sha256(os.fsencode(directory)).digest()
    return "".join(ID_ALPHABET[it % len(ID_ALPHABET)] for it in digest[:ID_LENGTH])


def run(arguments: argparse.Namespace) -> int:
    """Serves until it is told to stop."""
    if os.geteuid() != 0:
        raise Failure("an engine makes namespaces and mounts, which needs root: run it with sudo")
    try:
        IPv4Network(arguments.pod_cidr)
    except ValueError as error:
        raise Failure(f"--pod-cidr: {error}") from None
    directory: Path = arguments.data_dir.expanduser().absolute()
    own = id_of(directory)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = Lock(Directory(directory), "engine")
    lock.take()  # held until the process ends
    if arguments.clean:
        return _clean(directory, own)
    import uvloop

    from steersman.cluster import cri
    from steersman.cluster.process import loaded
    from steersman.world.real import RealWorld

    loaded()
    settings = cri.Settings(
        id=own,
        directory=directory,
        images=directory / "images",
        run=RUN / own,
        socket=arguments.listen.expanduser().absolute(),
        pod_cidr=arguments.pod_cidr,
    )
    try:
        uvloop.run(cri.run_cri(settings, RealWorld(), reporter(arguments.status_fd)))
    except (OSError, ValueError) as error:
        raise Failure(f"the engine cannot start: {error}") from error
    return 0


def _clean(directory: Path, own: str) -> int:
    import shutil

    from steersman.cluster.clean import clean_node
    from steersman.node.volumes import memory

    clean_node(own, directory, RUN / own)
    memory.unmount_below(directory.absolute())  # images that containers had as mounts
    for name in ("records", "files"):
        shutil.rmtree(directory / name, ignore_errors=True)
    shutil.rmtree(RUN / own, ignore_errors=True)
    print("Nothing of the engine is left but its images.")
    return 0
