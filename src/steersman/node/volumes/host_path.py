"""hostPath: a path of the node, checked or made as its type says."""

from __future__ import annotations

import stat
from pathlib import Path

from steersman.model.types.volume import HostPath
from steersman.node.objects import BadConfiguration

_CHECKS = {
    "Directory": (stat.S_ISDIR, "a directory"),
    "File": (stat.S_ISREG, "a file"),
    "Socket": (stat.S_ISSOCK, "a socket"),
    "CharDevice": (stat.S_ISCHR, "a character device"),
    "BlockDevice": (stat.S_ISBLK, "a block device"),
}


def prepare(volume: HostPath) -> Path:
    """Returns the path; raises BadConfiguration where it is not what the type says."""
    path = Path(volume.path)
    if not path.exists():
        _make(path, volume.type)
    kind = volume.type.removesuffix("OrCreate")
    if kind in _CHECKS:
        check, name = _CHECKS[kind]
        if not path.exists() or not check(path.stat().st_mode):
            text = f"hostPath type check failed: {volume.path} is not {name}"
            raise BadConfiguration(text)
    return path


def _make(path: Path, kind: str) -> None:
    """Makes what is missing, in Go's words where that fails; without a type as runtimes do it."""
    verb = "open" if kind == "FileOrCreate" else "mkdir"
    try:
        if kind in ("", "DirectoryOrCreate"):
            path.mkdir(mode=0o755, parents=True, exist_ok=True)
        elif kind == "FileOrCreate":
            path.touch(mode=0o644)
    except OSError as error:
        raise BadConfiguration(f"{verb} {path}: {(error.strerror or '').lower()}") from error
