"""Prepares and releases the volumes of a pod: finds the file for each kind, refuses the others.

Repeatable: preparing again brings the files of ConfigMaps, Secrets and tokens up to date.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from steersman.model.csi_translation import plugin_of, source_of
from steersman.model.kinds.persistentvolume import PersistentVolume
from steersman.model.kinds.pod import Pod
from steersman.model.types.volume import Volume
from steersman.node.credentials.certificates import Credentials, PodCertificates
from steersman.node.objects import BadConfiguration, Objects
from steersman.node.paths import Paths
from steersman.node.record import remove_tree
from steersman.node.render.downward import Machine
from steersman.node.volumes import (
    block,
    config_map,
    downward_api,
    empty_dir,
    host_path,
    image,
    memory,
    nfs,
    persistent,
    projected,
    secret,
    tree,
)
from steersman.node.volumes.claims import Claims, Unusable, name_of
from steersman.node.volumes.iscsi import sessions
from steersman.node.volumes.tokens import Tokens
from steersman.node.volumes.tree import File
from steersman.world.interface import World

# As the kubelet's; the mount in a container is read-only
_KEPT_MODE = 0o1777


class Published(msgspec.Struct, frozen=True):
    """Where a driver has published a volume, and when that is to be done again, 0 for never."""

    place: Path
    again_at: float = 0.0


class Prepared(msgspec.Struct, frozen=True):
    """What came of it: when the volumes must be prepared again, 0 for never."""

    renew_at: float


class CSI(Protocol):
    """The volumes of drivers."""

    def known(self, uid: str, label: str) -> Published | None:
        """See `CSIVolumes.known`."""

    def place(self, pod: Pod, volume: Volume) -> Path:
        """Returns where an inline volume is."""

    def is_place(self, path: Path) -> bool:
        """Says whether a path is one where a driver publishes volumes."""

    async def prepare(self, pod: Pod, volume: Volume, behind: PersistentVolume | None) -> Published:
        """See `CSIVolumes.prepare`."""

    async def release(self, uid: str) -> None:
        """See `CSIVolumes.release`."""


class _Given(NamedTuple):
    """What volumes are made from: objects of the API, images; `changed` is called when what was
    missing has come."""

    objects: Objects
    changed: Callable[[], None]
    images: Mapping[str, image.Pulled]


class _Asked(msgspec.Struct, frozen=True):
    """What is asked of others for a volume: tokens by path, certificates by source, and when the
    first of them must be renewed, 0 for never."""

    tokens: Mapping[str, str]
    certificates: Mapping[int, Credentials]
    renew_at: float


class Volumes:
    """The volumes of all pods of the node."""

    def __init__(
        self,
        paths: Paths,
        tokens: Tokens,
        claims: Claims,
        certificates: PodCertificates,
        machine: Machine,
        world: World,
        csi: CSI,
        *,
        node: str,
    ) -> None:
        self._paths = paths
        self._node = node
        self._tokens = tokens
        self._claims = claims
        self._certificates = certificates
        self._machine = machine
        self._world = world
        self._csi = csi

    async def prepare(
        self,
        pod: Pod,
        objects: Objects,
        changed: Callable[[], None],
        images: Mapping[str, image.Pulled] | None = None,
    ) -> Prepared:
        """Makes every volume as it should be now, those of images that are here; `changed` is
        called when what was missing has come. Raises BadConfiguration, and the API's errors."""
        given = _Given(objects, changed, images or {})
        due = [await self._prepare_one(pod, it, given) for it in pod.spec.volumes]
        return Prepared(min(filter(None, due), default=0.0))

    async def _prepare_one(self, pod: Pod, volume: Volume, given: _Given) -> float:
        """Makes one volume as it should be; returns when it is to be made again, 0 for never."""
        if (known := self._csi.known(pod.metadata.uid, volume.name)) is not None:
            return known.again_at
        is_there = self._is_claimed(pod, volume)
        if is_there and not self._is_published(pod, volume):
            return 0.0
        try:
            behind = await self._claims.find(pod, volume)
        except Unusable:
            if is_there:
                return 0.0
            raise
        if behind is not None:
            persistent.check_mode(behind, pod, volume.name)
        if volume.csi is not None or (behind is not None and behind.spec.csi is not None):
            return await self._publish(pod, volume, behind)
        name = volume.name if behind is None else behind.metadata.name
        try:
            asked = await self._ask(pod, volume, given.changed)
            if behind is not None:
                await asyncio.to_thread(self._prepare_claimed, pod, volume, behind)
            elif volume.image is not None:
                await asyncio.to_thread(self._prepare_image, pod, volume, given.images)
            else:
                await asyncio.to_thread(self._prepare, pod, volume, given.objects, asked)
        except Unusable:
            raise
        except (BadConfiguration, OSError) as error:
            text = f'MountVolume.SetUp failed for volume "{name}" : {error}'
            raise BadConfiguration(text) from error
        return asked.renew_at

    async def _publish(self, pod: Pod, volume: Volume, behind: PersistentVolume | None) -> float:
        """Has a driver publish a volume; what does not name its driver is then found by a link."""
        published = await self._csi.prepare(pod, volume, behind)
        if behind is not None:
            place = self._paths.volume(pod.metadata.uid, volume.name)
            persistent.link(place, published.place)
        return published.again_at

    def _is_published(self, pod: Pod, volume: Volume) -> bool:
        """Says whether a volume that is there came from a driver, who is asked anew by each agent,
        or is a loop device: the machine may have been booted since."""
        place = self._paths.volume(pod.metadata.uid, volume.name)
        if not place.is_symlink():
            return False
        return self._csi.is_place(place.readlink()) or block.is_loop(place.readlink())

    async def _ask(self, pod: Pod, volume: Volume, changed: Callable[[], None]) -> _Asked:
        tokens: dict[str, str] = {}
        certificates: dict[int, Credentials] = {}
        due: list[float] = []
        for number, source in enumerate(volume.projections):
            if (asked := source.service_account_token) is not None:
                token = await self._tokens.get(pod, asked)
                tokens[asked.path] = token.text
                due.append(token.renew_at)
            if (wanted := source.pod_certificate) is not None:
                place = (pod.metadata.uid, volume.name, number)
                given = await self._certificates.get(pod, place, wanted, changed)
                certificates[number] = given
                due.append(given.renew_at)
        return _Asked(tokens, certificates, min(due, default=0.0))

    def _is_claimed(self, pod: Pod, volume: Volume) -> bool:
        """Says whether what is behind a claim is here already: it stays as it is while the pod
        does, even where the claim is being deleted."""
        place = self._paths.volume(pod.metadata.uid, volume.name)
        there = place.is_symlink() or memory.is_mounted(place)
        return bool(name_of(pod, volume)) and there

    def _prepare_claimed(self, pod: Pod, volume: Volume, behind: PersistentVolume) -> None:
        place = self._paths.volume(pod.metadata.uid, volume.name)
        persistent.prepare(behind, pod, self._paths.local_volumes, self._node, place)

    def unmounted_images(self, pod: Pod) -> list[Volume]:
        """Returns the volumes whose images have to be here before they can be prepared."""
        uid = pod.metadata.uid
        return [
            it
            for it in pod.spec.volumes
            if it.image is not None and not image.is_there(self._paths.volume(uid, it.name))
        ]

    def _prepare_image(self, pod: Pod, volume: Volume, images: Mapping[str, image.Pulled]) -> None:
        uid = pod.metadata.uid
        place = self._paths.volume(uid, volume.name)
        found = images.get(volume.name)
        if found is not None and found.layers:
            image.prepare(found.layers, place, self._paths.pod(uid) / "empty")
        elif found is not None:
            image.note(found.digest, place)

    def _prepare(self, pod: Pod, volume: Volume, objects: Objects, asked: _Asked) -> None:
        directory = self._paths.volume(pod.metadata.uid, volume.name)
        group = pod.spec.security_context.fs_group
        if volume.host_path is not None:
            host_path.prepare(volume.host_path)
        elif volume.empty_dir is not None:
            empty_dir.prepare(pod, volume.empty_dir, directory, group)
        elif volume.nfs is not None:
            nfs.prepare(volume.nfs, (), directory)
        elif volume.iscsi is not None:
            sessions.prepare(volume.iscsi, (), pod, directory)
        else:
            files = self._render(pod, volume, objects, asked)
            directory.mkdir(mode=0o755, parents=True, exist_ok=True)
            # Nothing secret reaches a disk
            hidden = volume.secret is not None or volume.projected is not None
            if hidden and not memory.is_mounted(directory):
                memory.mount(directory)
            memory.give(directory, _KEPT_MODE, group)
            tree.write(directory, files, group, self._world.uid())

    def _render(self, pod: Pod, volume: Volume, objects: Objects, asked: _Asked) -> dict[str, File]:
        if (found := volume.config_map) is not None:
            return config_map.render(found, objects, found.default_mode)
        if (one := volume.secret) is not None:
            return secret.render(
                one.secret_name, one.items, one.optional, objects, one.default_mode
            )
        if (many := volume.projected) is not None:
            return projected.render(
                pod, many, objects, self._machine, asked.tokens, asked.certificates
            )
        if (fields := volume.downward_api) is not None:
            return downward_api.render(pod, fields.items, fields.default_mode, self._machine)
        raise BadConfiguration("this kind of volume is not supported")

    def places(self, pod: Pod) -> dict[str, Path]:
        """Returns where each volume is on the node."""
        return {volume.name: self._place(pod, volume) for volume in pod.spec.volumes}

    def _place(self, pod: Pod, volume: Volume) -> Path:
        if volume.host_path is not None:
            return Path(volume.host_path.path)
        if volume.csi is not None:
            return self._csi.place(pod, volume)
        place = self._paths.volume(pod.metadata.uid, volume.name)
        # None but the node writes there, so that such a link is its own
        linked = (name_of(pod, volume) or plugin_of(volume)) and place.is_symlink()
        return place.readlink() if linked else place

    async def release(self, uid: str) -> None:
        """Removes all volumes of a pod, from what is on disk alone. Repeatable; raises
        BadConfiguration while a driver does not take one back."""
        await self._csi.release(uid)
        await asyncio.to_thread(release, self._paths, uid)
        self._tokens.forget(uid)
        self._certificates.forget(uid)


def is_readonly(pod: Pod, volume: Volume) -> bool:
    """Whether containers only read a volume: the node keeps its files true, or the pod says so."""
    if name_of(pod, volume):
        return persistent.is_readonly(pod, volume.name)
    if volume.csi is not None:
        return volume.csi.read_only
    if volume.iscsi is not None:
        return bool(volume.iscsi.get("readOnly"))
    if (found := source_of(volume)) is not None:
        return bool(found.get("readOnly"))
    written = (volume.empty_dir, volume.host_path, volume.nfs)
    return all(source is None for source in written)


def release(paths: Paths, uid: str) -> None:
    """Removes the volumes of a pod that no driver has to take back. Repeatable; raises
    BadConfiguration for a target that cannot be logged out of."""
    unmount(paths, uid)
    sessions.release(paths.pod(uid), paths.pods)
    remove_tree(_volumes(paths, uid))


def unmount(paths: Paths, uid: str) -> None:
    """Takes away what is mounted or attached for a pod; what is on disk stays."""
    directory = _volumes(paths, uid)
    for volume in list(directory.iterdir()) if directory.is_dir() else ():
        if volume.is_symlink() and block.is_loop(volume.readlink()):
            block.release(volume, paths.pods.glob("*/volumes/*"))
        elif memory.is_mounted(volume):
            memory.unmount(volume)


def _volumes(paths: Paths, uid: str) -> Path:
    return paths.pod(uid) / "volumes"
