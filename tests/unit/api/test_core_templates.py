"""Templates: what is remembered of a new pod's rest, and what makes it be forgotten."""

from __future__ import annotations

from typing import Any

import pytest

from served import MERGE, NAMESPACES, PODS, Served, pod, served
from steersman.api.templates import MOST_BYTES, MOST_TEMPLATES, Templates
from steersman.wire.message import User

NODE = User("system:node:n", ("system:nodes", "system:authenticated"))
ACCOUNT = "/api/v1/namespaces/default/serviceaccounts/default"
NODES = "/api/v1/nodes"
CLASSES = "/apis/scheduling.k8s.io/v1/priorityclasses"


def known(api: Served) -> int:
    """Returns how many templates the server knows."""
    templates: Templates = api.assembly.writer.templates
    return len(templates)


async def made(api: Served, name: str, **meta: Any) -> dict[str, Any]:
    given = pod(name)
    given["metadata"] |= meta
    return (await api.post(PODS, given)).ok()


@served
async def test_pods_of_one_template_share_all_but_their_metadata(api: Served) -> None:
    first = await made(api, "a", labels={"index": "1"})
    second = await made(api, "b", labels={"index": "2"})
    assert known(api) == 1
    assert {**first, "metadata": 0} == {**second, "metadata": 0}
    meta = second["metadata"]
    assert (meta["name"], meta["labels"]) == ("b", {"index": "2"})
    assert meta["uid"] != first["metadata"]["uid"]
    assert meta["managedFields"] == first["metadata"]["managedFields"]


@served
async def test_other_names_in_metadata_are_another_template(api: Served) -> None:
    await made(api, "a")
    labelled = await made(api, "b", labels={"x": "y"})
    assert known(api) == 2
    fields = labelled["metadata"]["managedFields"][0]["fieldsV1"]
    assert fields["f:metadata"] == {"f:labels": {".": {}, "f:x": {}}}


@served
async def test_another_manager_owns_what_it_makes(api: Served) -> None:
    await made(api, "a")
    answer = await api.post(PODS, pod("b"), agent="other")
    assert answer.ok()["metadata"]["managedFields"][0]["manager"] == "other"


@served
async def test_metadata_of_a_known_template_is_checked(api: Served) -> None:
    await made(api, "a")
    answer = await api.post(PODS, pod("Bad_"))
    assert answer.code == 422
    assert [cause["field"] for cause in answer.document["details"]["causes"]] == ["metadata.name"]


@served
async def test_a_taken_name_of_a_known_template_is_refused(api: Served) -> None:
    await made(api, "a")
    await made(api, "b")
    assert (await api.post(PODS, pod("b"))).message == 'pods "b" already exists'


@served
async def test_a_namespace_that_goes_takes_no_pod_of_a_known_template(api: Served) -> None:
    (await api.post(NAMESPACES, {"metadata": {"name": "n"}})).ok()
    path = "/api/v1/namespaces/n"
    (await api.post(f"{path}/serviceaccounts", {"metadata": {"name": "default"}})).ok()
    (await api.post(f"{path}/pods", pod("a"))).ok()
    (await api.delete(path)).ok()
    answer = await api.post(f"{path}/pods", pod("b"))
    assert answer.code == 403
    assert "because it is being terminated" in answer.message


@served
async def test_a_removed_account_is_missed_by_known_templates(api: Served) -> None:
    await made(api, "a")
    (await api.delete(ACCOUNT)).ok()
    assert (await api.post(PODS, pod("b"))).code == 403


@served
async def test_a_new_default_priority_reaches_known_templates(api: Served) -> None:
    await made(api, "a")
    given = {"metadata": {"name": "high"}, "value": 7, "globalDefault": True}
    (await api.post(CLASSES, given)).ok()
    assert (await made(api, "b"))["spec"]["priority"] == 7


@served
async def test_strict_validation_is_not_deceived_by_what_was_ignored(api: Served) -> None:
    odd = {**pod("a"), "odd": 1}
    assert (await api.post(PODS, odd, fieldValidation="Ignore")).code == 201
    odd["metadata"] = {"name": "b"}
    assert (await api.post(PODS, odd, fieldValidation="Strict")).code == 400
    warned = await api.post(PODS, odd)
    assert warned.headers["Warning"] == '299 - "unknown field \\"odd\\""'
    assert known(api) == 1


@served
async def test_a_node_makes_no_pod_by_a_template_that_others_made_known(api: Served) -> None:
    await made(api, "a", annotations={"x": "y"})
    given = pod("b")
    given["metadata"]["annotations"] = {"x": "y"}
    refused = await api.post(PODS, given, user=NODE)
    assert refused.code == 403
    assert 'pod does not have "kubernetes.io/config.mirror" annotation' in refused.message


@served
async def test_a_mirror_pod_is_never_of_a_template(api: Served) -> None:
    given = pod("a", nodeName="m")
    given["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
    (await api.post(PODS, given)).ok()
    assert known(api) == 0


@served
async def test_a_pod_that_names_its_node_is_of_no_template(api: Served) -> None:
    """Its node tells it where it is, and may come to know it later."""
    (await api.post(NODES, {"metadata": {"name": "m"}})).ok()
    assert "labels" not in (await api.post(PODS, pod("a", nodeName="m"))).ok()["metadata"]
    zone = {"topology.kubernetes.io/zone": "z"}
    (await api.patch(f"{NODES}/m", {"metadata": {"labels": zone}}, MERGE)).ok()
    made = (await api.post(PODS, pod("b", nodeName="m"))).ok()
    assert made["metadata"]["labels"] == zone
    assert known(api) == 0


@served
async def test_an_annotation_that_is_read_is_checked_whatever_is_known(api: Served) -> None:
    await made(api, "a")
    given = pod("b")
    given["metadata"]["annotations"] = {"controller.kubernetes.io/pod-deletion-cost": "x"}
    path = "metadata.annotations[controller.kubernetes.io/pod-deletion-cost]"
    for answer in (
        await api.post(PODS, given),
        await api.put(f"{PODS}/a", {**given, "metadata": {**given["metadata"], "name": "a"}}),
    ):
        assert answer.code == 422
        assert [cause["field"] for cause in answer.document["details"]["causes"]][:1] == [path]


@pytest.mark.parametrize(
    "body",
    [
        b'{"metadata":null,"spec":{}}',
        b'{"metadata":[],"spec":{}}',
        b'{"metadata":{"name":1},"spec":{}}',
        b'{"metadata":{"ownerReferences":[{"uid":{}}]},"spec":{}}',
        b'{"spec":{}}',
        b'{"metadata":{"name":"x"}',
    ],
)
@served
async def test_an_odd_body_is_of_no_template(api: Served, body: bytes) -> None:
    for _ in range(2):
        assert 400 <= (await api.post(PODS, body)).code < 500
    assert known(api) == 0


@served
async def test_of_metadata_that_comes_twice_the_last_is_meant_also_when_known(api: Served) -> None:
    spec = b'"spec":{"containers":[{"name":"m","image":"i"}]}'
    for name in (b"a", b"b"):
        body = b'{"metadata":{"name":"x"},%b,"metadata":{"name":"%b"}}' % (spec, name)
        answer = await api.post(PODS, body)
        assert answer.ok()["metadata"]["name"] == name.decode()


@served
async def test_metadata_that_stands_elsewhere_too_is_of_no_template(api: Served) -> None:
    """What is cut out of the body may be the other."""
    meta = b'{"generateName":"a-"}'
    claim = b'{"metadata":%b,"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":'
    claim += b'{"storage":"1Gi"}}}}'
    volume = b'"volumes":[{"name":"v","ephemeral":{"volumeClaimTemplate":%b}}]' % claim
    spec = b'"spec":{"containers":[{"name":"m","image":"i"}],%b}' % volume
    body = b'{%b,"metadata":%b}' % (spec % b'{"labels":{"a":"b"}}', meta)
    assert (await api.post(PODS, body)).ok()["metadata"]["generateName"] == "a-"
    assert known(api) == 1
    body = b'{%b,"metadata":{"labels":{"a":"b"},"name":"x"}}' % spec
    (await api.post(PODS, body % b'{"labels":{"a":"b"},"name":"x"}')).ok()
    assert known(api) == 1


@served
async def test_templates_are_bounded_in_number_and_size(api: Served) -> None:
    for number in range(MOST_TEMPLATES + 1):
        (await api.post(PODS, pod(f"a-{number}", hostname=f"h{number}"))).ok()
    assert known(api) == MOST_TEMPLATES // 2 + 1
    (await api.post(PODS, pod("long", subdomain="x", nodeName="n" * 9))).ok()
    before = known(api)
    given = pod("longer")
    given["spec"]["containers"][0]["args"] = ["x" * MOST_BYTES]
    (await api.post(PODS, given)).ok()
    assert known(api) == before


@served
async def test_pods_whose_selectors_hold_their_own_labels_are_of_no_template(api: Served) -> None:
    constraint: dict[str, Any] = {
        "maxSkew": 1,
        "topologyKey": "zone",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {"app": "web"}},
        "matchLabelKeys": ["hash"],
    }
    for name in "ab":
        given = pod(name)
        given["metadata"]["labels"] = {"hash": name}
        given["spec"]["topologySpreadConstraints"] = [constraint]
        stored = (await api.post(PODS, given)).ok()["spec"]["topologySpreadConstraints"]
        expression = {"key": "hash", "operator": "In", "values": [name]}
        selector = {**constraint["labelSelector"], "matchExpressions": [expression]}
        assert stored == [{**constraint, "labelSelector": selector}]
    assert known(api) == 0


@served
async def test_what_becomes_of_nodes_makes_no_template_be_forgotten(api: Served) -> None:
    nodes = "/api/v1/nodes"
    (await api.post(nodes, {"metadata": {"name": "n"}})).ok()
    await made(api, "a")
    (await api.patch(f"{nodes}/n", {"metadata": {"annotations": {"a": "b"}}})).ok()
    await made(api, "b")
    assert known(api) == 1


@served
async def test_pods_that_name_their_node_have_its_labels_as_they_are_when_the_pod_is_made(
    api: Served,
) -> None:
    nodes = "/api/v1/nodes"
    for name in ("n", "m"):
        (await api.post(nodes, {"metadata": {"name": name}})).ok()
    for number in range(3):
        zone = {"topology.kubernetes.io/zone": f"z{number}"}
        (await api.patch(f"{nodes}/n", {"metadata": {"labels": zone}})).ok()
        given = pod(f"p{number}")
        given["spec"]["nodeName"] = "n"
        assert (await api.post(PODS, given)).ok()["metadata"]["labels"] == zone
    assert known(api) == 0
