"""The rows that `steer images` shows, one for each name of an image.

Pure. An image that was pulled by digest alone has no tag.
"""

from collections.abc import Iterable

import msgspec

from steersman.images.references import Reference
from steersman.images.store import Image


class Row(msgspec.Struct, frozen=True):
    """`id` is the whole digest of the configuration; `created` is RFC 3339, or nothing."""

    repository: str
    tag: str
    id: str
    size_bytes: int
    created: str


def rows(images: Iterable[Image]) -> list[Row]:
    """A row for each tag, and one for an image that has none, sorted by name."""
    found = [
        Row(_repository(each), each.tag or "<none>", image.id, image.size_bytes, image.created)
        for image in images
        for each in _shown(image)
    ]
    return sorted(found, key=lambda row: (row.repository, row.tag, row.id))


def _shown(image: Image) -> list[Reference]:
    """The references with tags, and the others only where their repository has no tag."""
    tagged = {each.name for each in image.references if each.tag}
    return [each for each in image.references if each.tag or each.name not in tagged]


def _repository(reference: Reference) -> str:
    return reference.familiar.removesuffix(reference.suffix)
