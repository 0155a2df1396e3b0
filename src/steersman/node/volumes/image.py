"""image: the layers of an image, stacked and mounted for reading alone (KEP-4639); where the engine
keeps layers to itself a note of the image, which it mounts in the containers itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from steersman.node.objects import BadConfiguration
from steersman.node.volumes import memory
from steersman.runtime.kernel import syscalls
from steersman.runtime.kernel.rootfs import render_overlay_options

# Nothing in it is a program of the pod's own: read-only, nosuid, nodev, noexec
_FLAGS: Final = 0x1 | 0x2 | 0x4 | 0x8
_MOST_OPTIONS: Final = 4095  # mount(2) reads one page


class Pulled(NamedTuple):
    """An image that is here: what the engine knows it by, and its layers, top first; none of an
    engine that keeps them to itself."""

    digest: str
    layers: Sequence[Path]


def is_there(place: Path) -> bool:
    """Whether a volume is mounted or noted."""
    return place.is_file() or memory.is_mounted(place)


def note(digest: str, place: Path) -> None:
    """Notes in place of a volume which image it is."""
    place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    place.write_text(digest)


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
