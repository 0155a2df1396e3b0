"""Small files that change together, as the kubelet's AtomicWriter lays them out.

What a container sees are links through `..data`, which is one rename away from the next version;
so a reader sees all of the old files or all of the new ones.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import msgspec

from steersman.node.objects import BadConfiguration

DATA = "..data"


class File(msgspec.Struct, frozen=True):
    """One file to be; its owner is root unless it says so."""

    content: bytes
    mode: int
    owner: int | None = None


def check_path(path: str) -> str:
    """Returns a path that stays inside its volume; raises BadConfiguration."""
    parts = path.split("/")
    if not path or path.startswith(("/", "..")) or ".." in parts:
        raise BadConfiguration(f"invalid path {path}")
    return path


def write(directory: Path, files: Mapping[str, File], group: int | None, version: str) -> bool:
    """Makes a directory hold exactly these files; says whether anything changed.

    `version` names the new state, and is not that of the present one.
    """
    if _holds(directory, files):
        return False
    fresh = directory / f"..{version}"
    _write_files(fresh, files, group)
    old = _present(directory)
    link = directory / f"{DATA}_tmp"
    link.symlink_to(fresh.name)
    link.rename(directory / DATA)
    _link_tops(directory, files)
    if old:
        shutil.rmtree(directory / old)
    return True


def _present(directory: Path) -> str:
    """Returns the name of the present version, empty where there is none.

    A link to anywhere else is none of ours, and nothing beyond it is read or removed.
    """
    link = directory / DATA
    name = os.readlink(link) if link.is_symlink() else ""
    plain = name.startswith("..") and name not in ("..", DATA) and "/" not in name
    return name if plain and not (directory / name).is_symlink() else ""


def _holds(directory: Path, files: Mapping[str, File]) -> bool:
    if not (present := _present(directory)):
        return False
    there = _files_below(directory / present)
    return there.keys() == files.keys() and all(
        path.read_bytes() == files[name].content for name, path in there.items()
    )


def _files_below(directory: Path) -> dict[str, Path]:
    return {
        str(path.relative_to(directory)): path for path in directory.rglob("*") if path.is_file()
    }


def _write_files(directory: Path, files: Mapping[str, File], group: int | None) -> None:
    directory.mkdir(mode=0o755)
    directory.chmod(0o755)
    for name, file in files.items():
        path = directory / name
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        path.write_bytes(file.content)
        # A group that is given the volume can read what its owner can
        mode = file.mode if group is None else file.mode | 0o440
        os.chown(path, *(-1 if it is None else it for it in (file.owner, group)))
        path.chmod(mode)


def _link_tops(directory: Path, files: Mapping[str, File]) -> None:
    tops = {name.partition("/")[0] for name in files}
    for entry in directory.iterdir():
        if entry.is_symlink() and not entry.name.startswith("..") and entry.name not in tops:
            entry.unlink()
    for name in tops:
        if not (directory / name).is_symlink():
            (directory / name).symlink_to(f"{DATA}/{name}")
