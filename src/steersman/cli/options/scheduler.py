"""`--scheduler-config FILE`: reads a KubeSchedulerConfiguration for the processes that schedule."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from steersman.cli.failure import Failure

if TYPE_CHECKING:  # loaded where there is a file to read
    from steersman.scheduler.configuration import SchedulerConfiguration


def add_option(parser: argparse.ArgumentParser) -> None:
    """Adds the option."""
    text = "a KubeSchedulerConfiguration (default: upstream's defaults)"
    parser.add_argument("--scheduler-config", type=Path, metavar="FILE", help=text)


def configuration(path: Path | None) -> SchedulerConfiguration | None:
    """Returns what a file says, None without one; raises Failure with one line."""
    if path is None:
        return None
    from steersman.scheduler.configuration_file import parse
    from steersman.wire import yaml

    try:
        return parse(yaml.load(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise Failure(f"--scheduler-config {path}: {error}") from error
