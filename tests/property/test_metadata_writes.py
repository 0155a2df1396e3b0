"""A patch of metadata alone goes a shorter way: it gives what replacing the whole object gives."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from served import APPLY, DEPLOYMENTS, PODS, Served, deployment, pod, prepare, serving
from steersman.model.patch import merge_patch
from steersman.world.simulated import SimulatedWorld, simulate

_words = st.sampled_from(["a", "b-1", "Bad_", "", "x" * 64, "é"])
_texts = st.dictionaries(_words, _words | st.none(), max_size=2)
_metadata = st.fixed_dictionaries(
    {},
    optional={
        "labels": _texts | st.none(),
        "annotations": _texts,
        "finalizers": st.lists(st.sampled_from(["a/b", "orphan", "bad one"]), max_size=2),
        "ownerReferences": st.lists(
            st.fixed_dictionaries(
                {"apiVersion": st.just("v1"), "kind": st.just("Node"), "name": _words},
                optional={"uid": _words},
            ),
            max_size=1,
        ),
        "generation": st.integers(0, 3) | st.just("three"),
        "unknown": st.just(1),
        "creationTimestamp": st.just("2020-01-01T00:00:00Z"),
    },
)
PLACES = {PODS: pod("one"), DEPLOYMENTS: deployment("one")}


async def _written(api: Served, place: str, changes: list[Any], *, whole: bool) -> list[Any]:
    """Returns what is answered to each change of metadata, and what is stored in the end."""
    await prepare(api)
    (await api.post(place, PLACES[place])).ok()
    found: list[Any] = []
    for metadata in changes:
        if whole:
            present = (await api.get(f"{place}/one")).document
            answer = await api.put(f"{place}/one", merge_patch(present, {"metadata": metadata}))
        else:
            answer = await api.patch(f"{place}/one", {"metadata": metadata})
        document = answer.document
        said = (document.get("message"), document.get("details"), answer.headers.get("Warning"))
        found.append((answer.code, *said))
    return [*found, await api.store.list("/")]


@pytest.mark.parametrize("place", PLACES)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(changes=st.lists(_metadata, min_size=1, max_size=3))
def test_a_patch_of_metadata_is_the_replacement_of_all(place: str, changes: list[Any]) -> None:
    async def ask(world: SimulatedWorld, *, whole: bool) -> list[Any]:
        async with serving(world) as api:
            return await _written(api, place, changes, whole=whole)

    patched = simulate(1, lambda world: ask(world, whole=False))
    assert patched == simulate(1, lambda world: ask(world, whole=True))


@pytest.mark.parametrize("place", PLACES)
def test_an_apply_that_changes_labels_alone_keeps_the_rest_as_it_was(place: str) -> None:
    async def ask(world: SimulatedWorld) -> None:
        async with serving(world) as api:
            await prepare(api)
            given = PLACES[place]
            query = {"fieldManager": "one", "force": "true"}

            async def put(**labels: str) -> dict[str, Any]:
                body = {**given, "metadata": {"name": "one", "labels": labels}}
                return (await api.patch(f"{place}/one", body, APPLY, **query)).ok()

            first, second = await put(turn="1"), await put(turn="2")
            assert second["metadata"]["labels"] == {"turn": "2"}
            assert {**second, "metadata": 0} == {**first, "metadata": 0}
            assert second["metadata"]["generation"] == first["metadata"]["generation"]
            bad = {**given, "metadata": {"name": "one", "labels": {"turn": "Bad_"}}}
            answer = await api.patch(f"{place}/one", bad, APPLY, **query)
            assert (answer.code, len(answer.document["details"]["causes"])) == (422, 1)
            worse = orjson.loads(orjson.dumps(bad))
            of_pods = worse["spec"].get("template", worse)["spec"]
            of_pods["restartPolicy"] = "Sometimes"
            answer = await api.patch(f"{place}/one", worse, APPLY, **query)
            assert answer.code == 422
            assert len(answer.document["details"]["causes"]) > 1

    simulate(1, ask)
