"""InterPodAffinity and PodTopologySpread against brute force, node by node, on small random
clusters that change under the tallies."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler_cluster import Cluster, node, pod
from steersman.scheduler.memory import Memory
from steersman.scheduler.scores import inter_pod_affinity as affinity_score
from steersman.scheduler.scores import pod_topology_spread as spread_score
from steersman.scheduler.state.bits import Bits, nth, places, places_from

NAMESPACES = {"red": {"team": "a"}, "blue": {"team": "b"}, "bare": {}}
KEYS = ("zone", "rack")
EXAMPLES = 250  # a mistake shows where several domains have pods that several terms mean
NODE_LABELS = st.fixed_dictionaries(
    {"zone": st.sampled_from(["1", "2"])},
    optional={key: st.sampled_from(["1", "2", "3"]) for key in ("rack", "disk")},
)
POD_LABELS = st.fixed_dictionaries({}, optional={key: st.sampled_from("xy") for key in "ab"})
SELECTORS = st.one_of(
    st.just({}),  # everything: most of the examples shall have something to count
    st.sampled_from([None, {}, {}]),
    st.builds(lambda labels: {"matchLabels": labels}, POD_LABELS),
    st.sampled_from(
        [
            {"matchExpressions": [{"key": "a", "operator": "Exists"}]},
            {"matchExpressions": [{"key": "b", "operator": "NotIn", "values": ["x"]}]},
        ]
    ),
)
TERMS = st.fixed_dictionaries(
    {"topologyKey": st.sampled_from(KEYS), "labelSelector": SELECTORS},
    optional={
        "namespaces": st.lists(st.sampled_from(sorted(NAMESPACES)), max_size=2),
        "namespaceSelector": st.sampled_from([{}, {"matchLabels": {"team": "a"}}]),
        "matchLabelKeys": st.just(["a"]),
    },
)
WEIGHTED = st.fixed_dictionaries({"weight": st.integers(1, 100), "podAffinityTerm": TERMS})
REQUIRED, PREFERRED = (
    f"{word}DuringSchedulingIgnoredDuringExecution" for word in ("required", "preferred")
)
SIDES = st.fixed_dictionaries(
    {REQUIRED: st.lists(TERMS, max_size=2), PREFERRED: st.lists(WEIGHTED, max_size=2)}
)
AFFINITIES = st.fixed_dictionaries({}, optional={"podAffinity": SIDES, "podAntiAffinity": SIDES})
CONSTRAINTS = st.fixed_dictionaries(
    {
        "topologyKey": st.sampled_from(KEYS),
        "maxSkew": st.integers(1, 2),
        "whenUnsatisfiable": st.sampled_from(["DoNotSchedule", "ScheduleAnyway"]),
        "labelSelector": SELECTORS,
    },
    optional={
        "minDomains": st.integers(1, 4),
        "nodeAffinityPolicy": st.sampled_from(["Honor", "Ignore"]),
        "nodeTaintsPolicy": st.sampled_from(["Honor", "Ignore"]),
        "matchLabelKeys": st.just(["b"]),
    },
)
PODS = st.fixed_dictionaries(
    {
        "namespace": st.sampled_from(["red", "red", "red", "blue", "bare"]),
        "labels": POD_LABELS,
        "affinity": st.one_of(st.just({}), AFFINITIES),
        "spread": st.lists(CONSTRAINTS, max_size=2),
        "selector": st.sampled_from([{}, {}, {"disk": "1"}]),
        "node": st.integers(0, 4),
        "leaving": st.sampled_from([False, False, False, True]),
    }
)
NODES = st.lists(
    st.fixed_dictionaries(
        {"labels": NODE_LABELS, "tainted": st.sampled_from([False, False, False, True])}
    ),
    min_size=1,
    max_size=5,
)


def selects(selector: Any, labels: Any, keys: Any, own: Any) -> bool:
    """Says whether a selector, with a pod's own values of some keys, takes labels."""
    if selector is None:
        return False
    if any(key in own and labels.get(key) != own[key] for key in keys):
        return False
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    for item in selector.get("matchExpressions", ()):
        if item["operator"] == "Exists" and item["key"] not in labels:
            return False
        if item["operator"] == "NotIn" and labels.get(item["key"]) in item["values"]:
            return False
    return True


def takes(term: Any, bearer: Any, other: Any) -> bool:
    names, chosen = term.get("namespaces") or [], term.get("namespaceSelector")
    inside = other["namespace"] in names
    if chosen is not None:
        wanted = chosen.get("matchLabels", {}).items()
        inside = inside or wanted <= NAMESPACES[other["namespace"]].items()
    elif not names:
        inside = other["namespace"] == bearer["namespace"]
    keys = term.get("matchLabelKeys", ())
    return inside and selects(term["labelSelector"], other["labels"], keys, bearer["labels"])


def side(given_pod: Any, name: str, kind: str) -> Any:
    return given_pod["affinity"].get(name, {}).get(kind, [])


def same(nodes: Any, one: int, other: int, key: str) -> bool:
    value = nodes[one]["labels"].get(key)
    return value is not None and nodes[other]["labels"].get(key) == value


def near(nodes: Any, there: Any, new: Any, at: int) -> bool:
    terms = side(new, "podAffinity", REQUIRED)
    matching = [it for it in there if all(takes(term, new, it) for term in terms)]
    if any(term["topologyKey"] not in nodes[at]["labels"] for term in terms):
        return False
    if all(any(same(nodes, at, it["node"], t["topologyKey"]) for it in matching) for t in terms):
        return True
    keys = {term["topologyKey"] for term in terms}
    counted = any(key in nodes[it["node"]]["labels"] for it in matching for key in keys)
    return not counted and all(takes(term, new, new) for term in terms)


def reason_of_affinity(nodes: Any, there: Any, new: Any, at: int) -> str:
    if side(new, "podAffinity", REQUIRED) and not near(nodes, there, new, at):
        return "node(s) didn't match pod affinity rules"
    for term in side(new, "podAntiAffinity", REQUIRED):
        if any(
            takes(term, new, it) and same(nodes, at, it["node"], term["topologyKey"])
            for it in there
        ):
            return "node(s) didn't match pod anti-affinity rules"
    for it in there:
        for term in side(it, "podAntiAffinity", REQUIRED):
            if takes(term, it, new) and same(nodes, at, it["node"], term["topologyKey"]):
                return "node(s) didn't satisfy existing pods anti-affinity rules"
    return ""


def includes(nodes: Any, new: Any, constraint: Any, chosen: Any, at: int) -> bool:
    """Says whether a constraint counts what is on a node."""
    found = nodes[at]
    if any(it["topologyKey"] not in found["labels"] for it in chosen):
        return False
    honors = constraint.get("nodeAffinityPolicy", "Honor") == "Honor"
    if honors and not new["selector"].items() <= found["labels"].items():
        return False
    return not (constraint.get("nodeTaintsPolicy", "Ignore") == "Honor" and found["tainted"])


def domains(nodes: Any, there: Any, new: Any, constraint: Any, chosen: Any) -> dict[str, int]:
    """Returns how many pods each counted domain has."""
    keys, key = constraint.get("matchLabelKeys", ()), constraint["topologyKey"]
    counts: dict[str, int] = {}
    for at in range(len(nodes)):
        if not includes(nodes, new, constraint, chosen, at):
            continue
        value = nodes[at]["labels"][key]
        counts.setdefault(value, 0)
        counts[value] += sum(
            it["node"] == at
            and it["namespace"] == new["namespace"]
            and not it["leaving"]
            and selects(constraint["labelSelector"], it["labels"], keys, new["labels"])
            for it in there
        )
    return counts


def chosen_of(new: Any, action: str) -> Any:
    return [it for it in new["spread"] if it["whenUnsatisfiable"] == action]


def reason_of_spread(nodes: Any, there: Any, new: Any, at: int) -> str:
    chosen = chosen_of(new, "DoNotSchedule")
    for item in chosen:
        text = "node(s) didn't match pod topology spread constraints"
        value = nodes[at]["labels"].get(item["topologyKey"])
        if value is None:
            return f"{text} (missing required label)"
        counts = domains(nodes, there, new, item, chosen)
        least = min(counts.values(), default=0)
        if len(counts) < item.get("minDomains", 1):
            least = 0
        keys = item.get("matchLabelKeys", ())
        own = selects(item["labelSelector"], new["labels"], keys, new["labels"])
        if counts.get(value, 0) + own - least > item["maxSkew"]:
            return text
    return ""


def reason(nodes: Any, there: Any, new: Any, at: int) -> str:
    labels = nodes[at]["labels"]
    if nodes[at]["tainted"]:
        return "node(s) had untolerated taint(s)"
    if not new["selector"].items() <= labels.items():
        return "node(s) didn't match Pod's node affinity/selector"
    found = reason_of_spread(nodes, there, new, at)
    return found or reason_of_affinity(nodes, there, new, at)


def make_node(at: int, given_node: Any) -> Any:
    taints = [{"key": "k", "effect": "NoSchedule"}] if given_node["tainted"] else []
    return node(f"n{at}", labels=given_node["labels"], taints=taints, room={"pods": "100"})


def make_pod(name: str, given_pod: Any) -> Any:
    leaving = {"deletionTimestamp": "2026-01-01T00:00:00Z"} if given_pod["leaving"] else {}
    return pod(
        name,
        labels=given_pod["labels"],
        namespace=given_pod["namespace"],
        metadata=leaving,
        affinity=given_pod["affinity"],
        topologySpreadConstraints=given_pod["spread"],
        nodeSelector=given_pod["selector"],
    )


def cluster_of(nodes: Any) -> Cluster:
    cluster = Cluster(*(make_node(at, it) for at, it in enumerate(nodes)))
    for name, labels in NAMESPACES.items():
        cluster.snapshot.namespace_changed(name, labels)
    return cluster


def compare(cluster: Cluster, nodes: Any, there: Any, new: Any) -> None:
    given_pod = make_pod("new", {**new, "leaving": False})
    reasons = {f"n{at}": reason(nodes, there, new, at) for at in range(len(nodes))}
    assert cluster.fitting(given_pod) == {name for name, text in reasons.items() if not text}
    if all(reasons.values()):
        expected = {name: (text,) for name, text in reasons.items()}
        assert cluster.refused(given_pod) == expected


@settings(max_examples=EXAMPLES)
@given(NODES, st.lists(PODS, max_size=6), PODS, st.integers(0, 5), NODE_LABELS)
def test_pods_are_refused_where_their_neighbours_forbid_and_nowhere_else(
    nodes: Any, pods: Any, new: Any, leaver: int, labels: Any
) -> None:
    cluster = cluster_of(nodes)
    there: list[Any] = []
    compare(cluster, nodes, there, new)
    for at, it in enumerate(pods):
        placed = {**it, "node": it["node"] % len(nodes), "name": f"p{at}"}
        cluster.snapshot.put(make_pod(placed["name"], placed), f"n{placed['node']}")
        there.append(placed)
        compare(cluster, nodes, there, new)
    if leaver < len(there):
        cluster.snapshot.remove(f"uid-{there.pop(leaver)['name']}")
        compare(cluster, nodes, there, new)
    before = make_node(0, nodes[0])
    nodes = [{**nodes[0], "labels": labels}, *nodes[1:]]
    cluster.snapshot.node_changed(before, make_node(0, nodes[0]))
    compare(cluster, nodes, there, new)
    cluster.memory = Memory(cluster.snapshot)
    compare(cluster, nodes, there, new)


def liking(nodes: Any, there: Any, new: Any, at: int) -> int:
    """Returns the raw score of InterPodAffinity."""
    total = 0
    for it in there:
        pulls = [(1, new, it, term) for term in side(new, "podAffinity", PREFERRED)]
        pulls += [(-1, new, it, term) for term in side(new, "podAntiAffinity", PREFERRED)]
        pulls += [(1, it, new, term) for term in side(it, "podAffinity", PREFERRED)]
        pulls += [(-1, it, new, term) for term in side(it, "podAntiAffinity", PREFERRED)]
        required = side(it, "podAffinity", REQUIRED)
        pulls += [(1, it, new, {"weight": 1, "podAffinityTerm": term}) for term in required]
        for sign, bearer, other, pull in pulls:
            term = pull["podAffinityTerm"]
            if takes(term, bearer, other) and same(nodes, at, it["node"], term["topologyKey"]):
                total += sign * pull["weight"]
    return total


def crowding(nodes: Any, there: Any, new: Any, fit: set[int]) -> dict[int, int]:
    """Returns the raw score of PodTopologySpread of the fitting nodes with all keys."""
    chosen = chosen_of(new, "ScheduleAnyway")
    scored = {at for at in fit if all(c["topologyKey"] in nodes[at]["labels"] for c in chosen)}
    totals = dict.fromkeys(scored, 0.0)
    for item in chosen:
        counts, key = domains(nodes, there, new, item, chosen), item["topologyKey"]
        size = len({nodes[at]["labels"][key] for at in scored})
        for at in scored:
            amount = counts.get(nodes[at]["labels"][key], 0)
            totals[at] += amount * math.log(size + 2) + item["maxSkew"] - 1
    return {at: math.floor(total + 0.5) for at, total in totals.items()}


def by_place(found: Any) -> dict[int, int]:
    return {place: score for score, bits in found for place in places(bits)}


@settings(max_examples=EXAMPLES)
@given(NODES, st.lists(PODS, max_size=6), PODS)
def test_scores_are_those_of_brute_force(nodes: Any, pods: Any, new: Any) -> None:
    cluster = cluster_of(nodes)
    new = {**new, "leaving": False}
    ask = cluster.ask(make_pod("new", new))  # before the pods: the tallies are mended
    there = [{**it, "node": it["node"] % len(nodes)} for it in pods]
    for at, it in enumerate(there):
        cluster.snapshot.put(make_pod(f"p{at}", it), f"n{it['node']}")
    ask = cluster.ask(make_pod("new", new))
    fit = {at for at, it in enumerate(nodes) if not it["tainted"]}
    if not fit:
        return
    bits = sum(1 << at for at in fit)
    raw = {at: liking(nodes, there, new, at) for at in fit}
    low, high = min(raw.values()), max(raw.values())
    if ask.hood.scored:
        expected = {at: int(100 * ((v - low) / (high - low or 1))) for at, v in raw.items()}
        assert by_place(affinity_score.parts(ask.hood, bits)) == expected
    else:
        assert set(raw.values()) == {0}
    if ask.hood.soft:
        crowd = crowding(nodes, there, new, fit)
        low, high = min(crowd.values(), default=0), max(crowd.values(), default=0)
        expected = {at: 100 * (high + low - v) // high if high else 100 for at, v in crowd.items()}
        expected = {**dict.fromkeys(fit, 0), **expected}
        assert by_place(spread_score.parts(ask.hood, bits)) == expected


@given(st.sets(st.integers(0, 300), min_size=1), st.integers(0, 320))
def test_sets_of_nodes_are_walked_in_order(members: set[int], start: int) -> None:
    bits: Bits = sum(1 << place for place in members)
    ordered = sorted(members)
    assert list(places(bits)) == ordered
    assert [nth(bits, number) for number in range(len(ordered))] == ordered
    assert list(places_from(bits, start)) == [
        *(it for it in ordered if it >= start),
        *(it for it in ordered if it < start),
    ]
