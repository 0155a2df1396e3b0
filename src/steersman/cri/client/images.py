"""Images in a runtime: looked up, pulled by it, and removed."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import msgspec

from steersman.cri.client.calls import Calls
from steersman.cri.messages import images as i
from steersman.cri.messages.values import AuthConfig, ImageSpec
from steersman.images.credentials import Login
from steersman.images.documents import RunConfig
from steersman.images.errors import ImageError
from steersman.images.pull import NotPresent, Policy, Progress
from steersman.images.references import parse
from steersman.node.pressure.images import used_digests
from steersman.runtime.engine import EngineError


class RuntimeImage(msgspec.Struct, frozen=True):
    """An image as a runtime tells of it; `digest` is its id there."""

    digest: str
    repo_digest: str
    size_bytes: int
    run_config: RunConfig


class RuntimeImages:
    """See `node.engine.interface.Images`; `say` why one cannot be had is the runtime's."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def ensure(
        self,
        text: str,
        policy: Policy,
        progress: Progress | None = None,
        login: Login | None = None,
    ) -> RuntimeImage:
        """Returns the image of a name; raises InvalidReference, NotPresent, ImageError."""
        del progress  # the interface has none
        name = str(parse(text))
        if policy != "Always" and (found := await self._find(name)) is not None:
            return found
        if policy == "Never":
            raise NotPresent(f'Container image "{text}" is not present with pull policy of Never')
        auth = None if login is None else AuthConfig(login.username, login.password)
        asked = i.PullImageRequest(ImageSpec(name, user_specified_image=text), auth)
        try:
            pulled = await self._calls.image("PullImage", asked, i.PullImageResponse, None)
        except EngineError as error:
            raise ImageError(str(error)) from error
        found = await self._find(pulled.image_ref)
        if found is None:
            raise ImageError(f'image "{text}" is gone since it was pulled')
        return found

    async def _find(self, name: str) -> RuntimeImage | None:
        asked = i.ImageStatusRequest(ImageSpec(name))
        try:
            answer = await self._calls.image("ImageStatus", asked, i.ImageStatusResponse)
        except EngineError as error:
            raise ImageError(str(error)) from error
        return None if answer.image is None else render_image(answer.image)

    async def rootfs(self, image: Any) -> list[Path]:
        """Returns nothing: the runtime keeps layers to itself."""
        return []


def render_image(image: i.Image) -> RuntimeImage:
    """Returns an image as the agent knows it; of how it runs only the user is told."""
    user = image.username or ("" if image.uid is None else str(image.uid.value))
    shown = image.repo_digests[0] if image.repo_digests else image.id
    return RuntimeImage(image.id, shown, image.size, RunConfig(user=user))


class Listed(msgspec.Struct, frozen=True):
    """An image that is here, by its names; see `node.pressure.images`."""

    id: str
    references: tuple[str, ...]
    size_bytes: int

    @property
    def digest(self) -> str:
        """What its record has it by."""
        return self.id


class KeptImages:
    """See `node.pressure.images.Kept`; images that a runtime has pinned stay."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def images(self) -> list[Listed]:
        """Lists what is here and may go."""
        asked = i.ListImagesRequest()
        try:
            answer = await self._calls.image("ListImages", asked, i.ListImagesResponse)
        except EngineError as error:
            raise ImageError(str(error)) from error
        return [
            Listed(it.id, (*it.repo_tags, *it.repo_digests), it.size)
            for it in answer.images
            if not it.pinned
        ]

    async def remove(
        self, images: Collection[Any], names: Collection[str]
    ) -> tuple[int, frozenset[str]]:
        """Has the runtime remove images with all their names."""
        wanted, here = {it.digest for it in images}, await self.images()
        going = [it for it in here if it.digest in wanted - used_digests(here, names)]
        for it in going:
            asked = i.RemoveImageRequest(ImageSpec(it.id))
            try:
                await self._calls.image("RemoveImage", asked, i.RemoveImageResponse)
            except EngineError as error:
                raise ImageError(str(error)) from error
        return sum(it.size_bytes for it in going), frozenset(it.digest for it in going)

    async def disk(self) -> Path | None:
        """Returns a directory on the disk that images are on, None where the runtime does not tell
        of one that is here; raises EngineError."""
        asked = i.ImageFsInfoRequest()
        answer = await self._calls.image("ImageFsInfo", asked, i.ImageFsInfoResponse)
        told = (it.fs_id.mountpoint for it in answer.image_filesystems if it.fs_id is not None)
        return next((Path(it) for it in told if it and Path(it).is_dir()), None)
