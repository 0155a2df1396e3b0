"""persistentVolumeClaim and ephemeral: what is behind a claim, brought to a place of the node.

A directory of the node shows as a link in the pod's own directory, which outlives the agent.
"""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from steersman.model import local_path as names
from steersman.model.kinds.persistentvolume import PersistentVolume
from steersman.model.kinds.pod import Pod
from steersman.model.types.volume import NFSVolume
from steersman.node import containers
from steersman.node.objects import BadConfiguration
from steersman.node.volumes import block, host_path, local_path, nfs, ownership
from steersman.node.volumes.claims import Unusable, unprocessed
from steersman.node.volumes.iscsi import sessions


def prepare(volume: PersistentVolume, pod: Pod, own: Path, node: str, place: Path) -> None:
    """Makes a volume reachable at `place`; `own` is where the node's own directories are.

    Raises BadConfiguration for what cannot be had here.
    """
    name, spec = volume.metadata.name, volume.spec
    if spec.volume_mode == "Block":
        link(place, _device(volume, place))
    elif spec.nfs is not None:
        readonly = spec.nfs.read_only or is_readonly(pod, place.name)
        source: NFSVolume = replace(spec.nfs, read_only=readonly)
        nfs.prepare(source, spec.mount_options, place)
    elif spec.iscsi is not None:
        readonly = is_readonly(pod, place.name)
        sessions.prepare(spec.iscsi, spec.mount_options, pod, place, readonly=readonly)
    elif spec.host_path is not None:
        link(place, host_path.prepare(spec.host_path))
    elif spec.local is not None:
        path = _local(volume, Path(spec.local.path), own, node)
        group, policy = _group(pod)
        if group is not None and not is_readonly(pod, place.name):
            ownership.give(path, group, policy)
        link(place, path)
    else:
        raise BadConfiguration(f"this kind of volume is not supported: {name}")


def check_mode(volume: PersistentVolume, pod: Pod, name: str) -> None:
    """Raises Unusable where a container uses a volume as what it is not."""
    mode, own = volume.spec.volume_mode, containers.all_containers(pod)
    field = "volumeDevices" if mode == "Filesystem" else "volumeMounts"
    wrong = {
        "volumeDevices": (it.name for one in own for it in one.volume_devices),
        "volumeMounts": (it.name for one in own for it in one.volume_mounts),
    }[field]
    if name in wrong:
        raise unprocessed(name, f"volume {name} has volumeMode {mode}, but is specified in {field}")


def _device(volume: PersistentVolume, place: Path) -> Path:
    """Returns the device that a volume is; only local ones and those of targets can be one."""
    if volume.spec.iscsi is not None:
        return sessions.attach(sessions.parse(volume.spec.iscsi), place)
    if volume.spec.local is None:
        raise BadConfiguration(f"this kind of volume is not supported: {volume.metadata.name}")
    return block.attach(Path(volume.spec.local.path))


def _local(volume: PersistentVolume, path: Path, own: Path, node: str) -> Path:
    """Returns the directory of a local volume, made where it is one of the node's own."""
    name = volume.metadata.name
    home = names.node_of(volume.metadata.annotations)
    if home not in ("", node):
        start = f'MountVolume.NodeAffinity check failed for volume "{name}" : '
        raise Unusable(f"{start}no matching NodeSelectorTerms")
    if home and (entry := names.directory_name(name, str(path), str(own))):
        return local_path.make(own, entry)
    if not path.is_dir():
        start = f'MountVolume.NewMounter initialization failed for volume "{name}" : '
        raise Unusable(f'{start}path "{path}" does not exist')
    return path


def _group(pod: Pod) -> tuple[int | None, str]:
    security = pod.spec.security_context
    return security.fs_group, security.fs_group_change_policy


def is_readonly(pod: Pod, name: str) -> bool:
    """Says whether a pod asks for a claim's volume to be read only."""
    sources = (it.persistent_volume_claim for it in pod.spec.volumes if it.name == name)
    return any(source is not None and source.read_only for source in sources)


def link(place: Path, path: Path) -> None:
    """Makes a volume's place lead to a path of the node; what leads elsewhere is replaced."""
    place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    if place.is_symlink():
        if place.readlink() == path:
            return
        place.unlink()
    place.symlink_to(path)
