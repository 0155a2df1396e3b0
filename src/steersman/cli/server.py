"""`steer server`: the API server, controllers and scheduler of one cluster, in the foreground."""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import select
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from steersman.cli.apiserver import options
from steersman.cli.clock.option import VIRTUAL
from steersman.cli.directory import Directory, Identity, default_path
from steersman.cli.failure import Failure, sole
from steersman.cli.options import controllers
from steersman.cli.options.scheduler import add_option, configuration

# The pipe from the supervisor, which writes once to it
SUPERVISOR = 0
EXAMPLE = """example:
  steer server --data-dir /var/lib/steersman"""


def add(name: str, parser: argparse.ArgumentParser) -> None:
    """Adds the options of `steer server`."""
    del name
    parser.epilog = EXAMPLE
    parser.add_argument("--data-dir", type=Path, default=default_path(), help="where it lives")
    parser.add_argument("--port", type=int, help="port of the API (default: the cluster's)")
    parser.add_argument("--no-controllers", action="store_true", help="the API alone")
    parser.add_argument("--simulated-nodes", type=int, default=0, metavar="N", help="N nodes")
    parser.add_argument("--no-node", action="store_true", help="this machine is no node")
    add_option(parser)
    options.add_options(parser)
    controllers.add_options(parser)
    parser.add_argument("--status-fd", type=int, help=argparse.SUPPRESS)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs the server until it is told to stop."""
    # The slow part; who the cluster is, and its certificates, are made meanwhile
    import uvloop

    from steersman.cluster import server as cluster
    from steersman.cluster.process import loaded
    from steersman.cluster.virtual import Damaged
    from steersman.store.format import UnknownFormat
    from steersman.store.table import InUse
    from steersman.world.real import RealWorld

    loaded()
    chosen = options.settings(arguments)
    directory = Directory(arguments.data_dir)
    identity = await_identity(arguments, directory)
    settings = cluster.ServerSettings(
        store_directory=directory.store if identity.store == "sqlite" else None,
        certificates=directory.certificates,
        socket=directory.run(identity) / "api.sock",
        port=arguments.port or identity.port,
        service_cidr=identity.service_cidr,
        pod_cidr=identity.pod_cidr,
        controllers=not arguments.no_controllers,
        simulated_nodes=arguments.simulated_nodes,
        scheduling=configuration(arguments.scheduler_config),
        node=not arguments.no_node,
        **chosen,
        choice=controllers.read(arguments),
        flags=flags(arguments),
    )
    try:
        if identity.clock == VIRTUAL:
            cluster.serve_virtually(settings, directory.clock, reporter(arguments.status_fd))
        else:
            uvloop.run(cluster.serve(settings, RealWorld(), reporter(arguments.status_fd)))
    except (InUse, UnknownFormat, Damaged) as error:
        raise Failure(str(error)) from error
    except (OSError, ExceptionGroup) as error:
        cause = sole(error)
        if not isinstance(cause, OSError):
            raise
        why = os.strerror(cause.errno) if cause.errno else cause
        raise Failure(f"the server cannot serve on port {settings.port}: {why}") from error
    return 0


def flags(arguments: argparse.Namespace) -> dict[str, str]:
    """Returns the options as /flagz tells them, by their names."""
    own = ("run", "status_fd")
    given = {name: value for name, value in vars(arguments).items() if name not in own}
    return {name.replace("_", "-"): _told(value) for name, value in given.items()}


def _told(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{','.join(map(str, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def await_identity(arguments: argparse.Namespace, directory: Directory) -> Identity:
    """Returns who the cluster is once its certificates are there: waits for the supervisor's
    word; alone, makes them itself."""
    if arguments.status_fd is not None:
        os.read(SUPERVISOR, 64)
        end_with_supervisor()
        return directory.identity()
    from steersman.cli.certify import certify

    identity = directory.identity()
    certify(directory, identity)
    return identity


def end_with_supervisor() -> None:
    """Has the kernel send SIGTERM when the supervisor ends, which closes its end of the pipe."""
    fcntl.fcntl(SUPERVISOR, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(SUPERVISOR, fcntl.F_SETSIG, signal.SIGTERM)
    fcntl.fcntl(SUPERVISOR, fcntl.F_SETFL, os.O_ASYNC)
    if select.select([SUPERVISOR], [], [], 0)[0]:
        raise Failure("the supervisor has ended")


def reporter(descriptor: int | None) -> Callable[[dict[str, Any]], None]:
    """Returns what tells the supervisor how far this process is; alone, it prints."""

    def report(news: dict[str, Any]) -> None:
        if descriptor is None:
            print(json.dumps(news), flush=True)
        else:
            os.write(descriptor, json.dumps(news).encode() + b"\n")

    return report
