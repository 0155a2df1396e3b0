"""`steer node`: the node agent of one cluster, in the foreground. Pods outlive it."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from steersman.cli import kubelet
from steersman.cli.clock.option import NO_NODE, VIRTUAL
from steersman.cli.directory import Directory, default_path
from steersman.cli.failure import Failure
from steersman.cli.server import await_identity, reporter

EXAMPLE = """example:
  steer node --data-dir /var/lib/steersman"""


def add(name: str, parser: argparse.ArgumentParser) -> None:
    """Adds the options of `steer node`."""
    del name
    parser.epilog = EXAMPLE
    parser.add_argument("--data-dir", type=Path, default=default_path(), help="where it lives")
    kubelet.add_options(parser)
    parser.add_argument("--status-fd", type=int, help=argparse.SUPPRESS)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs the agent until it is told to stop."""
    if os.geteuid() != 0:
        raise Failure("a node makes namespaces and mounts, which needs root: run it with sudo")
    import uvloop

    from steersman.cli.certify import node_name
    from steersman.cluster import node
    from steersman.cluster.process import loaded
    from steersman.network.nft import RulesRefused, Unavailable
    from steersman.world.real import RealWorld

    loaded()
    directory = Directory(arguments.data_dir)
    identity = await_identity(arguments, directory)
    if identity.clock == VIRTUAL:
        raise Failure(NO_NODE)
    settings = node.NodeSettings(
        name=node_name(),
        cluster=identity.id,
        directory=directory.node,
        images=directory.images,
        run=directory.run(identity),
        certificates=directory.certificates,
        port=identity.port,
        service_cidr=identity.service_cidr,
        pod_cidr=identity.pod_cidr,
        manifests=(arguments.pod_manifest_path or directory.manifests).absolute(),
    )
    try:
        uvloop.run(node.run_node(settings, RealWorld(), reporter(arguments.status_fd)))
    except (OSError, RulesRefused, Unavailable) as error:
        raise Failure(f"the node cannot start: {error}") from error
    return 0
