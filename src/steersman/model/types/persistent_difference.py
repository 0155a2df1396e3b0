"""What an update of a volume or claim changed, as the refusal shows it: a unified diff of the JSON
of Go's internal types, which have all fields, under Go's names.

Of the sources of upstream's tree (glusterfs, rbd and the like) only what is given is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from steersman.model.gotext import difference
from steersman.model.kind import Document

# Go's names of sources in the order of core.PersistentVolumeSource, where they are not the JSON
# name with a capital
_SOURCES: Final = (
    ("GCEPersistentDisk", "gcePersistentDisk"), ("AWSElasticBlockStore", "awsElasticBlockStore"),
    ("HostPath", "hostPath"), ("Glusterfs", "glusterfs"), ("NFS", "nfs"), ("RBD", "rbd"),
    ("Quobyte", "quobyte"), ("ISCSI", "iscsi"), ("FlexVolume", "flexVolume"),
    ("Cinder", "cinder"), ("CephFS", "cephfs"), ("FC", "fc"), ("Flocker", "flocker"),
    ("AzureFile", "azureFile"), ("VsphereVolume", "vsphereVolume"), ("AzureDisk", "azureDisk"),
    ("PhotonPersistentDisk", "photonPersistentDisk"), ("PortworxVolume", "portworxVolume"),
    ("ScaleIO", "scaleIO"), ("Local", "local"), ("StorageOS", "storageos"), ("CSI", "csi"),
)  # fmt: skip
# The fields of some sources with their zero values
_SECRETS: Final = (
    "controllerPublish", "nodeStage", "nodePublish", "controllerExpand", "nodeExpand",
)  # fmt: skip
_FIELDS: Final[Mapping[str, Mapping[str, Any]]] = {
    "hostPath": {"path": "", "type": None},
    "nfs": {"server": "", "path": "", "readOnly": False},
    "local": {"path": "", "fsType": None},
    "csi": {
        "driver": "",
        "volumeHandle": "",
        "readOnly": False,
        "fsType": "",
        "volumeAttributes": None,
        **{f"{name}SecretRef": None for name in _SECRETS},
    },
}
_SECRET: Final = {"name": "", "namespace": ""}
_GO_NAMES: Final = {"fsType": "FSType", "apiGroup": "APIGroup"}
_REFERENCE: Final = {"apiGroup": None, "kind": "", "name": ""}


def of_sources(before: Document, after: Document) -> str:
    """Returns how the source of a volume's spec changed."""
    return difference(_sources(before), _sources(after))


def of_claims(before: Document, after: Document) -> str:
    """Returns how the spec of a claim changed."""
    return difference(_claim(before), _claim(after))


def _sources(spec: Document) -> Document:
    return {go: _source(name, spec.get(name)) for go, name in _SOURCES}


def _source(name: str, source: Document | None) -> Document | None:
    if source is None:
        return None
    shown = _struct(source, _FIELDS.get(name, source))
    if name == "csi":
        references = [f"{_go_name(one)}SecretRef" for one in _SECRETS]
        shown |= {one: _pointer(shown[one], _SECRET) for one in references}
    return shown


def _claim(spec: Document) -> Document:
    resources = spec.get("resources") or {}
    return {
        "AccessModes": spec.get("accessModes"),
        "Selector": _selector(spec.get("selector")),
        "Resources": _struct(resources, {"limits": None, "requests": None}),
        "VolumeName": spec.get("volumeName") or "",
        "StorageClassName": spec.get("storageClassName"),
        "VolumeMode": spec.get("volumeMode"),
        "DataSource": _pointer(spec.get("dataSource"), _REFERENCE),
        "DataSourceRef": _pointer(spec.get("dataSourceRef"), {**_REFERENCE, "namespace": None}),
        "VolumeAttributesClassName": spec.get("volumeAttributesClassName"),
    }


def _pointer(document: Document | None, fields: Mapping[str, Any]) -> Document | None:
    return None if document is None else _struct(document, fields)


def _struct(document: Document, fields: Mapping[str, Any]) -> Document:
    return {_go_name(name): _ordered(document.get(name, zero)) for name, zero in fields.items()}


def _ordered(value: Any) -> Any:
    """Returns a map in the order of its keys."""
    return dict(sorted(value.items())) if isinstance(value, dict) else value


def _selector(selector: Document | None) -> Document | None:
    """Returns a label selector, whose type has JSON names."""
    if selector is None:
        return None
    shown: Document = {}
    if labels := selector.get("matchLabels"):
        shown["matchLabels"] = _ordered(labels)
    if expressions := selector.get("matchExpressions"):
        names = ("key", "operator", "values")
        shown["matchExpressions"] = [
            {name: one[name] for name in names if name in one} for one in expressions
        ]
    return shown


def _go_name(name: str) -> str:
    return _GO_NAMES.get(name) or name[0].upper() + name[1:]
