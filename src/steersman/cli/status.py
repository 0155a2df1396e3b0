"""`steer status`, `kubeconfig`, `logs`, `version`: what there is to know, read only."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from steersman.cli.directory import Directory, Lock, default_path
from steersman.cli.failure import Failure

EXAMPLES = {
    "status": "example:\n  steer status -o json",
    "kubeconfig": "example:\n  steer kubeconfig > cluster.config",
    "logs": "example:\n  steer logs server --follow",
    "version": "example:\n  steer version",
}
LOGS = ("supervisor", "server", "control", "node")
ANSWER_SECONDS = 5.0


def add(name: str, parser: argparse.ArgumentParser) -> None:
    """Adds the options of one of the commands."""
    parser.epilog = EXAMPLES[name]
    if name != "version":
        parser.add_argument("--data-dir", type=Path, default=default_path(), help="which cluster")
    if name in ("status", "version"):
        parser.add_argument("-o", "--output", choices=("text", "json"), default="text")
    if name == "logs":
        parser.add_argument("part", nargs="?", choices=LOGS, help="one part; default: all of them")
        parser.add_argument("-f", "--follow", action="store_true", help="go on as output comes")
        parser.add_argument("--tail", type=int, metavar="N", help="the last N lines alone")
    runs = {"status": status, "kubeconfig": kubeconfig, "logs": logs, "version": show_version}
    parser.set_defaults(run=runs[name])


def status(arguments: argparse.Namespace) -> int:
    """Says what runs; exits with 1 where nothing does."""
    directory = Directory(arguments.data_dir)
    identity = directory.identity()
    supervisor = Lock(directory).holder()
    found: dict[str, Any] = {
        "cluster": identity.id,
        "data_dir": str(directory.path),
        "server": f"https://127.0.0.1:{identity.port}",
        "store": identity.store,
        "clock": identity.clock,
        "supervisor": supervisor,
        "running": bool(supervisor),
        "ready": bool(supervisor) and is_ready(directory, identity.port),
    }
    if arguments.output == "json":
        print(json.dumps(found))
    else:
        state = "ready" if found["ready"] else "starting" if supervisor else "stopped"
        print(f"cluster     {identity.id} ({state})")
        print(f"server      {found['server']}")
        print(f"data        {directory.path} ({identity.store})")
        print(f"clock       {identity.clock}")
        if supervisor:
            print(f"supervisor  process {supervisor}")
    return 0 if found["running"] else 1


def is_ready(directory: Directory, port: int) -> bool:
    """Asks the server whether it is ready."""
    import ssl

    context = ssl.create_default_context(cafile=str(directory.certificates / "ca.crt"))
    url = f"https://127.0.0.1:{port}/readyz"
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_SECONDS, context=context) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def kubeconfig(arguments: argparse.Namespace) -> int:
    """Prints the administrator's kubeconfig."""
    from steersman.cli.certify import certify, render_kubeconfig

    directory = Directory(arguments.data_dir)
    identity = directory.identity()
    print(render_kubeconfig(certify(directory, identity), identity), end="")
    return 0


def logs(arguments: argparse.Namespace) -> int:
    """Prints the output of the cluster's own processes."""
    directory = Directory(arguments.data_dir)
    directory.identity()
    parts = [arguments.part] if arguments.part else LOGS
    files = [path for part in parts if (path := directory.logs / f"{part}.log").exists()]
    if not files:
        raise Failure(f"nothing has been written to {directory.logs} yet")
    tail = shutil.which("tail")
    if tail is None:
        raise Failure("tail is not installed (coreutils)")
    lines = "+1" if arguments.tail is None else str(arguments.tail)
    words = [tail, "-q" if arguments.part else "-v", "-n", lines]
    words += ["-F"] if arguments.follow else []
    return subprocess.run([*words, *map(str, files)], check=False).returncode


def show_version(arguments: argparse.Namespace) -> int:
    """Prints the versions of steer, of the Kubernetes API it serves, and of what it runs on."""
    from steersman.model.pack import PACKAGE_VERSION

    found = {
        "steer": own_version(),
        "kubernetes": f"v{PACKAGE_VERSION}",
        "python": platform.python_version(),
        "kernel": os.uname().release,
    }
    if arguments.output == "json":
        print(json.dumps(found))
    else:
        for name, text in found.items():
            print(f"{name:<11} {text}")
    sys.stdout.flush()
    return 0


def own_version() -> str:
    """Returns the package's version, `unknown` where it runs from source without installation."""
    try:
        return version("steersman")
    except PackageNotFoundError:
        return "unknown"
