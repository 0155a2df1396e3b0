"""What updates of a status may say of Services, workloads and pods."""

from __future__ import annotations

from typing import Any

import pytest
from tests.checked import Causes, causes, kind_of

INGRESS = "status.loadBalancer.ingress"
WORKLOAD = {
    "selector": {"matchLabels": {"app": "a"}},
    "template": {
        "metadata": {"labels": {"app": "a"}},
        "spec": {"containers": [{"name": "a", "image": "i"}]},
    },
}


def balanced(kind: str, *ingress: dict[str, Any]) -> Causes:
    """Returns what is wrong with the status of a Service of a type."""
    service = {"spec": {"type": kind, "ports": [{"port": 80}]}}
    status = {"loadBalancer": {"ingress": list(ingress)}}
    return causes("", "services", {**service, "status": status}, service, "status")


@pytest.mark.parametrize(
    ("ingress", "field", "problem"),
    [
        ({"ip": "x"}, "ip", "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"),
        (
            {"hostname": "a", "ipMode": "VIP"},
            "ipMode",
            "Forbidden: may not be specified when `ip` is not set",
        ),
        (
            {"ip": "10.0.0.1", "ipMode": "NAT"},
            "ipMode",
            'Unsupported value: "NAT": supported values: "Proxy", "VIP"',
        ),
        ({"hostname": "10.0.0.1"}, "hostname", "must be a DNS name, not an IP address"),
    ],
)
def test_an_address_of_a_balancer_is_checked(
    ingress: dict[str, str], field: str, problem: str
) -> None:
    ((path, text),) = balanced("LoadBalancer", ingress)
    assert path == f"{INGRESS}[0].{field}"
    assert text.endswith(problem)


def test_only_a_load_balancer_has_addresses_of_one() -> None:
    address = {"ip": "10.0.0.1", "ipMode": "VIP"}
    assert balanced("LoadBalancer", address, {"hostname": "a.b"}) == []
    text = "Forbidden: may only be used when `spec.type` is 'LoadBalancer'"
    assert balanced("ClusterIP", address) == [(INGRESS, text)]
    assert balanced("ClusterIP") == []


@pytest.mark.parametrize("plural", ["deployments", "statefulsets", "daemonsets"])
def test_collisions_are_not_forgotten(plural: str) -> None:
    old, new = ({"spec": WORKLOAD, "status": {"collisionCount": count}} for count in (2, 1))
    expected = [("status.collisionCount", "Invalid value: 1: cannot be decremented")]
    assert causes("apps", plural, new, old, "status") == expected
    none = {"spec": WORKLOAD, "status": {}}
    assert [text for _, text in causes("apps", plural, none, old, "status")] == [
        "Invalid value: 0: cannot be decremented"
    ]
    assert causes("apps", plural, old, none, "status") == []


def test_a_stateful_sets_status_is_named_in_full() -> None:
    status = {"replicas": 3, "readyReplicas": 1, "availableReplicas": 2}
    document = {"spec": WORKLOAD, "status": status}
    texts = {
        plural: [text for _, text in causes("apps", plural, document, document, "status")]
        for plural in ("statefulsets", "replicasets")
    }
    assert texts == {
        "statefulsets": ["Invalid value: 2: cannot be greater than status.readyReplicas"],
        "replicasets": ["Invalid value: 2: cannot be greater than readyReplicas"],
    }


def pod(status: dict[str, Any], **spec: Any) -> Causes:
    """Returns what is wrong with the status of a pod that asks for the claim `c`."""
    claims = [{"name": "c", "resourceClaimName": "d"}]
    whole = {"spec": {**WORKLOAD["template"]["spec"], "resourceClaims": claims, **spec}}  # type: ignore[dict-item]
    return causes("", "pods", {**whole, "status": status}, whole, "status")


def test_the_claims_of_a_pod_are_those_it_asks_for() -> None:
    path = "status.resourceClaimStatuses[{}].name"
    assert pod({"resourceClaimStatuses": [{"name": "c", "resourceClaimName": "x"}]}) == []
    assert pod({"resourceClaimStatuses": [{"name": "c"}, {"name": "c"}]}) == [
        (path.format(1), 'Duplicate value: "c"')
    ]
    text = "must match the name of an entry in `spec.resourceClaims`"
    assert pod({"resourceClaimStatuses": [{"name": "z"}]}) == [
        (path.format(0), f'Invalid value: "z": {text}')
    ]
    ((field, _),) = pod({"resourceClaimStatuses": [{"name": "c", "resourceClaimName": "X"}]})
    assert field == path.format(0)


def test_a_containers_user_has_numbers_of_linux() -> None:
    def of(**linux: Any) -> dict[str, Any]:
        one = {"name": "a", "image": "i", "imageID": "", "ready": True, "restartCount": 0}
        return {"containerStatuses": [{**one, "user": {"linux": {"uid": 0, "gid": 0, **linux}}}]}

    path, text = "status.containerStatuses[0].linux", "must be between 0 and 2147483647, inclusive"
    assert pod(of(supplementalGroups=[1])) == []
    assert pod(of(uid=-1, supplementalGroups=[1, -2])) == [
        (f"{path}.uid", f"Invalid value: -1: {text}"),
        (f"{path}.supplementalGroups[1]", f"Invalid value: -2: {text}"),
    ]
    windows = pod(of(), os={"name": "windows"})
    assert windows == [(path, "Forbidden: cannot be set for a windows pod")]


def test_where_a_kubelet_reads_its_configuration_is_dropped_unless_it_was_there() -> None:
    kind = kind_of("", "nodes")
    source = {"configMap": {"name": "a", "namespace": "b", "kubeletConfigKey": "c"}}
    given = {
        "spec": {"configSource": source, "podCIDR": "x"},
        "status": {"config": {}, "phase": "y"},
    }
    made = kind.prepare(given, None, "")
    assert made == {"spec": {"podCIDR": "x"}, "status": {"phase": "y"}}
    assert kind.prepare(given, made, "")["spec"] == {"podCIDR": "x"}
    assert kind.prepare(given, given, "") == given
