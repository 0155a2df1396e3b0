"""The options of the node agent, by the kubelet's names: read before anything starts."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

_MANIFESTS: Final = "--pod-manifest-path"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    text = "folder of static pods, which run without the API (default: DATA/manifests)"
    parser.add_argument(_MANIFESTS, type=Path, metavar="FOLDER", help=text)


def words(arguments: argparse.Namespace) -> list[str]:
    """Returns the options as they are given on to the process of the node."""
    manifests: Path | None = arguments.pod_manifest_path
    return [] if manifests is None else [f"{_MANIFESTS}={manifests.resolve()}"]
