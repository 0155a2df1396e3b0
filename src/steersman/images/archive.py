"""Image archives: loads what `docker save` and OCI layouts hold, and saves both in one file.

One rule: an archive is read once, from front to back; every file in it becomes a blob under the
digest of what was read, and nothing it says is believed beyond that. Heavy and synchronous: call in
a thread. Follows the OCI image layout and the Docker image specification 1.2.
"""

import posixpath
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import BinaryIO

import msgspec

from steersman.images.compression import GZIP_MAGIC, ZSTD_MAGIC, Plain
from steersman.images.documents import (
    CONTAINERD_NAME,
    INDEX_TYPES,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    REF_NAME,
    Config,
    Descriptor,
    Index,
    Manifest,
    choose,
    host_platform,
    parse,
    render,
)
from steersman.images.errors import Corrupt, ImageNotFound, Refused
from steersman.images.references import Reference
from steersman.images.references import parse as parse_reference
from steersman.images.store import Image, Store
from steersman.wire import tar

ENTRY_LIMIT = 20_000  # files in one archive: a few per layer of each image
TOTAL_LIMIT = 256 << 30
IMAGE_LIMIT = 1000
CHUNK_BYTES = 1 << 20
LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'


class _Saved(msgspec.Struct, frozen=True, rename="pascal"):
    """One image in the `manifest.json` of `docker save`."""

    config: str
    layers: tuple[str, ...]
    repo_tags: tuple[str, ...] | None = None


def load(store: Store, file: BinaryIO) -> list[Image]:
    """Loads all images of an archive for this machine; plain, gzip or zstd.

    Raises Corrupt, Refused, ImageNotFound (nothing in it fits) and InvalidReference.
    """
    with store.adding():
        members = _take_in(store, file)
        if "manifest.json" in members:
            return _load_saved(store, members)
        if "index.json" in members:
            return _load_layout(store, members)
    raise Corrupt("this is no image archive: neither manifest.json nor index.json is in it")


def save(store: Store, images: Iterable[Image], write: Callable[[bytes], object]) -> None:
    """Writes an archive that is an OCI layout and can also be read by `docker load`."""
    chosen = list(images)
    descriptors, saved = [], []
    blobs: dict[str, int] = {}
    for image in chosen:
        size = store.blobs.size(image.digest)
        blobs[image.digest] = size
        for each in (image.manifest.config, *image.manifest.layers):
            blobs[each.digest] = each.size
        descriptors += _named(image, size)
        saved.append(_saved(image))
    index = Index(schema_version=2, media_type=OCI_INDEX, manifests=tuple(descriptors))
    _write_member(write, "oci-layout", LAYOUT)
    _write_member(write, "index.json", render(index))
    _write_member(write, "manifest.json", msgspec.json.encode(saved))
    for digest in sorted(blobs):
        _write_blob(write, store.blobs.path(digest), digest, blobs[digest])
    write(tar.END)


def _take_in(store: Store, file: BinaryIO) -> dict[str, str]:
    """Stores every file of the archive; the digest of each by its name."""
    members: dict[str, str] = {}
    links: dict[str, str] = {}
    total = 0
    try:
        source = Plain(file.read)
        reader = tar.Reader(source.read)
        for count, entry in enumerate(reader, 1):
            total += entry.size
            if count > ENTRY_LIMIT or total > TOTAL_LIMIT:
                raise Refused(f"the archive holds over {ENTRY_LIMIT} files or {TOTAL_LIMIT} bytes")
            name = posixpath.normpath("/" + entry.name).lstrip("/")
            if entry.kind == "file":
                members[name] = _take(store, reader)
            elif entry.kind in ("symlink", "hardlink"):  # older dockers write a layer only once
                base = posixpath.dirname(name) if entry.kind == "symlink" else ""
                links[name] = posixpath.normpath(posixpath.join("/", base, entry.target))[1:]
    except tar.TarError as error:
        raise Corrupt(f"the archive is damaged: {error}") from None
    return members | {name: members[to] for name, to in links.items() if to in members}


def _take(store: Store, reader: tar.Reader) -> str:
    with store.blobs.writing() as writer:
        for chunk in reader.data():
            writer.write(chunk)
        return writer.commit()


def _member(members: Mapping[str, str], name: str) -> str:
    digest = members.get(posixpath.normpath("/" + name).lstrip("/"))
    if digest is None:
        raise Corrupt(f"the archive lacks {name}")
    return digest


def _load_saved(store: Store, members: Mapping[str, str]) -> list[Image]:
    saved = parse(store.blobs.read(members["manifest.json"]), tuple[_Saved, ...])
    if not 0 < len(saved) <= IMAGE_LIMIT:
        raise Refused(f"the archive holds {len(saved)} images")
    return [_load_one(store, members, each) for each in saved]


def _load_one(store: Store, members: Mapping[str, str], saved: _Saved) -> Image:
    names = [parse_reference(tag) for tag in saved.repo_tags or ()]
    if not names:
        raise Refused("the archive holds an image without a name; save it by name")
    config = _member(members, saved.config)
    digests = [_member(members, each) for each in saved.layers]
    _check_config(store, config, digests)
    manifest = Manifest(
        schema_version=2,
        media_type=OCI_MANIFEST,
        config=Descriptor(OCI_CONFIG, config, store.blobs.size(config)),
        layers=tuple(_layer(store, digest) for digest in digests),
    )
    return store.add_image(manifest, *names)


def _layer(store: Store, digest: str) -> Descriptor:
    with store.blobs.path(digest).open("rb") as file:
        head = file.read(len(ZSTD_MAGIC))
    suffix = "+gzip" if head[:2] == GZIP_MAGIC else "+zstd" if head == ZSTD_MAGIC else ""
    return Descriptor(OCI_LAYER + suffix, digest, store.blobs.size(digest))


def _load_layout(store: Store, members: Mapping[str, str]) -> list[Image]:
    index = parse(store.blobs.read(members["index.json"]), Index)
    if not 0 < len(index.manifests) <= IMAGE_LIMIT:
        raise Refused(f"the archive holds {len(index.manifests)} images")
    by_manifest: dict[str, list[Reference]] = {}
    for descriptor in index.manifests:
        manifest = _for_this_machine(store, members, descriptor)
        if manifest is not None:
            by_manifest.setdefault(manifest, []).append(_name(descriptor))
    if not by_manifest:
        raise ImageNotFound("no image in the archive is for this machine")
    return [_load_manifest(store, members, *each) for each in by_manifest.items()]


def _for_this_machine(
    store: Store, members: Mapping[str, str], descriptor: Descriptor
) -> str | None:
    """The digest of the manifest that a descriptor of the layout's index leads to, if any fits."""
    digest = _blob(members, descriptor.digest)
    if descriptor.media_type not in INDEX_TYPES:
        return digest
    found = choose(parse(store.blobs.read(digest), Index), host_platform())
    return _blob(members, found.digest) if found else None


def _load_manifest(
    store: Store, members: Mapping[str, str], digest: str, names: list[Reference]
) -> Image:
    manifest = parse(store.blobs.read(digest), Manifest)
    for each in (manifest.config, *manifest.layers):
        _blob(members, each.digest)
    digests = [each.digest for each in manifest.layers]
    _check_config(store, manifest.config.digest, digests)
    store.tag(digest, *names)
    return store.get(str(names[0]))


def _blob(members: Mapping[str, str], digest: str) -> str:
    name = "blobs/" + digest.replace(":", "/", 1)
    actual = _member(members, name)
    if actual != digest:
        raise Corrupt(f"{name} in the archive has the digest {actual}")
    return digest


def _name(descriptor: Descriptor) -> Reference:
    annotations = descriptor.annotations or {}
    name = annotations.get(CONTAINERD_NAME) or annotations.get(REF_NAME, "")
    if "/" not in name and ":" not in name:  # a bare tag says nothing of the repository
        raise Refused("the archive does not name its image; save it by its full name")
    return parse_reference(name)


def _check_config(store: Store, config_digest: str, digests: list[str]) -> None:
    """Whether the layers are those that the configuration speaks of."""
    diff_ids = parse(store.blobs.read(config_digest), Config).rootfs.diff_ids
    if len(diff_ids) != len(digests):
        raise Corrupt("the image's layers and its configuration differ in number")
    for digest, diff_id in zip(digests, diff_ids, strict=True):
        if digest != diff_id and _diff_id(store.blobs.path(digest)) != diff_id:
            raise Corrupt(f"the content of layer {digest} does not have the diff ID {diff_id}")


def _diff_id(blob: Path) -> str:
    with blob.open("rb", buffering=0) as file:
        source = Plain(file.read)
        source.drain(TOTAL_LIMIT)
    return source.digest


def _named(image: Image, size: int) -> list[Descriptor]:
    return [
        Descriptor(
            media_type=image.manifest.media_type or OCI_MANIFEST,
            digest=image.digest,
            size=size,
            annotations={CONTAINERD_NAME: str(each), REF_NAME: str(each)},
        )
        for each in image.references
        if each.tag
    ]


def _saved(image: Image) -> _Saved:
    def path(digest: str) -> str:
        return "blobs/" + digest.replace(":", "/", 1)

    return _Saved(
        config=path(image.id),
        layers=tuple(path(each.digest) for each in image.manifest.layers),
        repo_tags=tuple(each.familiar for each in image.references if each.tag),
    )


def _write_member(write: Callable[[bytes], object], name: str, data: bytes) -> None:
    write(tar.render(tar.Entry(name, "file", size=len(data))) + data + tar.padding(len(data)))


def _write_blob(write: Callable[[bytes], object], path: Path, digest: str, size: int) -> None:
    name = "blobs/" + digest.replace(":", "/", 1)
    write(tar.render(tar.Entry(name, "file", size=size)))
    left = size
    with path.open("rb") as file:
        while left and (chunk := file.read(min(left, CHUNK_BYTES))):
            left -= len(chunk)
            write(chunk)
    if left:
        raise Corrupt(f"blob {digest} in the store is shorter than stated")
    write(tar.padding(size))
