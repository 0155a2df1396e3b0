"""The commands of the command line."""

from __future__ import annotations

import argparse


def run(arguments: list[str]) -> int:
    """Runs one command and gives the exit code."""
    parser = argparse.ArgumentParser(prog="steer-runtime")
    commands = parser.add_subparsers(dest="command", required=True)
    warm = commands.add_parser("warm")
    warm.add_argument("--socket", required=True)
    warm.add_argument("--state-dir", required=True)
    options = parser.parse_args(arguments)
    from . import warm as warm_parent

    warm_parent.serve(options.socket, options.state_dir)
    return 0
