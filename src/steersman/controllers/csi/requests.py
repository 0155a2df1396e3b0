"""What a driver is asked for claims and volumes, and the volume that comes of it. Pure.

Follows external-provisioner, with its names of parameters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from steersman.model.kind import Document
from steersman.model.kinds.persistentvolume import PersistentVolume
from steersman.model.kinds.persistentvolumeclaim import PersistentVolumeClaim
from steersman.model.kinds.storageclass import StorageClass
from steersman.model.local_path import PROVISIONED_BY
from steersman.model.quantity import of_bytes
from steersman.model.types.reference import SecretReference
from steersman.model.volume_binding import PROVISIONER_FINALIZER, asked
from steersman.wire.rpc import csi

PREFIX: Final = "csi.storage.k8s.io/"
_DELETION: Final = "volume.kubernetes.io/provisioner-deletion-secret"
# Secrets of a volume by the field of its source (external-provisioner's deprecated ones are out)
_SECRETS: Final = {
    "controllerPublishSecretRef": "controller-publish-secret",
    "nodeStageSecretRef": "node-stage-secret",
    "nodePublishSecretRef": "node-publish-secret",
    "controllerExpandSecretRef": "controller-expand-secret",
    "nodeExpandSecretRef": "node-expand-secret",
}
_VARIABLE: Final = re.compile(r"\$\{([^}]*)\}")


class BadParameters(Exception):
    """What a class or a claim asks for cannot be had; the text is for people."""


def volume_name(claim: PersistentVolumeClaim) -> str:
    """Returns the name of a claim's volume: one, however often it is asked for."""
    return f"pvc-{claim.metadata.uid}"


def secret_of(
    found: StorageClass, claim: PersistentVolumeClaim, what: str
) -> SecretReference | None:
    """Returns the Secret that a class names for something; raises BadParameters."""
    name = found.parameters.get(f"{PREFIX}{what}-name", "")
    namespace = found.parameters.get(f"{PREFIX}{what}-namespace", "")
    if not name and not namespace:
        return None
    if not (name and namespace):
        raise BadParameters(f"{PREFIX}{what}-name and -namespace are only good together")
    values = {
        "pv.name": volume_name(claim),
        "pvc.namespace": claim.metadata.namespace,
        "pvc.name": claim.metadata.name,
    }
    return SecretReference(_resolve(namespace, values), _resolve(name, values))


def _resolve(text: str, values: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise BadParameters(f'error resolving value "{text}": invalid tokens: ["{match[1]}"]')
        return values[match[1]]

    return _VARIABLE.sub(value, text)


def render_create(
    claim: PersistentVolumeClaim,
    found: StorageClass,
    places: Sequence[Mapping[str, str]],
    secrets: Mapping[str, str],
    abilities: set[int],
    source: csi.ContentSource | None = None,
) -> csi.CreateVolume:
    """Returns what a driver is asked for a claim; raises BadParameters."""
    if claim.spec.selector is not None:
        raise BadParameters("claim Selector is not supported")
    parameters = {k: v for k, v in found.parameters.items() if not k.startswith(PREFIX)}
    topologies = tuple(csi.Topology(it) for it in places)
    requirement = csi.TopologyRequirement(topologies, topologies) if topologies else None
    return csi.CreateVolume(
        volume_name(claim),
        csi.CapacityRange(asked(claim)),
        tuple(
            _capability(claim.spec.volume_mode, mode, found, abilities)
            for mode in claim.spec.access_modes
        ),
        parameters,
        secrets,
        source,
        accessibility_requirements=requirement,
    )


def _capability(
    volume_mode: str, mode: str, found: StorageClass, abilities: set[int]
) -> csi.VolumeCapability:
    options = tuple(found.mount_options)
    return _usage(volume_mode, mode, fs_type_of(found), options, abilities)


def fs_type_of(found: StorageClass) -> str:
    """Returns the file system that a class asks for."""
    return found.parameters.get(f"{PREFIX}fstype", "")


def _usage(
    volume_mode: str, mode: str, fs_type: str, options: tuple[str, ...], abilities: set[int]
) -> csi.VolumeCapability:
    apart = csi.SINGLE_NODE_MULTI_WRITER_OF_CONTROLLER in abilities
    access = csi.access_mode(mode, tells_apart=apart)
    if volume_mode == "Block":
        return csi.VolumeCapability(block=csi.BlockVolume(), access_mode=access)
    return csi.VolumeCapability(mount=csi.MountVolume(fs_type, options), access_mode=access)


def capability_of(volume: PersistentVolume, abilities: set[int]) -> csi.VolumeCapability:
    """Returns how a volume is used."""
    spec, source = volume.spec, volume.spec.csi or {}
    mode = spec.access_modes[0] if spec.access_modes else "ReadWriteOnce"
    options = tuple(spec.mount_options)
    return _usage(spec.volume_mode, mode, source.get("fsType") or "", options, abilities)


def secret_in(volume: PersistentVolume, field: str) -> SecretReference | None:
    """Returns the Secret that a volume names for something."""
    found: Mapping[str, Any] | None = (volume.spec.csi or {}).get(field)
    return None if not found else SecretReference(found.get("namespace", ""), found.get("name", ""))


def deletion_secret(volume: PersistentVolume) -> SecretReference | None:
    """Returns the Secret with which a volume is removed."""
    annotations = volume.metadata.annotations
    name = annotations.get(f"{_DELETION}-name", "")
    return SecretReference(annotations.get(f"{_DELETION}-namespace", ""), name) if name else None


def render_volume(
    claim: PersistentVolumeClaim,
    found: StorageClass,
    made: csi.Volume,
    secret: SecretReference | None,
) -> Document:
    """Returns the volume of a claim, as a driver has made it; raises BadParameters."""
    annotations = {PROVISIONED_BY: found.provisioner}
    if secret is not None:
        annotations |= {
            f"{_DELETION}-name": secret.name,
            f"{_DELETION}-namespace": secret.namespace,
        }
    namespace, name = claim.key
    spec: Document = {
        "capacity": {"storage": str(of_bytes(made.capacity_bytes or asked(claim)))},
        "accessModes": list(claim.spec.access_modes),
        "persistentVolumeReclaimPolicy": found.reclaim_policy,
        "storageClassName": found.metadata.name,
        "mountOptions": list(found.mount_options),
        "volumeMode": claim.spec.volume_mode,
        "claimRef": {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "namespace": namespace,
            "name": name,
            "uid": claim.metadata.uid,
            "resourceVersion": claim.metadata.resource_version,
        },
        "csi": _source(claim, found, made),
    }
    if terms := [_term(it) for it in made.accessible_topology if it.segments]:
        spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": terms}}
    metadata = {
        "name": volume_name(claim),
        "annotations": annotations,
        "finalizers": [PROVISIONER_FINALIZER],
    }
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": metadata, "spec": spec}


def _source(claim: PersistentVolumeClaim, found: StorageClass, made: csi.Volume) -> Document:
    source: Document = {
        "driver": found.provisioner,
        "volumeHandle": made.volume_id,
        "volumeAttributes": dict(made.volume_context),
    }
    if claim.spec.volume_mode != "Block" and (kind := fs_type_of(found)):
        source["fsType"] = kind
    for field, what in _SECRETS.items():
        if (name := secret_of(found, claim, what)) is not None:
            source[field] = {"name": name.name, "namespace": name.namespace}
    return source


def _term(topology: csi.Topology) -> Document:
    return {
        "matchExpressions": [
            {"key": key, "operator": "In", "values": [value]}
            for key, value in sorted(topology.segments.items())
        ]
    }
