"""Removes what a stopped cluster left on its machine: only what bears the cluster's id."""

from __future__ import annotations

import shutil

from steersman.cli.directory import Directory, Identity


def clean(directory: Directory, identity: Identity) -> None:
    """Removes the cluster's sockets; with a node also its network."""
    shutil.rmtree(directory.run(identity), ignore_errors=True)
