"""What the objects of a followed copy have in common is kept once, and nothing changes by it."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import msgspec
import pytest

from steersman.client import likeness
from steersman.client.interface import Listing
from steersman.client.likeness import Likenesses, shared
from steersman.client.view import FollowedView
from steersman.model.kinds.node import NODE, Node
from steersman.model.kinds.pod import POD, Pod
from steersman.model.types.condition import Condition
from steersman.model.view import Object
from steersman.world.interface import World
from steersman.world.simulated import simulate

TIME = "2026-11-26T22:58:28Z"


def document(name: str, owner: str = "web", phase: str = "Running") -> dict[str, Any]:
    """Returns a pod that is like those of the same owner."""
    mount = {"name": f"token-{name}", "mountPath": "/var/run/secrets"}
    container = {"name": "c", "image": "web:1", "volumeMounts": [mount]}
    requests = {"cpu": "10m", "memory": "10Mi"}
    ref = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": f"uid-of-{owner}"}
    conditions = [
        {"type": of, "status": "True", "lastTransitionTime": TIME}
        for of in ("Ready", "Initialized")
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": f"uid-of-{name}",
            "labels": {"app": owner},
            "ownerReferences": [{**ref, "controller": True}],
        },
        "spec": {
            "nodeName": f"on-{name}",
            "containers": [{**container, "resources": {"requests": requests}}],
        },
        "status": {"phase": phase, "podIP": "10.0.0.1", "conditions": conditions},
    }


def pod(name: str, **other: str) -> Pod:
    return msgspec.json.decode(msgspec.json.encode(document(name, **other)), type=Pod)


def test_what_is_equal_is_one_and_what_is_not_stays_its_own() -> None:
    first, second = pod("a"), pod("b")
    as_it_was = copy.deepcopy(second)
    assert shared(second, first) is second
    assert second == as_it_was
    one, other = first.spec.containers[0], second.spec.containers[0]
    assert first.status.conditions is second.status.conditions
    assert first.metadata.labels is second.metadata.labels
    assert first.metadata.owner_references is second.metadata.owner_references
    assert one.resources is other.resources
    assert one.volume_mounts[0].mount_path is other.volume_mounts[0].mount_path
    assert (one.volume_mounts[0].name, other.volume_mounts[0].name) == ("token-a", "token-b")
    assert first == pod("a")  # nor has the likeness changed


@pytest.mark.parametrize(
    ("mine", "like"),
    [
        ((Condition(type="A"),), (Condition(type="A"), Condition(type="B"))),
        ({"a": "1", "b": "2"}, {"a": "1", "c": "2"}),
        ("80", 80),
        (None, "x"),
        (1, 2),
    ],
)
def test_values_that_differ_are_left_as_they_are(mine: Any, like: Any) -> None:
    before, beside = copy.deepcopy(mine), copy.deepcopy(like)
    assert shared(mine, like) == before
    assert like == beside


def test_the_likeness_is_the_last_of_the_same_owner_in_the_same_phase() -> None:
    likenesses = Likenesses()
    first, other, failed, second = (
        pod("a"),
        pod("x", owner="db"),
        pod("f", phase="Failed"),
        pod("b"),
    )
    for found in (first, other, failed, second):
        likenesses.share(found)
    assert second.metadata.labels is first.metadata.labels
    assert other.status.conditions is not first.status.conditions
    assert failed.status.conditions is not first.status.conditions
    third = pod("c")
    likenesses.share(third)
    assert third.status.conditions is second.status.conditions


def test_no_more_than_so_many_likenesses_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(likeness, "MOST_LIKENESSES", 3)
    likenesses = Likenesses()
    found = [pod(f"p{number}", owner=f"o{number}") for number in range(4)]
    for each in found:
        likenesses.share(each)
    assert len(likenesses._met) == 1
    again = pod("again", owner="o3")
    likenesses.share(again)
    assert again.metadata.labels is found[3].metadata.labels


class Listed:
    """A source that lists, and tells of nothing more."""

    def __init__(self, *found: Any) -> None:
        self._found = found

    async def list(self, *_: Any, **__: Any) -> Listing:
        return Listing(self._found, 1)

    async def watch(self, *_: Any, after: int, **__: Any) -> Any:
        await asyncio.Event().wait()
        yield ()


def followed(kind: Any, *found: Any) -> list[Any]:
    """Returns the objects of a copy as they are kept."""

    async def main(world: World) -> list[Any]:
        view = FollowedView(Listed(*found), kind, world)
        async with world.tasks() as group:
            group.start(view.follow(), name="follow")
            await view.synced()
            group.stop()
        return sorted(view.list(), key=lambda it: str(it.metadata.name))

    return simulate(1, main)


def test_a_copy_shares_what_has_come_to_stay() -> None:
    running = followed(POD, pod("a"), pod("b"))
    assert running[0].status.conditions is running[1].status.conditions
    assert running == [pod("a"), pod("b")]
    pending = followed(POD, pod("a", phase="Pending"), pod("b", phase="Pending"))
    assert pending[0].status.conditions is not pending[1].status.conditions


def test_nodes_share_with_each_other() -> None:
    documents = [
        {"metadata": {"name": name}, "status": {"capacity": {"cpu": "32", "pods": "110"}}}
        for name in ("a", "b")
    ]
    found = followed(NODE, *(msgspec.convert(it, Node) for it in documents))
    assert found[0].status.capacity is found[1].status.capacity


def test_metadata_alone_is_kept_as_it_comes() -> None:
    both = [msgspec.convert(document(name), Object) for name in ("a", "b")]
    found = followed(POD, *both)
    assert [it.metadata.name for it in found] == ["a", "b"]
