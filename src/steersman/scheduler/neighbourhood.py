"""What a pod's neighbours mean for it, node by node: the standing of InterPodAffinity and
PodTopologySpread for pods with one namespace, one set of labels and one shape.

Holds tallies over domains of nodes, mended by the log of the snapshot; made anew only when nodes
come, go or change their labels or taints.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from steersman.model.selectors import Selector
from steersman.model.types.scheduling import TopologySpreadConstraint
from steersman.scheduler.filters import node_affinity, taint_toleration
from steersman.scheduler.profile import Profile
from steersman.scheduler.state.bits import Bits
from steersman.scheduler.state.demand import Demand
from steersman.scheduler.state.neighbours import (
    Flock,
    Rules,
    Term,
    selector_of,
    with_keys,
)
from steersman.scheduler.state.snapshot import Placed, Snapshot
from steersman.scheduler.state.topology import Tally

MAX_FLOCKS = 16_384  # remembered answers of selectors; then they are asked again
HARD, SOFT = "DoNotSchedule", "ScheduleAnyway"


class Constraint(msgspec.Struct, frozen=True):
    """A spread constraint, understood, with the tally of the pods it counts."""

    given: TopologySpreadConstraint
    selector: Selector
    tally: Tally
    own: int  # 1 where the pod itself is one of those counted

    @property
    def least_domains(self) -> int:
        """How many domains there must be before the least of them counts."""
        return 1 if self.given.min_domains is None else self.given.min_domains


class Neighbourhood:
    """The tallies of one kind of pod."""

    def __init__(
        self,
        flock: Flock,
        demand: Demand,
        rules: Rules,
        default_selector: Selector | None,
        profile: Profile,
        snapshot: Snapshot,
    ) -> None:
        self.flock = flock
        self.demand = demand
        self.rules = rules
        self.profile = profile
        self.snapshot = snapshot
        self._position = self._landscape = -1
        self._default_selector = default_selector
        self._spreads = "PodTopologySpread" in profile.filters
        self._minds = "InterPodAffinity" in profile.filters
        self._build()

    # Keeping it true

    def catch_up(self) -> None:
        """Takes over what changed since the last call."""
        snapshot = self.snapshot
        if self._position == snapshot.logged and self._landscape == snapshot.landscape:
            return
        changes = snapshot.since(self._position)
        if changes is None or self._landscape != snapshot.landscape:
            self._build()
            return
        self._position = snapshot.logged
        for place, flock, rules, sign in changes:
            if flock is not None:
                for tally, amount in self.effects(flock, rules):
                    tally.add(place, sign * amount)

    def _build(self) -> None:
        snapshot = self.snapshot
        self._position, self._landscape = snapshot.logged, snapshot.landscape
        self._hits: dict[Flock, tuple[tuple[Tally, int], ...]] = {}
        self._pulls: dict[Rules, tuple[tuple[Tally, int], ...]] = {}
        near, apart = (self.rules.near, self.rules.apart) if self._minds else ((), ())
        self.near = {term.key: self._tally(term.key) for term in near}
        self.apart = {term.key: self._tally(term.key) for term in apart}
        self.repelled: dict[str, Tally] = {}  # by the anti-affinity of pods that are there
        self.scored: dict[str, Tally] = {}
        self.hard = self._constraints(HARD) if self._spreads else ()
        self.soft = self._constraints(SOFT) if "PodTopologySpread" in self.profile.weights else ()
        self._fill()

    def _tally(self, key: str, eligible: Bits | None = None) -> Tally:
        everywhere = self.snapshot.all if eligible is None else eligible
        return Tally(self.snapshot.topology(key), everywhere)

    def _constraints(self, action: str) -> tuple[Constraint, ...]:
        given, selector = self.demand.spread, None
        if not given:
            selector = self._default_selector
            if selector is None:
                return ()
            given = self.profile.default_constraints
        chosen = [item for item in given if item.when_unsatisfiable == action]
        having: Bits = self.snapshot.all
        if self.demand.spread or not self.profile.system_constraints:
            for item in chosen:  # only nodes with all keys count
                having &= self.snapshot.topology(item.topology_key).all
        return tuple(self._constraint(item, selector, having) for item in chosen)

    def _constraint(
        self, given: TopologySpreadConstraint, selector: Selector | None, having: Bits
    ) -> Constraint:
        if selector is None:
            keys, labels = given.match_label_keys, self.flock.labels
            selector = with_keys(selector_of(given.label_selector), keys, labels)
        eligible = self._eligible(given, having)
        tally = self._tally(given.topology_key, eligible)
        return Constraint(given, selector, tally, int(selector(self.flock.labels)))

    def _eligible(self, given: TopologySpreadConstraint, nodes: Bits) -> Bits:
        """Returns the nodes that a constraint's inclusion policies leave."""
        demand, snapshot = self.demand, self.snapshot
        affine = bool(demand.node_selector or (demand.affinity and demand.affinity.node_affinity))
        affine = affine and given.node_affinity_policy == "Honor"
        tainted = given.node_taints_policy == "Honor"
        if not affine and not tainted:
            return nodes
        for state in snapshot.nodes:
            if state is None:
                continue
            out = affine and not node_affinity.matches(demand, state)
            if out or (tainted and taint_toleration.refuse(demand, state) is not None):
                nodes &= ~(1 << state.place)
        return nodes

    def _fill(self) -> None:
        gathered: dict[Tally, Counter[int]] = {}

        def gather(effects: Iterable[tuple[Tally, int]], places: Counter[int]) -> None:
            for tally, amount in effects:
                counts = gathered.setdefault(tally, Counter())
                for place, count in places.items():
                    counts[place] += count * amount

        for flocks in self.snapshot.flocks.values():
            for flock in flocks.values():
                gather(self._hits_of(flock), flock.places)
        for term, where in self.snapshot.repelling.items():
            gather(self._effects_of_apart(term), where)
        for (term, weight), where in self.snapshot.attracting.items():
            gather(self._effects_of_preferred(term, weight), where)
        for tally, counts in gathered.items():
            tally.fill(counts)

    # What one pod more means

    def effects(self, flock: Flock, rules: Rules) -> tuple[tuple[Tally, int], ...]:
        """Returns which tallies a pod there moves, and by how much."""
        return (*self._hits_of(flock), *self._pulls_of(rules)) if rules else self._hits_of(flock)

    def _hits_of(self, flock: Flock) -> tuple[tuple[Tally, int], ...]:
        if (found := self._hits.get(flock)) is None:
            if len(self._hits) > MAX_FLOCKS:
                self._hits.clear()
            found = self._hits[flock] = tuple(self._work_out_hits(flock))
        return found

    def _work_out_hits(self, flock: Flock) -> Iterable[tuple[Tally, int]]:
        names = self.snapshot.namespaces
        if self.near and all(term.takes(flock, names) for term in self.rules.near):
            yield from ((tally, 1) for tally in self.near.values())
        for term in self.rules.apart if self._minds else ():
            if term.takes(flock, names):
                yield self.apart[term.key], 1
        if "InterPodAffinity" in self.profile.weights:
            for term, weight in self.rules.preferred:
                if term.takes(flock, names):
                    yield self._scored(term.key), weight
        if flock.namespace == self.flock.namespace and not flock.leaving:
            for constraint in (*self.hard, *self.soft):
                if constraint.selector(flock.labels):
                    yield constraint.tally, 1

    def _pulls_of(self, rules: Rules) -> tuple[tuple[Tally, int], ...]:
        if (found := self._pulls.get(rules)) is None:
            effects = [it for term in rules.apart for it in self._effects_of_apart(term)]
            weighted = (*((term, 0) for term in rules.near), *rules.preferred)
            effects += [it for pair in weighted for it in self._effects_of_preferred(*pair)]
            found = self._pulls[rules] = tuple(effects)
        return found

    def _effects_of_apart(self, term: Term) -> Iterable[tuple[Tally, int]]:
        if self._minds and term.takes(self.flock, self.snapshot.namespaces):
            if term.key not in self.repelled:
                self.repelled[term.key] = self._tally(term.key)
            yield self.repelled[term.key], 1

    def _effects_of_preferred(self, term: Term, weight: int) -> Iterable[tuple[Tally, int]]:
        profile = self.profile
        if "InterPodAffinity" not in profile.weights:
            return
        if weight and profile.ignores_preferred_of_others and not self.rules:
            return
        amount = weight or profile.hard_affinity_weight
        if amount and term.takes(self.flock, self.snapshot.namespaces):
            yield self._scored(term.key), amount

    def _scored(self, key: str) -> Tally:
        if key not in self.scored:
            self.scored[key] = self._tally(key)
        return self.scored[key]

    # Asking

    @property
    def filters(self) -> bool:
        """Says whether any node can be refused here."""
        return bool(self.hard or self.near or self.apart or self.repelled)

    def attracts_itself(self) -> bool:
        """Says whether the first pod of its kind may go anywhere: nobody is there whom its
        affinity means, and it means the pod itself."""
        if any(tally.total for tally in self.near.values()):
            return False
        names = self.snapshot.namespaces
        return all(term.takes(self.flock, names) for term in self.rules.near)

    def touched_by(self, flock: Flock, rules: Rules) -> bool:
        """Says whether a pod's coming or going changes anything here."""
        return bool(self.effects(flock, rules))

    def gains(self, coming: Iterable[Placed]) -> Counter[Tally]:
        """Returns how much less than nothing each tally loses at a node to which pods come."""
        gained: Counter[Tally] = Counter()
        for placed in coming:
            for tally, amount in self.effects(placed.flock, placed.rules):
                gained[tally] -= amount
        return gained

    def losses(self, gone: Sequence[Placed]) -> Counter[Tally]:
        """Returns how much less each tally would have at a node without some of its pods."""
        lost: Counter[Tally] = Counter()
        for placed in gone:
            for tally, amount in self.effects(placed.flock, placed.rules):
                lost[tally] += amount
        return lost
