"""The JSON documents of an image as frozen values: descriptor, manifest, index, configuration.

Pure. Follows the OCI image specification; Docker's media types of schema 2 are read as their OCI
equals. Unknown fields are dropped; a document over its limit or of a wrong shape is refused.
"""

import hashlib
import os
from collections.abc import Mapping
from typing import TypeVar

import msgspec

from steersman.images.errors import Corrupt

DOCUMENT_LIMIT = 8 << 20  # registries keep manifests under 4 MiB; configurations can hold more
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
MANIFEST_TYPES = (OCI_MANIFEST, DOCKER_MANIFEST)
INDEX_TYPES = (OCI_INDEX, DOCKER_LIST)
REF_NAME = "org.opencontainers.image.ref.name"
CONTAINERD_NAME = "io.containerd.image.name"  # the full name; ref.name is often only the tag
MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


class Document(msgspec.Struct, frozen=True, omit_defaults=True):
    """What all documents share: frozen, defaults left out."""


class Platform(Document, frozen=True):
    architecture: str = ""
    os: str = ""
    variant: str = ""


class Descriptor(Document, frozen=True, rename="camel"):
    media_type: str
    digest: str
    size: int
    platform: Platform | None = None
    annotations: Mapping[str, str] | None = None
    urls: tuple[str, ...] = ()


class Manifest(Document, frozen=True, rename="camel"):
    schema_version: int
    config: Descriptor
    layers: tuple[Descriptor, ...]
    media_type: str = ""
    annotations: Mapping[str, str] | None = None


class Index(Document, frozen=True, rename="camel"):
    schema_version: int
    manifests: tuple[Descriptor, ...]
    media_type: str = ""


class Kind(Document, frozen=True, rename="camel"):
    """What tells a manifest from an index."""

    schema_version: int
    media_type: str = ""
    manifests: tuple[msgspec.Raw, ...] = ()

    @property
    def is_index(self) -> bool:
        return self.media_type in INDEX_TYPES or (not self.media_type and bool(self.manifests))


class RunConfig(Document, frozen=True, rename="pascal"):
    """How a container of the image runs unless its pod says otherwise."""

    user: str = ""
    exposed_ports: Mapping[str, Mapping[str, str]] | None = None
    env: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    volumes: Mapping[str, Mapping[str, str]] | None = None
    working_dir: str = ""
    labels: Mapping[str, str] | None = None
    stop_signal: str = ""


class RootFS(Document, frozen=True):
    type: str
    diff_ids: tuple[str, ...] = ()


class History(Document, frozen=True):
    created: str = ""
    created_by: str = ""
    comment: str = ""
    empty_layer: bool = False


class Config(Document, frozen=True):
    architecture: str
    os: str
    rootfs: RootFS
    created: str | None = None
    config: RunConfig | None = None
    history: tuple[History, ...] | None = None
    variant: str = ""


class Step(Document, frozen=True):
    """A record of the build cache: a time, and the layer that an instruction made, if any."""

    created: str
    layer: Descriptor | None = None
    diff_id: str = ""


T = TypeVar("T")


def parse(data: bytes, shape: type[T]) -> T:
    """Decodes a document. Raises Corrupt."""
    try:
        return msgspec.json.decode(data, type=shape)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Corrupt(f"the {shape.__name__.lower()} of the image is malformed: {error}") from None


def render(document: Document) -> bytes:
    """Encodes a document; equal documents give equal bytes."""
    return msgspec.json.encode(document, order="sorted")


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def chain_ids(diff_ids: tuple[str, ...]) -> list[str]:
    """The chain ID of each layer: it names the layer together with all layers below it."""
    chain: list[str] = []
    for diff_id in diff_ids:
        chain.append(digest_of(f"{chain[-1]} {diff_id}".encode()) if chain else diff_id)
    return chain


def host_platform() -> Platform:
    machine = os.uname().machine
    return Platform(architecture=MACHINES.get(machine, machine), os="linux")


def choose(index: Index, platform: Platform) -> Descriptor | None:
    """The manifest of an index for a platform: the first whose system and architecture match."""
    return next((each for each in index.manifests if _fits(each, platform)), None)


def _fits(descriptor: Descriptor, platform: Platform) -> bool:
    theirs = descriptor.platform
    return theirs is not None and (theirs.os, theirs.architecture) == (
        platform.os,
        platform.architecture,
    )
