"""emptyDir: a directory that lives as long as its pod; with medium Memory a tmpfs, with medium
HugePages files of huge pages."""

from __future__ import annotations

from pathlib import Path

from steersman.model.kinds.pod import Pod
from steersman.model.quantity import parse
from steersman.model.types.volume import EmptyDir
from steersman.node.objects import BadConfiguration
from steersman.node.render.huge_pages import MEDIUM, page_size
from steersman.node.volumes import memory


def prepare(pod: Pod, volume: EmptyDir, directory: Path, group: int | None) -> Path:
    """Makes the directory, open to every user of the pod. Raises BadConfiguration."""
    huge = volume.medium.startswith(MEDIUM)
    if volume.medium not in ("", "Memory") and not huge:
        raise BadConfiguration(f"unknown storage medium: {volume.medium}")
    directory.mkdir(mode=0o777, parents=True, exist_ok=True)
    if huge and not memory.is_mounted(directory):
        memory.mount_huge_pages(directory, page_size(pod, volume.medium))
    if volume.medium == "Memory" and not memory.is_mounted(directory):
        size = parse(volume.size_limit).value() if volume.size_limit else 0
        memory.mount(directory, size)
    memory.give(directory, 0o777, group)
    return directory
