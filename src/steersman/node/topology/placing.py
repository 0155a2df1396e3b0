"""Gives pods what they have for themselves on this node, before anything of them begins.

Follows the kubelet's topologymanager (scope_container.go, scope_pod.go, scope_none.go).

A provider is added with `add`, those that wait for others last: what is given out in one place
must not be given to another pod between the question and the answer, so each notes what it gives
before it first waits.
"""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from steersman.model.kinds.pod import Pod
from steersman.model.types.container import Container, ResourceRequirements
from steersman.model.types.resources import amounts, together
from steersman.node import containers
from steersman.node.topology.merging import ANYWHERE, Alignment, merge
from steersman.node.topology.providing import Hint, Provider, Refused

REASON = "TopologyAffinityError"
MESSAGE = "Resources cannot be allocated with Topology locality"
UNEXPECTED = "UnexpectedAdmissionError"


def unexpected(why: str) -> Refused:
    """Returns the refusal of a pod for what a provider did not foresee (admission/errors.go)."""
    return Refused(UNEXPECTED, f"Allocate failed due to {why}, which is unexpected")


class Placement:
    """All providers of the node."""

    def __init__(self, alignment: Alignment | None = None) -> None:
        self._alignment = alignment or Alignment()
        self._providers: list[Provider] = []
        # Of pods placed as a whole: what is left when the last container gets its part must be
        # what was there when the place was chosen
        self._turn = asyncio.Lock()
        # Pods that are no more wanted, and have what they have until nothing of them runs
        self._leaving: set[str] = set()
        self._waiting: set[str] = set()
        self._freed = asyncio.Event()

    def add(self, provider: Provider) -> None:
        """Has a provider asked, after those that are there."""
        self._providers.append(provider)

    async def place(self, pod: Pod) -> None:
        """Gives a pod what it asks for. Repeatable; raises Refused, and it has nothing then.

        What others have that are leaving it waits for: upstream takes it from them at once.
        """
        uid = pod.metadata.uid
        self._waiting.add(uid)
        try:
            while True:
                try:
                    await self._place(pod)
                    return
                except Refused:
                    self._take_back(uid)
                    if not self._leaving & self.holders():
                        raise
                await self._freed.wait()
                if uid not in self._waiting:
                    raise unexpected(f'pod "{uid}" is gone')
        finally:
            self._waiting.discard(uid)

    def release(self, uid: str) -> None:
        """Takes back what a pod has, which runs no more. Repeatable."""
        self._take_back(uid)
        if uid in self._leaving or uid in self._waiting:
            self._leaving.discard(uid)
            self._waiting.discard(uid)
            self._wake()

    def _take_back(self, uid: str) -> None:
        for provider in self._providers:
            provider.release(uid)

    def _wake(self) -> None:
        self._freed.set()
        self._freed = asyncio.Event()

    def holders(self) -> set[str]:
        """Returns the pods that have something."""
        return {uid for provider in self._providers for uid in provider.holders()}

    def leaves(self, uid: str) -> None:
        """Notes that a pod is no more wanted: what it has is about to be free."""
        self._leaving.add(uid)

    def stays(self, uid: str) -> None:
        """Takes that back: the pod goes on."""
        if uid in self._leaving:
            self._leaving.discard(uid)
            self._wake()

    async def _place(self, pod: Pod) -> None:
        if self._alignment.policy == "none":
            for container in given_to(pod):
                await self._allocate(pod, container, ANYWHERE)
        elif self._alignment.scope == "container" or not self._asks(pod):
            for container in given_to(pod):
                await self._allocate(pod, container, self._choose(pod, container))
        else:
            async with self._turn:
                place = self._choose(pod, whole(pod))
                for container in given_to(pod):
                    await self._allocate(pod, container, place)

    def _asks(self, pod: Pod) -> bool:
        """Whether it matters where a pod is."""
        one = whole(pod)
        return any(provider.hints(pod, one) for provider in self._providers)

    def _choose(self, pod: Pod, container: Container) -> Hint:
        hints = (provider.hints(pod, container) for provider in self._providers)
        place = merge(self._alignment, hints)
        if place is None:
            raise Refused(REASON, MESSAGE)
        return place

    async def _allocate(self, pod: Pod, container: Container, place: Hint) -> None:
        for provider in self._providers:
            await provider.allocate(pod, container, place)


def given_to(pod: Pod) -> tuple[Container, ...]:
    """Returns the containers that are given something: not those added while the pod runs."""
    return pod.spec.init_containers + pod.spec.containers


def whole(pod: Pod) -> Container:
    """Returns what stands for a whole pod where its place is asked for: a container without a
    name, which asks for what its containers ask for together."""

    def side(name: str) -> dict[str, str]:
        init = (
            (amounts(getattr(it.resources, name)), containers.is_sidecar(it))
            for it in pod.spec.init_containers
        )
        found = together((amounts(getattr(it.resources, name)) for it in pod.spec.containers), init)
        return {resource: str(amount) for resource, amount in found.items()}

    asked = ResourceRequirements(limits=side("limits"), requests=side("requests"))
    return replace(Container(), name="", resources=asked)
