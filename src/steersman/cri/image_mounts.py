"""Images as mounts (KEP-4639): the layers of one, stacked for reading alone in its sandbox's folder
for as long as that is there.

The conditions are containerd's (mutateImageMount).
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from steersman.cri.messages.containers import ContainerConfig, Mount
from steersman.cri.tools import Tools
from steersman.images.errors import ImageError, ImageNotFound
from steersman.images.store import Image
from steersman.node.objects import BadConfiguration
from steersman.node.volumes import image as volumes
from steersman.node.volumes import memory
from steersman.wire.http2.grpc import INVALID_ARGUMENT, NOT_FOUND, UNKNOWN, Failed

_FOLDER: Final = "images"


def is_image(mount: Mount) -> bool:
    """Whether a mount is an image."""
    return mount.image is not None


def check(config: ContainerConfig) -> None:
    """Raises Failed for a mount of an image that cannot be one."""
    for mount in filter(is_image, config.mounts):
        assert mount.image is not None
        if mount.host_path:
            raise _invalid(mount, "hostpath must be empty while mount image")
        if not mount.readonly:
            raise _invalid(mount, "readonly must be true while mount image")
        if not mount.image.image:
            raise _invalid(mount, "image not specified")


def _invalid(mount: Mount, why: str) -> Failed:
    return Failed(INVALID_ARGUMENT, f"{why}: {mount.container_path}")


async def find_image(tools: Tools, name: str) -> Image:
    """Returns an image that is here; raises Failed."""
    try:
        return await asyncio.to_thread(tools.store.get, name)
    except ImageNotFound as error:
        raise Failed(NOT_FOUND, f'failed to resolve image "{name}": {error}') from error
    except ImageError as error:
        raise Failed(UNKNOWN, f'failed to resolve image "{name}": {error}') from error


async def mount_images(tools: Tools, sandbox: str, config: ContainerConfig) -> dict[str, Path]:
    """Returns where the images are that a container mounts, by its paths; raises Failed."""
    folder, found = tools.etc(sandbox) / _FOLDER, {}
    for mount in filter(is_image, config.mounts):
        assert mount.image is not None
        image = await find_image(tools, mount.image.image)
        place = folder / image.digest.replace(":", "-")
        try:
            layers = await tools.puller.rootfs(image)
            await asyncio.to_thread(volumes.prepare, layers[::-1], place, folder / "empty")
        except (ImageError, BadConfiguration, OSError) as error:
            text = f'failed to mount image "{mount.image.image}": {error}'
            raise Failed(UNKNOWN, text) from error
        found[mount.container_path] = place
    return found


def release(tools: Tools, sandbox: str) -> None:
    """Takes the images of a sandbox away; nothing runs in it any more. Repeatable."""
    memory.unmount_below(tools.etc(sandbox))
