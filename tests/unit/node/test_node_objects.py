"""The ConfigMaps and Secrets of pods: followed once for all, for as long as a pod names them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import msgspec
import pytest
from node_documents import pod

from steersman.client.client import APIClient
from steersman.client.interface import Change, Listing
from steersman.model.errors import Forbidden
from steersman.model.kinds.configmap import ConfigMap
from steersman.node import objects
from steersman.node.objects import BadConfiguration, FollowedObjects, names_of
from steersman.world.real import RealWorld

WAIT_SECONDS = 10.0
ONE = pod(spec={"volumes": [{"name": "v", "configMap": {"name": "wanted"}}]})
TWO = pod(spec={"volumes": [{"name": "v", "configMap": {"name": "wanted"}}]}, metadata={"uid": "2"})


def config_map(value: str) -> ConfigMap:
    metadata = {"name": "wanted", "namespace": "default", "resourceVersion": "2"}
    return msgspec.convert({"metadata": metadata, "data": {"key": value}}, ConfigMap)


class API:
    """One ConfigMap and its watches; each is counted while it is open."""

    def __init__(self) -> None:
        self.refuses: Exception | None = None
        self.changes: asyncio.Queue[Change] = asyncio.Queue()
        self.selected: list[tuple[str, str]] = []
        self.open = 0

    async def list(self, kind: Any, namespace: str = "", *, fields: str = "") -> Listing:
        """Returns the ConfigMap, or refuses."""
        if self.refuses is not None:
            raise self.refuses
        self.selected.append((namespace, fields))
        return Listing((config_map("old"),), 1)

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


def following(test: Callable[[API, FollowedObjects], Awaitable[None]]) -> None:
    async def main() -> None:
        world, api = RealWorld(), API()
        async with asyncio.timeout(WAIT_SECONDS), world.tasks() as tasks:
            await test(api, FollowedObjects(cast(APIClient, api), world, tasks))
            tasks.stop()

    asyncio.run(main())


async def settle() -> None:
    """Lets every task have its turn."""
    for _ in range(10):
        await asyncio.sleep(0)


def nothing() -> None:
    """Does not care for changes."""


def test_what_a_pod_names_is_there_when_it_is_acquired() -> None:
    async def test(api: API, followed: FollowedObjects) -> None:
        found = await followed.acquire(ONE, names_of(ONE), nothing)
        wanted = found.config_map("wanted")
        assert wanted is not None and wanted.data == {"key": "old"}
        assert followed.of(ONE).config_map("wanted") == wanted
        assert api.selected == [("default", "metadata.name=wanted")]
        with pytest.raises(BadConfiguration, match='configmap "other" not found'):
            found.config_map("other")
        assert found.config_map("other", optional=True) is None

    following(test)


def test_a_pod_hears_of_a_change_once_however_often_it_acquires() -> None:
    async def test(api: API, followed: FollowedObjects) -> None:
        heard: list[str] = []
        for _ in range(2):
            await followed.acquire(ONE, names_of(ONE), lambda: heard.append("one"))
        await followed.acquire(TWO, names_of(TWO), lambda: heard.append("two"))
        heard.clear()
        api.changes.put_nowait(Change("MODIFIED", config_map("new"), 2))
        await settle()
        assert heard == ["one", "two"]
        wanted = followed.of(TWO).config_map("wanted")
        assert wanted is not None and wanted.data == {"key": "new"}

    following(test)


def test_an_object_is_followed_once_and_until_the_last_pod_lets_go_of_it() -> None:
    async def test(api: API, followed: FollowedObjects) -> None:
        for each in (ONE, TWO):
            await followed.acquire(each, names_of(each), nothing)
        await settle()
        assert api.open == 1
        followed.release(ONE.metadata.uid)
        await settle()
        assert api.open == 1
        assert followed.of(TWO).config_map("wanted") is not None
        followed.release(TWO.metadata.uid)
        await settle()
        assert api.open == 0
        assert followed.of(TWO).config_map("wanted", optional=True) is None
        followed.release("stranger")  # is fine

    following(test)


def test_an_api_that_refuses_is_a_trouble_that_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "FIRST_LIST_SECONDS", 0.05)

    async def test(api: API, followed: FollowedObjects) -> None:
        api.refuses = Forbidden("no relationship found between node and object")
        with pytest.raises(BadConfiguration) as caught:
            await followed.acquire(ONE, names_of(ONE), nothing)
        start = "failed to sync the objects of the pod: "
        assert str(caught.value).startswith(start)
        assert "no relationship found" in str(caught.value)

    following(test)
