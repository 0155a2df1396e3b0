"""The images that a node has, as its status tells them (nodestatus/setters.go): the largest ones,
which is what the scheduler's ImageLocality reads."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

from steersman.images.errors import ImageError
from steersman.model.kind import Document
from steersman.node.pressure.images import Listed
from steersman.world.interface import World

MOST_IMAGES: Final = 50  # kubelet's nodeStatusMaxImages
MOST_NAMES: Final = 5  # kubelet's MaxNamesPerImageInNodeStatus
WAIT_SECONDS: Final = 5.0  # a runtime that hangs must not have the node's lease run out
log = logging.getLogger(__name__)


def render_images(images: Iterable[Listed]) -> list[Document]:
    """Returns the largest images with some of their names, digests in front."""
    largest = sorted(images, key=lambda it: (-it.size_bytes, it.id))[:MOST_IMAGES]
    return [{"names": _names(it)[:MOST_NAMES], "sizeBytes": it.size_bytes} for it in largest]


def _names(image: Listed) -> list[str]:
    return sorted(map(str, image.references), key=lambda name: "@" not in name)


class NodeImages:
    """The images of one node; `images` lists them and raises ImageError, OSError."""

    def __init__(self, images: Callable[[], Awaitable[Sequence[Listed]]], world: World) -> None:
        self._images = images
        self._world = world
        self._known: list[Document] = []

    async def look(self) -> list[Document]:
        """Returns what there is now; what was known where that cannot be read."""
        try:
            async with self._world.timeout(WAIT_SECONDS):
                self._known = render_images(await self._images())
        except (ImageError, OSError) as error:
            log.warning("images cannot be listed: %s", str(error) or type(error).__name__)
        return self._known
