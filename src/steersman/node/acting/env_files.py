"""Reads the files of volumes from which a container takes variables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from steersman.model.types.container import Container
from steersman.model.types.reference import FileKeySelector
from steersman.node.objects import BadConfiguration
from steersman.node.render.env_file import BadFile, parse_variable
from steersman.runtime.kernel import mounts

# Twice what all arguments and variables of a program may come to on Linux without more stack
MOST_BYTES: Final = 256 << 10


def read_variables(container: Container, volumes: Mapping[str, Path]) -> dict[str, str]:
    """Returns the variables that a container takes from files, by name; those that are optional
    and not there are left out. Raises BadConfiguration with the kubelet's words.

    No link in a volume leads out of it.
    """
    found = {}
    for variable in container.env:
        source = variable.value_from.file_key_ref if variable.value_from is not None else None
        if source is None:
            continue
        if (value := _read_variable(source, volumes)) or not source.optional:
            found[variable.name] = value
    return found


def _read_variable(source: FileKeySelector, volumes: Mapping[str, Path]) -> str:
    if source.volume_name not in volumes:
        text = f'cannot find the volume "{source.volume_name}" referenced by FileKeyRef'
        raise BadConfiguration(text)
    place = volumes[source.volume_name]
    try:
        value = parse_variable(_read(place, source.path), source.key)
    except (BadFile, OSError, UnicodeDecodeError) as error:
        raise BadConfiguration("couldn't parse env file") from error
    if not value and not source.optional:
        text = f'environment variable key "{source.key}" not found in file'
        raise BadConfiguration(f'{text} "{place / source.path.lstrip("/")}"')
    return value


def _read(place: Path, path: str) -> str:
    root = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        file = mounts.open_in_root(root, path, os.O_RDONLY | os.O_NONBLOCK)
    finally:
        os.close(root)
    with open(file, "rb") as opened:
        data = opened.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise BadFile(f"the file has more than {MOST_BYTES} bytes")
    return data.decode()
