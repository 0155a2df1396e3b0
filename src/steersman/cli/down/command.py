"""`steer down` and `steer reset`: end a cluster so that nothing of it runs; remove its data."""

from __future__ import annotations

import argparse
import os
import select
import signal
import sys
from pathlib import Path

from steersman.cli.clean import clean
from steersman.cli.directory import Directory, Lock, default_path
from steersman.cli.failure import Failure, Progress

EXAMPLES = {
    "down": "example:\n  steer down\n  steer down --graceful",
    "reset": "example:\n  steer reset --yes",
}
STOP_SECONDS = 60.0
_GRACEFUL = (
    "have all pods end by their grace periods first, critical ones last, as when a machine shuts "
    "down: they have failed then, and who made them makes new ones at the next start"
)


def add(name: str, parser: argparse.ArgumentParser) -> None:
    """Adds the options of one of the commands."""
    parser.epilog = EXAMPLES[name]
    parser.add_argument("--data-dir", type=Path, default=default_path(), help="which cluster")
    if name == "reset":
        parser.add_argument("--yes", action="store_true", help="do not ask")
    else:
        parser.add_argument("--graceful", action="store_true", help=_GRACEFUL)
    parser.set_defaults(run=down if name == "down" else reset)


def down(arguments: argparse.Namespace) -> int:
    """Stops a cluster; one that does not run is cleaned up after all the same."""
    directory = Directory(arguments.data_dir)
    identity = directory.identity()
    if arguments.graceful and (supervisor := Lock(directory).holder()):
        from steersman.cli.down.graceful import end_pods

        for line in end_pods(directory.run(identity), supervisor):
            print(line)
        sys.stdout.flush()
    was_up = stop(directory)
    clean(directory, identity)
    print("The cluster is down." if was_up else "The cluster was not up; nothing of it is left.")
    return 0


def reset(arguments: argparse.Namespace) -> int:
    """Stops a cluster and removes its data directory."""
    directory = Directory(arguments.data_dir)
    identity = directory.identity()
    if not arguments.yes and not _agreed(directory):
        raise Failure("nothing was removed")
    stop(directory)
    clean(directory, identity)
    directory.remove()
    print(f"{directory.path} is removed.")
    return 0


def _agreed(directory: Directory) -> bool:
    if not sys.stdin.isatty():
        raise Failure("reset removes all data of the cluster: say --yes")
    answer = input(f"Remove {directory.path} with all objects, images and volumes? [y/N] ")
    return answer.strip().lower() in ("y", "yes")


def stop(directory: Directory) -> bool:
    """Ends the supervisor and waits for it; says whether there was one."""
    process = Lock(directory).holder()
    if not process:
        return False
    try:
        descriptor = os.pidfd_open(process)
    except ProcessLookupError:
        return False
    except PermissionError:
        raise Failure(f"process {process} belongs to another user") from None
    try:
        with Progress() as progress:
            progress.say("stopping the cluster")
            signal.pidfd_send_signal(descriptor, signal.SIGTERM)
            ended, _, _ = select.select([descriptor], [], [], STOP_SECONDS)
        if not ended:
            raise Failure(f"process {process} does not end; `steer logs supervisor` may say why")
    finally:
        os.close(descriptor)
    return True
