"""What is kept on disk of sandboxes and containers, so that a server after this one knows them.

The runtime knows what runs; names, labels and what became of those that ended are known here alone.
Configurations hold environments, and those hold secrets: nobody else may read the files.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from steersman.cri.messages.containers import CREATED, EXITED, RUNNING, ContainerConfig
from steersman.cri.messages.sandboxes import PodSandboxConfig
from steersman.listen.certificates import write_private

_SUFFIX: Final = ".json"
R = TypeVar("R", "Sandbox", "Container")


class Sandbox(msgspec.Struct, frozen=True):
    """One pod sandbox; times in ns since 1970. `ready` until it is stopped or lost."""

    id: str
    config: PodSandboxConfig
    created_at: int
    handler: str = ""
    addresses: tuple[str, ...] = ()
    ready: bool = True


class Container(msgspec.Struct, frozen=True):
    """One container; times in ns since 1970, 0 for what has not been.

    image_id:  the digest of the image's configuration
    image_ref: what the image is called by digest
    manifest:  the digest of its manifest, by which the store keeps it
    signal:    what asks it to end
    user:      as whom it runs, then its group and all groups
    """

    id: str
    sandbox: str
    config: ContainerConfig
    created_at: int
    image_id: str
    image_ref: str
    manifest: str
    log: str
    signal: str
    started_at: int = 0
    finished_at: int = 0
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    user: tuple[int, ...] = ()

    @property
    def state(self) -> int:
        """The ContainerState."""
        if self.finished_at:
            return EXITED
        return RUNNING if self.started_at else CREATED


class Records:
    """The files of all sandboxes and containers."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        for kind in (Sandbox, Container):
            self._folder(kind).mkdir(mode=0o700, parents=True, exist_ok=True)

    def _folder(self, kind: type) -> Path:
        return self._directory / f"{kind.__name__.lower()}s"

    def save(self, record: Sandbox | Container) -> None:
        """Writes one down; raises OSError."""
        path = self._folder(type(record)) / f"{record.id}{_SUFFIX}"
        write_private(path, msgspec.json.encode(record))

    def remove(self, record: Sandbox | Container) -> None:
        """Forgets one; fine where it is not known."""
        (self._folder(type(record)) / f"{record.id}{_SUFFIX}").unlink(missing_ok=True)

    def load(self, kind: type[R]) -> Iterator[R]:
        """Yields all of a kind, oldest first; raises ValueError for a file that is damaged."""
        found = []
        for path in self._folder(kind).glob(f"*{_SUFFIX}"):
            try:
                found.append(msgspec.json.decode(path.read_bytes(), type=kind))
            except msgspec.DecodeError as error:
                raise ValueError(f"{path} is damaged: {error}") from None
        yield from sorted(found, key=lambda record: (record.created_at, record.id))
