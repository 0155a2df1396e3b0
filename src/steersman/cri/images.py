"""Images: listed, pulled, removed; the store is the node's."""

from __future__ import annotations

import asyncio
import base64
import binascii
import os
from pathlib import Path

from steersman.cri.messages.images import (
    FilesystemIdentifier,
    FilesystemUsage,
    Image,
    ImageFilter,
    ImageFsInfoRequest,
    ImageFsInfoResponse,
    ImageStatusRequest,
    ImageStatusResponse,
    ListImagesRequest,
    ListImagesResponse,
    PullImageRequest,
    PullImageResponse,
    RemoveImageRequest,
    RemoveImageResponse,
)
from steersman.cri.messages.values import AuthConfig, ImageSpec, Int64Value, UInt64Value
from steersman.cri.tools import Tools
from steersman.images import store
from steersman.images.credentials import Login
from steersman.images.errors import (
    ImageError,
    ImageNotFound,
    InvalidReference,
    Unauthorized,
)
from steersman.wire.http2.grpc import (
    INVALID_ARGUMENT,
    NOT_FOUND,
    PERMISSION_DENIED,
    UNIMPLEMENTED,
    UNKNOWN,
    Failed,
)


class Images:
    """The calls about images."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def list(self, asked: ListImagesRequest) -> ListImagesResponse:
        """Lists the images that have a name, or the one that a filter names."""
        name = _name((asked.filter or ImageFilter()).image)
        if name:
            found = await self._find(name)
            return ListImagesResponse(() if found is None else (describe(found),))
        images = await asyncio.to_thread(self._tools.store.images)
        return ListImagesResponse(tuple(describe(it) for it in images))

    async def status(self, asked: ImageStatusRequest) -> ImageStatusResponse:
        """Says what an image is; nothing where it is not here."""
        found = await self._find(_wanted(asked.image))
        return ImageStatusResponse(image=None if found is None else describe(found))

    async def _find(self, name: str) -> store.Image | None:
        try:
            return await asyncio.to_thread(self._tools.store.get, name)
        except ImageNotFound:
            return None
        except ImageError as error:
            raise as_failed(error, f'failed to resolve image "{name}"') from error

    async def pull(self, asked: PullImageRequest) -> PullImageResponse:
        """Brings an image here; raises Failed."""
        name = _wanted(asked.image)
        login = read_login(asked.auth) if asked.auth is not None else None
        try:
            image = await self._tools.puller.ensure(name, "Always", None, login)
            await self._tools.puller.rootfs(image)
        except ImageError as error:
            raise as_failed(error, "") from error
        return PullImageResponse(image.id)

    async def remove(self, asked: RemoveImageRequest) -> RemoveImageResponse:
        """Removes an image with all of its names; repeatable."""
        found = await self._find(_wanted(asked.image))
        if found is not None:
            await asyncio.to_thread(self._remove, found)
        return RemoveImageResponse()

    def _remove(self, image: store.Image) -> None:
        """Takes the names away, and what no container runs from."""
        for reference in image.references:
            self._tools.store.untag(reference)
        containers = self._tools.known.containers.values()
        self._tools.store.collect({it.manifest for it in containers})

    async def usage(self, asked: ImageFsInfoRequest) -> ImageFsInfoResponse:
        """Says what images take of their disk, and containers of theirs."""
        del asked
        image, container = await asyncio.gather(
            asyncio.to_thread(self._usage, self._tools.store.root),
            asyncio.to_thread(self._usage, self._tools.directory),
        )
        return ImageFsInfoResponse((image,), (container,))

    def _usage(self, root: Path) -> FilesystemUsage:
        used, inodes = measure(root)
        return FilesystemUsage(
            timestamp=self._tools.known.now(),
            fs_id=FilesystemIdentifier(str(root)),
            used_bytes=UInt64Value(used),
            inodes_used=UInt64Value(inodes),
        )


def measure(root: Path) -> tuple[int, int]:
    """Returns the bytes and inodes that a directory takes; what goes meanwhile does not count."""
    used = inodes = 0
    seen: set[tuple[int, int]] = set()
    for directory, folders, files in os.walk(root):
        for name in (*folders, *files):
            try:
                found = os.lstat(os.path.join(directory, name))
            except FileNotFoundError:
                continue
            if (key := (found.st_dev, found.st_ino)) not in seen:
                seen.add(key)
                used, inodes = used + found.st_blocks * 512, inodes + 1
    return used, inodes


def describe(image: store.Image) -> Image:
    """Returns what is said of an image."""
    user = image.run_config.user.partition(":")[0]
    is_number = user.isdecimal()
    return Image(
        id=image.id,
        repo_tags=tuple(str(it) for it in image.references if it.tag),
        repo_digests=tuple(str(it) for it in image.references if it.digest and not it.tag),
        size=image.size_bytes,
        uid=Int64Value(int(user)) if is_number else None,
        username="" if is_number else user,
    )


def _name(spec: ImageSpec | None) -> str:
    return spec.image if spec is not None else ""


def _wanted(spec: ImageSpec | None) -> str:
    if not (name := _name(spec)):
        raise Failed(INVALID_ARGUMENT, "image not specified")
    return name


def read_login(auth: AuthConfig) -> Login | None:
    """Returns by whom an image is pulled, None for nobody; raises Failed."""
    if auth.identity_token or auth.registry_token:
        raise Failed(UNIMPLEMENTED, "identity tokens and registry tokens are not supported")
    if auth.username:
        return Login(auth.username, auth.password)
    if not auth.auth:
        return None
    try:
        text = base64.b64decode(auth.auth, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise Failed(INVALID_ARGUMENT, "auth is not base64 of user:password") from None
    user, colon, password = text.partition(":")
    if not colon:
        raise Failed(INVALID_ARGUMENT, "auth is not base64 of user:password")
    return Login(user, password.strip("\0"))


def as_failed(error: ImageError, what: str) -> Failed:
    """Returns an error of an image as the caller sees it."""
    codes = {
        InvalidReference: INVALID_ARGUMENT,
        ImageNotFound: NOT_FOUND,
        Unauthorized: PERMISSION_DENIED,
    }
    return Failed(codes.get(type(error), UNKNOWN), f"{what}: {error}" if what else str(error))
