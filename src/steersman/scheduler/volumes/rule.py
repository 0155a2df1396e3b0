"""The volume filters together, for one pod: what `decide` asks of nodes for this pod alone."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterator

from msgspec.structs import replace

from steersman.model.csi_translation import FIELDS, handle_of, in_zones_of_driver, migrated
from steersman.model.kinds.persistentvolume import PersistentVolume
from steersman.model.kinds.pod import Pod
from steersman.scheduler.filters import (
    node_volume_limits,
    volume_binding,
    volume_restrictions,
    volume_zone,
)
from steersman.scheduler.filters.refusal import Refusal
from steersman.scheduler.profile import Profile
from steersman.scheduler.scores.allocation import NO_DEVICES, Devices
from steersman.scheduler.state.bits import Bits
from steersman.scheduler.state.node import NodeState
from steersman.scheduler.state.snapshot import Snapshot
from steersman.scheduler.volumes.binding import Choice, choose
from steersman.scheduler.volumes.needs import Needs, needs_of
from steersman.scheduler.volumes.offers import labels_of, wishes_of
from steersman.scheduler.volumes.storage import Storage


class VolumeRule:
    """See `memory.Local`."""

    def __init__(
        self, pod: Pod, needs: Needs, profile: Profile, storage: Storage, snapshot: Snapshot
    ) -> None:
        self._pod = pod
        self._needs = needs
        self._filters = profile.filters
        self._storage = storage
        self._snapshot = snapshot
        self._in_tree = dict(_in_tree(needs))
        self._handles = tuple(node_volume_limits.handles(pod, storage))
        self._wishes = wishes_of(needs.waiting, storage)

    def possible(self) -> Bits:
        """Returns the nodes with the labels that the pod's volumes name, where they name some."""
        found = self._snapshot.all
        for _, volume in self._needs.bound if "VolumeBinding" in self._filters else ():
            own = volume is not None and volume.metadata.name not in self._in_tree
            pairs = labels_of(volume) if volume is not None and own else None
            if pairs is not None:
                found &= self._snapshot.having(pairs)
        return found

    def refuse(self, node: NodeState, gone: Container[str] = ()) -> Refusal | None:
        """Returns the first volume filter's refusal; pods whose uids are `gone` do not count."""
        pods = self._snapshot.pods_on(node)
        there = [placed for placed in pods if placed.pod.metadata.uid not in gone]
        pod, needs, storage, on = self._pod, self._needs, self._storage, self._filters
        found = None
        if "VolumeRestrictions" in on:
            found = volume_restrictions.refuse(pod, needs.claims, there)
        if found is None and "NodeVolumeLimits" in on:
            csi = storage.csi_node(node.name)
            found = node_volume_limits.refuse(self._handles, csi, there, storage)
        if found is None and "VolumeBinding" in on:
            found = volume_binding.refuse(self._on(node), self._wishes, node)
        if found is None and "VolumeZone" in on:
            found = volume_zone.refuse(needs, node)
        return found

    def devices(self, _node: NodeState, _names: Collection[str]) -> Devices:
        """Returns nothing: volumes are no devices."""
        return NO_DEVICES

    def _on(self, node: NodeState) -> Needs:
        """Returns the needs with volumes of upstream's tree as the drivers of a node have them."""
        if not self._in_tree:
            return self._needs
        plugins = migrated(self._storage.csi_node(node.name))
        bound = tuple(
            (claim, self._of_driver(volume, plugins)) for claim, volume in self._needs.bound
        )
        return replace(self._needs, bound=bound)

    def _of_driver(
        self, volume: PersistentVolume | None, plugins: Container[str]
    ) -> PersistentVolume | None:
        if volume is None or (found := self._in_tree.get(volume.metadata.name)) is None:
            return volume
        plugin, translated = found
        return translated if plugin in plugins else volume

    def choice(self, node: NodeState) -> Choice:
        """Returns the volumes that the pod's claims get on a node that fits."""
        found = choose(self._wishes, node)
        chosen = found if isinstance(found, Choice) else Choice()
        return Choice(chosen.given, chosen.made, tuple(claim for claim, _ in self._needs.bound))


def _in_tree(needs: Needs) -> Iterator[tuple[str, tuple[str, PersistentVolume]]]:
    """Yields the volumes of upstream's tree: by name the plugin, and the volume as its driver has
    it."""
    for _, volume in needs.bound:
        if volume is not None and (found := handle_of(volume)) is not None:
            translated = in_zones_of_driver(volume, found.plugin)
            yield volume.metadata.name, (found.plugin, translated)


def rule_of(
    pod: Pod, profile: Profile, storage: Storage, snapshot: Snapshot
) -> VolumeRule | str | None:
    """Returns the rule of a pod's volumes: None where none matters, a text where the pod can run
    nowhere yet."""
    if not any(_matters(volume) for volume in pod.spec.volumes):
        return None
    needs = needs_of(pod, storage)
    if isinstance(needs, str):
        return needs if "VolumeBinding" in profile.filters else None
    return VolumeRule(pod, needs, profile, storage, snapshot)


def _matters(volume: object) -> bool:
    return any(getattr(volume, name) is not None for name in _MATTERING)


_MATTERING = (
    "persistent_volume_claim",
    "ephemeral",
    "iscsi",
    "rbd",
    *FIELDS,
)
