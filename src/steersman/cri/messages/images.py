"""Messages about images.

Names and numbers are those of the CRI, version v1 (kubernetes/cri-api, api.proto).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec

from steersman.cri.messages.sandboxes import PodSandboxConfig
from steersman.cri.messages.values import AuthConfig, ImageSpec, Int64Value, UInt64Value


class ImageFilter(msgspec.Struct, frozen=True):
    image: Annotated[ImageSpec | None, 1] = None


class ListImagesRequest(msgspec.Struct, frozen=True):
    filter: Annotated[ImageFilter | None, 1] = None


class Image(msgspec.Struct, frozen=True):
    id: Annotated[str, 1] = ""
    repo_tags: Annotated[tuple[str, ...], 2] = ()
    repo_digests: Annotated[tuple[str, ...], 3] = ()
    size: Annotated[int, 4] = 0
    uid: Annotated[Int64Value | None, 5] = None
    username: Annotated[str, 6] = ""
    spec: Annotated[ImageSpec | None, 7] = None
    pinned: Annotated[bool, 8] = False


class ListImagesResponse(msgspec.Struct, frozen=True):
    images: Annotated[tuple[Image, ...], 1] = ()


class ImageStatusRequest(msgspec.Struct, frozen=True):
    image: Annotated[ImageSpec | None, 1] = None
    verbose: Annotated[bool, 2] = False


class ImageStatusResponse(msgspec.Struct, frozen=True):
    image: Annotated[Image | None, 1] = None
    info: Annotated[Mapping[str, str], 2] = {}


class PullImageRequest(msgspec.Struct, frozen=True):
    image: Annotated[ImageSpec | None, 1] = None
    auth: Annotated[AuthConfig | None, 2] = None
    sandbox_config: Annotated[PodSandboxConfig | None, 3] = None


class PullImageResponse(msgspec.Struct, frozen=True):
    image_ref: Annotated[str, 1] = ""


class RemoveImageRequest(msgspec.Struct, frozen=True):
    image: Annotated[ImageSpec | None, 1] = None


class RemoveImageResponse(msgspec.Struct, frozen=True):
    pass


class FilesystemIdentifier(msgspec.Struct, frozen=True):
    mountpoint: Annotated[str, 1] = ""


class FilesystemUsage(msgspec.Struct, frozen=True):
    timestamp: Annotated[int, 1] = 0
    fs_id: Annotated[FilesystemIdentifier | None, 2] = None
    used_bytes: Annotated[UInt64Value | None, 3] = None
    inodes_used: Annotated[UInt64Value | None, 4] = None


class ImageFsInfoRequest(msgspec.Struct, frozen=True):
    pass


class ImageFsInfoResponse(msgspec.Struct, frozen=True):
    image_filesystems: Annotated[tuple[FilesystemUsage, ...], 1] = ()
    container_filesystems: Annotated[tuple[FilesystemUsage, ...], 2] = ()
