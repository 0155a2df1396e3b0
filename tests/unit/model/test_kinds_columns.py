"""Printed columns, cell by cell, as upstream's server prints them."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.model import builtin
from steersman.model.kinds.event import EVENT, EVENTS_EVENT
from steersman.model.kinds.printing import human_duration

NOW = 1_700_000_000.5  # 2023-11-14T22:13:20.5Z
MINUTE_AGO = "2023-11-14T22:12:20Z"
HOUR_AGO = "2023-11-14T21:13:20Z"
META = {"name": "a", "namespace": "n", "creationTimestamp": HOUR_AGO}
AGE = "60m"


def cells(group: str, version: str, plural: str, **fields: Any) -> list[Any]:
    kind = builtin.by_resource(group, version, plural)
    assert kind is not None
    document = {"metadata": META, **fields}
    return [column.value(document, NOW) for column in kind.columns]


def names(group: str, version: str, plural: str, *, wide: bool = False) -> list[str]:
    kind = builtin.by_resource(group, version, plural)
    assert kind is not None
    return [column.name for column in kind.columns if wide or not column.priority]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-2, "<invalid>"),
        (-1.9, "0s"),
        (0, "0s"),
        (119.9, "119s"),
        (120, "2m"),
        (125, "2m5s"),
        (599, "9m59s"),
        (600, "10m"),
        (659, "10m"),
        (3 * 3600 - 1, "179m"),
        (3 * 3600, "3h"),
        (3 * 3600 + 60, "3h1m"),
        (8 * 3600 - 1, "7h59m"),
        (8 * 3600, "8h"),
        (48 * 3600 - 1, "47h"),
        (48 * 3600, "2d"),
        (50 * 3600, "2d2h"),
        (8 * 86400 - 1, "7d23h"),
        (8 * 86400, "8d"),
        (2 * 365 * 86400 - 1, "729d"),
        (2 * 365 * 86400, "2y"),
        (2 * 365 * 86400 + 86400, "2y1d"),
        (8 * 365 * 86400 - 1, "7y364d"),
        (8 * 365 * 86400 + 86400, "8y"),
    ],
)
def test_a_span_is_shown_as_coarse_as_it_is_long(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text


def test_the_columns_of_everyday_kinds() -> None:
    assert names("", "v1", "pods") == ["Name", "Ready", "Status", "Restarts", "Age"]
    assert names("", "v1", "pods", wide=True)[5:] == [
        "IP",
        "Node",
        "Nominated Node",
        "Readiness Gates",
    ]
    assert names("", "v1", "nodes") == ["Name", "Status", "Roles", "Age", "Version"]
    assert names("", "v1", "services") == [
        "Name",
        "Type",
        "Cluster-IP",
        "External-IP",
        "Port(s)",
        "Age",
    ]
    assert names("apps", "v1", "deployments") == [
        "Name",
        "Ready",
        "Up-to-date",
        "Available",
        "Age",
    ]
    assert names("", "v1", "events") == ["Last Seen", "Type", "Reason", "Object", "Message"]
    assert names("rbac.authorization.k8s.io", "v1", "roles") == []


def test_no_column_falls_over_an_object_that_has_only_a_name() -> None:
    for kind in builtin.all():
        for column in kind.columns:
            column.value({"metadata": {"name": "a"}}, NOW)


def state(**states: Any) -> dict[str, Any]:
    return {"state": states}


RUNNING = {"ready": True, **state(running={})}
COMPLETED = state(terminated={"exitCode": 0, "reason": "Completed"})
FAILED_ONCE = {"restartCount": 2, **state(terminated={"exitCode": 2})}
PORT = {"port": 80, "protocol": "TCP"}
TWO = [{"ip": "1.1.1.1"}, {"ip": "1.1.1.2"}]


def container(name: str = "c", **fields: Any) -> dict[str, Any]:
    return {"name": name, "restartCount": 0, **fields}


def pod(*statuses: dict[str, Any], init: Any = (), **status: Any) -> dict[str, Any]:
    return {
        "spec": {
            "containers": [{"name": "c"}] * max(len(statuses), 1),
            "initContainers": [{"name": one["name"]} for one in init],
        },
        "status": {
            "phase": "Running",
            "containerStatuses": list(statuses),
            "initContainerStatuses": list(init),
            **status,
        },
    }


PODS = [
    (pod(phase="Pending"), ["0/1", "Pending", "0"]),
    (pod(container(**RUNNING)), ["1/1", "Running", "0"]),
    (
        pod(container(**state(waiting={"reason": "ImagePullBackOff"}))),
        ["0/1", "ImagePullBackOff", "0"],
    ),
    (pod(container(**state(waiting={}))), ["0/1", "Running", "0"]),
    (
        pod(container(**COMPLETED), phase="Succeeded"),
        ["0/1", "Completed", "0"],
    ),
    (pod(container(**state(terminated={"exitCode": 3}))), ["0/1", "ExitCode:3", "0"]),
    (pod(container(**state(terminated={"exitCode": 137, "signal": 9}))), ["0/1", "Signal:9", "0"]),
    (
        pod(
            container(**RUNNING),
            container(**COMPLETED),
            conditions=[{"type": "Ready", "status": "True"}],
        ),
        ["1/2", "Running", "0"],
    ),
    (
        pod(
            container(**COMPLETED),
            container(**RUNNING),
        ),
        ["1/2", "NotReady", "0"],
    ),
    (
        pod(
            container(
                **{**RUNNING, "restartCount": 3},
                lastState={"terminated": {"exitCode": 1, "finishedAt": MINUTE_AGO}},
            ),
            container(
                **{**RUNNING, "restartCount": 1},
                lastState={"terminated": {"exitCode": 1, "finishedAt": HOUR_AGO}},
            ),
        ),
        ["2/2", "Running", "4 (60s ago)"],
    ),
    (
        pod(init=[container("i", **state(running={})), container("j")], phase="Pending"),
        ["0/1", "Init:0/2", "0"],
    ),
    (
        pod(
            init=[
                container("i", **state(terminated={"exitCode": 0})),
                container("j", **state(waiting={"reason": "PodInitializing"})),
            ],
            phase="Pending",
        ),
        ["0/1", "Init:1/2", "0"],
    ),
    (
        pod(
            init=[container("i", **FAILED_ONCE)],
            phase="Pending",
        ),
        ["0/1", "Init:ExitCode:2", "2"],
    ),
    (
        pod(
            init=[container("i", **state(waiting={"reason": "CrashLoopBackOff"}))], phase="Pending"
        ),
        ["0/1", "Init:CrashLoopBackOff", "0"],
    ),
    (pod(phase="Failed", reason="Evicted"), ["0/1", "Evicted", "0"]),
    (
        pod(
            phase="Pending",
            conditions=[{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}],
        ),
        ["0/1", "SchedulingGated", "0"],
    ),
]


@pytest.mark.parametrize(("fields", "expected"), PODS)
def test_a_pods_one_word(fields: dict[str, Any], expected: list[str]) -> None:
    assert cells("", "v1", "pods", **fields)[:5] == ["a", *expected, AGE]


def test_a_sidecar_counts_as_a_container() -> None:
    sidecar = container("s", **RUNNING, started=True)
    fields = pod(container(**RUNNING), init=[sidecar])
    fields["spec"]["initContainers"][0]["restartPolicy"] = "Always"
    assert cells("", "v1", "pods", **fields)[1:4] == ["2/2", "Running", "0"]
    sidecar["restartCount"] = 5
    sidecar["lastState"] = {"terminated": {"finishedAt": MINUTE_AGO}}
    assert cells("", "v1", "pods", **fields)[3] == "5 (60s ago)"


@pytest.mark.parametrize(
    ("phase", "reason", "word"),
    [
        ("Running", "", "Terminating"),
        ("Running", "NodeLost", "Unknown"),
        ("Succeeded", "", "Succeeded"),
    ],
)
def test_a_pod_that_is_being_deleted(phase: str, reason: str, word: str) -> None:
    fields = pod(phase=phase, reason=reason)
    meta = {**META, "deletionTimestamp": MINUTE_AGO}
    kind = builtin.by_resource("", "v1", "pods")
    assert kind is not None
    assert kind.columns[2].value({"metadata": meta, **fields}, NOW) == word


def test_where_a_pod_is() -> None:
    assert cells("", "v1", "pods", **pod())[5:] == ["<none>"] * 4
    fields = pod(
        podIPs=[{"ip": "10.0.0.1"}],
        nominatedNodeName="m",
        conditions=[{"type": "x", "status": "True"}, {"type": "y", "status": "False"}],
    )
    fields["spec"]["nodeName"] = "n1"
    fields["spec"]["readinessGates"] = [{"conditionType": "x"}, {"conditionType": "y"}]
    assert cells("", "v1", "pods", **fields)[5:] == ["10.0.0.1", "n1", "m", "1/2"]


READY = {"conditions": [{"type": "Ready", "status": "True"}]}


def test_a_node() -> None:
    status = {
        **READY,
        "addresses": [
            {"type": "Hostname", "address": "h"},
            {"type": "InternalIP", "address": "10.0.0.1"},
        ],
        "nodeInfo": {"kubeletVersion": "v1.37.0", "osImage": "Debian", "kernelVersion": "6.18"},
    }
    found = cells("", "v1", "nodes", status=status)
    assert found == [
        "a",
        "Ready",
        "<none>",
        AGE,
        "v1.37.0",
        "10.0.0.1",
        "<none>",
        "Debian",
        "6.18",
        "<unknown>",
    ]


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({}, "Unknown"),
        ({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}, "NotReady"),
        ({"status": READY, "spec": {"unschedulable": True}}, "Ready,SchedulingDisabled"),
    ],
)
def test_a_nodes_status(fields: dict[str, Any], word: str) -> None:
    assert cells("", "v1", "nodes", **fields)[1] == word


def test_a_nodes_roles() -> None:
    labels = {"node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/control-plane": ""}
    metadata = {**META, "labels": {**labels, "kubernetes.io/role": "z"}}
    assert cells("", "v1", "nodes", metadata=metadata)[2] == "control-plane,worker,z"


TEMPLATE = {"spec": {"containers": [{"name": "c", "image": "i:1"}, {"name": "d", "image": "j"}]}}
SELECTOR = {
    "matchLabels": {"b": "2", "a": "1"},
    "matchExpressions": [{"key": "c", "operator": "In", "values": ["y", "x"]}],
}


def test_workloads() -> None:
    wide = ["c,d", "i:1,j", "a=1,b=2,c in (x,y)"]
    spec = {"replicas": 3, "template": TEMPLATE, "selector": SELECTOR}
    status = {"readyReplicas": 2, "updatedReplicas": 1, "availableReplicas": 2, "replicas": 3}
    found = cells("apps", "v1", "deployments", spec=spec, status=status)
    assert found == ["a", "2/3", 1, 2, AGE, *wide]
    found = cells("apps", "v1", "replicasets", spec=spec, status=status)
    assert found == ["a", 3, 3, 2, AGE, *wide]
    found = cells("apps", "v1", "statefulsets", spec=spec, status=status)
    assert found == ["a", "2/3", AGE, *wide[:2]]
    status = {
        "desiredNumberScheduled": 5,
        "currentNumberScheduled": 4,
        "numberReady": 3,
        "updatedNumberScheduled": 2,
        "numberAvailable": 1,
    }
    found = cells("apps", "v1", "daemonsets", spec=spec, status=status)
    assert found == ["a", 5, 4, 3, 2, 1, "<none>", AGE, *wide]


@pytest.mark.parametrize(
    ("spec", "status", "expected"),
    [
        ({"completions": 2}, {"succeeded": 1, "startTime": HOUR_AGO}, ["Running", "1/2", "60m"]),
        ({"parallelism": 3}, {}, ["Running", "0/1 of 3", ""]),
        ({"parallelism": 1}, {}, ["Running", "0/1", ""]),
        (
            {"completions": 1},
            {
                "succeeded": 1,
                "startTime": HOUR_AGO,
                "completionTime": MINUTE_AGO,
                "conditions": [{"type": "Complete", "status": "True"}],
            },
            ["Complete", "1/1", "59m"],
        ),
        (
            {"completions": 1},
            {"conditions": [{"type": "Failed", "status": "True"}]},
            ["Failed", "0/1", ""],
        ),
        (
            {"completions": 1},
            {"conditions": [{"type": "Suspended", "status": "True"}]},
            ["Suspended", "0/1", ""],
        ),
    ],
)
def test_jobs(spec: dict[str, Any], status: dict[str, Any], expected: list[str]) -> None:
    found = cells("batch", "v1", "jobs", spec=spec, status=status)
    assert found[1:5] == [*expected, AGE]


def test_cron_jobs() -> None:
    template = {"spec": {"template": TEMPLATE}}
    spec = {"schedule": "* * * * *", "suspend": False, "jobTemplate": template}
    status = {"active": [{}], "lastScheduleTime": MINUTE_AGO}
    found = cells("batch", "v1", "cronjobs", spec=spec, status=status)
    assert found == ["a", "* * * * *", "<none>", "False", 1, "60s", AGE, "c,d", "i:1,j", "<none>"]
    assert cells("batch", "v1", "cronjobs", spec=spec)[5] == "<none>"


@pytest.mark.parametrize(
    ("spec", "status", "expected"),
    [
        (
            {
                "type": "ClusterIP",
                "clusterIPs": ["10.0.0.1"],
                "ports": [{"port": 80, "protocol": "TCP"}],
            },
            {},
            ["ClusterIP", "10.0.0.1", "<none>", "80/TCP"],
        ),
        (
            {"type": "ClusterIP", "clusterIP": "None", "externalIPs": ["1.1.1.1", "2.2.2.2"]},
            {},
            ["ClusterIP", "None", "1.1.1.1,2.2.2.2", "<none>"],
        ),
        (
            {
                "type": "NodePort",
                "clusterIPs": ["10.0.0.1"],
                "ports": [
                    {"port": 80, "nodePort": 30080, "protocol": "TCP"},
                    {"port": 53, "nodePort": 30053, "protocol": "UDP"},
                ],
            },
            {},
            ["NodePort", "10.0.0.1", "<none>", "80:30080/TCP,53:30053/UDP"],
        ),
        ({"type": "LoadBalancer"}, {}, ["LoadBalancer", "<none>", "<pending>", "<none>"]),
        (
            {"type": "LoadBalancer", "externalIPs": ["3.3.3.3"]},
            {"loadBalancer": {"ingress": [{"ip": "2.2.2.2"}, {"hostname": "1.example"}]}},
            ["LoadBalancer", "<none>", "1.example,2.2.2.2,3.3.3.3", "<none>"],
        ),
        (
            {"type": "ExternalName", "externalName": "x.example"},
            {},
            ["ExternalName", "<none>", "x.example", "<none>"],
        ),
    ],
)
def test_services(spec: dict[str, Any], status: dict[str, Any], expected: list[str]) -> None:
    found = cells("", "v1", "services", spec=spec, status=status)
    assert found == ["a", *expected, AGE, "<none>"]


@pytest.mark.parametrize(
    ("subsets", "expected"),
    [
        ([], "<none>"),
        ([{"addresses": [], "ports": [{"port": 80}]}], ""),
        (
            [{"addresses": [{"ip": "1.1.1.1"}, {"ip": "fe::1"}], "ports": [{"port": 80}]}],
            "1.1.1.1:80,[fe::1]:80",
        ),
        ([{"addresses": [{"ip": "1.1.1.1"}]}], "1.1.1.1"),
        (
            [
                {
                    "addresses": [{"ip": "1.1.1.1"}, {"ip": "1.1.1.2"}],
                    "ports": [{"port": 80}, {"port": 81}],
                }
            ],
            "1.1.1.1:80,1.1.1.2:80,1.1.1.1:81 + 1 more...",
        ),
    ],
)
def test_endpoints(subsets: list[Any], expected: str) -> None:
    assert cells("", "v1", "endpoints", subsets=subsets) == ["a", expected, AGE]


def test_endpoint_slices() -> None:
    found = cells(
        "discovery.k8s.io",
        "v1",
        "endpointslices",
        addressType="IPv4",
        ports=[{"port": 80, "name": "http"}, {"name": "any"}, {}],
        endpoints=[{"addresses": ["1.1.1.1", "1.1.1.2"]}, {"addresses": ["1.1.1.3", "1.1.1.4"]}],
    )
    assert found == ["a", "IPv4", "80,any,*", "1.1.1.1,1.1.1.2,1.1.1.3 + 1 more...", AGE]
    found = cells("discovery.k8s.io", "v1", "endpointslices", addressType="IPv4")
    assert found == ["a", "IPv4", "<unset>", "<unset>", AGE]


def test_small_kinds() -> None:
    assert cells("", "v1", "namespaces", status={"phase": "Active"}) == ["a", "Active", AGE]
    assert cells("", "v1", "configmaps", data={"a": "b"}, binaryData={"c": ""}) == ["a", 2, AGE]
    assert cells("", "v1", "secrets", data={"a": "b"}, type="Opaque") == ["a", "Opaque", 1, AGE]
    assert cells("", "v1", "serviceaccounts") == ["a", 0, AGE]
    found = cells("coordination.k8s.io", "v1", "leases", spec={"holderIdentity": "me"})
    assert found == ["a", "me", AGE]


def test_events() -> None:
    event = {
        "metadata": {"name": "e"},
        "type": "Normal",
        "reason": "Started",
        "message": " Started it\n",
        "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec"},
        "source": {"component": "kubelet", "host": "n"},
        "firstTimestamp": HOUR_AGO,
        "lastTimestamp": MINUTE_AGO,
        "count": 4,
    }
    expected = [
        "60s",
        "Normal",
        "Started",
        "pod/p",
        "spec",
        "kubelet, n",
        "Started it",
        "60m",
        4,
        "e",
    ]
    assert [column.value(event, NOW) for column in EVENT.columns] == expected
    assert EVENTS_EVENT.columns == EVENT.columns  # they read what is stored: core's form


def test_an_event_of_the_new_kind_is_shown_by_its_series_or_its_one_time() -> None:
    event = {"metadata": {"name": "e"}, "eventTime": HOUR_AGO, "reportingComponent": "c"}
    shown = [column.value(event, NOW) for column in EVENT.columns]
    assert (shown[0], shown[7], shown[8], shown[5]) == ("60m", "60m", 1, "c")
    event["series"] = {"count": 7, "lastObservedTime": MINUTE_AGO}  # type: ignore[assignment]
    shown = [column.value(event, NOW) for column in EVENT.columns]
    assert (shown[0], shown[8]) == ("60s", 7)


def test_bindings() -> None:
    found = cells(
        "rbac.authorization.k8s.io",
        "v1",
        "rolebindings",
        roleRef={"kind": "Role", "name": "r"},
        subjects=[
            {"kind": "User", "name": "u"},
            {"kind": "User", "name": "v"},
            {"kind": "ServiceAccount", "name": "s", "namespace": "n"},
        ],
    )
    assert found == ["a", "Role/r", AGE, "u, v", "", "n/s"]


def test_volumes() -> None:
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteMany", "ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Retain",
        "claimRef": {"namespace": "n", "name": "c"},
        "storageClassName": "fast",
        "volumeMode": "Filesystem",
    }
    found = cells("", "v1", "persistentvolumes", spec=spec, status={"phase": "Bound"})
    assert found == [
        "a",
        "1Gi",
        "RWO,RWX",
        "Retain",
        "Bound",
        "n/c",
        "fast",
        "<unset>",
        "",
        AGE,
        "Filesystem",
    ]
    status = {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]}
    spec = {"volumeName": "v", "storageClassName": "fast"}
    found = cells("", "v1", "persistentvolumeclaims", spec=spec, status=status)
    assert found == ["a", "Bound", "v", "1Gi", "RWO", "fast", "<unset>", AGE, "<unset>"]
    found = cells("", "v1", "persistentvolumeclaims", status={"phase": "Pending"})
    assert found[1:5] == ["Pending", "", "", ""]


def test_autoscalers() -> None:
    spec = {
        "scaleTargetRef": {"kind": "Deployment", "name": "d"},
        "minReplicas": 1,
        "maxReplicas": 4,
        "metrics": [
            {"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 80}}},
            {"type": "Pods", "pods": {"target": {"averageValue": "10"}}},
            {"type": "Object", "object": {"target": {"value": "7"}}},
        ],
    }
    current = {"resource": {"name": "cpu", "current": {"averageUtilization": 42}}}
    status = {"currentReplicas": 2, "currentMetrics": [current]}
    found = cells("autoscaling", "v2", "horizontalpodautoscalers", spec=spec, status=status)
    targets = "cpu: 42%/80%, <unknown>/10 + 1 more..."
    assert found == ["a", "Deployment/d", targets, "1", 4, 2, AGE]


def test_other_kinds() -> None:
    hosts = [{"host": f"h{number}"} for number in range(5)]
    found = cells("networking.k8s.io", "v1", "ingresses", spec={"rules": hosts, "tls": [{}]})
    assert found == ["a", "<none>", "h0,h1,h2 + 2 more...", "", "80, 443", AGE]
    found = cells("networking.k8s.io", "v1", "ingresses", spec={})
    assert found == ["a", "<none>", "*", "", "80", AGE]
    metadata = {**META, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}
    found = cells("storage.k8s.io", "v1", "storageclasses", metadata=metadata, provisioner="p")
    assert found == ["a (default)", "p", "Delete", "Immediate", False, AGE]
    hard = {"limits.cpu": "2", "requests.cpu": "1", "pods": "4"}
    found = cells("", "v1", "resourcequotas", status={"hard": hard, "used": {"pods": "1"}})
    assert found == ["a", "pods: 1/4, requests.cpu: 0/1", "limits.cpu: 0/2", AGE]
    found = cells("policy", "v1", "poddisruptionbudgets", spec={"minAvailable": 1})
    assert found == ["a", "1", "N/A", 0, AGE]
    found = cells("networking.k8s.io", "v1", "networkpolicies", spec={"podSelector": {}})
    assert found == ["a", "<none>", AGE]
    owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "controller": True}
    metadata = {**META, "ownerReferences": [owner]}
    found = cells("apps", "v1", "controllerrevisions", metadata=metadata, revision=3)
    assert found == ["a", "daemonset.apps/d", 3, AGE]
    service = {"namespace": "n", "name": "s"}
    down = [{"type": "Available", "status": "False", "reason": "MissingEndpoints"}]
    found = cells(
        "apiregistration.k8s.io",
        "v1",
        "apiservices",
        spec={"service": service},
        status={"conditions": down},
    )
    assert found == ["a", "n/s", "False (MissingEndpoints)", AGE]


@pytest.mark.parametrize(
    ("status", "word"),
    [
        ({}, "Pending"),
        ({"conditions": [{"type": "Approved"}], "certificate": "eA=="}, "Approved,Issued"),
        ({"conditions": [{"type": "Denied"}, {"type": "Failed"}]}, "Denied,Failed"),
    ],
)
def test_signing_requests(status: dict[str, Any], word: str) -> None:
    spec = {"signerName": "s", "username": "u", "expirationSeconds": 3600}
    found = cells(
        "certificates.k8s.io", "v1", "certificatesigningrequests", spec=spec, status=status
    )
    assert found == ["a", AGE, "s", "u", "60m", word]


DELETED = {**META, "deletionTimestamp": MINUTE_AGO}
ADMISSION = "admissionregistration.k8s.io"
FLOW = "flowcontrol.apiserver.k8s.io"
LIMITED = {
    "nominalConcurrencyShares": 30,
    "limitResponse": {"queuing": {"queues": 64, "handSize": 8, "queueLengthLimit": 50}},
}

OTHERS = [
    ("", "persistentvolumes", {"metadata": DELETED}, {4: "Terminating", 5: "", 6: ""}),
    ("", "persistentvolumeclaims", {"metadata": DELETED}, {1: "Terminating"}),
    (
        "",
        "podtemplates",
        {"template": {**TEMPLATE, "metadata": {"labels": {"b": "1", "a": "2"}}}},
        {1: "c,d", 2: "i:1,j", 3: "a=2,b=1"},
    ),
    (
        "",
        "replicationcontrollers",
        {"spec": {"replicas": 3, "selector": {"a": "b"}}, "status": {"readyReplicas": 1}},
        {1: 3, 2: 0, 3: 1, 4: AGE, 7: "a=b"},
    ),
    ("networking.k8s.io", "ingresses", {"spec": {"rules": [{"host": "a"}] * 3}}, {2: "a,a,a"}),
    (
        "networking.k8s.io",
        "ingresses",
        {"status": {"loadBalancer": {"ingress": [{"ip": "2.2.2.2"}, {"hostname": "1.h"}]}}},
        {3: "1.h,2.2.2.2"},
    ),
    (
        "networking.k8s.io",
        "ingressclasses",
        {"spec": {"controller": "c", "parameters": {"apiGroup": "g", "kind": "K", "name": "n"}}},
        {1: "c", 2: "K.g/n"},
    ),
    ("networking.k8s.io", "ingressclasses", {"spec": {}}, {2: "<none>"}),
    ("networking.k8s.io", "servicecidrs", {"spec": {"cidrs": ["a", "b"]}}, {1: "a,b", 2: AGE}),
    (
        "networking.k8s.io",
        "ipaddresses",
        {"spec": {"parentRef": {"resource": "services", "namespace": "n", "name": "s"}}},
        {1: "services/n/s"},
    ),
    ("networking.k8s.io", "ipaddresses", {}, {1: "<none>"}),
    (ADMISSION, "validatingwebhookconfigurations", {"webhooks": [{}, {}]}, {1: 2, 2: AGE}),
    (
        ADMISSION,
        "validatingadmissionpolicies",
        {"spec": {"validations": [{}], "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}}},
        {1: 1, 2: "v1/ConfigMap"},
    ),
    (ADMISSION, "mutatingadmissionpolicies", {"spec": {"mutations": []}}, {1: 0, 2: "<unset>"}),
    (
        ADMISSION,
        "validatingadmissionpolicybindings",
        {"spec": {"policyName": "p", "paramRef": {"name": "r"}}},
        {1: "p", 2: "*/r"},
    ),
    (
        ADMISSION,
        "validatingadmissionpolicybindings",
        {"spec": {"paramRef": {"name": "r", "namespace": "n"}}},
        {2: "n/r"},
    ),
    (
        ADMISSION,
        "mutatingadmissionpolicybindings",
        {"spec": {"paramRef": {"selector": {"matchLabels": {"a": "b"}}}}},
        {2: "a=b"},
    ),
    (ADMISSION, "mutatingadmissionpolicybindings", {"spec": {}}, {2: "<unset>"}),
    (
        FLOW,
        "flowschemas",
        {
            "spec": {"priorityLevelConfiguration": {"name": "p"}, "matchingPrecedence": 7},
            "status": {"conditions": [{"type": "Dangling", "status": "False"}]},
        },
        {1: "p", 2: 7, 3: "<none>", 5: "False"},
    ),
    (FLOW, "flowschemas", {}, {5: "?"}),
    (
        FLOW,
        "prioritylevelconfigurations",
        {"spec": {"type": "Limited", "limited": LIMITED}},
        {1: "Limited", 2: 30, 3: 64, 4: 8, 5: 50},
    ),
    (FLOW, "prioritylevelconfigurations", {}, {2: "<none>", 5: "<none>"}),
    ("resource.k8s.io", "resourceclaims", {}, {1: "pending"}),
    ("resource.k8s.io", "resourceclaims", {"metadata": DELETED}, {1: "deleted"}),
    (
        "resource.k8s.io",
        "resourceclaims",
        {"status": {"allocation": {"x": 1}, "reservedFor": [{}]}},
        {1: "allocated,reserved"},
    ),
    ("resource.k8s.io", "resourceclaims", {"status": {"allocation": {"x": 1}}}, {1: "allocated"}),
    (
        "storage.k8s.io",
        "csidrivers",
        {"spec": {"tokenRequests": [{"audience": "a"}], "volumeLifecycleModes": ["P", "E"]}},
        {1: True, 2: False, 3: False, 4: "a", 5: False, 6: "P,E"},
    ),
    ("storage.k8s.io", "csidrivers", {}, {4: "<unset>", 6: "<none>"}),
    (
        "storage.k8s.io",
        "volumeattachments",
        {"spec": {"attacher": "a", "source": {"persistentVolumeName": "p"}, "nodeName": "n"}},
        {1: "a", 2: "p", 3: "n", 4: False},
    ),
    ("storage.k8s.io", "csistoragecapacities", {"storageClassName": "s"}, {1: "s", 2: "<unset>"}),
    ("scheduling.k8s.io", "priorityclasses", {"value": 5, "globalDefault": True}, {1: 5, 2: True}),
    ("policy", "poddisruptionbudgets", {"spec": {"maxUnavailable": "25%"}}, {1: "N/A", 2: "25%"}),
    ("apiregistration.k8s.io", "apiservices", {}, {1: "Local", 2: "Unknown"}),
    (
        "apiregistration.k8s.io",
        "apiservices",
        {"status": {"conditions": [{"type": "Available", "status": "True"}]}},
        {2: "True"},
    ),
    (
        "",
        "componentstatuses",
        {"conditions": [{"type": "Healthy", "status": "False", "message": "m", "error": "e"}]},
        {1: "Unhealthy", 2: "m", 3: "e"},
    ),
    (
        "",
        "componentstatuses",
        {"conditions": [{"type": "Healthy", "status": "True"}]},
        {1: "Healthy"},
    ),
    ("", "componentstatuses", {}, {1: "Unknown", 2: ""}),
]


@pytest.mark.parametrize(("group", "plural", "fields", "expected"), OTHERS)
def test_the_cells_of_other_kinds(
    group: str, plural: str, fields: dict[str, Any], expected: dict[int, Any]
) -> None:
    shown = cells(group, "v1", plural, **fields)
    assert {index: shown[index] for index in expected} == expected
