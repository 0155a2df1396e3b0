"""What an attempt to place a group leaves behind: whose places are kept while victims go."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from scheduler_cluster import pod
from steersman.model.kinds.pod import Pod
from steersman.scheduler.gangs.groups import Gang
from steersman.scheduler.gangs.room import Attempt
from steersman.scheduler.preemption import WAITING, Candidate


class Nominations:
    """The places that pods are nominated for, by uid."""

    def __init__(self, **places: str) -> None:
        self.places = places

    def nominated(self, uid: str) -> str:
        return self.places.get(uid, "")

    def nominate(self, one: Pod, place: str) -> None:
        self.places[one.metadata.uid] = place


class Deciding:
    """No pod fits anywhere; what can be done for each is given by its uid."""

    def __init__(self, snapshot: Nominations, **rooms: Candidate | str) -> None:
        self.snapshot: Any = snapshot
        self._rooms = rooms

    def consider(self, one: Pod, _word: Any) -> Any:
        return SimpleNamespace(pod=one), None

    def room(self, ask: Any, _unfit: Any, _nominated: str) -> Candidate | str:
        return self._rooms[ask.pod.metadata.uid]


def candidate(node: str) -> Candidate:
    found: Any = SimpleNamespace(name=node)
    return Candidate(found, (), 0, (0, 0, 0, 0.0))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("least", "kept"), [(2, {"uid-a": "n1", "uid-b": "n2"}), (3, {})], ids=["enough", "too few"]
)
def test_who_waits_for_victims_to_go_keeps_its_place_where_enough_will_come(
    least: int, kept: dict[str, str]
) -> None:
    members = [pod(name) for name in "abc"]
    uids = [it.metadata.uid for it in members]
    rooms = dict(zip(uids, (WAITING, candidate("n2"), "nobody"), strict=True))
    places = Nominations(**{uids[0]: "n1"})
    gang = Gang(("default", "g"), least, 0, tuple(members))
    attempt = Attempt(Deciding(places, **rooms), gang, members, {})
    attempt.fit()
    attempt.make_room()
    found = attempt.outcome(lambda _: None)
    named = {uid: f"uid-{name}" for uid, name in zip(uids, "abc", strict=True)}
    assert {named[uid]: node for uid, node in found.nominated.items()} == kept
    assert {named[uid]: node for uid, node in places.places.items() if node} == kept
    assert [named[uid] for uid in found.victims] == (["uid-b"] if kept else [])
