"""A server that knows a pod's template answers and stores what one that does not would."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from served import PODS, Served, pod, prepare, serving
from steersman.world.simulated import SimulatedWorld, simulate

_words = st.sampled_from(["a", "b-1", "Bad_", "", "x" * 64, "é"])
_owners = st.lists(
    st.fixed_dictionaries(
        {"apiVersion": st.just("apps/v1"), "kind": st.just("ReplicaSet")},
        optional={"name": _words, "uid": _words, "controller": st.booleans(), "odd": _words},
    ),
    max_size=2,
)
_metadata = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["a", "b", "Bad_"]),
        "generateName": st.sampled_from(["a-", "Bad_"]),
        "namespace": st.sampled_from(["default", "other"]),
        "labels": st.dictionaries(_words, _words, max_size=2) | st.none(),
        "annotations": st.dictionaries(
            st.sampled_from(["a", "b/c/d", "kubernetes.io/config.mirror"]), _words, max_size=2
        ),
        "ownerReferences": _owners,
        "finalizers": st.lists(st.sampled_from(["a/b", "orphan", "bad one"]), max_size=2),
        "managedFields": st.just([]),
        "resourceVersion": st.sampled_from(["", "7"]),
        "generation": st.integers(0, 3) | st.just("three"),
        "creationTimestamp": st.just("2020-01-01T00:00:00Z"),
        "deletionGracePeriodSeconds": st.just(5),
        "unknown": st.just(1),
    },
)
_specs = st.sampled_from(
    [
        {"terminationGracePeriodSeconds": 0},
        {"serviceAccountName": "nobody"},
        {"priorityClassName": "system-node-critical", "unknown": True},
        {"nodeName": "n", "volumes": [{"name": "v"}]},
        {"restartPolicy": "Sometimes"},
    ]
)
_bodies = st.tuples(_metadata, _specs).map(
    lambda drawn: {**pod(""), "metadata": drawn[0], "spec": pod("", **drawn[1])["spec"]}
)


async def _answers(api: Served, bodies: list[Any], *, known: bool) -> list[Any]:
    """Returns the answers and what is stored; who asks with ever another query is never known."""
    found: list[Any] = []
    for number, body in enumerate(bodies):
        query = {"pretty": "x" if known else str(number)}
        answer = await api.post(PODS, orjson.dumps(body), **query)
        found.append((answer.code, answer.document, answer.headers))
    stored = await api.store.list("/core/pods/")
    return [*found, stored]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(_bodies, min_size=1, max_size=4))
def test_a_known_template_gives_the_bytes_of_an_unknown_one(bodies: list[Any]) -> None:
    async def ask(world: SimulatedWorld, *, known: bool) -> list[Any]:
        async with serving(world) as api:
            await prepare(api)
            # twice: the second time every template that can be known is known
            return await _answers(api, [*bodies, *bodies], known=known)

    warm = simulate(1, lambda world: ask(world, known=True))
    assert warm == simulate(1, lambda world: ask(world, known=False))
