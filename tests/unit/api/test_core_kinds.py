"""Every stored kind through every verb, on its smallest valid object."""

from __future__ import annotations

from typing import Any

import pytest
from tests.authorities import certificate, request, stub_request

from served import (
    APPLY,
    JSON_PATCH,
    MERGE,
    METADATA_LIST,
    STRATEGIC,
    TABLE,
    Document,
    Served,
    served,
)
from steersman.model import builtin
from steersman.model.kind import Kind

# The server itself goes on to write a definition (test_custom_serving.py holds its life)
STORED = [
    kind for kind in builtin.all() if kind.stored and kind.plural != "customresourcedefinitions"
]
LABELS = {"app": "x"}
TEMPLATE = {
    "metadata": {"labels": LABELS},
    "spec": {"containers": [{"name": "main", "image": "busybox"}]},
}
ONCE = {**TEMPLATE, "spec": {**TEMPLATE["spec"], "restartPolicy": "Never"}}
WORKLOAD = {"selector": {"matchLabels": LABELS}, "template": TEMPLATE}
MATCH = {
    "resourceRules": [
        {
            "operations": ["CREATE"],
            "apiGroups": [""],
            "apiVersions": ["v1"],
            "resources": ["pods"],
        }
    ]
}
GROUP = "rbac.authorization.k8s.io"
POD_CERTIFICATE = {
    "signerName": "example.com/x",
    **{f"{whose}Name": "x" for whose in ("pod", "serviceAccount", "node")},
    **{f"{whose}UID": "x" for whose in ("pod", "serviceAccount", "node")},
    "stubPKCS10Request": stub_request(),
}
# What a kind needs beside a name
BODIES: dict[str, Document] = {
    "pods": {"spec": TEMPLATE["spec"]},
    "services": {"spec": {"ports": [{"port": 80}]}},
    "replicationcontrollers": {"spec": {"selector": LABELS, "template": TEMPLATE}},
    "deployments": {"spec": WORKLOAD},
    "replicasets": {"spec": WORKLOAD},
    "daemonsets": {"spec": WORKLOAD},
    "statefulsets": {"spec": {**WORKLOAD, "serviceName": "x"}},
    "jobs": {"spec": {"template": ONCE}},
    "cronjobs": {"spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": ONCE}}}},
    "endpointslices": {"addressType": "IPv4", "endpoints": []},
    "clusterrolebindings": {
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": "view"},
    },
    "rolebindings": {"roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": "view"}},
    "priorityclasses": {"value": 1},
    "storageclasses": {"provisioner": "x.example.com"},
    "runtimeclasses": {"handler": "x"},
    "horizontalpodautoscalers": {
        "spec": {
            "maxReplicas": 3,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"},
        }
    },
    "certificatesigningrequests": {
        "spec": {"request": request("x"), "signerName": "example.com/x", "usages": ["client auth"]}
    },
    "controllerrevisions": {"revision": 1, "data": {}},
    "persistentvolumeclaims": {
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        }
    },
    "persistentvolumes": {
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": "1Gi"},
            "hostPath": {"path": "/x"},
        }
    },
    "podtemplates": {"template": TEMPLATE},
    "volumeattachments": {
        "spec": {
            "attacher": "x.example.com",
            "nodeName": "x",
            "source": {"persistentVolumeName": "x"},
        }
    },
    "csistoragecapacities": {"storageClassName": "x"},
    "volumeattributesclasses": {"driverName": "x.example.com", "parameters": {"a": "b"}},
    "csinodes": {"spec": {"drivers": []}},
    "flowschemas": {"spec": {"priorityLevelConfiguration": {"name": "x"}, "matchingPrecedence": 5}},
    "prioritylevelconfigurations": {
        "spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}}
    },
    "apiservices": {
        "spec": {
            "group": "x",
            "version": "v1",
            "groupPriorityMinimum": 1,
            "versionPriority": 1,
        }
    },
    "clustertrustbundles": {"spec": {"trustBundle": certificate("x")}},
    "customresourcedefinitions": {
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "xs", "kind": "X"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object"}},
                }
            ],
        }
    },
    "storageversionmigrations": {"spec": {"resource": {"resource": "pods"}}},
    "validatingadmissionpolicies": {
        "spec": {"matchConstraints": MATCH, "validations": [{"expression": "true"}]}
    },
    "mutatingadmissionpolicies": {
        "spec": {
            "matchConstraints": MATCH,
            "mutations": [
                {
                    "patchType": "JSONPatch",
                    "jsonPatch": {"expression": "[JSONPatch{op: 'remove', path: '/a'}]"},
                }
            ],
            "reinvocationPolicy": "Never",
        }
    },
    "validatingadmissionpolicybindings": {
        "spec": {"policyName": "x", "validationActions": ["Deny"]}
    },
    "mutatingadmissionpolicybindings": {"spec": {"policyName": "x"}},
    "ingressclasses": {"spec": {"controller": "example.com/x"}},
    "servicecidrs": {"spec": {"cidrs": ["10.99.0.0/24"]}},
    "ipaddresses": {"spec": {"parentRef": {"resource": "services", "name": "x"}}},
    "devicetaintrules": {"spec": {"taint": {"key": "example.com/x", "effect": "NoSchedule"}}},
    "resourceslices": {
        "spec": {
            "driver": "x.example.com",
            "pool": {"name": "x", "generation": 1, "resourceSliceCount": 1},
            "allNodes": True,
        }
    },
    "podcertificaterequests": {"spec": POD_CERTIFICATE},
    "ingresses": {"spec": {"defaultBackend": {"service": {"name": "x", "port": {"number": 80}}}}},
}
EVENT = {
    "involvedObject": {"kind": "Pod", "namespace": "default", "name": "x"},
    "reason": "Tested",
    "message": "x",
    "type": "Normal",
}


# What a kind is named where it is not free to choose
NAMES = {
    "ipaddresses": "10.96.7.7",
    "apiservices": "v1.x",
    "customresourcedefinitions": "xs.example.com",
}


# What waits for a controller to be gone
ENDED_BY_CONTROLLERS = ("Namespace", "CustomResourceDefinition")


def name_of(kind: Kind) -> str:
    return NAMES.get(kind.plural, "x")


PROTECTED = ("PersistentVolume", "PersistentVolumeClaim", "VolumeAttributesClass")


def body_of(kind: Kind, version: str) -> Document:
    body = BODIES.get(kind.plural, {})
    if kind.plural == "events" and not kind.group:
        body = EVENT
    if kind.group == "events.k8s.io":
        body = {
            "eventTime": "2026-01-01T00:00:00.000000Z",
            "reportingController": "example.com/tests",
            "reportingInstance": "x",
            "action": "Testing",
            "reason": "Tested",
            "note": "x",
            "type": "Normal",
            "regarding": {"kind": "Pod", "namespace": "default", "name": "x"},
        }
    head = {"apiVersion": kind.api_version(version), "kind": kind.name}
    return {**head, "metadata": {"name": name_of(kind), "labels": {"a": "b"}}, **body}


def collection(kind: Kind, version: str) -> str:
    root = f"/apis/{kind.group}/{version}" if kind.group else f"/api/{version}"
    return f"{root}{'/namespaces/default' if kind.namespaced else ''}/{kind.plural}"


EACH = pytest.mark.parametrize(
    ("kind", "version"),
    [(kind, version.name) for kind in STORED for version in kind.versions],
    ids=[f"{kind.plural}.{kind.group}-{v.name}" for kind in STORED for v in kind.versions],
)


@EACH
@served
async def test_a_kind_goes_through_its_whole_life(api: Served, kind: Kind, version: str) -> None:
    path, given = collection(kind, version), body_of(kind, version)
    one = f"{path}/{given['metadata']['name']}"
    watched = await api.watch(path, resourceVersion=str(api.revision))
    created = (await api.post(path, given)).ok()
    assert (created["kind"], created["apiVersion"]) == (kind.name, kind.api_version(version))
    assert (await api.get(one)).document == created
    assert (await api.post(path, given)).code == 409
    for index, (how, patch) in enumerate(_patches(kind, version, given), start=1):
        if how == STRATEGIC and not kind.strategic:
            continue
        answer = await api.patch(one, patch, how, **_manager(how))
        assert answer.ok()["metadata"]["labels"][f"l{index}"] == "v", how
    current = (await api.get(one)).document
    same = await api.put(one, current)
    assert same.ok()["metadata"]["resourceVersion"] == current["metadata"]["resourceVersion"]
    current["metadata"]["annotations"] = {"note": "put"}
    changed = (await api.put(one, current)).ok()
    assert changed["metadata"]["resourceVersion"] != current["metadata"]["resourceVersion"]
    await _shown(api, kind, path, one)
    await _deleted(api, kind, one)
    types = [kind_of for kind_of, name in watched.brief() if one.endswith(f"/{name}")]
    assert types[0] == "ADDED"
    assert types[-1] == ("MODIFIED" if kind.name in ENDED_BY_CONTROLLERS else "DELETED")
    assert set(types[1:-1]) == {"MODIFIED"}


def _patches(kind: Kind, version: str, given: Document) -> list[tuple[str, Any]]:
    applied = {
        "apiVersion": kind.api_version(version),
        "kind": kind.name,
        "metadata": {"name": given["metadata"]["name"], "labels": {"l4": "v"}},
    }
    return [
        (JSON_PATCH, [{"op": "add", "path": "/metadata/labels/l1", "value": "v"}]),
        (MERGE, {"metadata": {"labels": {"l2": "v"}}}),
        (STRATEGIC, {"metadata": {"labels": {"l3": "v"}}}),
        (APPLY, applied),
    ]


def _manager(how: str) -> dict[str, str]:
    return {"fieldManager": "applier"} if how == APPLY else {}


async def _shown(api: Served, kind: Kind, path: str, one: str) -> None:
    listed = (await api.get(path, labelSelector="a=b,l1")).ok()
    assert listed["kind"] == f"{kind.name}List"
    name = one.rpartition("/")[2]
    assert [item["metadata"]["name"] for item in listed["items"]] == [name]
    assert "kind" not in listed["items"][0]
    selected = await api.get(path, fieldSelector=f"metadata.name={name}")
    assert selected.names == [name]
    table = (await api.get(path, accept=TABLE, labelSelector="a=b")).ok()
    assert table["kind"] == "Table"
    (row,) = table["rows"]
    assert len(row["cells"]) == len(table["columnDefinitions"])
    assert row["object"]["kind"] == "PartialObjectMetadata"
    partial = (await api.get(path, accept=METADATA_LIST, labelSelector="a=b")).ok()
    assert partial["kind"] == "PartialObjectMetadataList"
    assert set(partial["items"][0]) == {"kind", "apiVersion", "metadata"}
    for selectable in kind.selectable:
        (await api.get(path, fieldSelector=f"{selectable}!=nothing")).ok()


async def _deleted(api: Served, kind: Kind, one: str) -> None:
    answer = (await api.delete(one, propagationPolicy="Background")).ok()
    if kind.returns_deleted or kind.name in ENDED_BY_CONTROLLERS:
        assert answer["kind"] == kind.name
        if kind.name in ENDED_BY_CONTROLLERS:
            return
    else:
        assert (answer["kind"], answer["status"]) == ("Status", "Success")
        assert answer["details"]["kind"] == kind.plural
    if kind.name in PROTECTED:  # it goes when nobody needs it any more
        assert (await api.get(one)).ok()["metadata"]["deletionTimestamp"]
        await api.patch(one, {"metadata": {"finalizers": None}}, MERGE)
    assert (await api.get(one)).code == 404


@pytest.mark.parametrize(
    "kind", [it for it in STORED if "deletecollection" in it.verbs], ids=lambda it: it.plural
)
@served
async def test_a_kind_is_deleted_as_a_collection_by_its_labels(api: Served, kind: Kind) -> None:
    version = kind.versions[0].name
    path, given = collection(kind, version), body_of(kind, version)
    one = f"{path}/{given['metadata']['name']}"
    (await api.post(path, given)).ok()
    (await api.delete(path, labelSelector="a=other")).ok()
    assert "deletionTimestamp" not in (await api.get(one)).ok()["metadata"]
    (await api.delete(path, labelSelector="a=b")).ok()
    left = await api.get(one)
    assert left.code == 404 or left.document["metadata"]["deletionTimestamp"]


@EACH
@served
async def test_no_kind_takes_a_name_that_would_break_its_key(
    api: Served, kind: Kind, version: str
) -> None:
    path = collection(kind, version)
    for name in ("a/b", "..", ".", "a%b"):
        given = body_of(kind, version)
        given["metadata"]["name"] = name
        answer = await api.post(path, given)
        assert answer.code == 422, (name, answer.document)
        assert "metadata.name" in answer.message


@EACH
@served
async def test_a_kind_without_a_name_says_so(api: Served, kind: Kind, version: str) -> None:
    given = body_of(kind, version)
    given["metadata"] = {}
    answer = await api.post(collection(kind, version), given)
    if kind.plural == "limitranges":  # which upstream names by their uid
        metadata = answer.ok()["metadata"]
        assert metadata["name"] == metadata["uid"]
        return
    assert answer.code == 422
    assert "name or generateName is required" in answer.message


HAVE_STATUS = [kind for kind in STORED if kind.subresource("status")]


@pytest.mark.parametrize("kind", HAVE_STATUS, ids=lambda kind: str(kind.plural))
@served
async def test_the_status_is_written_through_its_subresource_alone(api: Served, kind: Kind) -> None:
    version = kind.storage
    path, given = collection(kind, version), body_of(kind, version)
    one = f"{path}/{given['metadata']['name']}"
    condition = {
        "type": "Tested",
        "status": "True",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
        "reason": "Tested",
        "message": "x",
    }
    wanted = {"status": {"conditions": [condition]}}
    before = (await api.post(path, given)).ok()
    if kind.name == "CustomResourceDefinition":
        return  # its status is the server's own from the beginning
    unchanged = (await api.patch(one, wanted)).ok()
    assert unchanged.get("status") == before.get("status")
    assert unchanged["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    answer = await api.patch(f"{one}/status", wanted)
    if answer.code == 422 or "conditions" not in (answer.document.get("status") or {}):
        return  # this kind's status has no conditions
    kept = (await api.patch(f"{one}/status", {"spec": {"x": 1}})).ok()
    assert kept.get("spec") == answer.document.get("spec")
    assert (await api.get(f"{one}/status")).ok() == kept
    assert kept["metadata"].get("generation") == before["metadata"].get("generation")


@served
async def test_the_notes_of_a_deployment_count_for_its_generation_but_through_its_status(
    api: Served,
) -> None:
    kind = next(kind for kind in STORED if kind.name == "Deployment")
    path = collection(kind, "v1")
    one = f"{path}/noted"
    (await api.post(path, {**body_of(kind, "v1"), "metadata": {"name": "noted"}})).ok()
    noted: Document = {"metadata": {"annotations": {"a": "b"}}}
    changed = (await api.patch(one, noted)).ok()
    assert changed["metadata"]["generation"] == 2
    again: Document = {"metadata": {"annotations": {"a": "c"}}}
    told = (await api.patch(f"{one}/status", again)).ok()
    assert told["metadata"]["generation"] == 2
    assert told["metadata"]["annotations"]["a"] == "c"
    labelled = (await api.patch(one, {"metadata": {"labels": {"a": "b"}}})).ok()
    assert labelled["metadata"]["generation"] == 2


@served
async def test_the_labels_of_an_endpoint_slice_count_for_its_generation(api: Served) -> None:
    kind = next(kind for kind in STORED if kind.name == "EndpointSlice")
    path = collection(kind, "v1")
    made = await api.post(path, {**body_of(kind, "v1"), "metadata": {"name": "told"}})
    assert made.ok()["metadata"]["generation"] == 1
    labels: Document = {"metadata": {"labels": {"a": "b"}}}
    assert (await api.patch(f"{path}/told", labels)).ok()["metadata"]["generation"] == 2
    noted: Document = {"metadata": {"annotations": {"a": "b"}}}
    assert (await api.patch(f"{path}/told", noted)).ok()["metadata"]["generation"] == 2
