"""The built-in provisioner of volumes that are directories of a node: its names, and which volume
is its own. What users of rancher.io/local-path expect: a default class `local-path`.

A directory is named `pvc-UID_NAMESPACE_CLAIM` below what the node says of itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from posixpath import basename, dirname
from typing import Final

from steersman.model.kind import Document

PROVISIONER: Final = "steersman.io/local-path"
PROVISIONED_BY: Final = "pv.kubernetes.io/provisioned-by"
STORAGE_CLASS: Final = "local-path"
NODE_OF: Final = "local.path.provisioner/selected-node"  # as local-path-provisioner names it
DIRECTORY: Final = "steersman.io/local-path-directory"  # a Node's annotation
SIMULATED: Final = "steersman.dev/simulated"  # a Node's label: it has no disk
NODE_FIELD: Final = "spec.nodeName"  # by which a node selects its own volumes
PREFIX: Final = "pvc-"


def storage_class() -> Document:
    """Returns the class that a new cluster has."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": STORAGE_CLASS,
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": PROVISIONER,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": True,
    }


def node_of(annotations: Mapping[str, str]) -> str:
    """Returns the node on which a volume with these annotations is, empty for others' volumes."""
    return annotations.get(NODE_OF, "") if annotations.get(PROVISIONED_BY) == PROVISIONER else ""


def directory_name(volume: str, path: str, directory: str) -> str:
    """Returns the name that a volume has in a node's directory; empty for one whose path is not
    right there, whatever its annotations say."""
    name = basename(path)
    right = dirname(path) == directory and name.startswith(f"{volume}_")
    return name if right and volume.startswith(PREFIX) else ""
