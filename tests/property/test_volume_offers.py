"""Laws of offers: filing volumes by labels changes no choice, and the nodes said to be possible for
a pod's volumes are no fewer than those that fit."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from scheduler_cluster import Cluster, HeldViews, node, pod
from steersman.model.kinds.persistentvolume import PERSISTENTVOLUME, PersistentVolume
from steersman.model.kinds.persistentvolumeclaim import (
    PERSISTENTVOLUMECLAIM,
    PersistentVolumeClaim,
)
from steersman.model.volume_binding import BIND_COMPLETED, fits, size
from steersman.scheduler.decide import Chosen, decide, fitting
from steersman.scheduler.profile import DEFAULT
from steersman.scheduler.volumes.offers import Offers, reaches
from steersman.scheduler.volumes.rule import VolumeRule, rule_of
from steersman.scheduler.volumes.storage import Storage

NODES = ("a", "b", "c", "d")
EXPRESSIONS = st.one_of(
    st.builds(
        lambda values: {"key": "host", "operator": "In", "values": values},
        st.lists(st.sampled_from(NODES), min_size=1, max_size=2),
    ),
    st.builds(
        lambda value: {"key": "zone", "operator": "In", "values": [value]}, st.sampled_from("xy")
    ),
    st.just({"key": "zone", "operator": "NotIn", "values": ["x"]}),
    st.just({"key": "disk", "operator": "Exists", "values": []}),
)
TERMS = st.lists(
    st.builds(lambda found: {"matchExpressions": found}, st.lists(EXPRESSIONS, max_size=2)),
    max_size=2,
)
VOLUMES = st.lists(
    st.fixed_dictionaries(
        {"size": st.integers(1, 3), "terms": st.none() | TERMS, "owner": st.sampled_from("-- co")}
    ),
    max_size=6,
)


def cluster() -> Cluster:
    made = []
    for at, name in enumerate(NODES):
        disk = {"disk": "fast"} if at % 2 else {}
        made.append(node(name, labels={"host": name, "zone": "xxyy"[at], **disk}))
    return Cluster(*made)


def volume(at: int, given_volume: Any) -> Any:
    spec: dict[str, Any] = {
        "capacity": {"storage": f"{given_volume['size']}Gi"},
        "accessModes": ["ReadWriteOnce"],
    }
    if given_volume["terms"] is not None:
        spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": given_volume["terms"]}}
    if (owner := given_volume["owner"].strip("- ")) and owner:
        spec["claimRef"] = {"uid": f"uid-{owner}"}
    metadata = {"name": f"v{at}", "uid": f"uid-v{at}"}
    return {"metadata": metadata, "spec": spec, "status": {"phase": "Available"}}


def claim(**spec: Any) -> Any:
    metadata = {"name": "c", "namespace": "default", "uid": "uid-c", **spec.pop("metadata", {})}
    storage = {"requests": {"storage": "2Gi"}}
    return {
        "metadata": metadata,
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": storage, **spec},
    }


@given(VOLUMES, st.sets(st.sampled_from(("v0", "v1", "v2"))))
def test_the_smallest_volume_is_found_as_if_all_were_looked_at(
    volumes: Any, given_away: set[str]
) -> None:
    found = [msgspec.convert(volume(at, it), PersistentVolume) for at, it in enumerate(volumes)]
    wanted = msgspec.convert(claim(), PersistentVolumeClaim)
    views = HeldViews(*((PERSISTENTVOLUME, volume(at, it)) for at, it in enumerate(volumes)))
    offers = Offers(wanted, Storage(views))
    for state in cluster().snapshot.nodes:
        assert state is not None
        near = [it for it in found if reaches(it, state)]
        own = [it for it in near if it.spec.claim_ref and it.spec.claim_ref.uid == "uid-c"]
        free = [
            it
            for it in near
            if it.spec.claim_ref is None and it.metadata.name not in given_away and fits(it, wanted)
        ]
        best = own or sorted(free, key=lambda it: (size(it), it.metadata.name))
        answer = offers.smallest(state, given_away)
        assert (answer and answer.metadata.name) == (best[0].metadata.name if best else None)


@given(TERMS.map(lambda terms: [{"size": 2, "terms": terms, "owner": "c"}]))
def test_a_bound_claim_is_followed_to_every_node_that_reaches_its_volume(volumes: Any) -> None:
    done = {"annotations": {BIND_COMPLETED: "yes"}}
    views = HeldViews(
        (PERSISTENTVOLUME, volume(0, volumes[0])),
        (PERSISTENTVOLUMECLAIM, claim(volumeName="v0", metadata=done)),
    )
    asked = pod(volumes=[{"name": "d", "persistentVolumeClaim": {"claimName": "c"}}])
    where = cluster()
    rule = rule_of(asked, DEFAULT, Storage(views), where.snapshot)
    assert isinstance(rule, VolumeRule)
    ask = where.memory.of(asked, local=rule)
    fit = fitting(ask)
    assert fit & rule.possible() == fit
    answer = decide(ask)
    assert isinstance(answer, Chosen) == bool(fit)
    if isinstance(answer, Chosen):
        assert fit >> answer.node.place & 1
