"""Content-addressed blobs in `blobs/sha256/<hex>`.

One rule: a blob appears under its name only whole, verified and on the disk. Synchronous file work:
call in a thread.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from steersman.images.documents import DOCUMENT_LIMIT
from steersman.images.errors import Corrupt, ImageNotFound, Refused

_HEX = frozenset("0123456789abcdef")
CHUNK_BYTES = 1 << 20


class Blobs:
    """The blobs under `root`; `staging` is a directory of the same file system."""

    def __init__(self, root: Path, staging: Path) -> None:
        self._root, self._staging = root, staging
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def path(self, digest: str) -> Path:
        """Where the blob of this digest is or would be. Raises Corrupt for a malformed digest."""
        algorithm, _, encoded = digest.partition(":")
        if algorithm != "sha256" or len(encoded) != 64 or not _HEX.issuperset(encoded):
            raise Corrupt(f"{digest[:80]!r} is no sha256 digest")
        return self._root / encoded

    def has(self, digest: str) -> bool:
        return self.path(digest).exists()

    def read(self, digest: str) -> bytes:
        """The content of a document, verified. Raises ImageNotFound, Corrupt and Refused."""
        try:
            with self.path(digest).open("rb") as file:
                data = file.read(DOCUMENT_LIMIT + 1)
        except FileNotFoundError:
            raise ImageNotFound(f"blob {digest} is not in the store") from None
        if len(data) > DOCUMENT_LIMIT:
            raise Refused(f"blob {digest} is over {DOCUMENT_LIMIT} bytes and no document")
        if "sha256:" + hashlib.sha256(data).hexdigest() != digest:
            raise Corrupt(f"blob {digest} in the store is damaged")
        return data

    def size(self, digest: str) -> int:
        try:
            return self.path(digest).stat().st_size
        except FileNotFoundError:
            raise ImageNotFound(f"blob {digest} is not in the store") from None

    def add(self, data: bytes) -> str:
        """Stores a document and returns its digest."""
        with self.writing() as writer:
            writer.write(data)
            return writer.commit()

    def digests(self) -> Iterator[str]:
        for entry in os.scandir(self._root):
            yield "sha256:" + entry.name

    def remove(self, digest: str) -> None:
        self.path(digest).unlink(missing_ok=True)

    @contextmanager
    def writing(self) -> Iterator["BlobWriter"]:
        """A new blob; without `commit` nothing remains of it."""
        descriptor, name = tempfile.mkstemp(dir=self._staging, prefix="blob-")
        try:
            with open(descriptor, "wb", buffering=0) as file:
                yield BlobWriter(self, file.fileno(), Path(name))
        finally:
            Path(name).unlink(missing_ok=True)


class BlobWriter:
    """One blob on its way in; `size` and `digest` speak of what is written so far."""

    def __init__(self, blobs: Blobs, descriptor: int, staged: Path) -> None:
        self._blobs, self._descriptor, self._staged = blobs, descriptor, staged
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def digest(self) -> str:
        return "sha256:" + self._hash.hexdigest()

    def write(self, data: bytes | bytearray) -> None:
        view = memoryview(data)
        self._hash.update(view)
        self.size += len(view)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def commit(self, expected: str | None = None) -> str:
        """Verifies, syncs and names the blob; returns its digest. Raises Corrupt."""
        if expected is not None and self.digest != expected:
            raise Corrupt(f"the content of {expected} has the digest {self.digest}")
        target = self._blobs.path(self.digest)
        if not target.exists():
            os.fsync(self._descriptor)
            self._staged.rename(target)
            sync_directory(target.parent)
        return self.digest


def sync_directory(directory: Path) -> None:
    """Makes renames in a directory survive a loss of power."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
