"""Watching: where a watch begins, what it is told, how it ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from served import MAPS, METADATA, PODS, TABLE, Document, Served, Watched, config_map, pod, served
from steersman.api import watch
from steersman.api.cache import Cache
from steersman.api.tokens.legacy_tracking import NAME
from steersman.model.ref import Resource
from steersman.store.interface import Write


def labelled(name: str, **labels: str) -> Document:
    given = config_map(name)
    given["metadata"]["labels"] = labels
    return given


async def make(api: Served, *names: str) -> None:
    for name in names:
        (await api.post(MAPS, config_map(name))).ok()


@pytest.mark.parametrize("query", [{}, {"resourceVersion": "0"}, {"resourceVersion": ""}])
@served
async def test_a_watch_from_nowhere_begins_with_what_is_there(
    api: Served, query: dict[str, str]
) -> None:
    await make(api, "a", "b")
    watched = await api.watch(MAPS, **query)
    assert watched.brief() == [("ADDED", "a"), ("ADDED", "b")]
    await make(api, "c")
    (await api.patch(f"{MAPS}/a", {"data": {"k": "v"}})).ok()
    (await api.delete(f"{MAPS}/b")).ok()
    assert watched.brief() == [("ADDED", "c"), ("MODIFIED", "a"), ("DELETED", "b")]


@served
async def test_a_watch_from_a_revision_begins_behind_it(api: Served) -> None:
    await make(api, "a")
    since = str(api.revision)
    await make(api, "b")
    (await api.delete(f"{MAPS}/a")).ok()
    watched = await api.watch(MAPS, resourceVersion=since)
    assert watched.brief() == [("ADDED", "b"), ("DELETED", "a")]
    assert (await api.watch(MAPS, resourceVersion=str(api.revision))).brief() == []


@served
async def test_a_deletion_shows_the_last_object_at_the_revision_of_its_end(api: Served) -> None:
    made = (await api.post(MAPS, config_map("a", k="v"))).ok()
    watched = await api.watch(MAPS, resourceVersion=str(api.revision))
    (await api.delete(f"{MAPS}/a")).ok()
    (frame,) = watched.frames
    assert frame["object"]["data"] == {"k": "v"}
    assert frame["object"]["metadata"]["uid"] == made["metadata"]["uid"]
    assert frame["object"]["metadata"]["resourceVersion"] == str(api.revision)


@served
async def test_what_comes_to_match_is_added_and_what_ceases_to_is_deleted(api: Served) -> None:
    since = str(api.revision)
    watched = await api.watch(MAPS, labelSelector="on=yes", resourceVersion=since)
    (await api.post(MAPS, labelled("a", on="no"))).ok()
    assert watched.brief() == []
    (await api.patch(f"{MAPS}/a", {"metadata": {"labels": {"on": "yes"}}})).ok()
    assert watched.brief() == [("ADDED", "a")]
    (await api.patch(f"{MAPS}/a", {"data": {"k": "v"}})).ok()
    assert watched.brief() == [("MODIFIED", "a")]
    (await api.patch(f"{MAPS}/a", {"metadata": {"labels": {"on": "no"}}})).ok()
    (frame,) = watched.frames
    assert frame["type"] == "DELETED"
    assert frame["object"]["metadata"]["labels"] == {"on": "yes"}, "the object as it last matched"
    assert frame["object"]["metadata"]["resourceVersion"] == str(api.revision)
    watched.frames.clear()
    (await api.delete(f"{MAPS}/a")).ok()
    assert watched.brief() == []
    again = await api.watch(MAPS, labelSelector="on=yes", resourceVersion=since)
    assert again.brief() == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


@served
async def test_a_field_selector_follows_its_field(api: Served) -> None:
    watched = await api.watch(PODS, fieldSelector="spec.nodeName=n")
    (await api.post(PODS, pod("a"))).ok()
    binding = {"metadata": {"name": "a"}, "target": {"kind": "Node", "name": "n"}}
    (await api.post(f"{PODS}/a/binding", binding)).ok()
    assert watched.brief() == [("ADDED", "a")]
    one = await api.watch(PODS, fieldSelector="metadata.name=b")
    assert one.brief() == []


@served
async def test_a_watch_of_a_namespace_hears_of_no_other(api: Served) -> None:
    (await api.post("/api/v1/namespaces", {"metadata": {"name": "n"}})).ok()
    here, everywhere = await api.watch(MAPS), await api.watch("/api/v1/configmaps")
    (await api.post("/api/v1/namespaces/n/configmaps", config_map("a"))).ok()
    assert here.brief() == []
    assert everywhere.brief() == [("ADDED", NAME), ("ADDED", "a")]


@pytest.mark.parametrize(
    ("path", "heard"),
    [
        ("/api/v1/watch/configmaps", ["a", "b"]),
        ("/api/v1/watch/namespaces/default/configmaps", ["a", "b"]),
        ("/api/v1/watch/namespaces/default/configmaps/a", ["a"]),
    ],
)
@served
async def test_the_old_paths_watch_too(api: Served, path: str, heard: list[str]) -> None:
    since = str(api.revision)
    await make(api, "a", "b")
    watched = await api.watch(path, resourceVersion=since)
    assert [name for _, name in watched.brief()] == heard


@served
async def test_a_revision_that_left_the_window_is_gone(api: Served) -> None:
    since = str(api.revision)
    api.assembly.cache._window_bytes = 1
    await make(api, "a", "b")
    watched = await api.watch(MAPS, resourceVersion=since)
    watched.close()  # as the listener does when a stream is over
    (frame,) = watched.frames
    assert watched.finished
    assert frame["type"] == "ERROR"
    status = frame["object"]
    assert (status["kind"], status["code"], status["reason"]) == ("Status", 410, "Expired")
    assert status["message"] == f"too old resource version: {since} ({api.revision})"
    assert not (await api.watch(MAPS, resourceVersion=str(api.revision))).finished


@served
async def test_a_watch_from_the_future_is_refused_unless_it_comes(api: Served) -> None:
    answer = await api.refused_watch(MAPS, resourceVersion="999999")
    assert (answer.code, answer.document["reason"]) == (504, "Timeout")
    near = str(api.revision + 1)
    waiting = asyncio.create_task(api.watch(MAPS, resourceVersion=near))
    await asyncio.sleep(1)
    await make(api, "a", "b")
    assert (await waiting).brief() == [("ADDED", "b")]


@served
async def test_a_restarted_server_remembers_nothing_from_before(api: Served) -> None:
    await make(api, "a")
    cache = Cache(api.store, api.world)
    await cache.load()
    table = cache.table(api.assembly.cache.table(("", "configmaps")).resource)  # type: ignore[arg-type]
    with pytest.raises(LookupError):
        table.after(api.revision - 1)
    assert table.after(api.revision) == []


STREAMING = {
    "sendInitialEvents": "true",
    "resourceVersionMatch": "NotOlderThan",
    "allowWatchBookmarks": "true",
}


@served
async def test_a_streamed_list_ends_with_a_marked_bookmark(api: Served) -> None:
    await make(api, "a")
    watched = await api.watch(MAPS, **STREAMING)
    added, bookmark = watched.frames
    assert added["type"] == "ADDED"
    assert bookmark["type"] == "BOOKMARK"
    assert (bookmark["object"]["kind"], bookmark["object"]["apiVersion"]) == ("ConfigMap", "v1")
    meta = bookmark["object"]["metadata"]
    assert meta["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert meta["resourceVersion"] == str(api.revision)
    watched.frames.clear()
    await make(api, "b")
    assert watched.brief() == [("ADDED", "b")]


@served
async def test_a_streamed_list_without_bookmarks_has_no_marked_end(api: Served) -> None:
    await make(api, "a")
    watched = await api.watch(MAPS, **{**STREAMING, "allowWatchBookmarks": "false"})
    assert watched.brief() == [("ADDED", "a")]


@served
async def test_a_watch_that_wants_no_initial_events_gets_none(api: Served) -> None:
    await make(api, "a")
    query = {"sendInitialEvents": "false", "resourceVersionMatch": "NotOlderThan"}
    watched = await api.watch(MAPS, **query)
    assert watched.brief() == []
    await make(api, "b")
    assert watched.brief() == [("ADDED", "b")]


@pytest.mark.parametrize(
    ("query", "why"),
    [
        (
            {"sendInitialEvents": "true"},
            "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        ),
        (
            {"resourceVersionMatch": "NotOlderThan"},
            "Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is "
            "provided",
        ),
    ],
)
@served
async def test_watch_options_that_mean_nothing_are_refused(
    api: Served, query: dict[str, str], why: str
) -> None:
    answer = await api.refused_watch(MAPS, **query)
    assert (answer.code, answer.message) == (
        422,
        f'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: {why}',
    )
    assert (await api.refused_watch(MAPS, timeoutSeconds="soon")).code == 400
    assert (await api.refused_watch(MAPS, resourceVersion="x")).code == 400


@served
async def test_bookmarks_come_each_minute_to_whoever_wants_them(api: Served) -> None:
    silent = await api.watch(MAPS)
    watched = await api.watch(MAPS, allowWatchBookmarks="true")
    (await api.post(PODS, pod("a"))).ok()
    frame = await watched.next()
    assert frame["type"] == "BOOKMARK"
    assert frame["object"]["metadata"] == {"resourceVersion": str(api.revision)}
    assert api.world.monotonic() == pytest.approx(watch.BOOKMARK_SECONDS)
    assert silent.frames == []
    await api.world.sleep(3 * watch.BOOKMARK_SECONDS)
    assert watched.frames == [], "nothing happened, nothing is said"


@served
async def test_bookmarks_come_in_the_order_in_which_the_watches_were_opened(api: Served) -> None:
    heard: list[int] = []

    async def hear(number: int, watched: Watched) -> None:
        await watched.next()
        heard.append(number)

    opened = [await api.watch(MAPS, allowWatchBookmarks="true") for _ in range(50)]
    (await api.post(PODS, pod("a"))).ok()
    async with asyncio.TaskGroup() as tasks:
        for number, watched in enumerate(opened):
            tasks.create_task(hear(number, watched))
    assert heard == list(range(50))


@served
async def test_a_watch_ends_when_its_time_is_over(api: Served) -> None:
    later = await api.watch(MAPS, timeoutSeconds="9")
    over = await api.watch(MAPS, timeoutSeconds="-1")
    await over.end()
    assert api.world.monotonic() == pytest.approx(0)
    watched = await api.watch(MAPS, timeoutSeconds="7")
    await watched.end()
    assert api.world.monotonic() == pytest.approx(7)
    await later.end()
    assert api.world.monotonic() == pytest.approx(9)
    await make(api, "a")
    assert watched.frames == later.frames == []


@served
async def test_a_watch_without_a_time_ends_within_an_hour(api: Served) -> None:
    watched = await api.watch(MAPS)
    await watched.end()
    assert watch.TIMEOUT_SECONDS <= api.world.monotonic() <= 2 * watch.TIMEOUT_SECONDS


@served
async def test_a_watcher_that_takes_nothing_is_ended_and_the_others_go_on(api: Served) -> None:
    slow, quick = await api.watch(MAPS), await api.watch(MAPS)
    slow.slow = True
    number = 0
    while not slow.finished:
        number += 1
        (await api.post(MAPS, config_map(f"m{number}", k="x" * 500_000))).ok()
        assert number < 40
    heard = len(slow.frames)
    await make(api, "last")
    assert len(slow.frames) == heard == number - 1
    assert len(quick.frames) == number + 1


@served
async def test_a_watch_that_fails_is_broken_off_alone_and_the_server_goes_on(
    api: Served, caplog: pytest.LogCaptureFixture
) -> None:
    table = api.assembly.cache.table(Resource("", "configmaps"))
    before = table.watching
    selecting = await api.watch(MAPS, labelSelector="a=b")
    selecting_too = await api.watch("/api/v1/configmaps", labelSelector="a=b")
    plain = await api.watch(MAPS)
    (await api.post(MAPS, labelled("one", a="c"))).ok()
    record = await api.store.get(key := "/core/configmaps/default/one")
    assert record is not None and record.value is not None
    damaged = record.value.replace(b'{"a":"c"}', b"5")
    await api.store.commit(Write(key, damaged))
    await make(api, "after")
    assert plain.brief() == [("ADDED", "one"), ("MODIFIED", "one"), ("ADDED", "after")]
    for each in (selecting, selecting_too):
        assert (each.broken, each.frames) == (True, [])
    assert caplog.text.count(f"the watch of {MAPS} failed") == 1
    assert caplog.text.count("AttributeError") == 2
    assert not plain.finished
    assert table.watching == before + 1, "who has failed is told nothing more"


@served
async def test_a_client_that_left_is_told_nothing_more(api: Served) -> None:
    watched = await api.watch(MAPS, allowWatchBookmarks="true")
    watched.close()
    await make(api, "a")
    await api.world.sleep(2 * watch.BOOKMARK_SECONDS)
    assert watched.frames == []


@served
async def test_a_server_that_goes_ends_every_watch(api: Served) -> None:
    watched = [await api.watch(MAPS), await api.watch(PODS)]
    api.assembly.watches.end_all()
    assert all(one.finished for one in watched)


async def first(watched: Watched) -> Any:
    return (await watched.next())["object"]


@served
async def test_a_table_names_its_columns_once(api: Served) -> None:
    watched = await api.watch(MAPS, accept=TABLE)
    await make(api, "a", "b")
    table = await first(watched)
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert table["rows"][0]["cells"][0] == "a"
    table = await first(watched)
    assert table["columnDefinitions"] is None
    assert table["rows"][0]["cells"][0] == "b"


@served
async def test_each_watcher_of_a_table_is_told_the_columns(api: Served) -> None:
    early = await api.watch(MAPS, accept=TABLE)
    await make(api, "a")
    late = await api.watch(MAPS, accept=TABLE, resourceVersion=str(api.revision))
    await make(api, "b")
    await first(early)
    assert (await first(early))["columnDefinitions"] is None
    assert (await first(late))["columnDefinitions"]


@served
async def test_metadata_alone_is_watched_on_request(api: Served) -> None:
    watched = await api.watch(MAPS, accept=METADATA, **STREAMING)
    assert (await first(watched))["kind"] == "PartialObjectMetadata"
    await make(api, "a")
    shown = await first(watched)
    assert set(shown) == {"kind", "apiVersion", "metadata"}
    assert shown["kind"] == "PartialObjectMetadata"


@served
async def test_each_version_of_a_kind_hears_the_same_event_in_its_own_form(api: Served) -> None:
    core = await api.watch("/api/v1/namespaces/default/events")
    other = await api.watch("/apis/events.k8s.io/v1/namespaces/default/events")
    event = {
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "Pod", "namespace": "default", "name": "p"},
        "message": "hello",
        "reason": "Tested",
        "type": "Normal",
    }
    (await api.post("/api/v1/namespaces/default/events", event)).ok()
    seen = await first(core)
    assert (seen["apiVersion"], seen["message"]) == ("v1", "hello")
    seen = await first(other)
    assert (seen["apiVersion"], seen["note"]) == ("events.k8s.io/v1", "hello")
    assert seen["regarding"]["name"] == "p"
    selected = await api.get(
        "/apis/events.k8s.io/v1/namespaces/default/events", fieldSelector="regarding.name=p"
    )
    assert selected.names == ["e"]
