"""Which OCI runtimes make the containers of our engine: our own, and programs of others by handler.

What a handler can do is asked from the program (`features`, of the runtime-spec from 1.1 on); one
that does not tell can none of it, as with containerd.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from steersman.model import names
from steersman.node.engine.interface import Handler
from steersman.node.observed import RUNTIME
from steersman.node.programs import ProgramFailed, run_program
from steersman.world.interface import World

# Where runtimes are, whatever the PATH of who began the node
_FOLDERS: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SECONDS: Final = 10.0
_MOST_BYTES: Final = 1 << 20
_OWN: Final = Handler(recursive_read_only_mounts=True, user_namespaces=True)


class BadRuntime(ValueError):
    """A runtime that is asked for cannot be used; the text says why."""


class OCIRuntime(msgspec.Struct, frozen=True):
    """What makes containers: the path of a program, empty for our own, and what it can."""

    path: str = ""
    handler: Handler = _OWN


# Our own by its name, by none, and by that which manifests expect of any node
OURS: Final[Mapping[str, OCIRuntime]] = dict.fromkeys(("", RUNTIME, "runc"), OCIRuntime())


def parse_runtimes(text: str) -> dict[str, str]:
    """Returns the programs that a list names, by handler; the first is also that of pods without
    a class. Raises BadRuntime."""
    found: dict[str, str] = {}
    for word in (it.strip() for it in text.split(",") if it.strip()):
        name = os.path.basename(word)
        if name in found:
            raise BadRuntime(f"{name} is given twice")
        if any(names.dns1123_label(name)):
            raise BadRuntime(f"{word}: {name!r} cannot be a handler of a RuntimeClass")
        found.setdefault("", path := _find(word))
        found[name] = path
    return found


def _find(word: str) -> str:
    """Returns the path of a runtime, empty for our own."""
    if word == RUNTIME:
        return ""
    if "/" in word and not word.startswith("/"):
        raise BadRuntime(f"{word}: a path must be absolute")
    path = shutil.which(word, path=_FOLDERS)
    if path is None:
        where = "is no program" if "/" in word else f"is not installed (looked in {_FOLDERS})"
        raise BadRuntime(f"{word}: {where}")
    return path


async def know_runtimes(asked: Mapping[str, str], world: World) -> dict[str, OCIRuntime]:
    """Returns every runtime by its handler, with what it can."""
    known = {
        path: OCIRuntime(path, await _ask(path, world)) if path else OCIRuntime()
        for path in {*asked.values()}
    }
    return {**OURS, **{name: known[path] for name, path in asked.items()}}


async def _ask(path: str, world: World) -> Handler:
    """Asks a program what it can. User namespaces are those of our own alone: the root would have
    to be shown with their owners, which is left to whoever makes it."""
    try:
        said = await run_program(
            *(path, "features"), data=b"", most_bytes=_MOST_BYTES, seconds=_SECONDS, world=world
        )
        options = _mount_options(msgspec.json.decode(said))
    except (ProgramFailed, msgspec.DecodeError):  # it has no such verb
        options = ()
    return Handler(recursive_read_only_mounts="rro" in options)


def _mount_options(features: object) -> Sequence[object]:
    found = features.get("mountOptions") if isinstance(features, dict) else None
    return found if isinstance(found, list) else ()
