"""Upstream's rows about watches, on ConfigMaps that come, change and go."""

from __future__ import annotations

from served import MAPS, Served, Watched, config_map, served

LABEL = "watch-this-configmap"


async def made(api: Served, name: str, label: str = "") -> str:
    """Creates a ConfigMap, with a label where one is given; returns its revision."""
    given = config_map(name)
    given["metadata"]["labels"] = {LABEL: label} if label else {}
    return (await api.post(MAPS, given)).revision


async def mutated(api: Served, name: str, count: int) -> str:
    """Writes a number into a ConfigMap; returns its revision."""
    answer = await api.patch(f"{MAPS}/{name}", {"data": {"mutation": str(count)}})
    answer.ok()
    return answer.revision


async def labelled(api: Served, name: str, label: str) -> None:
    """Gives a ConfigMap a label."""
    (await api.patch(f"{MAPS}/{name}", {"metadata": {"labels": {LABEL: label}}})).ok()


def told(watch: Watched) -> list[tuple[str, str, str]]:
    """Returns what came since it was last asked: type, name and number."""
    found = [
        (
            frame["type"],
            frame["object"]["metadata"]["name"],
            frame["object"].get("data", {}).get("mutation", ""),
        )
        for frame in watch.frames
    ]
    watch.frames.clear()
    return found


@served
async def test_watchers_hear_of_what_bears_their_label_and_of_nothing_else(api: Served) -> None:
    first = await api.watch(MAPS, labelSelector=f"{LABEL}=A")
    second = await api.watch(MAPS, labelSelector=f"{LABEL}=B")
    both = await api.watch(MAPS, labelSelector=f"{LABEL} in (A,B)")
    await made(api, "a", "A")
    await mutated(api, "a", 1)
    await mutated(api, "a", 2)
    (await api.delete(f"{MAPS}/a")).ok()
    life = [
        ("ADDED", "a", ""),
        ("MODIFIED", "a", "1"),
        ("MODIFIED", "a", "2"),
        ("DELETED", "a", "2"),
    ]
    assert (told(first), told(second), told(both)) == (life, [], life)
    await made(api, "b", "B")
    (await api.delete(f"{MAPS}/b")).ok()
    life = [("ADDED", "b", ""), ("DELETED", "b", "")]
    assert (told(first), told(second), told(both)) == ([], life, life)


@served
async def test_a_watch_begins_behind_the_revision_that_it_names(api: Served) -> None:
    await made(api, "one", "from")
    revision = await mutated(api, "one", 1)
    await mutated(api, "one", 2)
    (await api.delete(f"{MAPS}/one")).ok()
    watch = await api.watch(MAPS, resourceVersion=revision, labelSelector=f"{LABEL}=from")
    assert told(watch) == [("MODIFIED", "one", "2"), ("DELETED", "one", "2")]


@served
async def test_a_watch_that_begins_again_where_another_ended_misses_nothing(api: Served) -> None:
    watch = await api.watch(MAPS, labelSelector=f"{LABEL}=again")
    await made(api, "one", "again")
    await mutated(api, "one", 1)
    last = watch.frames[-1]["object"]["metadata"]["resourceVersion"]
    assert told(watch) == [("ADDED", "one", ""), ("MODIFIED", "one", "1")]
    watch.close()
    await mutated(api, "one", 2)
    (await api.delete(f"{MAPS}/one")).ok()
    again = await api.watch(MAPS, resourceVersion=last, labelSelector=f"{LABEL}=again")
    assert told(again) == [("MODIFIED", "one", "2"), ("DELETED", "one", "2")]


@served
async def test_what_loses_its_label_is_deleted_for_the_watch_until_it_has_it_again(
    api: Served,
) -> None:
    watch = await api.watch(MAPS, labelSelector=f"{LABEL}=kept")
    await made(api, "one", "kept")
    await mutated(api, "one", 1)
    await labelled(api, "one", "other")
    assert told(watch) == [("ADDED", "one", ""), ("MODIFIED", "one", "1"), ("DELETED", "one", "1")]
    await mutated(api, "one", 2)
    assert told(watch) == []
    await labelled(api, "one", "kept")
    await mutated(api, "one", 3)
    (await api.delete(f"{MAPS}/one")).ok()
    assert told(watch) == [("ADDED", "one", "2"), ("MODIFIED", "one", "3"), ("DELETED", "one", "3")]


@served
async def test_watches_from_every_revision_tell_the_same_order(api: Served) -> None:
    revisions = [(await api.get(MAPS)).revision]
    for turn in range(8):
        for name in ("x", "y", "z"):
            if turn % 4 == 0:
                revisions.append(await made(api, f"{name}{turn}"))
            elif turn % 4 < 3:
                revisions.append(await mutated(api, f"{name}{turn - turn % 4}", turn))
            else:
                (await api.delete(f"{MAPS}/{name}{turn - 3}")).ok()
                revisions.append(str(api.revision))
    watches = [await api.watch(MAPS, resourceVersion=revision) for revision in revisions]
    orders = [
        [frame["object"]["metadata"]["resourceVersion"] for frame in watch.frames]
        for watch in watches
    ]
    assert orders[0] == revisions[1:]
    for index, order in enumerate(orders):
        assert order == orders[0][index:]
