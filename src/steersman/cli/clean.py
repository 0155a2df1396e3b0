"""Removes what a stopped cluster left on its machine: only what bears the cluster's id."""

from __future__ import annotations

import os
import shutil

from steersman.cli.directory import Directory, Identity


def clean(directory: Directory, identity: Identity) -> None:
    """Removes the cluster's sockets; where it was a node also its pods and its network."""
    run = directory.run(identity)
    if os.geteuid() == 0:
        from steersman.cluster.clean import clean_node

        clean_node(identity.id, directory.node, run)
    shutil.rmtree(run, ignore_errors=True)
