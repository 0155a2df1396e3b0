"""image: the layers of an image, stacked and mounted for reading alone (KEP-4639)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from steersman.node.objects import BadConfiguration
from steersman.node.volumes import memory
from steersman.runtime.kernel import syscalls
from steersman.runtime.kernel.rootfs import render_overlay_options

# Nothing in it is a program of the pod's own: read-only, nosuid, nodev, noexec
_FLAGS: Final = 0x1 | 0x2 | 0x4 | 0x8
_MOST_OPTIONS: Final = 4095  # mount(2) reads one page


def prepare(layers: Sequence[Path], directory: Path, empty: Path) -> None:
    """Mounts layers, top first, where nothing is mounted yet; `empty` is a directory without
    anything in it, since an overlay without an upper layer wants two lower ones."""
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    if memory.is_mounted(directory):
        return
    empty.mkdir(mode=0o755, exist_ok=True)
    options = render_overlay_options([str(it) for it in (*layers, empty)])
    if len(options) > _MOST_OPTIONS:
        raise BadConfiguration(f"the image has too many layers to be a volume: {len(layers)}")
    syscalls.mount("overlay", str(directory), "overlay", _FLAGS, options)
