"""What goes with a volume whose claim is gone: its directory, then itself, and what stays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from steersman.client.client import APIClient
from steersman.client.errors import Unreachable
from steersman.client.interface import Change, Listing
from steersman.client.view import FollowedView
from steersman.model.errors import Forbidden, NotFound
from steersman.model.kinds.persistentvolume import PERSISTENTVOLUME, PersistentVolume
from steersman.model.ref import Ref
from steersman.node import reclaim
from steersman.node.reclaim import Reclaimer
from steersman.reconcile.events import Said
from steersman.world.real import RealWorld

WAIT_SECONDS = 10.0


class API:
    """Volumes as a test sets them; takes deletions, or refuses them."""

    def __init__(self, *volumes: PersistentVolume) -> None:
        self.volumes = list(volumes)
        self.changes: asyncio.Queue[Change] = asyncio.Queue()
        self.refuses: list[Exception] = []
        self.refused = asyncio.Event()
        self.deleted: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    async def list(self, kind: Any, namespace: str = "", **selectors: str) -> Listing:
        """Returns the volumes."""
        return Listing(tuple(self.volumes), 1)

    async def watch(
        self, kind: Any, namespace: str = "", **selectors: Any
    ) -> AsyncIterator[tuple[Change, ...]]:
        """Yields what the test puts into `changes`."""
        while True:
            yield (await self.changes.get(),)

    async def delete(self, ref: Ref, *, uid: str) -> None:
        """Takes the end of a volume, or refuses it."""
        if self.refuses:
            self.refused.set()
            raise self.refuses.pop(0)
        self.deleted.put_nowait((ref.name, uid))


class Events:
    """Notes what is said."""

    def __init__(self) -> None:
        self.said: asyncio.Queue[Said] = asyncio.Queue()

    def say(self, said: Said) -> None:
        """Notes an event."""
        self.said.put_nowait(said)


@asynccontextmanager
async def reclaiming(api: API, directory: Path) -> AsyncIterator[Events]:
    """Runs the reclaimer of a node."""
    world, events = RealWorld(), Events()
    async with asyncio.timeout(WAIT_SECONDS), world.tasks() as tasks:
        view = FollowedView(cast(Any, api), PERSISTENTVOLUME, world)
        tasks.start(view.follow(), name="volumes")
        made = Reclaimer(cast(APIClient, api), view, events, directory, world)
        tasks.start(made.run(), name="reclaimer")
        yield events
        tasks.stop()


def place(directory: Path, volume: str) -> Path:
    """Where a volume is: in a directory that is named after it and its claim."""
    return directory / f"{volume}_default_data"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where the volumes of the node are; two are there."""
    for name in ("pvc-1", "pvc-2"):
        place(tmp_path, name).mkdir()
        (place(tmp_path, name) / "kept").write_text("x")
    return tmp_path


def volume(
    directory: Path, name: str = "pvc-1", phase: str = "Released", policy: str = "Delete"
) -> PersistentVolume:
    document = {
        "metadata": {"name": name, "uid": f"uid of {name}", "resourceVersion": "1"},
        "spec": {
            "persistentVolumeReclaimPolicy": policy,
            "local": {"path": str(place(directory, name))},
        },
        "status": {"phase": phase},
    }
    return msgspec.convert(document, PersistentVolume)


def run(scenario: Callable[[], Any]) -> None:
    asyncio.run(scenario())


def test_the_directory_of_a_released_volume_goes_and_then_the_volume(directory: Path) -> None:
    async def scenario() -> None:
        api = API(volume(directory))
        async with reclaiming(api, directory):
            assert await api.deleted.get() == ("pvc-1", "uid of pvc-1")
            assert list(directory.iterdir()) == [place(directory, "pvc-2")]

    run(scenario)


@pytest.mark.parametrize(("phase", "policy"), [("Bound", "Delete"), ("Released", "Retain")])
def test_what_is_bound_or_to_be_retained_stays_until_it_is_released(
    directory: Path, phase: str, policy: str
) -> None:
    async def scenario() -> None:
        api = API(volume(directory, phase=phase, policy=policy), volume(directory, "pvc-2"))
        async with reclaiming(api, directory):
            assert await api.deleted.get() == ("pvc-2", "uid of pvc-2")
            assert list(directory.iterdir()) == [place(directory, "pvc-1")]
            api.changes.put_nowait(Change("MODIFIED", volume(directory), 2))
            assert await api.deleted.get() == ("pvc-1", "uid of pvc-1")
            assert list(directory.iterdir()) == []

    run(scenario)


@pytest.mark.parametrize("error", [Unreachable("away"), Forbidden("not yet")])
def test_a_volume_that_cannot_be_deleted_yet_is_tried_again(
    directory: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(reclaim, "RETRY_SECONDS", 0.0)

    async def scenario() -> None:
        api = API(volume(directory))
        api.refuses = [error]
        async with reclaiming(api, directory):
            assert await api.deleted.get() == ("pvc-1", "uid of pvc-1")

    run(scenario)


def test_a_volume_that_is_gone_already_is_done_with(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reclaim, "RETRY_SECONDS", 0.0)

    async def scenario() -> None:
        api = API(volume(directory))
        api.refuses = [NotFound("gone")]
        async with reclaiming(api, directory):
            await api.refused.wait()
            api.changes.put_nowait(Change("DELETED", volume(directory), 2))
            api.changes.put_nowait(Change("ADDED", volume(directory, "pvc-2"), 3))
            assert await api.deleted.get() == ("pvc-2", "uid of pvc-2")
            assert api.deleted.empty()

    run(scenario)


def test_a_directory_that_cannot_be_removed_is_told_and_keeps_its_volume(
    directory: Path,
) -> None:
    place(directory, "pvc-3").write_text("no directory")

    async def scenario() -> None:
        api = API(volume(directory, "pvc-3"), volume(directory))
        async with reclaiming(api, directory) as events:
            said = await events.said.get()
            assert (said.type, said.reason) == ("Warning", "VolumeFailedDelete")
            assert "Not a directory" in said.note
            assert await api.deleted.get() == ("pvc-1", "uid of pvc-1")
            assert api.deleted.empty()

    run(scenario)


def test_a_volume_elsewhere_takes_no_directory_of_this_node_along(
    directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    place(elsewhere, "pvc-1").mkdir()

    async def scenario() -> None:
        api = API(volume(elsewhere))
        async with reclaiming(api, directory):
            assert await api.deleted.get() == ("pvc-1", "uid of pvc-1")
            assert place(elsewhere, "pvc-1").is_dir()
            assert len(list(directory.iterdir())) == 2

    run(scenario)
