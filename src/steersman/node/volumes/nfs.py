"""nfs: an export of a server, mounted by the machine's own mount.nfs."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from steersman.model.types.volume import NFSVolume
from steersman.node.objects import BadConfiguration
from steersman.node.volumes import memory

HELPER = "mount.nfs"
# mount.nfs itself tries for two minutes where a server does not answer
MOUNT_SECONDS = 150.0


def render_command(volume: NFSVolume, options: Sequence[str], directory: Path) -> list[str]:
    """Returns the command that mounts an export."""
    flags = [*(("ro",) if volume.read_only else ()), *options]
    words = [HELPER, f"{volume.server}:{volume.path}", str(directory)]
    return [*words, "-o", ",".join(flags)] if flags else words


def prepare(volume: NFSVolume, options: Sequence[str], directory: Path) -> None:
    """Mounts an export where it is not yet; raises BadConfiguration with what the helper says."""
    if shutil.which(HELPER) is None:
        raise BadConfiguration(f"mount failed: {HELPER} is not installed on this node")
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    if memory.is_mounted(directory):
        return
    command = render_command(volume, options, directory)
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=MOUNT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        text = f"mount failed: {volume.server} did not answer in {MOUNT_SECONDS:.0f} s"
        raise BadConfiguration(text) from error
    if done.returncode:
        raise BadConfiguration(f"mount failed: exit status {done.returncode}: {done.stderr}")
