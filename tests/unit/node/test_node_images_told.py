"""Which images a node tells of, and in which order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from steersman.cri.client.images import Listed
from steersman.images.errors import ImageError
from steersman.node.measure.images import MOST_IMAGES, NodeImages, render_images
from steersman.world.interface import World
from steersman.world.simulated import simulate


def test_the_largest_images_are_told_with_digests_in_front() -> None:
    small = Listed("s", ("a:1", "a@sha256:1", *(f"a:x{n}" for n in range(9))), 5)
    large = Listed("l", ("b:1",), 50)
    assert render_images([small, large]) == [
        {"names": ["b:1"], "sizeBytes": 50},
        {"names": ["a@sha256:1", "a:1", "a:x0", "a:x1", "a:x2"], "sizeBytes": 5},
    ]
    many = [Listed(str(n), (f"i:{n}",), n) for n in range(99)]
    assert [it["sizeBytes"] for it in render_images(many)] == list(range(98, 98 - MOST_IMAGES, -1))


def test_what_cannot_be_listed_is_told_as_it_was() -> None:
    answers: list[list[Listed] | Exception | None] = [
        [Listed("i", ("i:1",), 1)],
        ImageError("gone"),
        OSError("no disk"),
        None,
        [],
    ]

    async def images() -> Sequence[Listed]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            await asyncio.get_running_loop().create_future()  # a runtime that hangs
        return answer or []

    async def main(world: World) -> None:
        found = NodeImages(images, world)
        for _ in range(4):
            assert await found.look() == [{"names": ["i:1"], "sizeBytes": 1}]
        assert await found.look() == []

    simulate(1, main)
