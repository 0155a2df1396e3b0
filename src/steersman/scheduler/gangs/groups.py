"""PodGroups and their pods as the scheduler reads them.

A pod belongs to the PodGroup that its label names, in its own namespace. Without the definition of
PodGroup the label says nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from steersman.client.interface import View, Views
from steersman.model.kind import Kind
from steersman.model.kinds.customresourcedefinition import CUSTOMRESOURCEDEFINITION
from steersman.model.kinds.pod import POD, Pod
from steersman.model.podgroup import LABEL, PODGROUPS, PodGroup, mapping, names_of, viewed
from steersman.model.ref import Ref
from steersman.scheduler.following import ENDED
from steersman.scheduler.hints import GANG, Alone
from steersman.scheduler.state.demand import amount
from steersman.world.interface import World

log = logging.getLogger(__name__)

PLUGIN: Final = GANG
# What is said of pods whose group is held up by another one (coscheduling PostFilter)
REJECTED: Final = "optimistic rejection in PostFilter"
NOT_FOUND: Final = "PodGroup not found"
READY_SECONDS: Final = 5.0  # for two lists; after a start the server answers them in milliseconds
_INDEX: Final = "pod group"
Key = tuple[str, str]  # namespace and name
Hear = Callable[[Alone], None]


class Gang(msgspec.Struct, frozen=True):
    """A group at one moment: how many must be bound, how many are, and all that count for it."""

    key: Key
    least: int
    bound: int
    pods: tuple[Pod, ...]
    resources: Mapping[str, int] = {}

    @property
    def complete(self) -> bool:
        """Says whether each further pod is one by itself."""
        return self.bound >= self.least


class Groups:
    """Answers from followed copies."""

    def __init__(self, views: Views) -> None:
        self._views = views
        self._pods = views.of(POD)
        self._groups: View | None = None
        self._listeners: list[Hear] = []

    def begin(self) -> None:
        """Heeds groups from now on, where there is their kind."""
        self._views.on_custom(self._hear_kind)

    async def ready(self, world: World) -> None:
        """Waits until it is known which groups there are. Who may not read definitions goes on
        after a while without any: nothing else of a scheduler needs them."""
        try:
            async with world.wire_timeout(READY_SECONDS):
                await self._views.of(CUSTOMRESOURCEDEFINITION).reached(1)
                if self._groups is not None:
                    await self._groups.reached(1)
        except TimeoutError:
            log.warning("definitions of custom resources cannot be read: pod groups are not heeded")

    def listen(self, hear: Hear) -> None:
        """Calls `hear` with who waits for each group that comes, goes or changes."""
        self._listeners.append(hear)

    def _hear_kind(self, kind: Kind, came: bool) -> None:
        if kind.resource != PODGROUPS:
            return
        self._groups = None
        if came:
            self._pods.index(_INDEX, names_of)
            self._groups = self._views.of(viewed(kind))
            self._groups.listen(self._hear)

    def _hear(self, old: PodGroup | None, new: PodGroup | None) -> None:
        found = new or old
        if found is not None and (old is None or new is None or old.spec != new.spec):
            for hear in self._listeners:
                hear(Alone(f"{PLUGIN} {_text(found.key)}"))

    def of(self, pod: Pod, placed: Callable[[str], bool]) -> Gang | str | None:
        """Returns the group of a pod, None where it is one by itself, a text where its group does
        not exist. `placed` says of a uid whether the pod has a node or is about to have one."""
        name = pod.metadata.labels.get(LABEL)
        if not name or self._groups is None:
            return None
        key = (pod.metadata.namespace, name)
        group = self._groups.get(Ref(PODGROUPS, *key))
        if group is None:
            return NOT_FOUND
        pods = sorted(filter(_counts, self._pods.by(_INDEX, _text(key))), key=_order)
        bound = sum(placed(it.metadata.uid) for it in pods)
        return Gang(key, group.least, bound, tuple(pods), _resources(group))


def _resources(group: PodGroup) -> Mapping[str, int]:
    """Returns what must be free for a group in the whole cluster (minResources); what is no
    quantity does not count."""
    asked = mapping(mapping(group.spec).get("minResources")).items()
    return {name: it for name, text in asked if (it := _amount(name, text)) is not None}


def _amount(name: str, text: Any) -> int | None:
    try:
        return amount(name, str(text))
    except ValueError:
        return None


def waiting(pod: Pod) -> Alone:
    """Returns as what a pod waits for its group."""
    return Alone(f"{PLUGIN} {pod.metadata.namespace}/{pod.metadata.labels.get(LABEL)}")


def _text(key: Key) -> str:
    return "/".join(key)


def _counts(pod: Pod) -> bool:
    return pod.metadata.deletion_timestamp is None and pod.status.phase not in ENDED


def _order(pod: Pod) -> tuple[object, ...]:
    return (-pod.spec.priority, pod.metadata.creation_timestamp, pod.metadata.name)


def too_few(gang: Gang, pod: Pod, number: int) -> str:
    """Returns what is said of a pod whose group has too few pods (coscheduling PreFilter)."""
    text = f"pre-filter pod {pod.metadata.name} cannot find enough sibling pods"
    found = f"current pods number: {number}, minMember of group: {gang.least}"
    return f"{text}, {found}"


def rejected(gang: Gang, pod: Pod) -> str:
    """Returns what is said where one pod holds its group up (coscheduling PostFilter)."""
    name = pod.metadata.name
    text = f"gets rejected due to Pod {name} is unschedulable even after PostFilter"
    return f"PodGroup {_text(gang.key)} {text}"
