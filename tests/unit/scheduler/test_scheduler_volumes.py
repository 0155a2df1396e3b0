"""Volumes: where a pod may run because of its claims, and which volumes they get."""

from __future__ import annotations

from typing import Any, cast

import pytest

from scheduler_cluster import Cluster, HeldViews, node, pod
from steersman.client.interface import Client
from steersman.model.csi_translation import AWS, MIGRATED
from steersman.model.errors import NotFound
from steersman.model.kind import Kind
from steersman.model.kinds.csidriver import CSIDRIVER
from steersman.model.kinds.csinode import CSINODE
from steersman.model.kinds.csistoragecapacity import CSISTORAGECAPACITY
from steersman.model.kinds.persistentvolume import PERSISTENTVOLUME
from steersman.model.kinds.persistentvolumeclaim import PERSISTENTVOLUMECLAIM
from steersman.model.kinds.pod import Pod
from steersman.model.kinds.storageclass import STORAGECLASS
from steersman.model.kinds.volumeattachment import VOLUMEATTACHMENT
from steersman.model.ref import Ref
from steersman.model.volume_binding import BIND_COMPLETED, SELECTED_NODE
from steersman.scheduler.decide import Chosen, Unfit, decide, fitting
from steersman.scheduler.memory import Ask
from steersman.scheduler.message import fit_error
from steersman.scheduler.preemption import Candidate, preempt
from steersman.scheduler.profile import DEFAULT
from steersman.scheduler.state.bits import places
from steersman.scheduler.volumes.binder import Binder, NotBound, plan_volume
from steersman.scheduler.volumes.binding import Choice, choose
from steersman.scheduler.volumes.offers import NOT_FOUND, wishes_of
from steersman.scheduler.volumes.rule import VolumeRule, rule_of
from steersman.scheduler.volumes.storage import Storage
from steersman.world.simulated import SimulatedWorld, simulate

ZONE = "topology.kubernetes.io/zone"
DONE = {BIND_COMPLETED: "yes"}


def claim(name: str = "data", **fields: Any) -> tuple[Kind, Any]:
    metadata = {"name": name, "namespace": "default", "uid": f"uid-{name}"}
    metadata.update(fields.pop("metadata", {}))
    storage = {"requests": {"storage": fields.pop("storage", "1Gi")}}
    status = fields.pop("status", {})
    spec = {"accessModes": ["ReadWriteOnce"], "resources": storage, **fields}
    return PERSISTENTVOLUMECLAIM, {"metadata": metadata, "spec": spec, "status": status}


def bound(name: str = "data", volume: str = "v", **fields: Any) -> tuple[Kind, Any]:
    return claim(name, volumeName=volume, metadata={"annotations": DONE}, **fields)


def volume(name: str = "v", *, labels: Any = None, on: str = "", **fields: Any) -> tuple[Kind, Any]:
    capacity = {"storage": fields.pop("storage", "1Gi")}
    spec = {"capacity": capacity, "accessModes": ["ReadWriteOnce"], **fields}
    if on:
        wanted = {"key": "kubernetes.io/hostname", "operator": "In", "values": [on]}
        terms = [{"matchExpressions": [wanted]}]
        spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": terms}}
    metadata = {"name": name, "uid": f"uid-{name}", "labels": labels or {}}
    return PERSISTENTVOLUME, {"metadata": metadata, "spec": spec, "status": {"phase": "Available"}}


def storage_class(name: str = "late", provisioner: str = "p", **fields: Any) -> tuple[Kind, Any]:
    mode = {"volumeBindingMode": "WaitForFirstConsumer"}
    return STORAGECLASS, {"metadata": {"name": name}, "provisioner": provisioner, **mode, **fields}


def limit(name: str, count: int, driver: str = "d") -> tuple[Kind, Any]:
    drivers = [{"name": driver, "allocatable": {"count": count}}]
    return CSINODE, {"metadata": {"name": name}, "spec": {"drivers": drivers}}


def using(*claims: str, name: str = "p", **spec: Any) -> Pod:
    volumes = [{"name": it, "persistentVolumeClaim": {"claimName": it}} for it in claims]
    return pod(name, volumes=[*volumes, *spec.pop("volumes", [])], **spec)


def hosts(*names: str, **labels: str) -> Cluster:
    return Cluster(
        *(node(name, labels={"kubernetes.io/hostname": name, **labels}) for name in names)
    )


def asked(cluster: Cluster, found: Pod, *given: tuple[Kind, Any]) -> Ask:
    rule = rule_of(found, DEFAULT, Storage(HeldViews(*given)), cluster.snapshot)
    assert isinstance(rule, VolumeRule)
    return cluster.memory.of(found, local=rule)


def reasons(cluster: Cluster, found: Pod, *given: tuple[Kind, Any]) -> str:
    answer = decide(asked(cluster, found, *given))
    assert isinstance(answer, Unfit)
    return fit_error(answer)


def chosen(cluster: Cluster, found: Pod, *given: tuple[Kind, Any]) -> str:
    answer = decide(asked(cluster, found, *given))
    assert isinstance(answer, Chosen)
    return answer.node.name


OWNER = {"ownerReferences": [{"uid": "uid-p", "controller": True}]}
UNBOUND = "pod has unbound immediate PersistentVolumeClaims"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], 'persistentvolumeclaim "data" not found'),
        ([claim()], UNBOUND),
        ([claim(storageClassName="late")], UNBOUND),
        ([claim(storageClassName="late", volumeName="v"), storage_class()], UNBOUND),
        ([claim(volumeName="v")], UNBOUND),
        (
            [bound(status={"phase": "Lost"})],
            'persistentvolumeclaim "data" bound to non-existent persistentvolume "v"',
        ),
        (
            [claim(metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})],
            'persistentvolumeclaim "data" is being deleted',
        ),
    ],
)
def test_a_pod_without_its_claims_waits_and_is_told_why(given: Any, said: str) -> None:
    storage = Storage(HeldViews(*given))
    assert rule_of(using("data"), DEFAULT, storage, Cluster().snapshot) == said
    text = fit_error(Unfit(3, early=said, plugin="VolumeBinding"))
    assert text == f"0/3 nodes are available: {said}. not found"


def test_a_claim_made_for_a_pod_must_be_its_own() -> None:
    found = pod(volumes=[{"name": "tmp", "ephemeral": {"volumeClaimTemplate": {}}}])

    def rule(*given: tuple[Kind, Any]) -> Any:
        return rule_of(found, DEFAULT, Storage(HeldViews(*given)), Cluster().snapshot)

    waiting = "waiting for ephemeral volume controller to create the persistentvolumeclaim"
    assert rule() == f'{waiting} "p-tmp"'
    foreign = "PVC default/p-tmp was not created for pod default/p (pod is not owner)"
    assert rule(bound("p-tmp")) == foreign
    own = claim("p-tmp", metadata={"annotations": DONE, **OWNER}, volumeName="v")
    assert isinstance(rule(own), VolumeRule)


def test_pods_without_such_volumes_are_not_asked() -> None:
    found = pod(volumes=[{"name": "a", "emptyDir": {}}, {"name": "b", "secret": {}}])
    assert rule_of(found, DEFAULT, Storage(HeldViews()), Cluster().snapshot) is None


def test_a_bound_volume_binds_its_pod_to_where_it_is() -> None:
    cluster = hosts("a", "b")
    assert chosen(cluster, using("data"), bound(), volume(on="b")) == "b"
    assert reasons(cluster, using("data"), bound(), volume(on="c")) == (
        "0/2 nodes are available: 2 node(s) didn't match PersistentVolume's node affinity."
    )
    assert reasons(cluster, using("data"), bound()) == (
        "0/2 nodes are available: 2 node(s) unavailable due to one or more pvc(s) bound to "
        "non-existent pv(s)."
    )


@pytest.mark.parametrize(
    ("labels", "zone", "fits"),
    [
        ({ZONE: "z1"}, "z1", True),
        ({ZONE: "z1"}, "z2", False),
        ({ZONE: "z1__z2"}, "z2", True),
        ({"failure-domain.beta.kubernetes.io/zone": "z1"}, "z1", True),
        ({"failure-domain.beta.kubernetes.io/zone": "z1"}, "z2", False),
        ({ZONE: "z1"}, "", True),
        ({"topology.kubernetes.io/region": "r"}, "z1", False),
        ({}, "z1", True),
    ],
)
def test_a_volume_of_a_zone_is_used_there(labels: Any, zone: str, fits: bool) -> None:
    cluster = Cluster(node("n", labels={ZONE: zone} if zone else {}))
    given = (bound(), volume(labels=labels))
    if fits:
        assert chosen(cluster, using("data"), *given) == "n"
    else:
        text = "0/1 nodes are available: 1 node(s) had no available volume zone."
        assert reasons(cluster, using("data"), *given) == text


LATE = {"storageClassName": "late"}


def picked(name: str, *given: tuple[Kind, Any]) -> tuple[dict[str, str], list[str]] | None:
    """Returns which volume each claim gets on a node, and the claims for which one is made."""
    storage = Storage(HeldViews(*given))
    cluster = hosts("a", "b")
    state = cluster.snapshot.state(name)
    assert state is not None
    claims = [
        storage.claim("default", it["metadata"]["name"])
        for of, it in given
        if "uid" in it["metadata"] and of is PERSISTENTVOLUMECLAIM
    ]
    wishes = wishes_of([it for it in claims if it is not None], storage)
    found = choose(wishes, state)
    if isinstance(found, str):
        return None
    pairs = {one.metadata.name: other.metadata.name for one, other in found.given}
    return pairs, [it.metadata.name for it in found.made]


def test_a_waiting_claim_gets_the_smallest_free_volume_that_fits_claim_and_node() -> None:
    static = storage_class(provisioner="kubernetes.io/no-provisioner")
    given = (
        claim(**LATE, storage="2Gi"),
        static,
        volume("small", **LATE),
        volume("large", storage="9Gi", **LATE, on="a"),
        volume("right", storage="3Gi", **LATE, on="a"),
        volume("elsewhere", storage="2Gi", **LATE, on="b"),
        volume("taken", storage="2Gi", **LATE, claimRef={"name": "x", "uid": "x"}),
        volume("other", storage="2Gi", storageClassName="fast"),
        volume("block", storage="2Gi", **LATE, volumeMode="Block"),
    )
    assert picked("a", *given) == ({"data": "right"}, [])
    assert picked("b", *given) == ({"data": "elsewhere"}, [])
    assert picked("b", *given[:5]) is None


def test_two_claims_never_get_the_same_volume_and_small_claims_choose_first() -> None:
    static = storage_class(provisioner="kubernetes.io/no-provisioner")
    two = (claim("big", **LATE, storage="2Gi"), claim("little", **LATE), static)
    volumes = (volume("v1", **LATE), volume("v2", storage="2Gi", **LATE))
    assert picked("a", *two, *volumes) == ({"little": "v1", "big": "v2"}, [])
    assert picked("a", *two, volumes[1]) is None


def test_a_selector_and_access_modes_are_kept() -> None:
    static = storage_class(provisioner="kubernetes.io/no-provisioner")
    wanting = claim(**LATE, selector={"matchLabels": {"tier": "gold"}})
    gold = volume("gold", labels={"tier": "gold"}, **LATE)
    assert picked("a", wanting, static, volume("iron", **LATE), gold) == ({"data": "gold"}, [])
    many = claim(**LATE, accessModes=["ReadWriteMany"])
    assert picked("a", many, static, gold) is None


def test_a_class_makes_what_is_not_there_where_it_can() -> None:
    assert picked("a", claim(**LATE), storage_class()) == ({}, ["data"])
    term = {"key": "kubernetes.io/hostname", "values": ["b"]}
    there = storage_class(allowedTopologies=[{"matchLabelExpressions": [term]}])
    assert picked("a", claim(**LATE), there) is None
    assert picked("b", claim(**LATE), there) == ({}, ["data"])
    chosen_before = claim(**LATE, metadata={"annotations": {SELECTED_NODE: "a"}})
    assert picked("a", chosen_before, storage_class()) == ({}, ["data"])
    assert picked("b", chosen_before, storage_class()) is None
    assert (
        reasons(
            hosts("a"),
            using("data"),
            claim(**LATE),
            storage_class(provisioner="kubernetes.io/no-provisioner"),
        )
        == "0/1 nodes are available: 1 node(s) didn't find available persistent volumes to bind."
    )


def test_a_promised_volume_is_not_given_to_another() -> None:
    given = (claim("one", **LATE), claim("two", **LATE), volume(**LATE))
    storage = Storage(HeldViews(*given))
    state = hosts("a").snapshot.state("a")
    one, two = (storage.claim("default", name) for name in ("one", "two"))
    assert state is not None
    assert one is not None
    assert two is not None
    storage.promise("v", one.metadata.uid)
    assert choose(wishes_of([two], storage), state) == NOT_FOUND
    found = choose(wishes_of([one], storage), state)
    assert found == Choice(((one, storage.volume("v")),))  # type: ignore[arg-type]
    storage.withdraw("v")
    assert isinstance(choose(wishes_of([two], storage), state), Choice)


def test_a_volume_is_given_to_the_very_claim() -> None:
    storage = Storage(HeldViews(claim()))
    found = storage.claim("default", "data")
    assert found is not None
    patch = plan_volume(found)
    assert patch["spec"]["claimRef"]["uid"] == "uid-data"
    assert patch["metadata"]["annotations"] == {"pv.kubernetes.io/bound-by-controller": "yes"}


class Answering:
    """The part of a client that reads: the claims as they are, whatever views show."""

    def __init__(self, *given: tuple[Kind, Any]) -> None:
        self._views = HeldViews(*given)

    async def get(self, ref: Ref) -> Any:
        found = self._views.of(PERSISTENTVOLUMECLAIM).get(ref)
        if found is None:
            raise NotFound(f'persistentvolumeclaims "{ref.name}" not found')
        return found


AGAIN = {"uid": "uid-again"}
LEAVING = {"annotations": DONE, "deletionTimestamp": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ([bound()], None),
        (
            [claim(metadata=AGAIN, **LATE)],
            'binding volumes: persistentvolumeclaim "data" not found',
        ),
        (
            [claim(metadata=LEAVING, volumeName="v")],
            'binding volumes: persistentvolumeclaim "data" is being deleted',
        ),
        ([], 'persistentvolumeclaims "data" not found'),
    ],
)
def test_a_pod_is_not_bound_for_a_claim_that_only_a_late_view_shows(there: Any, said: Any) -> None:
    cluster = hosts("a")
    storage = Storage(HeldViews(bound(), volume(on="a")))
    rule = rule_of(using("data"), DEFAULT, storage, cluster.snapshot)
    state = cluster.snapshot.state("a")
    assert isinstance(rule, VolumeRule)
    assert state is not None

    async def main(world: SimulatedWorld) -> str | None:
        binder = Binder(cast(Client, Answering(*there)), world, storage)
        try:
            await binder.bind(rule.choice(state), "a", 5.0)
        except (NotBound, NotFound) as error:
            return str(error)
        return None

    assert simulate(1, main) == said


def test_a_claim_for_one_pod_is_freed_by_preemption() -> None:
    cluster = hosts("a")
    given = (bound(accessModes=["ReadWriteOncePod"]), volume())
    cluster.put(using("data", name="first"), on="a")
    found = using("data", name="second", priority=9)
    assert reasons(cluster, found, *given) == (
        "0/1 nodes are available: 1 node has pod using PersistentVolumeClaim with the same name "
        "and ReadWriteOncePod access mode."
    )
    ask = asked(cluster, found, *given)
    answer = decide(ask)
    assert isinstance(answer, Unfit)
    best = preempt(ask, answer, ())
    assert isinstance(best, Candidate)
    assert [it.pod.metadata.name for it in best.victims] == ["first"]


@pytest.mark.parametrize(
    ("one", "other", "fits"),
    [
        ({"gcePersistentDisk": {"pdName": "d"}}, {"gcePersistentDisk": {"pdName": "d"}}, False),
        ({"gcePersistentDisk": {"pdName": "d"}}, {"gcePersistentDisk": {"pdName": "e"}}, True),
        (
            {"gcePersistentDisk": {"pdName": "d", "readOnly": True}},
            {"gcePersistentDisk": {"pdName": "d", "readOnly": True}},
            True,
        ),
        (
            {"awsElasticBlockStore": {"volumeID": "d", "readOnly": True}},
            {"awsElasticBlockStore": {"volumeID": "d", "readOnly": True}},
            False,
        ),
        ({"iscsi": {"iqn": "d"}}, {"iscsi": {"iqn": "d", "readOnly": True}}, False),
        (
            {"rbd": {"monitors": ["a", "b"], "pool": "p", "image": "i"}},
            {"rbd": {"monitors": ["b"], "pool": "p", "image": "i"}},
            False,
        ),
        (
            {"rbd": {"monitors": ["a"], "pool": "p", "image": "i"}},
            {"rbd": {"monitors": ["a"], "pool": "p", "image": "j"}},
            True,
        ),
    ],
)
def test_a_disk_is_used_by_one_pod_unless_all_read(one: Any, other: Any, fits: bool) -> None:
    cluster = hosts("a").put(pod("there", volumes=[{"name": "v", **one}]), on="a")
    found = pod(volumes=[{"name": "v", **other}])
    if fits:
        assert chosen(cluster, found) == "a"
    else:
        text = "0/1 nodes are available: 1 node(s) had no available disk."
        assert reasons(cluster, found) == text


def attachment(volume: str, node: str, driver: str = "d") -> tuple[Kind, Any]:
    spec = {"attacher": driver, "nodeName": node, "source": {"persistentVolumeName": volume}}
    return VOLUMEATTACHMENT, {"metadata": {"name": f"csi-{volume}-{node}"}, "spec": spec}


def test_what_is_attached_to_a_node_counts_though_no_pod_there_uses_it() -> None:
    cluster = hosts("a", "b")
    given = (bound("one", "v1"), csi("v1"), csi("v2"), limit("a", 1), limit("b", 1))
    text = "0/2 nodes are available: 2 node(s) exceed max volume count."
    left = (attachment("v2", "a"), attachment("v2", "b"))
    assert reasons(cluster, using("one"), *given, *left) == text
    assert chosen(cluster, using("one"), *given, left[0]) == "b"
    assert chosen(cluster, using("one"), *given, left[1]) == "a"
    # its own volume, one of another driver, and one of which nothing is known take no room
    own = attachment("v1", "a"), attachment("v2", "b")
    assert chosen(cluster, using("one"), *given, *own) == "a"
    others = attachment("v2", "a", driver="e"), attachment("v3", "a"), left[1]
    assert chosen(cluster, using("one"), *given, *others) == "a"


def csi(name: str) -> tuple[Kind, Any]:
    return volume(name, csi={"driver": "d", "volumeHandle": name})


def test_a_driver_attaches_no_more_volumes_than_it_says() -> None:
    cluster = hosts("a").put(using("one", name="there"), on="a")
    given = (bound("one", "v1"), bound("two", "v2"), csi("v1"), csi("v2"))
    text = "0/1 nodes are available: 1 node(s) exceed max volume count."
    assert reasons(cluster, using("two"), *given, limit("a", 1)) == text
    assert chosen(cluster, using("two"), *given, limit("a", 2)) == "a"
    assert chosen(cluster, using("one"), *given, limit("a", 1)) == "a"
    assert chosen(cluster, using("two"), *given, limit("a", 1, driver="e")) == "a"
    late = (claim("three", **LATE), storage_class(provisioner="d"))
    assert reasons(cluster, using("three"), *given, *late, limit("a", 1)) == text


EBS = "ebs.csi.aws.com"


def ebs(name: str, **fields: Any) -> tuple[Kind, Any]:
    return volume(name, awsElasticBlockStore={"volumeID": f"aws://z1/vol-{name}"}, **fields)


def test_volumes_of_upstreams_tree_count_for_the_driver_that_serves_them() -> None:
    cluster = hosts("a").put(using("one", name="there"), on="a")
    text = "0/1 nodes are available: 1 node(s) exceed max volume count."
    given = (bound("one", "v1"), ebs("v1"), bound("two", "v2"), ebs("v2"))
    assert reasons(cluster, using("two"), *given, limit("a", 1, EBS)) == text
    assert chosen(cluster, using("two"), *given, limit("a", 2, EBS)) == "a"
    late = (claim("three", **LATE), storage_class(provisioner="kubernetes.io/aws-ebs"))
    assert reasons(cluster, using("three"), *given, *late, limit("a", 1, EBS)) == text
    inline = {"name": "i", "awsElasticBlockStore": {"volumeID": "vol-i"}}
    assert reasons(cluster, using(volumes=[inline]), *given, limit("a", 1, EBS)) == text
    same = {"name": "i", "awsElasticBlockStore": {"volumeID": "vol-v1"}}
    assert chosen(cluster, using(volumes=[same]), *given, limit("a", 1, EBS)) == "a"
    left = attachment("v2", "a", driver=EBS)
    assert reasons(hosts("a"), using("one"), *given, left, limit("a", 1, EBS)) == text


def test_a_volume_of_portworx_counts_where_the_node_leaves_it_to_the_driver() -> None:
    given = [bound("one", "v1"), bound("two", "v2")]
    given += [volume(it, portworxVolume={"volumeID": it}) for it in ("v1", "v2")]
    cluster = hosts("a").put(using("one", name="there"), on="a")
    kind, node_ = limit("a", 1, "pxd.portworx.com")
    assert chosen(cluster, using("two"), *given, (kind, node_)) == "a"
    node_["metadata"]["annotations"] = {MIGRATED: "kubernetes.io/portworx-volume"}
    text = "0/1 nodes are available: 1 node(s) exceed max volume count."
    assert reasons(cluster, using("two"), *given, (kind, node_)) == text


def test_a_volume_of_upstreams_tree_is_where_its_driver_says_that_nodes_are() -> None:
    cluster = Cluster(
        node("a", labels={"topology.ebs.csi.aws.com/zone": "z2", ZONE: "z1"}),
        node("b", labels={"topology.ebs.csi.aws.com/zone": "z1", ZONE: "z1"}),
    )
    wanted = {"key": ZONE, "operator": "In", "values": ["z1"]}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [wanted]}]}
    given = [bound("one", "v1"), ebs("v1", nodeAffinity={"required": terms})]
    assert [*places(fitting(asked(cluster, using("one"), *given)))] == [0, 1]
    for name in "ab":
        kind, made = limit(name, 9, EBS)
        made["metadata"]["annotations"] = {MIGRATED: f"x,{AWS}"}
        given.append((kind, made))
    assert chosen(cluster, using("one"), *given) == "b"


# Room that drivers tell of


def driver(name: str = "p", **spec: Any) -> tuple[Kind, Any]:
    return CSIDRIVER, {"metadata": {"name": name}, "spec": {"storageCapacity": True, **spec}}


def room(name: str, of: str = "late", near: Any = None, **amounts: str) -> tuple[Kind, Any]:
    metadata = {"name": name, "namespace": "kube-system"}
    topology = {} if near is None else {"nodeTopology": near}
    return CSISTORAGECAPACITY, {
        "metadata": metadata,
        "storageClassName": of,
        **topology,
        **amounts,
    }


def on(name: str) -> Any:
    return {"matchLabels": {"kubernetes.io/hostname": name}}


SPACE = "node(s) did not have enough free storage"


@pytest.mark.parametrize(
    ("more", "fits"),
    [
        ((), "ab"),  # its driver does not say
        ((driver(),), ""),
        ((driver(storageCapacity=False),), "ab"),
        ((driver("other"),), "ab"),
        ((driver(), room("r", near=on("a"), capacity="1Gi")), "a"),
        ((driver(), room("r", near={}, capacity="1Gi")), "ab"),
        ((driver(), room("r", near=on("a"), capacity="1023Mi")), ""),
        ((driver(), room("r", near=on("a"), capacity="5Gi", maximumVolumeSize="1Mi")), ""),
        ((driver(), room("r", near=on("a"), capacity="0", maximumVolumeSize="1Gi")), "a"),
        ((driver(), room("r", near=on("a"))), ""),
        ((driver(), room("r", capacity="1Gi")), ""),
        ((driver(), room("r", of="x", near={}, capacity="1Gi")), ""),
        (
            (
                driver(),
                room("r", near=on("a"), capacity="1Mi"),
                room("s", near=on("b"), capacity="2Gi"),
            ),
            "b",
        ),
    ],
)
def test_a_volume_is_made_only_where_its_driver_has_room(more: Any, fits: str) -> None:
    cluster = hosts("a", "b")
    ask = asked(cluster, using("data"), claim(**LATE), storage_class(), *more)
    answer = decide(ask)
    if not fits:
        assert isinstance(answer, Unfit)
        assert fit_error(answer) == f"0/2 nodes are available: 2 {SPACE}."
    else:
        assert isinstance(answer, Chosen)
        assert {cluster.snapshot.at(place).name for place in places(fitting(ask))} == set(fits)


def test_a_node_that_a_claim_was_promised_to_must_have_room_too() -> None:
    selected = {"annotations": {SELECTED_NODE: "a"}}
    given = (claim(metadata=selected, **LATE), storage_class(), driver())
    answer = decide(asked(hosts("a", "b"), using("data"), *given))
    assert isinstance(answer, Unfit)
    assert fit_error(answer) == (
        "0/2 nodes are available: 1 node(s) did not have enough free storage, 1 node(s) didn't "
        "find available persistent volumes to bind."
    )


def test_a_volume_that_exists_needs_no_room() -> None:
    given = (claim(**LATE), storage_class(), driver(), volume(on="b", **LATE))
    answer = decide(asked(hosts("a", "b"), using("data"), *given))
    assert isinstance(answer, Chosen)
    assert answer.node.name == "b"
