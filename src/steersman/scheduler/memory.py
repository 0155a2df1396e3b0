"""What was worked out and still holds: standings by shape, neighbourhoods by kind of pod.

Pods with an equal spec share both. The least recently used are forgotten.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Container, Hashable
from typing import Final, Protocol, TypeVar

import msgspec

from steersman.model.kinds.pod import Pod
from steersman.model.selectors import Selector
from steersman.scheduler.extenders.word import Word
from steersman.scheduler.filters.refusal import Refusal
from steersman.scheduler.neighbourhood import Neighbourhood
from steersman.scheduler.profile import DEFAULT, Profile
from steersman.scheduler.scores.allocation import Devices
from steersman.scheduler.standing import Rule, Standing
from steersman.scheduler.state.bits import Bits
from steersman.scheduler.state.demand import Demand
from steersman.scheduler.state.neighbours import Flock, rules_of
from steersman.scheduler.state.node import NodeState
from steersman.scheduler.state.snapshot import Snapshot

MAX_STANDINGS: Final = 64  # shapes; each holds a verdict for every node
MAX_NEIGHBOURHOODS: Final = 128
V = TypeVar("V")


class Local(Protocol):
    """A rule for one pod alone, asked node by node: its volumes."""

    def possible(self) -> Bits:
        """Returns nodes beyond which the rule refuses every one; it may refuse some of them."""

    def refuse(self, node: NodeState, gone: Container[str] = ()) -> Refusal | None:
        """Refuses a node; pods whose uids are `gone` do not count."""

    def devices(self, node: NodeState, names: Collection[str]) -> Devices:
        """Returns what of these resources a node has by devices that the pod may get."""


class Ask(msgspec.Struct, frozen=True):
    """One question: where may this pod go? With all that is known about its like."""

    pod: Pod
    demand: Demand
    profile: Profile
    standing: Standing
    hood: Neighbourhood
    snapshot: Snapshot
    local: Local | None = None
    word: Word | None = None


class Memory:
    """Keeps answers; `of` makes a question of a pod."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._rules: dict[Profile, Rule] = {}
        self._standings: OrderedDict[Hashable, Standing] = OrderedDict()
        self._hoods: OrderedDict[Hashable, Neighbourhood] = OrderedDict()

    def of(
        self,
        pod: Pod,
        profile: Profile = DEFAULT,
        default_selector: Selector | None = None,
        local: Local | None = None,
        word: Word | None = None,
    ) -> Ask:
        """Returns the question where a pod may go. `default_selector` finds the pods it is spread
        among when it has no constraints of its own; `word` is what extenders said."""
        demand = self._snapshot.shapes.of(pod)
        standing = self._standing(demand, profile)
        standing.catch_up()
        hood = self._hood(pod, demand, profile, default_selector)
        hood.catch_up()
        return Ask(pod, demand, profile, standing, hood, self._snapshot, local, word)

    def _standing(self, demand: Demand, profile: Profile) -> Standing:
        def make() -> Standing:
            rule = self._rules.setdefault(profile, Rule(profile))
            return Standing(demand, rule, self._snapshot)

        return kept(self._standings, (profile, demand), make, MAX_STANDINGS)

    def _hood(
        self, pod: Pod, demand: Demand, profile: Profile, default: Selector | None
    ) -> Neighbourhood:
        namespace, labels = pod.metadata.namespace, pod.metadata.labels

        def make() -> Neighbourhood:
            rules = rules_of(pod.spec.affinity, namespace, labels)
            flock = Flock(namespace, labels)
            return Neighbourhood(flock, demand, rules, default, profile, self._snapshot)

        key = (profile, demand, namespace, frozenset(labels.items()), default)
        return kept(self._hoods, key, make, MAX_NEIGHBOURHOODS)


def kept(known: OrderedDict[Hashable, V], key: Hashable, make: Callable[[], V], most: int) -> V:
    """Returns what is known by a key, made where it is not; the least recently used goes."""
    if (found := known.get(key)) is not None:
        known.move_to_end(key)
        return found
    found = known[key] = make()
    if len(known) > most:
        known.popitem(last=False)
    return found
