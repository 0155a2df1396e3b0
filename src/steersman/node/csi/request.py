"""What a volume of a pod asks of its driver: pure, from the pod and the volume behind its claim."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from steersman.model.kinds.csidriver import CSIDriver
from steersman.model.kinds.persistentvolume import PersistentVolume
from steersman.model.kinds.pod import Pod
from steersman.model.types.reference import SecretReference
from steersman.model.types.volume import Volume
from steersman.node.csi.layout import EPHEMERAL, PERSISTENT, Record
from steersman.node.objects import BadConfiguration
from steersman.wire.rpc import csi

_INFO = "csi.storage.k8s.io/"
TOKENS = f"{_INFO}serviceAccount.tokens"


class _Source(msgspec.Struct, frozen=True, rename="camel"):
    """core/v1 CSIPersistentVolumeSource."""

    driver: str = ""
    volume_handle: str = ""
    read_only: bool = False
    fs_type: str = ""
    volume_attributes: Mapping[str, str] = {}
    node_stage_secret_ref: SecretReference | None = None
    node_publish_secret_ref: SecretReference | None = None
    node_expand_secret_ref: SecretReference | None = None


class Wanted(msgspec.Struct, frozen=True):
    """A volume as a pod wants it; `name` is the PersistentVolume's, or that in the pod. What a pod
    names itself has no claim."""

    name: str
    driver: str
    handle: str
    ephemeral: bool = False
    block: bool = False
    read_only: bool = False
    fs_type: str = ""
    attributes: Mapping[str, str] = {}
    mount_options: Sequence[str] = ()
    modes: Sequence[str] = ()
    stage_secret: SecretReference | None = None
    publish_secret: SecretReference | None = None
    expand_secret: SecretReference | None = None
    claim: tuple[str, str] | None = None
    capacity: str = "0"

    def attachment(self, node: str) -> str:
        """Returns the name of the object that stands for its attachment to a node."""
        text = f"{self.handle}{self.driver}{node}"
        return f"csi-{hashlib.sha256(text.encode()).hexdigest()}"

    def record(self, node: str, attachment: str) -> Record:
        """Returns what is noted of it."""
        mode = EPHEMERAL if self.ephemeral else PERSISTENT
        return Record(self.driver, self.handle, mode, self.name, node, attachment, self.block)


def render_wanted(pod: Pod, volume: Volume, behind: PersistentVolume | None) -> Wanted:
    """Returns what a pod wants of a driver."""
    if behind is None:
        return _inline(pod, volume)
    spec = behind.spec
    source = msgspec.convert(spec.csi, _Source)
    claim = volume.persistent_volume_claim
    return Wanted(
        behind.metadata.name,
        source.driver,
        source.volume_handle,
        block=spec.volume_mode == "Block",
        read_only=source.read_only or (claim is not None and claim.read_only),
        fs_type=source.fs_type,
        attributes=source.volume_attributes,
        mount_options=spec.mount_options,
        modes=spec.access_modes,
        stage_secret=source.node_stage_secret_ref,
        publish_secret=source.node_publish_secret_ref,
        expand_secret=source.node_expand_secret_ref,
        claim=(owner.namespace, owner.name) if (owner := spec.claim_ref) else None,
        capacity=spec.capacity.get("storage", "0"),
    )


def _inline(pod: Pod, volume: Volume) -> Wanted:
    source, secret = volume.csi, None
    assert source is not None
    if source.node_publish_secret_ref is not None:
        secret = SecretReference(pod.metadata.namespace, source.node_publish_secret_ref.name)
    digest = hashlib.sha256(f"{pod.metadata.uid}{volume.name}".encode()).hexdigest()
    return Wanted(
        volume.name,
        source.driver,
        f"csi-{digest}",
        ephemeral=True,
        read_only=source.read_only,
        fs_type=source.fs_type,
        attributes=source.volume_attributes,
        publish_secret=secret,
    )


def check_lifecycle(wanted: Wanted, driver: CSIDriver | None) -> None:
    """Raises BadConfiguration for a mode that a driver does not have."""
    mode = EPHEMERAL if wanted.ephemeral else PERSISTENT
    if driver is None:
        if wanted.ephemeral:
            text = f'volume mode "{mode}" not supported by driver {wanted.driver}'
            raise BadConfiguration(f"{text} (no CSIDriver object)")
        return
    modes = driver.spec.volume_lifecycle_modes or (PERSISTENT,)
    if mode not in modes:
        text = f'volume mode "{mode}" not supported by driver {wanted.driver}'
        shown = " ".join(f'"{it}"' for it in modes)
        raise BadConfiguration(f"{text} (only supports [{shown}])")


def is_attached(wanted: Wanted, driver: CSIDriver | None) -> bool:
    """Says whether a volume has to be attached to the node before it can be used."""
    return not wanted.ephemeral and (driver is None or driver.spec.attach_required)


def render_capability(
    wanted: Wanted, abilities: Collection[int], group: int | None
) -> csi.VolumeCapability:
    """Returns how a volume is to be used; a driver with that ability gives files to the group."""
    name = wanted.modes[0] if wanted.modes else "ReadWriteOnce"
    mode = csi.access_mode(name, tells_apart=csi.NODE_SINGLE_NODE_MULTI_WRITER in abilities)
    if wanted.block:
        return csi.VolumeCapability(block=csi.BlockVolume(), access_mode=mode)
    given = str(group) if group is not None and csi.VOLUME_MOUNT_GROUP in abilities else ""
    mount = csi.MountVolume(wanted.fs_type, tuple(wanted.mount_options), given)
    return csi.VolumeCapability(mount=mount, access_mode=mode)


def render_pod_info(wanted: Wanted, pod: Pod, driver: CSIDriver | None) -> dict[str, str]:
    """Returns what a driver is told of the pod, where it wants to know."""
    if driver is None or not driver.spec.pod_info_on_mount:
        return {}
    metadata = pod.metadata
    return {
        f"{_INFO}pod.name": metadata.name,
        f"{_INFO}pod.namespace": metadata.namespace,
        f"{_INFO}pod.uid": metadata.uid,
        f"{_INFO}serviceAccount.name": pod.spec.service_account_name,
        f"{_INFO}ephemeral": "true" if wanted.ephemeral else "false",
    }


def render_tokens(tokens: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Returns tokens by their audience, in the one text that drivers read."""
    return {TOKENS: json.dumps(tokens, separators=(",", ":"))} if tokens else {}


def is_group_given(
    wanted: Wanted, driver: CSIDriver | None, abilities: Collection[int], group: int | None
) -> bool:
    """Says whether the node itself gives the files of a volume to the pod's group."""
    policy = driver.spec.fs_group_policy if driver is not None else "ReadWriteOnceWithFSType"
    if group is None or wanted.block or wanted.read_only or policy == "None":
        return False
    if csi.VOLUME_MOUNT_GROUP in abilities:
        return False  # the driver has done so
    if policy == "File":
        return True
    once = {"ReadWriteOnce", "ReadWriteOncePod"}
    return bool(wanted.fs_type) and not once.isdisjoint(wanted.modes)
