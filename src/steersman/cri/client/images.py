"""Images in a runtime: looked up, pulled by it, and removed."""

from __future__ import annotations

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
