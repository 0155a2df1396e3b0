"""Finds devices in the folders of the Container Device Interface.

They are read for each container that has such devices, and never without: vendors write them when
they like. A device of a later folder stands before one of an earlier; one that two files of the
same folder have is nobody's. A broken file is told where a device is missed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from steersman.node.cdi.specs import BadSpec, Device, Edits, Spec, parse_spec

# Later ones before earlier ones (DefaultSpecDirs); files of what is plugged in lie in the second
FOLDERS: Final = (Path("/etc/cdi"), Path("/var/run/cdi"))
SUFFIXES: Final = (".json", ".yaml")
MAX_FILES: Final = 1024  # of a folder that root alone writes to
MAX_BYTES: Final = 4 << 20  # of a file; those of machines with eight cards have some hundred kB


class Unresolvable(Exception):
    """There are no such devices; the text says which, and which files could not be read."""


class Found(msgspec.Struct, frozen=True):
    """A device in the file that has it."""

    file: Path
    spec: Spec
    device: Device


class Library(msgspec.Struct, frozen=True):
    """The devices of all files by their whole names, and what was wrong with files."""

    devices: Mapping[str, Found]
    faults: Sequence[str] = ()

    def edits(self, names: Iterable[str]) -> list[Edits]:
        """Returns what is done to a container for devices: for all of a file once, before what
        is done for one of its devices. Raises Unresolvable."""
        wanted = list(dict.fromkeys(names))
        if missing := [it for it in wanted if it not in self.devices]:
            text = f"unresolvable CDI devices {', '.join(missing)}"
            told = f" ({'; '.join(self.faults)})" if self.faults else ""
            raise Unresolvable(text + told)
        found: list[Edits] = []
        files: set[Path] = set()
        for name in wanted:
            one = self.devices[name]
            if one.file not in files:
                files.add(one.file)
                found.append(one.spec.container_edits)
            found.append(one.device.container_edits)
        return found


def read_library(folders: Sequence[Path]) -> Library:
    """Reads all files of the folders."""
    devices: dict[str, Found] = {}
    faults: list[str] = []
    for folder in folders:
        devices |= _read_folder(folder, faults)
    return Library(devices, faults)


def _read_folder(folder: Path, faults: list[str]) -> dict[str, Found]:
    devices: dict[str, Found] = {}
    twice: set[str] = set()
    for file in _files(folder):
        try:
            spec = parse_spec(_read(file))
        except BadSpec as error:
            faults.append(f"{file}: {error}")
            continue
        for device in spec.devices:
            name = spec.qualified(device)
            if name in devices:
                faults.append(f"conflicting device {name} ({devices[name].file}, {file})")
                twice.add(name)
            devices[name] = Found(file, spec, device)
    return {name: it for name, it in devices.items() if name not in twice}


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    found = (it for it in sorted(folder.iterdir()) if it.suffix in SUFFIXES and it.is_file())
    return list(found)[:MAX_FILES]


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            text = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise BadSpec(error.strerror or str(error)) from error
    if len(text) > MAX_BYTES:
        raise BadSpec(f"more than {MAX_BYTES} bytes")
    return text
