"""`steer control`: controllers and scheduler of one cluster in a process of their own.

Started by `steer up --split`; it reaches the server over its Unix socket, as the same user.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from steersman.cli.clock.option import NO_SPLIT, VIRTUAL
from steersman.cli.directory import Directory, default_path
from steersman.cli.failure import Failure
from steersman.cli.options import controllers
from steersman.cli.options.scheduler import add_option, configuration
from steersman.cli.server import await_identity, reporter

EXAMPLE = """example:
  steer control --data-dir /var/lib/steersman"""


def add(name: str, parser: argparse.ArgumentParser) -> None:
    """Adds the options of `steer control`."""
    del name
    parser.epilog = EXAMPLE
    parser.add_argument("--data-dir", type=Path, default=default_path(), help="where it lives")
    parser.add_argument("--simulated-nodes", type=int, default=0, metavar="N", help="N nodes")
    add_option(parser)
    controllers.add_options(parser)
    parser.add_argument("--status-fd", type=int, help=argparse.SUPPRESS)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs controllers and scheduler until told to stop."""
    import uvloop

    from steersman.cli.certify import node_name
    from steersman.cluster import control
    from steersman.cluster.process import loaded
    from steersman.reconcile.leader import Lost
    from steersman.world.real import RealWorld

    loaded()
    directory = Directory(arguments.data_dir)
    identity = await_identity(arguments, directory)
    if identity.clock == VIRTUAL:
        raise Failure(NO_SPLIT)
    settings = control.ControlSettings(
        name=f"{node_name()}_{os.getpid()}",
        socket=directory.run(identity) / "api.sock",
        certificates=directory.certificates,
        service_cidr=identity.service_cidr,
        pod_cidr=identity.pod_cidr,
        simulated_nodes=arguments.simulated_nodes,
        scheduling=configuration(arguments.scheduler_config),
        choice=controllers.read(arguments),
    )
    try:
        uvloop.run(control.run_control(settings, RealWorld(), reporter(arguments.status_fd)))
    except BaseExceptionGroup as failed:
        if lost := failed.subgroup(Lost):
            raise Failure("the lease was lost: another process may work now") from lost
        raise
    except OSError as error:
        raise Failure(f"control cannot start: {error}") from error
    return 0
