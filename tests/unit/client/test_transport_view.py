"""A followed copy, driven by a source that the test holds in its hands, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from steersman.client.errors import Unreachable
from steersman.client.interface import Change, Listing
from steersman.client.view import MOST_BACKOFF_SECONDS, FollowedView, FollowedViews
from steersman.model.errors import Expired, Forbidden
from steersman.model.kind import Kind
from steersman.model.kinds.configmap import CONFIGMAP, ConfigMap
from steersman.model.view import Meta
from steersman.world.interface import World
from steersman.world.simulated import simulate


def config_map(name: str, revision: int, namespace: str = "x", **labels: str) -> ConfigMap:
    meta = Meta(name=name, namespace=namespace, resource_version=str(revision), labels=labels)
    return ConfigMap(metadata=meta)


class Script:
    """A source that gives what it was told to give; at the end of the script it waits."""

    def __init__(self, *steps: Any) -> None:
        self.steps = list(steps)
        self.asked: list[str] = []
        self.times: list[float] = []
        self.world: World | None = None

    def next(self, what: str) -> Any:
        self.asked.append(what)
        if self.world is not None:
            self.times.append(self.world.monotonic())
        return self.steps.pop(0) if self.steps else None

    async def list(self, kind: Kind, namespace: str = "", *, fields: str = "") -> Listing:
        step = self.next("list")
        if isinstance(step, Exception):
            raise step
        if step is None:
            await asyncio.Event().wait()
        assert isinstance(step, Listing)
        return step

    async def watch(
        self, kind: Kind, namespace: str = "", *, after: int, fields: str = ""
    ) -> AsyncIterator[tuple[Change, ...]]:
        step = self.next(f"watch {after}")
        if step is None:
            await asyncio.Event().wait()
        for item in step:
            for _ in range(3):
                await asyncio.sleep(0)  # who was woken has their turn
            if isinstance(item, Exception):
                raise item
            if isinstance(item, float):
                assert self.world is not None
                await self.world.sleep(item)
            elif callable(item):
                item()
            else:
                yield item

    def metadata_only(self) -> Script:
        return self


def added(name: str, revision: int, **labels: str) -> Change:
    return Change("ADDED", config_map(name, revision, **labels), revision)


def modified(name: str, revision: int, **labels: str) -> Change:
    return Change("MODIFIED", config_map(name, revision, **labels), revision)


def deleted(name: str, revision: int) -> Change:
    return Change("DELETED", config_map(name, revision), revision)


def following(
    script: Script, case: Callable[[FollowedView, World], Coroutine[Any, Any, None]]
) -> None:
    """Runs a case beside a view that follows the script."""

    async def main(world: World) -> None:
        script.world = world
        view = FollowedView(script, CONFIGMAP, world)
        async with world.tasks() as tasks:
            tasks.start(view.follow(), name="view")
            await case(view, world)
            tasks.stop()

    simulate(1, main)


def names(found: Any) -> list[str]:
    return sorted(item.metadata.name for item in found)


def test_a_view_holds_what_was_listed_and_then_changed() -> None:
    script = Script(
        Listing((config_map("a", 3), config_map("b", 4)), 5),
        [(added("c", 6), modified("a", 7)), (deleted("b", 8),), (Change("BOOKMARK", None, 20),)],
    )

    async def case(view: FollowedView, world: World) -> None:
        assert (view.revision, names(view.list())) == (0, [])
        await view.reached(20)
        assert names(view.list()) == ["a", "c"]
        found = view.get(CONFIGMAP.ref("x", "a"))
        assert found is not None and found.metadata.revision == 7
        assert view.get(CONFIGMAP.ref("x", "b")) is None
        assert view.revision == 20

    following(script, case)
    assert script.asked[:2] == ["list", "watch 5"]


def test_lists_are_by_namespace() -> None:
    items = (config_map("a", 1, "x"), config_map("b", 2, "y"), config_map("c", 3, "y"))
    script = Script(Listing(items, 3), [(Change("DELETED", config_map("b", 4, "y"), 4),)])

    async def case(view: FollowedView, world: World) -> None:
        await view.synced()
        assert names(view.list("y")) == ["b", "c"]
        assert names(view.list("z")) == []
        await view.reached(4)
        assert names(view.list("y")) == ["c"]
        assert names(view.list("x")) == ["a"]

    following(script, case)


def test_an_index_follows_each_change() -> None:
    script = Script(
        Listing((config_map("a", 1, app="web"), config_map("b", 2, app="db")), 2),
        [(modified("a", 3, app="db"),), (deleted("b", 4),), (added("c", 5, app="web"),)],
    )

    async def case(view: FollowedView, world: World) -> None:
        view.index("app", lambda found: found.metadata.labels.values())
        view.index("app", lambda found: ["never used"])
        await view.synced()
        assert names(view.by("app", "web")) == ["a"]
        await view.reached(3)
        assert (names(view.by("app", "web")), names(view.by("app", "db"))) == ([], ["a", "b"])
        await view.reached(5)
        assert (names(view.by("app", "web")), names(view.by("app", "db"))) == (["c"], ["a"])
        view.index("late", lambda found: [found.metadata.name])
        assert names(view.by("late", "c")) == ["c"]
        with pytest.raises(KeyError):
            view.by("unknown", "x")

    following(script, case)


def test_listeners_hear_old_and_new_until_they_leave() -> None:
    script = Script(
        Listing((config_map("a", 1),), 1), [(modified("a", 2),), (deleted("a", 3), added("b", 4))]
    )
    heard: list[tuple[int, int]] = []

    def hear(old: Any, new: Any) -> None:
        heard.append((old.metadata.revision if old else 0, new.metadata.revision if new else 0))

    async def case(view: FollowedView, world: World) -> None:
        leave = view.listen(hear)
        await view.reached(2)
        assert heard == [(0, 1), (1, 2)]
        await view.reached(4)
        assert heard == [(0, 1), (1, 2), (2, 0), (0, 4)]
        leave()
        leave()

    following(script, case)


def test_who_waits_for_a_revision_is_woken_when_it_is_there_and_not_before() -> None:
    order: list[str] = []
    script = Script(
        Listing((), 1),
        [lambda: order.append("2"), (added("a", 2),), lambda: order.append("5"), (added("b", 5),)],
    )

    async def case(view: FollowedView, world: World) -> None:
        async def wait(revision: int) -> None:
            await view.reached(revision)
            order.append(f"woken for {revision}")

        async with world.tasks() as tasks:
            for revision in (5, 2, 1, 4):
                tasks.start(wait(revision), name="wait")
        assert order.index("woken for 1") < order.index("2") < order.index("woken for 2")
        assert order.index("5") < order.index("woken for 5")
        assert order.index("5") < order.index("woken for 4")
        await view.reached(3)

    following(script, case)


def test_a_waiter_that_gives_up_leaves_nothing_behind() -> None:
    async def case(view: FollowedView, world: World) -> None:
        await view.synced()
        with pytest.raises(TimeoutError):
            async with world.timeout(1):
                await view.reached(99)
        assert not view._waiters

    following(Script(Listing((), 1)), case)


def test_a_view_that_is_closed_lets_everyone_go_who_waits_for_it() -> None:
    async def case(view: FollowedView, world: World) -> None:
        waits = [asyncio.ensure_future(view.synced()), asyncio.ensure_future(view.reached(9))]
        await asyncio.sleep(0)
        view.close()
        async with asyncio.timeout(1):
            await asyncio.gather(*waits)
            await view.reached(99)

    following(Script(), case)


def test_an_older_change_does_not_take_the_copy_back() -> None:
    async def case(view: FollowedView, world: World) -> None:
        await view.reached(7)
        await world.sleep(1)
        assert (view.revision, names(view.list())) == (7, ["a", "b"])

    script = Script(Listing((), 1), [(added("a", 7), added("b", 5))])
    following(script, case)


def test_a_waiter_cancelled_by_the_very_change_it_waits_for_harms_nobody() -> None:
    script = Script(Listing((), 1), [1.0, (added("a", 2),), (added("b", 3),)])

    async def case(view: FollowedView, world: World) -> None:
        async with world.tasks() as tasks:
            waiting = tasks.start(view.reached(2), name="wait")
            view.listen(lambda old, new: waiting.cancel() and None)
            await view.reached(3)
        assert waiting.cancelled()

    following(script, case)


def test_watches_that_the_server_ends_in_its_own_time_are_begun_again_at_once() -> None:
    script = Script(Listing((), 1), *[[1800.0] for _ in range(10)])

    async def case(view: FollowedView, world: World) -> None:
        await world.sleep(20_000)

    following(script, case)
    gaps = [later - before for before, later in zip(script.times, script.times[1:], strict=False)]
    assert gaps[1:] == [pytest.approx(1800.0)] * 10


def test_after_a_forgotten_revision_the_differences_are_told() -> None:
    same = config_map("same", 2)
    script = Script(
        Listing((config_map("gone", 1), same, config_map("changed", 3)), 3),
        [(added("kept", 4),), Expired("too old")],
        Listing((same, config_map("changed", 9), config_map("kept", 4), config_map("new", 8)), 10),
    )
    heard: list[tuple[str, str]] = []

    async def case(view: FollowedView, world: World) -> None:
        await view.reached(3)
        view.listen(
            lambda old, new: heard.append(
                (old.metadata.name if old else "", new.metadata.name if new else "")
            )
        )
        await view.reached(10)
        assert heard == [("", "kept"), ("gone", ""), ("changed", "changed"), ("", "new")]
        assert names(view.list()) == ["changed", "kept", "new", "same"]

    following(script, case)
    assert script.asked == ["list", "watch 3", "list", "watch 10"]


def test_a_lost_connection_goes_on_where_it_broke() -> None:
    script = Script(Listing((), 1), [(added("a", 2),), Unreachable("broken")], [(added("b", 3),)])

    async def case(view: FollowedView, world: World) -> None:
        await view.reached(3)
        assert view.trouble is None

    following(script, case)
    assert script.asked[:3] == ["list", "watch 1", "watch 2"]


def test_tries_become_rarer_and_their_trouble_can_be_seen() -> None:
    script = Script(*[Unreachable("no server") for _ in range(12)], Listing((), 1))

    async def case(view: FollowedView, world: World) -> None:
        await world.sleep(1)
        assert isinstance(view.trouble, Unreachable)
        await view.synced()
        assert view.trouble is None

    following(script, case)
    gaps = [later - before for before, later in zip(script.times, script.times[1:], strict=False)]
    assert 0.1 <= gaps[0] <= 0.2
    assert 0.4 <= gaps[2] <= 0.8
    assert all(MOST_BACKOFF_SECONDS <= gap <= 2 * MOST_BACKOFF_SECONDS for gap in gaps[9:12])


def test_a_refusal_is_tried_again_too() -> None:
    script = Script(Forbidden("not yet"), Listing((config_map("a", 1),), 1))

    async def case(view: FollowedView, world: World) -> None:
        await view.synced()
        assert names(view.list()) == ["a"]

    following(script, case)


def test_a_watch_that_ends_empty_at_once_is_not_begun_in_a_circle() -> None:
    script = Script(Listing((), 1), [], [], [], [], [])

    async def case(view: FollowedView, world: World) -> None:
        await world.sleep(1000)

    following(script, case)
    gaps = [later - before for before, later in zip(script.times, script.times[1:], strict=False)]
    assert gaps[0] == 0
    assert all(gap >= 0.1 for gap in gaps[2:])


def test_a_history_that_was_turned_back_is_followed_from_there() -> None:
    script = Script(
        Listing((config_map("a", 90),), 100), [Expired("gone")], Listing((config_map("a", 5),), 6)
    )

    async def case(view: FollowedView, world: World) -> None:
        await view.synced()
        await world.sleep(10)
        assert view.revision == 6

    following(script, case)
    assert script.asked[-1] == "watch 6"


def test_views_are_one_for_each_kind_and_sync_together() -> None:
    async def main(world: World) -> None:
        script = Script(Listing((), 1), None, Listing((), 2), None)
        async with world.tasks() as tasks:
            views = FollowedViews(script, world, tasks)
            metadata = views.metadata_of(CONFIGMAP)
            assert views.of(CONFIGMAP) is views.of(CONFIGMAP)
            assert views.of(CONFIGMAP) is not metadata
            assert views.metadata_of(CONFIGMAP) is metadata
            await views.synced()
            assert {views.of(CONFIGMAP).revision, views.metadata_of(CONFIGMAP).revision} == {1, 2}
            assert views.troubles() == {}
            tasks.stop()

    simulate(1, main)


def test_metadata_is_read_along_where_whole_objects_are_followed() -> None:
    async def main(world: World) -> None:
        script = Script(Listing((), 1), None)
        async with world.tasks() as tasks:
            views = FollowedViews(script, world, tasks)
            whole = views.of(CONFIGMAP)
            assert views.metadata_of(CONFIGMAP) is whole
            await views.synced()
            assert script.asked == ["list", "watch 1"]
            tasks.stop()

    simulate(1, main)


def test_a_view_in_trouble_is_named() -> None:
    async def main(world: World) -> None:
        async with world.tasks() as tasks:
            views = FollowedViews(Script(Unreachable("no")), world, tasks)
            views.of(CONFIGMAP)
            await world.sleep(0.01)
            assert list(views.troubles()) == ["configmaps"]
            tasks.stop()

    simulate(1, main)
