"""`--clock virtual`: chosen when a cluster is made, and refused where it cannot be."""

from __future__ import annotations

import argparse
import os
from typing import Final

from steersman.cli.directory import Directory
from steersman.cli.failure import Failure

REAL: Final = "real"
VIRTUAL: Final = "virtual"
NO_NODE: Final = (
    "containers run in real time and this cluster's clock is virtual: say --no-node, and "
    "--simulated-nodes N for nodes whose pods run in its time"
)
NO_SPLIT: Final = (
    "--split: a virtual clock waits for every controller before it goes on, which it can in one "
    "process alone"
)


def add_option(parser: argparse.ArgumentParser) -> None:
    """Adds the option."""
    text = "virtual: time passes as `steer clock` tells it (default: real; kept for the directory)"
    parser.add_argument("--clock", choices=(REAL, VIRTUAL), help=text)


def chosen(arguments: argparse.Namespace) -> str:
    """Returns which clock a cluster has; raises Failure where it has another already."""
    directory = Directory(arguments.data_dir)
    known = directory.identity().clock if directory.exists() else ""
    wanted: str = arguments.clock or known or REAL
    if known and wanted != known:
        raise Failure(
            f"--clock {wanted}: the clock of this cluster is {known}, which is for its whole life;"
            " make another with --data-dir"
        )
    return wanted


def check(arguments: argparse.Namespace) -> None:
    """Refuses what does not go with virtual time; raises Failure."""
    if chosen(arguments) != VIRTUAL:
        return
    if arguments.split:
        raise Failure(NO_SPLIT)
    if not arguments.no_node and os.geteuid() == 0:
        raise Failure(NO_NODE)
