"""Random histories over the API against a naive model, and watches that replay them."""

from __future__ import annotations

import random
from typing import Any

import pytest

from served import MAPS, MERGE, Document, Served, config_map, served

NAMES = ("a", "b", "c", "d")
STEPS = 120


class Model:
    """What should be there: data and labels by name, and what was there at each revision."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[str, str]] = {}
        self.past: dict[int, dict[str, tuple[str, str]]] = {}

    def note(self, revision: int) -> None:
        self.past[revision] = dict(self.objects)


def brief(item: Document) -> tuple[str, str]:
    return item["data"]["k"], item["metadata"]["labels"]["l"]


def shown(listed: Document) -> dict[str, tuple[str, str]]:
    return {item["metadata"]["name"]: brief(item) for item in listed["items"]}


async def step(api: Served, model: Model, chance: random.Random) -> None:
    name, value, label = chance.choice(NAMES), str(chance.randrange(3)), chance.choice("xy")
    body: Document = config_map(name, k=value)
    body["metadata"]["labels"] = {"l": label}
    present = name in model.objects
    action = chance.choice(("post", "put", "patch", "delete", "stale", "label"))
    one = f"{MAPS}/{name}"
    if action == "post":
        assert (await api.post(MAPS, body)).code == (409 if present else 201)
        if not present:
            model.objects[name] = (value, label)
    elif action in ("put", "stale"):
        if action == "stale":
            body["metadata"]["resourceVersion"] = "1"
        expected = 404 if not present else 409 if action == "stale" else 200
        assert (await api.put(one, body)).code == expected
        if expected == 200:
            model.objects[name] = (value, label)
    elif action == "delete":
        assert (await api.delete(one)).code == (200 if present else 404)
        model.objects.pop(name, None)
    else:
        change: Any = {"data": {"k": value}}
        if action == "label":
            change = {"metadata": {"labels": {"l": label}}}
        assert (await api.patch(one, change, MERGE)).code == (200 if present else 404)
        if present:
            had = model.objects[name]
            model.objects[name] = (had[0], label) if action == "label" else (value, had[1])
    model.note(api.revision)


def replay(frames: list[Document], start: dict[str, tuple[str, str]], until: int) -> dict[str, Any]:
    state: dict[str, Any] = dict(start)
    for frame in frames:
        if int(frame["object"]["metadata"]["resourceVersion"]) > until:
            break
        name = frame["object"]["metadata"]["name"]
        assert (frame["type"] == "ADDED") == (name not in state)
        if frame["type"] == "DELETED":
            del state[name]
        else:
            state[name] = brief(frame["object"])
    return state


@pytest.mark.parametrize("seed", range(8))
@served
async def test_lists_and_watches_agree_with_a_naive_model_at_every_revision(
    api: Served, seed: int
) -> None:
    chance, model = random.Random(seed), Model()
    begin = api.revision
    model.note(begin)
    watched = await api.watch(MAPS, resourceVersion=str(begin))
    for _ in range(STEPS):
        await step(api, model, chance)
        assert shown((await api.get(MAPS)).document) == model.objects
    for revision, expected in model.past.items():
        exact = await api.get(MAPS, resourceVersion=str(revision), resourceVersionMatch="Exact")
        assert shown(exact.document) == expected
        assert replay(watched.frames, {}, revision) == expected
        half = {name: pair for name, pair in expected.items() if pair[1] == "x"}
        exact = await api.get(
            MAPS,
            labelSelector="l=x",
            resourceVersion=str(revision),
            resourceVersionMatch="Exact",
        )
        assert shown(exact.document) == half
    middle = chance.choice(sorted(model.past))
    later = await api.watch(MAPS, labelSelector="l=x", resourceVersion=str(middle))
    start = {name: pair for name, pair in model.past[middle].items() if pair[1] == "x"}
    for revision in (revision for revision in model.past if revision >= middle):
        expected = {name: pair for name, pair in model.past[revision].items() if pair[1] == "x"}
        assert replay(later.frames, start, revision) == expected
