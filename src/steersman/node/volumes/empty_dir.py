"""emptyDir: a directory that lives as long as its pod; with medium Memory a tmpfs."""

from __future__ import annotations

from pathlib import Path

from steersman.model.quantity import parse
from steersman.model.types.volume import EmptyDir
from steersman.node.objects import BadConfiguration
from steersman.node.volumes import memory


def prepare(volume: EmptyDir, directory: Path, group: int | None) -> Path:
    """Makes the directory, open to every user of the pod."""
    if volume.medium not in ("", "Memory"):
        raise BadConfiguration(f"unknown storage medium: {volume.medium}")
    directory.mkdir(mode=0o777, parents=True, exist_ok=True)
    if volume.medium == "Memory" and not memory.is_mounted(directory):
        size = parse(volume.size_limit).value() if volume.size_limit else 0
        memory.mount(directory, size)
    memory.give(directory, 0o777, group)
    return directory
