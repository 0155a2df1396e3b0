"""Makes small tar archives and stores for the tests of images."""

import gzip
import hashlib
from collections.abc import Sequence
from pathlib import Path

from steersman.images import layers
from steersman.images.documents import (
    OCI_CONFIG,
    OCI_LAYER,
    OCI_MANIFEST,
    Config,
    Descriptor,
    Manifest,
    RootFS,
    RunConfig,
    host_platform,
    render,
)
from steersman.images.references import parse
from steersman.images.store import Image, Store
from steersman.wire import tar

Member = tar.Entry | tuple[tar.Entry, bytes]


def file(name: str, data: bytes = b"", **fields: object) -> Member:
    return tar.Entry(name, "file", size=len(data), **fields), data  # type: ignore[arg-type]


def folder(name: str, **fields: object) -> Member:
    return tar.Entry(name, "directory", **{"mode": 0o755, **fields})  # type: ignore[arg-type]


def link(name: str, target: str) -> Member:
    return tar.Entry(name, "symlink", target=target)


def hard_link(name: str, target: str) -> Member:
    return tar.Entry(name, "hardlink", target=target)


def tar_of(*members: Member) -> bytes:
    parts = []
    for member in members:
        entry, data = member if isinstance(member, tuple) else (member, b"")
        parts += [tar.render(entry), data, tar.padding(len(data))]
    return b"".join([*parts, tar.END])


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def unpack(
    where: Path, data: bytes, *, below: Sequence[Path] = (), limits: layers.Limits = layers.LIMITS
) -> Path:
    """Unpacks an uncompressed layer below `where`, beside a file that nothing may touch."""
    where.mkdir(exist_ok=True)
    (where / "outside").write_text("untouched")
    (where / "blob").write_bytes(data)
    directory = where / "layer"
    directory.mkdir()
    layers.unpack(where / "blob", directory, diff_id=digest(data), below=below, limits=limits)
    return directory


def add_image(
    store: Store,
    name: str,
    *layer_data: bytes,
    run: RunConfig | None = None,
    compress: bool = False,
    architecture: str = "",
) -> Image:
    """Puts an image made of these layers into a store."""
    blobs = [gzip.compress(data, mtime=0) if compress else data for data in layer_data]
    config = Config(
        architecture=architecture or host_platform().architecture,
        os="linux",
        rootfs=RootFS("layers", tuple(map(digest, layer_data))),
        created="2024-01-02T03:04:05Z",
        config=run,
    )
    kind = OCI_LAYER + ("+gzip" if compress else "")
    manifest = Manifest(
        schema_version=2,
        media_type=OCI_MANIFEST,
        config=Descriptor(OCI_CONFIG, store.blobs.add(render(config)), len(render(config))),
        layers=tuple(Descriptor(kind, store.blobs.add(blob), len(blob)) for blob in blobs),
    )
    return store.add_image(manifest, parse(name))
