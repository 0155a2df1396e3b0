"""The entry point: finds the command, loads its module alone, turns errors into one line.

The only place of the command line where every exception is caught.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from steersman.cli.failure import Failure, printable, sole

# command -> module, one line of help
COMMANDS = {
    "up": ("up", "start a cluster"),
    "down": ("down.command", "stop a cluster and leave nothing of it running"),
    "status": ("status", "say what runs"),
    "reset": ("down.command", "stop a cluster and remove its data"),
    "kubeconfig": ("status", "print the kubeconfig of a cluster"),
    "logs": ("status", "print the cluster's own output"),
    "server": ("server", "run the API server, controllers and scheduler alone"),
    "node": ("node", "run the node agent alone"),
    "cri": ("cri", "serve the container engine to kubelets and tools of others"),
    "clock": ("clock.command", "show a virtual clock, and tell it how to go"),
    "nodes": ("nodes.command", "make and remove nodes without a machine"),
    "why": ("why", "say what holds an object, and what would help"),
    "debug": ("lint", "look for what should not be (lint)"),
    "build": ("image", "build an image from a Containerfile"),
    "images": ("image", "list the images that the node has"),
    "load": ("image", "load images from an archive"),
    "pull": ("image", "pull an image from a registry"),
    "demo": ("demo", "show a cluster at work, from a build to a healed Deployment"),
    "version": ("status", "print versions"),
}
# Started by other commands; not in the list that people see
HIDDEN = {"control": ("control", "run controllers and scheduler alone")}
EXAMPLE = "example:\n  steer up --detach && export KUBECONFIG=~/.kube/steer.config"
# More than the server makes while it loads its code: to collect meanwhile takes a sixth of the
# time and finds nothing
LOADING_THRESHOLD = 200_000


def build_parser(command: str | None) -> argparse.ArgumentParser:
    """Returns the parser of a command, whose module alone is loaded; without one, of the list."""
    if command is not None:
        return _command_parser(command)
    parser = argparse.ArgumentParser(
        prog="steer",
        description="Kubernetes you can pip install.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, (_, summary) in COMMANDS.items():
        commands.add_parser(name, help=summary)
    return parser


def _command_parser(command: str) -> argparse.ArgumentParser:
    """Returns the parser of one command."""
    module, summary = {**COMMANDS, **HIDDEN}[command]
    parser = argparse.ArgumentParser(
        prog=f"steer {command}",
        description=summary[0].upper() + summary[1:] + ".",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    import_module(f"steersman.cli.{module}").add(command, parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; returns its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    gc.set_threshold(LOADING_THRESHOLD)
    command = words.pop(0) if words and words[0] in {**COMMANDS, **HIDDEN} else None
    arguments = build_parser(command).parse_args(words)
    try:
        code: int = arguments.run(arguments)
    except Failure as failure:
        return fail(str(failure))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        if os.environ.get("STEER_DEBUG"):
            raise
        cause = sole(error)
        return fail(f"{type(cause).__name__}: {cause} (STEER_DEBUG=1 shows where)")
    return code


def fail(text: str) -> int:
    """Prints one clear line on standard error and returns the exit code."""
    print(f"steer: {printable(' '.join(text.split()))}", file=sys.stderr)
    return 1
