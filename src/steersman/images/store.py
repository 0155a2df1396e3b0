"""The images of a machine: blobs, a table of references, unpacked layers; shared by node and CLI.

One rule: whoever adds content holds `adding()` until a reference reaches it, so that `collect` in
another process takes nothing that is on its way in. Synchronous file work: call in a thread.
"""

import fcntl
import os
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from steersman.images import layers
from steersman.images.blobs import Blobs, sync_directory
from steersman.images.documents import (
    Config,
    Manifest,
    RunConfig,
    Step,
    chain_ids,
    parse,
    render,
)
from steersman.images.errors import Corrupt, ImageError, ImageNotFound, InvalidReference, Refused
from steersman.images.references import Reference
from steersman.images.references import parse as parse_reference
from steersman.images.removal import remove_tree
from steersman.images.rooted import sync_file_system

FORMAT = 1
ID_DIGITS = 64
SHORTEST_ID = 4  # below this a prefix says too little to mean an ID
LAYER_COUNT_LIMIT = 500  # overlayfs stacks no more
LAYER_NAME = 32  # hex digits, 128 bits: short, because lowerdir options share one page of 4 kB


class _Table(msgspec.Struct, frozen=True):
    """`references.json`: normalised name to manifest digest."""

    format: int
    references: dict[str, str]


class Image(msgspec.Struct, frozen=True):
    """One image of the store; `id` is the digest of its configuration, `digest` its manifest's."""

    id: str
    digest: str
    references: tuple[Reference, ...]
    size_bytes: int
    manifest: Manifest
    config: Config

    @property
    def created(self) -> str:
        """When it was built, as RFC 3339, or nothing."""
        return self.config.created or ""

    @property
    def run_config(self) -> RunConfig:
        return self.config.config or RunConfig()

    @property
    def repo_digest(self) -> str:
        """`name@sha256:...` as pulled, or the ID of an image that was never pulled (imageID)."""
        pulled = (str(each) for each in self.references if each.digest and not each.tag)
        return min(pulled, default=self.id)


class Collected(msgspec.Struct, frozen=True):
    """What a collection has removed."""

    blobs: int
    layers: int
    bytes: int


class Store:
    """The image store under `root`, which is made when it is not there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.staging = root / "staging"
        self.cache = root / "cache"
        self._layers = root / "layers"
        for directory in (root, self.staging, self.cache, self._layers):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.blobs = Blobs(root / "blobs" / "sha256", self.staging)

    # references

    def references(self) -> Mapping[str, str]:
        """Normalised names and the manifest digests they stand for."""
        try:
            data = (self.root / "references.json").read_bytes()
        except FileNotFoundError:
            return {}
        table = parse(data, _Table)
        if table.format > FORMAT:
            raise ImageError(f"{self.root} was written by a newer steersman")
        return table.references

    def tag(self, digest: str, *references: Reference) -> None:
        """Lets names stand for a manifest that is in the store with all it needs."""
        self._require_whole(digest)
        with self._changing() as table:
            table.update((str(reference), digest) for reference in references)

    def untag(self, reference: Reference) -> None:
        """Takes a name away; the content goes with the next `collect`. Raises ImageNotFound."""
        with self._changing() as table:
            if str(reference) not in table:
                raise ImageNotFound(f"{reference.familiar}: no such image")
            del table[str(reference)]

    # images

    def images(self) -> list[Image]:
        """All images that have a name, sorted by their first name."""
        names: dict[str, list[Reference]] = {}
        for name, digest in sorted(self.references().items()):
            names.setdefault(digest, []).append(parse_reference(name))
        return [self._image(digest, tuple(found)) for digest, found in names.items()]

    def find(self, reference: Reference) -> Image | None:
        """The image of this name, or nothing."""
        digest = self._digest_of(reference)
        if digest is None:
            return None
        names = (name for name, each in self.references().items() if each == digest)
        return self._image(digest, tuple(parse_reference(name) for name in sorted(names)))

    def get(self, text: str) -> Image:
        """The image of a name, or of an ID or the beginning of one. Raises ImageNotFound."""
        wanted = text.removeprefix("sha256:")
        is_hex = set(wanted) <= set("0123456789abcdef")
        is_id = is_hex and (wanted != text or len(wanted) == ID_DIGITS)
        found = None if is_id else self.find(parse_reference(text))
        if found is None and is_hex and len(wanted) >= SHORTEST_ID:
            matches = {each.id: each for each in self.images() if each.id[7:].startswith(wanted)}
            found = matches.popitem()[1] if len(matches) == 1 else None
        if found is None:
            raise ImageNotFound(f"{text}: no such image")
        return found

    def remove(self, text: str) -> list[Reference]:
        """Takes away a name, or all names of an ID; returns them. Raises ImageNotFound.

        With the last tag of a repository go the digests that it was pulled by.
        """
        image = self.get(text)
        removed = [each for each in image.references if _is_meant(text, each)]
        removed = removed or list(image.references)  # by ID
        names = {each.name for each in removed}
        names -= {each.name for each in image.references if each.tag and each not in removed}
        removed += [
            each
            for each in image.references
            if not each.tag and each not in removed and each.name in names
        ]
        for reference in removed:
            self.untag(reference)
        return removed

    # unpacked layers

    def rootfs(self, image: Image) -> list[Path]:
        """The layer directories of an image, lowest first, unpacked now where they are not yet.

        They are shared between images and never change: for overlayfs' lowerdir.
        """
        blobs = (each.digest for each in image.manifest.layers)
        return self.unpacked(tuple(zip(blobs, image.config.rootfs.diff_ids, strict=True)))

    def unpacked(self, layer_ids: Sequence[tuple[str, str]]) -> list[Path]:
        """The directories of layers given as (blob digest, diff ID), lowest first."""
        directories: list[Path] = []
        chains = chain_ids(tuple(diff_id for _, diff_id in layer_ids))
        for (digest, diff_id), chain in zip(layer_ids, chains, strict=True):
            directory = self._layers / _directory_name(chain)
            if not directory.exists():
                self._unpack(self.blobs.path(digest), diff_id, directory, directories)
            directories.append(directory)
        return directories

    def _unpack(self, blob: Path, diff_id: str, directory: Path, below: list[Path]) -> None:
        with self.adding(), self.staged() as staged:
            layers.unpack(blob, staged, diff_id=diff_id, below=below)
            descriptor = os.open(staged, os.O_RDONLY | os.O_DIRECTORY)
            try:
                sync_file_system(descriptor)
            finally:
                os.close(descriptor)
            with self._locked("references", fcntl.LOCK_EX):
                if not directory.exists():  # another process may have been faster
                    staged.rename(directory)
            sync_directory(self._layers)

    # adding and collecting

    @contextmanager
    def adding(self) -> Iterator[None]:
        """Keeps `collect` away while content without a reference is in the store."""
        with self._locked("adding", fcntl.LOCK_SH):
            yield

    @contextmanager
    def staged(self) -> Iterator[Path]:
        """A directory for work in progress; what is left in it afterwards is removed."""
        directory = Path(tempfile.mkdtemp(dir=self.staging))
        directory.chmod(0o755)  # it may become the root of a container
        try:
            yield directory
        finally:
            if directory.exists():
                remove_tree(directory)

    def add_image(self, manifest: Manifest, *references: Reference) -> Image:
        """Stores the manifest of content that is there already, and names it."""
        digest = self.blobs.add(render(manifest))
        self.tag(digest, *references)
        return self._image(digest, references)

    def collect(self, in_use: Collection[str] = ()) -> Collected:
        """Removes what no reference reaches; waits for whoever adds content.

        `in_use` are the manifest digests of images that containers run from: they stay. The build
        cache keeps the steps whose layers stay.
        """
        with self._locked("adding", fcntl.LOCK_EX):
            kept_blobs: set[str] = set()
            kept_layers: set[str] = set()
            for digest in {*self.references().values(), *filter(self.blobs.has, in_use)}:
                self._mark(digest, kept_blobs, kept_layers)
            for leftover in [*self.staging.iterdir(), *self._stale_steps(kept_blobs)]:
                _remove(leftover)
            return self._sweep(kept_blobs, kept_layers)

    def _mark(self, digest: str, blobs: set[str], directories: set[str]) -> None:
        manifest = parse(self.blobs.read(digest), Manifest)
        config = parse(self.blobs.read(manifest.config.digest), Config)
        blobs |= {digest, manifest.config.digest, *(each.digest for each in manifest.layers)}
        chains = chain_ids(config.rootfs.diff_ids)
        directories |= {_directory_name(each) for each in chains}

    def _stale_steps(self, blobs: set[str]) -> list[Path]:
        """Records of the build cache without a layer that stays; the others cost little to redo."""
        steps = [(record, parse(record.read_bytes(), Step)) for record in self.cache.iterdir()]
        return [
            record for record, step in steps if step.layer is None or step.layer.digest not in blobs
        ]

    def _sweep(self, blobs: set[str], directories: set[str]) -> Collected:
        garbage = [digest for digest in self.blobs.digests() if digest not in blobs]
        freed = sum(self.blobs.size(digest) for digest in garbage)
        stale = [each for each in self._layers.iterdir() if each.name not in directories]
        for digest in garbage:
            self.blobs.remove(digest)
        for directory in stale:  # half a layer must never be seen under its name
            _remove(directory.rename(self.staging / directory.name))
        return Collected(len(garbage), len(stale), freed)

    # inside

    def _digest_of(self, reference: Reference) -> str | None:
        table = self.references()
        if reference.digest is None:
            return table.get(str(reference))
        return table.get(str(reference.with_digest(reference.digest)))

    def _image(self, digest: str, references: Iterable[Reference]) -> Image:
        manifest = parse(self.blobs.read(digest), Manifest)
        config = parse(self.blobs.read(manifest.config.digest), Config)
        size = manifest.config.size + sum(each.size for each in manifest.layers)
        return Image(manifest.config.digest, digest, tuple(references), size, manifest, config)

    def _require_whole(self, digest: str) -> None:
        manifest = parse(self.blobs.read(digest), Manifest)
        config = parse(self.blobs.read(manifest.config.digest), Config)
        if len(config.rootfs.diff_ids) != len(manifest.layers):
            raise Corrupt(f"image {digest}: manifest and configuration differ in their layers")
        if len(manifest.layers) > LAYER_COUNT_LIMIT:
            raise Refused(f"image {digest} has more than {LAYER_COUNT_LIMIT} layers")
        for each in (manifest.config, *manifest.layers):
            if self.blobs.size(each.digest) != each.size:
                raise Corrupt(f"image {digest}: {each.digest} is not of the stated size")

    @contextmanager
    def _changing(self) -> Iterator[dict[str, str]]:
        with self._locked("references", fcntl.LOCK_EX):
            table = dict(self.references())
            yield table
            data = render_table(table)
            with tempfile.NamedTemporaryFile(dir=self.staging, delete=False) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.rename(file.name, self.root / "references.json")
            sync_directory(self.root)

    @contextmanager
    def _locked(self, name: str, mode: int) -> Iterator[None]:
        with (self.root / f"{name}.lock").open("w") as file:
            fcntl.flock(file, mode)
            yield


def _is_meant(text: str, reference: Reference) -> bool:
    try:
        return parse_reference(text) == reference
    except InvalidReference:
        return False  # an ID


def _directory_name(chain: str) -> str:
    return chain.removeprefix("sha256:")[:LAYER_NAME]


def render_table(references: Mapping[str, str]) -> bytes:
    """The text of `references.json`."""
    return msgspec.json.encode(_Table(FORMAT, dict(references)), order="sorted") + b"\n"


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        remove_tree(path)
    else:
        path.unlink()
