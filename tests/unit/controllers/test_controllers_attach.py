"""Volumes are attached to the nodes of their pods and go from there, safely."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from storage_views import volume
from views import NOW, decoded, pod, time

from controlled import behind, controlled
from served import Served, served
from steersman.controllers import attach_plan
from steersman.controllers.attach_detach import AttachDetachController
from steersman.controllers.attach_plan import OUT_OF_SERVICE, Plan, Rivals, Scene, Source, Wanted
from steersman.model.kinds.node import ATTACHES, NODE, Node
from steersman.model.kinds.volumeattachment import VOLUMEATTACHMENT, VolumeAttachment
from steersman.reconcile.actions import Create, Delete, Patch, Tell

SOURCE = Source("a.example.com", "handle")
UNIQUE = "kubernetes.io/csi/a.example.com^handle"
ID = f"csi-{hashlib.sha256(b'handlea.example.comone').hexdigest()}"
DISK = volume("disk", csi={"driver": "a.example.com", "volumeHandle": "handle"})
POD = pod("web", node="one")
WANTED = {ID: Wanted(DISK, SOURCE, (POD,))}
REF, NODE_REF = VOLUMEATTACHMENT.ref("", ID), NODE.ref("", "one")


def node(
    *in_use: str,
    attached: tuple[str, ...] = (),
    ready: str = "True",
    taint: str = "",
    managed: bool = True,
) -> Any:
    spec = {"taints": [{"key": taint, "effect": "NoExecute"}]} if taint else {}
    status = {
        "conditions": [{"type": "Ready", "status": ready}],
        "volumesInUse": in_use,
        "volumesAttached": [{"name": name, "devicePath": ""} for name in attached],
    }
    metadata = {"name": "one", "uid": "n", "annotations": {ATTACHES: "true"} if managed else {}}
    return decoded({"metadata": metadata, "spec": spec, "status": status}, Node)


def attachment(*, attached: bool = True, name: str = ID, born: float = 10, **more: Any) -> Any:
    deleted = {"deletionTimestamp": time(0)} if more.pop("deleted", False) else {}
    document = {
        "metadata": {"name": name, "uid": "u", "creationTimestamp": time(born), **deleted},
        "spec": {
            "attacher": "a.example.com",
            "nodeName": "one",
            "source": {"persistentVolumeName": "disk"},
        },
        "status": {"attached": attached, **more},
    }
    return decoded(document, VolumeAttachment)


def planned(found: Any, *here: Any, wanted: Any = None, **more: Any) -> Plan:
    scene = Scene("one", found, wanted or {}, here, {ID: SOURCE}, **more)
    return attach_plan.plan(scene, NOW)


def reports(*names: str) -> Patch:
    listed = [{"name": name, "devicePath": ""} for name in names] or None
    return Patch(NODE_REF, {"status": {"volumesAttached": listed}}, "status", uid="n")


GONE = Delete(REF, "u")
UNUSED = {ID: UNIQUE}


def test_what_a_pod_needs_is_attached() -> None:
    spec = {
        "attacher": "a.example.com",
        "nodeName": "one",
        "source": {"persistentVolumeName": "disk"},
    }
    head = {"apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttachment"}
    made = Create(VOLUMEATTACHMENT, {**head, "metadata": {"name": ID}, "spec": spec})
    assert planned(node(), wanted=WANTED) == Plan((made,))
    assert planned(node(managed=False), wanted=WANTED) == Plan()
    assert planned(None, wanted=WANTED) == Plan()


def test_an_attachment_that_is_done_is_told_once_and_reported_to_the_node() -> None:
    note = 'AttachVolume.Attach succeeded for volume "disk" '
    told = Tell(POD, "SuccessfulAttachVolume", note)
    assert planned(node(), attachment(), wanted=WANTED).actions == (told, reports(UNIQUE))
    assert planned(node(attached=(UNIQUE,)), attachment(), wanted=WANTED) == Plan()
    others = node(attached=("other", UNIQUE))
    assert planned(others, attachment(), wanted=WANTED).actions == (reports(UNIQUE),)


def test_an_attachment_on_its_way_is_waited_for_and_then_told_of_once() -> None:
    assert planned(node(), attachment(attached=False), wanted=WANTED) == Plan(again=110)
    late = attachment(attached=False, born=120)
    problem = "timed out waiting for external-attacher of a.example.com CSI driver to attach volume"
    note = f'AttachVolume.Attach failed for volume "disk" : {problem} handle'
    first = planned(node(), late, wanted=WANTED)
    assert first.actions == (Tell(POD, "FailedAttachVolume", note, "Warning"),)
    assert first.again is None
    assert planned(node(), late, wanted=WANTED, told=first.told) == Plan((), None, first.told)


def test_what_an_attacher_says_is_told_to_the_pods_once() -> None:
    failed = attachment(attached=False, attachError={"message": "rpc error: no"})
    note = 'AttachVolume.Attach failed for volume "disk" : rpc error: no'
    first = planned(node(), failed, wanted=WANTED)
    assert first.actions == (Tell(POD, "FailedAttachVolume", note, "Warning"),)
    assert planned(node(), failed, wanted=WANTED, told=first.told).actions == ()
    other = attachment(attached=False, attachError={"message": "rpc error: still"})
    assert len(planned(node(), other, wanted=WANTED, told=first.told).actions) == 1


def test_what_is_not_needed_and_not_in_use_is_reported_and_then_detached() -> None:
    assert planned(node(), attachment()) == Plan((GONE,), unused=UNUSED)
    reported = node(attached=(UNIQUE,))
    assert planned(reported, attachment()) == Plan((reports(), GONE), unused=UNUSED)
    assert planned(node(), attachment(attached=False)) == Plan((GONE,), unused=UNUSED)
    leaving = attachment(deleted=True)
    assert planned(node(attached=(UNIQUE,)), leaving) == Plan((reports(),))
    assert planned(node(), leaving, wanted=WANTED) == Plan()


def test_what_is_in_use_on_a_sound_node_stays() -> None:
    used = node(UNIQUE, attached=(UNIQUE,))
    assert planned(used, attachment(), since={ID: NOW - 1000}) == Plan()


def test_what_is_in_use_on_a_lost_node_goes_after_six_minutes() -> None:
    used = node(UNIQUE, attached=(UNIQUE,), ready="Unknown")
    assert planned(used, attachment(), since={ID: NOW - 100}) == Plan((), 260)
    assert planned(used, attachment()) == Plan((), 360)
    assert planned(used, attachment(), since={ID: NOW - 360}) == Plan((reports(), GONE))
    assert planned(None, attachment(), since={ID: NOW - 100}) == Plan((), 260)
    assert planned(None, attachment(), since={ID: NOW - 360}) == Plan((GONE,))


def test_what_is_in_use_on_a_node_out_of_service_goes_at_once() -> None:
    used = node(UNIQUE, ready="Unknown", taint=OUT_OF_SERVICE)
    assert planned(used, attachment()) == Plan((GONE,))
    assert planned(used, attachment(), wanted=WANTED).actions[-1] == reports(UNIQUE)
    lost = "node.kubernetes.io/unreachable"
    other = node(UNIQUE, attached=(UNIQUE,), ready="Unknown", taint=lost)
    assert planned(other, attachment()) == Plan((), 360)


def test_attachments_of_somebody_else_are_left_alone() -> None:
    assert planned(node(), attachment(name="va-of-a-test")) == Plan()
    assert planned(node(), attachment(name="csi-0123")) == Plan()


@pytest.mark.parametrize(
    ("rivals", "why"),
    [
        (
            Rivals(True),
            "Volume is already exclusively attached to one node and can't be attached to another",
        ),
        (Rivals(True, ("a", "b")), "Volume is already used by pod(s) a, b"),
    ],
)
def test_a_volume_that_another_node_has_is_waited_for_and_told_of_once(
    rivals: Rivals, why: str
) -> None:
    note = f'Multi-Attach error for volume "disk" {why}'
    first = planned(node(), wanted=WANTED, rivals={ID: rivals})
    assert first.actions == (Tell(POD, "FailedAttachVolume", note, "Warning"),)
    again = planned(node(), wanted=WANTED, rivals={ID: rivals}, told=first.told)
    assert again == Plan((), None, first.told)


def test_a_volume_that_another_node_may_have_is_looked_at_again_soon() -> None:
    unknown = {ID: Rivals(uncertain=True)}
    assert planned(node(), wanted=WANTED, rivals=unknown) == Plan(again=5)
    both = {ID: Rivals(True, uncertain=True)}
    assert planned(node(), wanted=WANTED, rivals=both).again is None


@pytest.mark.parametrize(
    ("modes", "shared"),
    [
        (["ReadWriteOnce"], False),
        (["ReadWriteOncePod"], False),
        (["ReadWriteOnce", "ReadOnlyMany"], True),
        (["ReadWriteMany"], True),
        ([], True),
    ],
)
def test_a_volume_for_many_is_attached_to_many(modes: list[str], shared: bool) -> None:
    disk = volume("disk", modes=modes, csi={"driver": "a.example.com", "volumeHandle": "handle"})
    wanted = {ID: Wanted(disk, SOURCE, (POD,))}
    found = planned(node(), wanted=wanted, rivals={ID: Rivals(True)}).actions
    assert isinstance(found[0], Create) is shared


def test_a_pod_needs_its_volumes_until_nothing_of_it_runs() -> None:
    running = [{"name": "c", "state": {"running": {"startedAt": time(5)}}}]
    ended = [{"name": "c", "state": {"terminated": {"exitCode": 0}}}]
    waiting = [{"name": "c", "state": {"waiting": {"reason": "x"}}}]
    is_ended = attach_plan.is_ended
    assert not is_ended(pod("a", status={"containerStatuses": ended}))
    assert is_ended(pod("a", phase="Succeeded")) and is_ended(pod("a", phase="Failed"))
    assert not is_ended(pod("a", deleted=True, status={"containerStatuses": running}))
    both = [*running, *ended]
    assert not is_ended(pod("a", deleted=True, status={"containerStatuses": both}))
    for found in (ended, waiting, []):
        assert is_ended(pod("a", deleted=True, status={"containerStatuses": found}))


def test_only_volumes_of_drivers_have_a_source() -> None:
    assert attach_plan.source_of(DISK.spec) == SOURCE
    assert attach_plan.source_of(volume("x", hostPath={"path": "/x"}).spec) is None
    assert attach_plan.source_of(None) is None
    assert SOURCE.name == UNIQUE and SOURCE.attachment("one") == ID


NODES = "/api/v1/nodes"
PODS = "/api/v1/namespaces/default/pods"
CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"
VOLUMES = "/api/v1/persistentvolumes"
STORAGE = "/apis/storage.k8s.io/v1"
ATTACHMENTS = f"{STORAGE}/volumeattachments"
EVENTS = "/api/v1/namespaces/default/events"
READY = {"conditions": [{"type": "Ready", "status": "True"}]}


async def with_nodes(api: Served, *names: str) -> None:
    for name in names:
        metadata = {"name": name, "annotations": {ATTACHES: "true"}}
        (await api.post(NODES, {"metadata": metadata, "status": READY})).ok()


HANDLE = {"csi": {"driver": "a.example.com", "volumeHandle": "handle"}}


async def with_claim(api: Served, name: str = "disk", source: Any = HANDLE) -> None:
    """Makes a claim that is bound to a volume of a driver."""
    asked = {"accessModes": ["ReadWriteOnce"], "storageClassName": "", "volumeName": name}
    spec = {**asked, "resources": {"requests": {"storage": "1Gi"}}}
    claim = (await api.post(CLAIMS, {"metadata": {"name": "data"}, "spec": spec})).ok()
    owner = {"namespace": "default", "name": "data", "uid": claim["metadata"]["uid"]}
    disk = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "claimRef": owner,
        **source,
    }
    (await api.post(VOLUMES, {"metadata": {"name": name}, "spec": disk})).ok()


async def bound(api: Served) -> None:
    (await api.patch(f"{CLAIMS}/data/status", {"status": {"phase": "Bound"}})).ok()


async def runs(api: Served, name: str, node: str) -> None:
    volumes = [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]
    containers = [{"name": "c", "image": "i"}]
    spec = {"nodeName": node, "containers": containers, "volumes": volumes}
    (await api.post(PODS, {"metadata": {"name": name}, "spec": spec})).ok()
    await api.world.sleep(1)


async def attachments(api: Served) -> list[str]:
    await api.world.sleep(1)
    return [it["spec"]["nodeName"] for it in (await api.get(ATTACHMENTS)).ok()["items"]]


async def attach(api: Served, node: str = "one") -> None:
    """Does what a driver's attacher does, which holds the attachment by a finalizer."""
    path = f"{ATTACHMENTS}/{SOURCE.attachment(node)}"
    held = {"metadata": {"finalizers": ["external-attacher/a-example-com"]}}
    (await api.patch(path, held)).ok()
    (await api.patch(f"{path}/status", {"status": {"attached": True}})).ok()
    await api.world.sleep(1)


async def detach(api: Served, node: str = "one") -> None:
    path = f"{ATTACHMENTS}/{SOURCE.attachment(node)}"
    assert (await api.get(path)).ok()["metadata"]["deletionTimestamp"]
    (await api.patch(path, {"metadata": {"finalizers": None}})).ok()
    await api.world.sleep(1)


async def reported(api: Served, node: str = "one") -> list[str]:
    found = (await api.get(f"{NODES}/{node}")).ok()["status"]
    return [it["name"] for it in found.get("volumesAttached") or ()]


async def in_use(api: Served, *names: str, node: str = "one") -> None:
    status = {"status": {"volumesInUse": list(names)}}
    (await api.patch(f"{NODES}/{node}/status", status)).ok()
    await api.world.sleep(1)


async def reasons(api: Served, name: str) -> list[str]:
    items = (await api.get(EVENTS)).ok()["items"]
    return [it["reason"] for it in items if it["involvedObject"]["name"] == name]


async def ended(api: Served, name: str) -> None:
    (await api.delete(f"{PODS}/{name}", gracePeriodSeconds="0")).ok()


@served
async def test_a_volume_follows_its_pod_from_node_to_node(api: Served) -> None:
    async with controlled(api, AttachDetachController):
        await with_nodes(api, "one", "two")
        await with_claim(api)
        await runs(api, "first", "one")
        assert await attachments(api) == []
        await bound(api)
        assert await attachments(api) == ["one"]
        assert await reported(api) == []
        await attach(api)
        assert await reported(api) == [UNIQUE]
        assert await reasons(api, "first") == ["SuccessfulAttachVolume"]
        await in_use(api, UNIQUE)
        await ended(api, "first")
        await runs(api, "second", "two")
        assert await attachments(api) == ["one"]
        assert await reasons(api, "second") == ["FailedAttachVolume"]
        await in_use(api)
        assert await reported(api) == []
        assert await attachments(api) == ["one"]  # until the attacher lets it go
        await detach(api)
        assert await attachments(api) == ["two"]
        await attach(api, "two")
        assert await reported(api, "two") == [UNIQUE]


@served
async def test_a_volume_leaves_a_node_that_is_lost(api: Served) -> None:
    async with controlled(api, AttachDetachController):
        await with_nodes(api, "one")
        await with_claim(api)
        await bound(api)
        await runs(api, "first", "one")
        await attach(api)
        await in_use(api, UNIQUE)
        await ended(api, "first")
        await api.world.sleep(600)
        lost = {"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}
        assert await reported(api) == [UNIQUE]
        (await api.patch(f"{NODES}/one/status", lost)).ok()
        await api.world.sleep(1)
        await detach(api)
        assert await attachments(api) == []


@served
async def test_the_volumes_of_a_node_that_is_gone_leave_after_six_minutes(api: Served) -> None:
    async with controlled(api, AttachDetachController):
        await with_nodes(api, "one")
        await with_claim(api)
        await bound(api)
        await runs(api, "first", "one")
        await attach(api)
        (await api.delete(f"{NODES}/one")).ok()
        await ended(api, "first")
        await api.world.sleep(350)
        path = f"{ATTACHMENTS}/{SOURCE.attachment('one')}"
        assert "deletionTimestamp" not in (await api.get(path)).ok()["metadata"]
        await api.world.sleep(15)
        await detach(api)
        assert await attachments(api) == []


@served
async def test_a_pod_that_has_ended_keeps_no_volume(api: Served) -> None:
    async with controlled(api, AttachDetachController):
        await with_nodes(api, "one")
        await with_claim(api)
        await bound(api)
        await runs(api, "first", "one")
        assert await attachments(api) == ["one"]
        (await api.patch(f"{PODS}/first/status", {"status": {"phase": "Succeeded"}})).ok()
        assert await attachments(api) == []


@served
async def test_a_volume_of_another_claim_is_not_attached(api: Served) -> None:
    async with controlled(api, AttachDetachController):
        await with_nodes(api, "one")
        await with_claim(api)
        for path in (f"{CLAIMS}/data", f"{VOLUMES}/disk"):
            (await api.patch(path, {"metadata": {"finalizers": None}})).ok()
        claim = (await api.get(f"{CLAIMS}/data")).ok()
        (await api.delete(f"{CLAIMS}/data")).ok()
        again = {"metadata": {"name": "data"}, "spec": claim["spec"]}
        (await api.post(CLAIMS, again)).ok()
        await bound(api)
        await runs(api, "first", "one")
        assert await attachments(api) == []


@served
async def test_a_node_is_asked_itself_whether_it_has_a_volume_in_use(api: Served) -> None:
    await with_nodes(api, "one")
    async with controlled(api, AttachDetachController, through=behind(NODE)):
        await with_claim(api)
        await bound(api)
        await runs(api, "first", "one")
        assert await attachments(api) == ["one"]
        await in_use(api, UNIQUE)
        await ended(api, "first")
        await api.world.sleep(60)
        assert await attachments(api) == ["one"]
        await in_use(api)
        await api.world.sleep(60)
        assert await attachments(api) == []


@served
async def test_a_driver_that_needs_no_attaching_gets_none(api: Served) -> None:
    driver = {"metadata": {"name": "a.example.com"}, "spec": {"attachRequired": False}}
    (await api.post(f"{STORAGE}/csidrivers", driver)).ok()
    async with controlled(api, AttachDetachController):
        await with_nodes(api, "one")
        await with_claim(api)
        await bound(api)
        await runs(api, "first", "one")
        assert await attachments(api) == []
        (await api.delete(f"{STORAGE}/csidrivers/a.example.com")).ok()
        assert await attachments(api) == ["one"]


@served
async def test_two_nodes_never_get_a_volume_for_one_at_once(api: Served) -> None:
    await with_nodes(api, "one", "two", "three")
    await with_claim(api)
    await bound(api)
    for name in ("one", "two", "three"):
        await runs(api, f"on-{name}", name)
    async with controlled(api, AttachDetachController):
        assert len(await attachments(api)) == 1


# Volumes of upstream's tree

EBS, PLUGIN = "ebs.csi.aws.com", "kubernetes.io/aws-ebs"
MARKS = {"storage.alpha.kubernetes.io/migrated-plugins": PLUGIN}
ELASTIC = Source(EBS, "vol-1")
CSI_NODES = f"{STORAGE}/csinodes"


async def with_driver(api: Served, node: str, *, marks: Any = MARKS) -> None:
    entry = {"name": EBS, "nodeID": node, "topologyKeys": []}
    metadata = {"name": node, "annotations": marks}
    (await api.post(CSI_NODES, {"metadata": metadata, "spec": {"drivers": [entry]}})).ok()


async def without_driver(api: Served, node: str) -> None:
    (await api.delete(f"{CSI_NODES}/{node}")).ok()
    metadata = {"name": node, "annotations": MARKS}
    (await api.post(CSI_NODES, {"metadata": metadata, "spec": {"drivers": []}})).ok()


async def with_elastic_claim(api: Served) -> None:
    """Makes a claim that is bound to a volume of upstream's tree."""
    source = {"awsElasticBlockStore": {"volumeID": "aws://z/vol-1"}}
    await with_claim(api, "old", source)
    await bound(api)


async def runs_inline(api: Served, name: str, node: str, volume: str = "vol-1") -> None:
    source = {"volumeID": volume, "fsType": "ext4", "partition": 2, "readOnly": True}
    volumes = [{"name": "d", "awsElasticBlockStore": source}]
    containers = [{"name": "c", "image": "i"}]
    spec = {"nodeName": node, "containers": containers, "volumes": volumes}
    (await api.post(PODS, {"metadata": {"name": name}, "spec": spec})).ok()
    await api.world.sleep(1)


async def sources(api: Served) -> list[Any]:
    await api.world.sleep(1)
    return [it["spec"]["source"] for it in (await api.get(ATTACHMENTS)).ok()["items"]]


async def attach_elastic(api: Served, node: str) -> None:
    path = f"{ATTACHMENTS}/{ELASTIC.attachment(node)}/status"
    (await api.patch(path, {"status": {"attached": True}})).ok()
    await api.world.sleep(1)


@served
async def test_a_volume_of_upstreams_tree_is_attached_once_the_node_has_its_driver(
    api: Served,
) -> None:
    async with controlled(api, AttachDetachController):
        await with_nodes(api, "one")
        await with_elastic_claim(api)
        await runs(api, "first", "one")
        assert await attachments(api) == []
        await with_driver(api, "one")
        assert await sources(api) == [{"persistentVolumeName": "old"}]
        found = (await api.get(f"{ATTACHMENTS}/{ELASTIC.attachment('one')}")).ok()
        assert found["spec"]["attacher"] == EBS
        await attach_elastic(api, "one")
        assert await reported(api) == [ELASTIC.name]
        assert await reasons(api, "first") == ["SuccessfulAttachVolume"]
        await without_driver(api, "one")  # it is back soon: what is attached stays
        assert await attachments(api) == ["one"]
        await ended(api, "first")
        assert await attachments(api) == []


@served
async def test_a_node_that_leaves_a_plugin_to_nobody_gets_no_attachment(api: Served) -> None:
    async with controlled(api, AttachDetachController):
        await with_nodes(api, "one")
        await with_driver(api, "one", marks={next(iter(MARKS)): "kubernetes.io/cinder"})
        await with_elastic_claim(api)
        await runs(api, "first", "one")
        await runs_inline(api, "second", "one")
        assert await attachments(api) == []
        (await api.patch(f"{CSI_NODES}/one", {"metadata": {"annotations": MARKS}})).ok()
        assert await attachments(api) == ["one"]


@served
async def test_what_a_pod_names_itself_stands_in_the_attachment(api: Served) -> None:
    async with controlled(api, AttachDetachController):
        await with_nodes(api, "one")
        await with_driver(api, "one")
        await runs_inline(api, "bad", "one", "aws://z/disk")
        assert await attachments(api) == []
        await runs_inline(api, "first", "one", "aws://z/vol-1")
        csi = {
            "driver": EBS,
            "volumeHandle": "vol-1",
            "readOnly": True,
            "fsType": "ext4",
            "volumeAttributes": {"partition": "2"},
        }
        spec = {"accessModes": ["ReadWriteOnce"], "csi": csi, "volumeMode": "Filesystem"}
        (found,) = (await api.get(ATTACHMENTS)).ok()["items"]
        inline = found["spec"]["source"].pop("inlineVolumeSpec")
        assert found["spec"]["source"] == {}
        assert {key: inline[key] for key in spec} == spec
        assert found["metadata"]["name"] == ELASTIC.attachment("one")
        assert await attachments(api) == ["one"]
        await attach_elastic(api, "one")
        assert await reported(api) == [ELASTIC.name]
        (event,) = [
            it
            for it in (await api.get(EVENTS)).ok()["items"]
            if it["involvedObject"]["name"] == "first"
        ]
        text = 'AttachVolume.Attach succeeded for volume "ebs.csi.aws.com-vol-1" '
        assert (event["reason"], event["message"]) == ("SuccessfulAttachVolume", text)
        await ended(api, "first")
        assert await attachments(api) == []


@served
async def test_a_volume_is_one_whether_pods_name_it_or_claim_it(api: Served) -> None:
    async with controlled(api, AttachDetachController):
        await with_nodes(api, "one", "two")
        await with_driver(api, "one")
        await with_driver(api, "two")
        await with_elastic_claim(api)
        await runs_inline(api, "first", "one")
        await runs_inline(api, "second", "two")
        await runs(api, "third", "two")
        assert await attachments(api) == ["one"]
        items = (await api.get(EVENTS)).ok()["items"]
        told = {it["message"] for it in items if it["involvedObject"]["name"] == "second"}
        text = 'Multi-Attach error for volume "old" Volume is already used by pod(s) first'
        assert told <= {text, text.replace('"old"', '"ebs.csi.aws.com-vol-1"')} and told
        await ended(api, "first")
        assert await attachments(api) == ["two"]
        await ended(api, "second")
        assert await attachments(api) == ["two"]
        await runs_inline(api, "fourth", "one")
        await ended(api, "third")
        assert await attachments(api) == ["one"]
