"""The entry point: finds the command, loads its module alone, turns errors into one line.

The only place of the command line where every exception is caught.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from steersman.cli.failure import Failure, printable, sole

# command -> module, one line of help
COMMANDS = {
    "up": ("up", "start a cluster"),
    "down": ("down", "stop a cluster and leave nothing of it running"),
    "status": ("status", "say what runs"),
    "reset": ("down", "stop a cluster and remove its data"),
    "kubeconfig": ("status", "print the kubeconfig of a cluster"),
    "logs": ("status", "print the cluster's own output"),
    "server": ("server", "run the API server, controllers and scheduler alone"),
    "node": ("node", "run the node agent alone"),
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


def build_parser(command: str | None) -> argparse.ArgumentParser:
    """Returns the parser; only the named command's module is loaded for its options."""
    parser = argparse.ArgumentParser(
        prog="steer",
        description="Kubernetes you can pip install.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (module, summary) in {**COMMANDS, **HIDDEN}.items():
        listed: dict[str, Any] = {"help": summary} if name in COMMANDS else {}
        child = commands.add_parser(
            name,
            **listed,
            description=summary[0].upper() + summary[1:] + ".",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name == command:
            import_module(f"steersman.cli.{module}").add(name, child)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; returns its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    command = next((word for word in words if word in COMMANDS or word in HIDDEN), None)
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
