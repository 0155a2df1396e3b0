"""downwardAPI: fields of the pod as files. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from steersman.model.kinds.pod import Pod
from steersman.model.types.volume import DownwardFile
from steersman.node.render import downward
from steersman.node.volumes.tree import File, check_path

_NOWHERE = downward.Facts("", ())  # a volume offers no addresses


def render(
    pod: Pod, items: Sequence[DownwardFile], default_mode: int, machine: downward.Machine
) -> dict[str, File]:
    """Returns the files; raises BadConfiguration for a field that is not offered."""
    files = {}
    for item in items:
        text = ""
        if item.field_ref is not None:
            text = downward.field(pod, item.field_ref.field_path, _NOWHERE)
        elif item.resource_field_ref is not None:
            text = downward.resource(pod, None, item.resource_field_ref, machine)
        mode = default_mode if item.mode is None else item.mode
        files[check_path(item.path)] = File(text.encode(), mode)
    return files


def is_shown(old: Pod, new: Pod) -> bool:
    """Says whether volumes show what has changed of a pod: its labels or annotations."""
    before, after = old.metadata, new.metadata
    if (before.labels, before.annotations) == (after.labels, after.annotations):
        return False
    return any(
        volume.downward_api is not None
        or any(it.downward_api is not None for it in volume.projections)
        for volume in new.spec.volumes
    )
