"""In which order, and of whom, documents of version 2 are asked for."""

from __future__ import annotations

from typing import Any

from steersman.api.aggregation.remote import Remote
from steersman.api.aggregation.swaggers import OLD_SECONDS, Swaggers
from steersman.api.published.foreign import Swagger
from steersman.model.kind import Document
from steersman.model.ref import Ref
from steersman.world.simulated import SimulatedWorld, simulate


class Looked:
    """Where servers are; nobody is anywhere. Keeps who was looked for."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def find(self, ref: Ref) -> Document | None:
        self.names.append(ref.name)
        return None


def remote(
    looked: Looked, world: SimulatedWorld, name: str, status: str = "True", **spec: Any
) -> Remote:
    whole = {
        "group": name,
        "version": "v1",
        "service": {"name": name, "namespace": "n"},
        "groupPriorityMinimum": 100,
        "versionPriority": 10,
        **spec,
    }
    conditions = [{"type": "Available", "status": status}]
    document = {"metadata": {"name": name}, "spec": whole, "status": {"conditions": conditions}}
    found = Remote(document, 1, looked.find, lambda _settings: None, world)
    found.swagger = Swagger("", name, b"{}")
    return found


def test_who_has_the_higher_priority_is_told_first_and_who_said_nothing_not_at_all() -> None:
    async def main(world: SimulatedWorld) -> list[str]:
        looked = Looked()
        given = [
            remote(looked, world, "b"),
            remote(looked, world, "a"),
            remote(looked, world, "late", versionPriority=20),
            remote(looked, world, "first", groupPriorityMinimum=200),
            remote(looked, world, "silent"),
        ]
        given[-1].swagger = None
        return [one.tag for one in await Swaggers(world).of(given)]

    assert simulate(1, main) == ["first", "late", "a", "b"]


def test_only_who_is_available_is_asked_and_once_a_minute() -> None:
    async def main(world: SimulatedWorld) -> None:
        looked = Looked()
        given = [remote(looked, world, "up"), remote(looked, world, "down", "False")]
        swaggers = Swaggers(world)

        async def asked() -> set[str]:
            looked.names.clear()
            told = [one.tag for one in await swaggers.of(given)]
            assert told == ["down", "up"], "as they last said"
            return set(looked.names)

        assert await asked() == {"up"}
        await world.sleep(OLD_SECONDS - 1)
        assert await asked() == set()
        await world.sleep(2)
        assert await asked() == {"up"}

    simulate(1, main)
