"""Which volumes are to be attached to one node, and what follows from what is attached.

Pure. A volume goes from its node once no pod there needs it and the node says that it is not in
use; from a node that is not healthy after some minutes, from one that is out of service at once
(pkg/controller/volume/attachdetach, KEP-2268).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from steersman.model.csi_translation import of_driver
from steersman.model.kind import Document
from steersman.model.kinds.node import ATTACHES, NODE, Node
from steersman.model.kinds.persistentvolume import (
    PERSISTENTVOLUME,
    PersistentVolume,
    PersistentVolumeSpec,
)
from steersman.model.kinds.pod import Pod
from steersman.model.kinds.volumeattachment import VOLUMEATTACHMENT, VolumeAttachment
from steersman.model.ref import Ref
from steersman.model.times import seconds
from steersman.model.types.condition import is_true
from steersman.reconcile.actions import Action, Create, Delete, Tell, status

OUT_OF_SERVICE: Final = "node.kubernetes.io/out-of-service"
FAILED: Final = "FailedAttachVolume"
# reconcilerMaxWaitForUnmountDuration
UNMOUNT_SECONDS: Final = 360.0
# csiTimeout: how long an attacher may take before it is told
ATTACH_SECONDS: Final = 120.0
# When to look again where nobody knows whether another node has the volume
UNCERTAIN_SECONDS: Final = 5.0
_OURS: Final = re.compile("csi-[0-9a-f]{64}")
_SHARED: Final = ("ReadWriteMany", "ReadOnlyMany")
_EXCLUSIVE: Final = (
    "Volume is already exclusively attached to one node and can't be attached to another"
)


class Source(msgspec.Struct, frozen=True):
    """A volume as its driver knows it."""

    driver: str
    handle: str

    @property
    def name(self) -> str:
        """The name under which nodes know the volume (UniqueVolumeName)."""
        return f"kubernetes.io/csi/{self.driver}^{self.handle}"

    def attachment(self, node: str) -> str:
        """Returns the name of the object that stands for its attachment to a node."""
        text = f"{self.handle}{self.driver}{node}"
        return f"csi-{hashlib.sha256(text.encode()).hexdigest()}"


class Wanted(msgspec.Struct, frozen=True):
    """A volume that pods on the node need, as its driver has it; `inline`: pods name it themselves,
    and no object stands for it."""

    volume: PersistentVolume
    source: Source
    pods: tuple[Pod, ...]
    inline: bool = False


class Rivals(msgspec.Struct, frozen=True):
    """Who has a volume elsewhere: whether it is attached there, the pods that need it there, and
    whether it may be attached where nobody knows it yet."""

    attached: bool = False
    pods: tuple[str, ...] = ()
    uncertain: bool = False


class Scene(msgspec.Struct, frozen=True):
    """What is known of one node.

    node:    None where it is gone
    wanted:  by the names of their attachments
    here:    what is attached to the node, or is to be
    sources: those of `here`, by name
    rivals:  by the names of attachments
    since:   when attachments were first not needed, by name
    told:    what was told already, so that it is told once
    """

    name: str
    node: Node | None
    wanted: Mapping[str, Wanted]
    here: Sequence[VolumeAttachment]
    sources: Mapping[str, Source]
    rivals: Mapping[str, Rivals] = {}
    since: Mapping[str, float] = {}
    told: frozenset[str] = frozenset()


class Plan(msgspec.Struct, frozen=True):
    """What is to be done, when to look again, what is told by it, and which volumes the node must
    not have in use when they are detached (by attachment)."""

    actions: tuple[Action, ...] = ()
    again: float | None = None
    told: frozenset[str] = frozenset()
    unused: Mapping[str, str] = {}


def volume_of(
    attachment: VolumeAttachment, find: Callable[[Ref], PersistentVolume | None]
) -> PersistentVolume | None:
    """Returns what is attached, as its driver has it, None where that is gone; what pods name
    themselves stands in the attachment."""
    given = attachment.spec.source
    if given.inline_volume_spec is not None:
        return of_driver(PersistentVolume(spec=given.inline_volume_spec))
    return of_driver(find(PERSISTENTVOLUME.ref("", given.persistent_volume_name or "")))


def source_of(volume: PersistentVolumeSpec | None) -> Source | None:
    """Returns the source of a volume of a CSI driver, None for others."""
    csi = volume.csi if volume is not None else None
    return None if csi is None else Source(csi.get("driver", ""), csi.get("volumeHandle", ""))


def is_ended(pod: Pod) -> bool:
    """Says whether nothing of a pod runs any more (IsPodTerminated)."""
    if pod.status.phase in ("Succeeded", "Failed"):
        return True
    running = any(
        it.state.terminated is None and it.state.waiting is None
        for it in pod.status.container_statuses
    )
    return pod.metadata.deletion_timestamp is not None and not running


def may_be_shared(volume: PersistentVolume) -> bool:
    """Says whether a volume may be attached to several nodes at once."""
    modes = volume.spec.access_modes
    return not modes or any(mode in _SHARED for mode in modes)


def is_ours(attachment: VolumeAttachment) -> bool:
    """Says whether an attachment was made by such a controller, by its name."""
    return _OURS.fullmatch(attachment.metadata.name) is not None


def plan(scene: Scene, now: float) -> Plan:
    """Returns what makes the attachments of one node right."""
    if scene.node is not None and ATTACHES not in scene.node.metadata.annotations:
        return Plan()
    ours = [it for it in scene.here if is_ours(it)]
    kept, leaving, times = _sorted(scene, ours, now)
    tells, told = _news(scene, ours, now)
    there = {it.metadata.name for it in ours}
    missing = [it for name, it in scene.wanted.items() if name not in there]
    creates, clashes, words = _attach(scene, missing)
    actions = (
        *tells,
        *_report(scene, kept),
        *(_detach(it) for it in leaving),
        *clashes,
        *creates,
    )
    times += [_taken_by(it) - now for it in ours if _is_awaited(scene, it, now)]
    times += [UNCERTAIN_SECONDS for it in missing if _is_uncertain(_rivals(scene, it))]
    again = min((it for it in times if it > 0), default=None)
    return Plan(actions, again, told | words, _unused(scene, leaving))


def _rivals(scene: Scene, wanted: Wanted) -> Rivals:
    return scene.rivals.get(wanted.source.attachment(scene.name), Rivals())


def _is_uncertain(rivals: Rivals) -> bool:
    return rivals.uncertain and not rivals.attached


def _unused(scene: Scene, leaving: Iterable[VolumeAttachment]) -> dict[str, str]:
    """Returns what is detached because the node does not have it in use, which must be so still
    once the node knows that it is not attached any more."""
    if scene.node is None:
        return {}
    used = scene.node.status.volumes_in_use
    sources = ((it.metadata.name, scene.sources.get(it.metadata.name)) for it in leaving)
    return {
        name: source.name
        for name, source in sources
        if source is not None and source.name not in used
    }


def _is_awaited(scene: Scene, attachment: VolumeAttachment, now: float) -> bool:
    """Says whether an attachment is on its way and its attacher has time."""
    on_its_way = not attachment.status.attached and attachment.metadata.name in scene.wanted
    return on_its_way and _taken_by(attachment) > now


def _taken_by(attachment: VolumeAttachment) -> float:
    return seconds(attachment.metadata.creation_timestamp) + ATTACH_SECONDS


def _sorted(
    scene: Scene, ours: Iterable[VolumeAttachment], now: float
) -> tuple[list[str], list[VolumeAttachment], list[float]]:
    """Returns the names of volumes that stay attached, what is to be detached, and in how many
    seconds to look again."""
    kept: list[str] = []
    leaving: list[VolumeAttachment] = []
    times: list[float] = []
    for it in ours:
        if it.metadata.deletion_timestamp is not None:
            continue
        source = scene.sources.get(it.metadata.name)
        wait = _wait(scene, it, source, now)
        if wait == 0:
            leaving.append(it)
            continue
        if it.status.attached and source is not None:
            kept.append(source.name)
        if wait is not None:
            times.append(wait)
    return kept, leaving, times


def _wait(
    scene: Scene, attachment: VolumeAttachment, source: Source | None, now: float
) -> float | None:
    """Returns how long an attachment stays for sure: 0 where it is to go now, None where that
    depends on what others do."""
    if attachment.metadata.name in scene.wanted:
        return None
    node = scene.node
    if node is not None:
        mounted = source is not None and source.name in node.status.volumes_in_use
        if not mounted or any(taint.key == OUT_OF_SERVICE for taint in node.spec.taints):
            return 0.0
        if is_true(node.status.conditions, "Ready"):
            return None
    since = scene.since.get(attachment.metadata.name, now)
    return max(0.0, since + UNMOUNT_SECONDS - now)


def _report(scene: Scene, kept: Iterable[str]) -> Iterator[Action]:
    """Yields what tells the node which volumes are attached to it; it mounts no others."""
    node = scene.node
    if node is None:
        return
    reported = [it.name for it in node.status.volumes_attached]
    wanted = sorted(kept)
    if sorted(reported) == wanted:
        return
    volumes = [{"name": name, "devicePath": ""} for name in wanted] or None
    ref = NODE.ref("", scene.name)
    yield status(ref, {"volumesAttached": volumes}, uid=node.metadata.uid)


def _detach(attachment: VolumeAttachment) -> Delete:
    return Delete(VOLUMEATTACHMENT.ref(*attachment.key), attachment.metadata.uid)


def _news(
    scene: Scene, ours: Iterable[VolumeAttachment], now: float
) -> tuple[list[Tell], frozenset[str]]:
    """Returns what the pods of wanted volumes are told, and what is told once by that."""
    node = scene.node
    reported = {it.name for it in node.status.volumes_attached} if node is not None else set()
    tells: list[Tell] = []
    told: set[str] = set()
    for it in ours:
        wanted = scene.wanted.get(it.metadata.name)
        if wanted is None or it.metadata.deletion_timestamp is not None:
            continue
        name = wanted.volume.metadata.name
        if it.status.attached:
            if wanted.source.name not in reported:
                note = f'AttachVolume.Attach succeeded for volume "{name}" '
                tells += [Tell(pod, "SuccessfulAttachVolume", note) for pod in wanted.pods]
            continue
        if problem := _problem(it, wanted.source, now):
            word = f"{it.metadata.uid} {problem}"
            told.add(word)
            note = f'AttachVolume.Attach failed for volume "{name}" : {problem}'
            if word not in scene.told:
                tells += [Tell(pod, FAILED, note, "Warning") for pod in wanted.pods]
    return tells, frozenset(told)


def _problem(attachment: VolumeAttachment, source: Source, now: float) -> str:
    error = attachment.status.attach_error
    if error is not None:
        return error.message
    if _taken_by(attachment) > now:
        return ""
    return (
        f"timed out waiting for external-attacher of {source.driver} CSI driver to attach volume "
        f"{source.handle}"
    )


def _attach(
    scene: Scene, missing: Iterable[Wanted]
) -> tuple[list[Create], list[Tell], frozenset[str]]:
    """Returns the attachments to be made, and what pods are told whose volume another node has."""
    creates: list[Create] = []
    tells: list[Tell] = []
    told: set[str] = set()
    for wanted in missing if scene.node is not None else ():
        name = wanted.volume.metadata.name
        rivals = _rivals(scene, wanted)
        if may_be_shared(wanted.volume) or not (rivals.attached or rivals.uncertain):
            creates.append(Create(VOLUMEATTACHMENT, _document(scene.name, wanted)))
            continue
        if not rivals.attached:
            continue
        word = f"{name} elsewhere"
        told.add(word)
        if word not in scene.told:
            used = f"Volume is already used by pod(s) {', '.join(rivals.pods)}"
            why = used if rivals.pods else _EXCLUSIVE
            note = f'Multi-Attach error for volume "{name}" {why}'
            tells += [Tell(pod, FAILED, note, "Warning") for pod in wanted.pods]
    return creates, tells, frozenset(told)


def _document(node: str, wanted: Wanted) -> Document:
    source: Document = {"persistentVolumeName": wanted.volume.metadata.name}
    if wanted.inline:
        inline = wanted.volume.spec
        source = {
            "inlineVolumeSpec": {
                "accessModes": list(inline.access_modes),
                "csi": dict(inline.csi or {}),
                "volumeMode": inline.volume_mode,
            }
        }
    spec = {"attacher": wanted.source.driver, "nodeName": node, "source": source}
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "VolumeAttachment",
        "metadata": {"name": wanted.source.attachment(node)},
        "spec": spec,
    }
