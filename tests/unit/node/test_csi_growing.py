"""Claims of volumes are followed while a pod has them, and file systems grow when they say so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import msgspec
import pytest

from steersman.client.client import APIClient
from steersman.client.interface import Change, Listing
from steersman.model.kinds.persistentvolumeclaim import PersistentVolumeClaim
from steersman.node.csi import growing
from steersman.node.csi.growing import Growing
from steersman.node.objects import BadConfiguration
from steersman.world.real import RealWorld

WAIT_SECONDS = 10.0


def claim(*conditions: str) -> PersistentVolumeClaim:
    metadata = {"name": "data", "namespace": "default", "resourceVersion": "2"}
    told = [{"type": it, "status": "True"} for it in conditions]
    document = {"metadata": metadata, "status": {"conditions": told}}
    return msgspec.convert(document, PersistentVolumeClaim)


class API:
    """One claim and its watches; each is counted while it is open."""

    def __init__(self) -> None:
        self.changes: asyncio.Queue[Change] = asyncio.Queue()
        self.selected: list[tuple[str, str]] = []
        self.open = 0

    async def list(self, kind: Any, namespace: str = "", *, fields: str = "") -> Listing:
        """Returns the claim."""
        self.selected.append((namespace, fields))
        return Listing((claim(),), 1)

    async def watch(
        self, kind: Any, namespace: str = "", **selectors: Any
    ) -> AsyncIterator[tuple[Change, ...]]:
        """Yields what the test puts into `changes`."""
        self.open += 1
        try:
            while True:
                yield (await self.changes.get(),)
        finally:
            self.open -= 1

    def tell(self, *conditions: str) -> None:
        """Changes the claim."""
        self.changes.put_nowait(Change("MODIFIED", claim(*conditions), 3))


class Grows:
    """A volume that grows as often as it is asked to, or fails first."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.asked: asyncio.Queue[int] = asyncio.Queue()
        self.count = 0

    async def __call__(self) -> None:
        self.count += 1
        self.asked.put_nowait(self.count)
        if self.failures:
            raise self.failures.pop(0)


def following(test: Callable[[API, Growing], Awaitable[None]]) -> None:
    async def main() -> None:
        world, api = RealWorld(), API()
        async with asyncio.timeout(WAIT_SECONDS), world.tasks() as tasks:
            await test(api, Growing(cast(APIClient, api), world, tasks))
            tasks.stop()

    asyncio.run(main())


async def settle() -> None:
    """Lets every task have its turn."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_a_claim_that_says_so_grows_and_others_do_not() -> None:
    async def test(api: API, followed: Growing) -> None:
        grows = Grows()
        followed.follow("default", "data", "uid-1", grows)
        await settle()
        api.tell("Resizing")
        await settle()
        assert grows.count == 0
        api.tell("FileSystemResizePending")
        await grows.asked.get()
        await settle()
        assert grows.count == 1
        assert api.selected == [("default", "metadata.name=data")]

    following(test)


@pytest.mark.parametrize("error", [BadConfiguration("busy"), OSError("gone")])
def test_what_fails_is_tried_again(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing, "FIRST_RETRY_SECONDS", 0.001)

    async def test(api: API, followed: Growing) -> None:
        grows = Grows(error, error)
        followed.follow("default", "data", "uid-1", grows)
        api.tell("FileSystemResizePending")
        assert [await grows.asked.get() for _ in range(3)] == [1, 2, 3]
        await settle()
        assert grows.count == 3

    following(test)


def test_a_claim_is_followed_once_and_until_the_last_pod_lets_go_of_it() -> None:
    async def test(api: API, followed: Growing) -> None:
        first, second = Grows(), Grows()
        followed.follow("default", "data", "uid-1", Grows())
        followed.follow("default", "data", "uid-1", first)  # published again
        followed.follow("default", "data", "uid-2", second)
        await settle()
        assert (api.open, len(api.selected)) == (1, 1)
        api.tell("FileSystemResizePending")
        await first.asked.get()
        followed.leave("uid-1")
        followed.leave("other")
        api.tell("FileSystemResizePending")
        await second.asked.get()
        assert (first.count, api.open) == (1, 1)
        followed.leave("uid-2")
        await settle()
        assert api.open == 0

    following(test)
