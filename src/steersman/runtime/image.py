"""The modules that a container's start needs, read from one file in place of one each.

To find, open and read twenty modules costs a cold start more than a millisecond. The image is a
cache beside those that the interpreter keeps of single modules, and as they do it counts for this
interpreter only, and while every source has the time and size that it was made from. Rule:
without it all is imported as ever, and nobody notices but by the clock.
"""

from __future__ import annotations

import marshal
import os
import sys
from _frozen_importlib import ModuleSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType, ModuleType

    # Of one module: its name, its source's path, the time and size of that, its code
    Entry = tuple[str, str, int, int, CodeType]

_PACKAGE = __name__.rpartition(".")[0]
_HERE = os.path.dirname(os.path.abspath(__file__))
_PATH = f"{_HERE}/__pycache__/image.start.{sys.implementation.cache_tag}.pyc"


class Finder:
    """Finds the modules of an image, for sys.meta_path; a loader too."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = {entry[0]: entry for entry in entries}

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Where a module is, if the image has it."""
        entry = self._entries.get(name)
        if entry is None:
            return None
        package = entry[1].endswith("/__init__.py")
        spec = ModuleSpec(name, self, origin=entry[1], is_package=package)  # type: ignore[arg-type]
        spec.has_location = True
        if package:
            spec.submodule_search_locations = [os.path.dirname(entry[1])]
        return spec

    def create_module(self, spec: ModuleSpec) -> None:
        """As modules are made by default."""

    def exec_module(self, module: ModuleType) -> None:
        """Runs the code of a module."""
        exec(self._entries[module.__name__][4], module.__dict__)


def install() -> bool:
    """Has modules be found in the image; False where there is none, or not of these sources."""
    try:
        descriptor = os.open(_PATH, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        data = os.read(descriptor, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)
    try:
        entries: list[Entry] = marshal.loads(data)
    except (EOFError, ValueError, TypeError):  # not written to its end
        return False
    if any(_stamp(path) != (time, size) for _, path, time, size, _ in entries):
        return False
    sys.meta_path.insert(0, Finder(entries))
    return True


def make() -> None:
    """Writes the image of what is imported of this package; where that cannot be, there is none."""
    if sys.dont_write_bytecode or not os.access(os.path.dirname(_PATH), os.W_OK):
        return
    data = marshal.dumps([_entry(name, module) for name, module in _imported()])
    temporary = f"{_PATH}.{os.getpid()}"
    try:
        # Nobody else's to write, whatever the umask of who calls
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with open(os.open(temporary, flags, 0o644), "wb") as file:
            file.write(data)
        os.rename(temporary, _PATH)
    except OSError:
        return


def _imported() -> list[tuple[str, ModuleType]]:
    """The modules below this package; not those that are imported before an image is read."""
    early = (__name__, f"{_PACKAGE}.__main__")
    return [
        (name, module)
        for name, module in sys.modules.items()
        if name.startswith(_PACKAGE + ".") and name not in early
    ]


def _entry(name: str, module: ModuleType) -> Entry:
    path = str(module.__file__)
    time, size = _stamp(path)  # before the code, which is read now and not older
    return name, path, time, size, module.__loader__.get_code(name)  # type: ignore[union-attr]


def _stamp(path: str) -> tuple[int, int]:
    """Time and size of a source; zeros where it is gone."""
    try:
        status = os.stat(path)
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size
