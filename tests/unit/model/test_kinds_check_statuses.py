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


def container(name: str = "a", **status: Any) -> dict[str, Any]:
    """Returns the status of a container."""
    base = {"name": name, "image": "i", "imageID": "", "ready": True, "restartCount": 0}
    return {**base, **status}


ASKING = {
    "name": "a",
    "image": "i",
    "resources": {
        "limits": {"e.com/gpu": "1"},
        "requests": {"e.com/gpu": "1"},
        "claims": [{"name": "c", "request": "r"}],
    },
}
ALLOCATED = "status.containerStatuses[0].allocatedResourcesStatus[0]"
CLAIM_NAMES = (
    "must match one of the container's resource claims in a format "
    "'claim:<claimName>/<request>' or 'claim:<claimName>' if request is empty"
)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"name": "e.com/gpu", "resources": [{"resourceID": "1", "health": "Healthy"}]}, []),
        ({"name": "claim:c/r"}, []),
        (
            {"name": "claim:c"},
            [(f"{ALLOCATED}.name", f'Invalid value: "claim:c": {CLAIM_NAMES}')],
        ),
        (
            {"name": "x"},
            [
                (
                    f"{ALLOCATED}.name",
                    'Invalid value: "x": must match one of the container\'s resource requests',
                )
            ],
        ),
        (
            {"name": "e.com/gpu", "resources": [{"resourceID": "1", "health": "Odd"}]},
            [
                (
                    f"{ALLOCATED}.resources[0].health",
                    'Unsupported value: "Odd": supported values: "Healthy", "Unhealthy", "Unknown"',
                )
            ],
        ),
        (
            {"name": "e.com/gpu", "resources": [{"resourceID": "1", "health": "Unknown"}] * 2},
            [(f"{ALLOCATED}.resources[1].resourceID", 'Duplicate value: "1"')],
        ),
    ],
)
def test_the_devices_of_a_container_are_those_it_asks_for(
    found: dict[str, Any], expected: Causes
) -> None:
    status = {"containerStatuses": [container(allocatedResourcesStatus=[found])]}
    assert pod(status, containers=[ASKING]) == expected


def test_devices_of_a_container_that_is_not_there_pass_and_of_an_ephemeral_one_do_not() -> None:
    found = container("z", allocatedResourcesStatus=[{"name": "x"}])
    assert pod({"containerStatuses": [found]}) == []
    path = "status.ephemeralContainerStatuses[0].allocatedResourcesStatus"
    text = "Forbidden: must not be specified in container status"
    assert pod({"ephemeralContainerStatuses": [found]}) == [(path, text)]


EXTENDED = "status.extendedResourceClaimStatus"
MAPPING = {"containerName": "a", "resourceName": "e.com/gpu", "requestName": "r"}
REQUESTED = (
    "must match the extended resource name of an entry in spec.initContainers.resources.requests "
    "or spec.containers.resources.requests"
)
NAMED = "must match the name of an entry in spec.initContainers.name or spec.containers.name"


@pytest.mark.parametrize(
    ("mappings", "expected"),
    [
        ([MAPPING], []),
        ([], [("requestMappings", "Required value: at least one request mapping is required")]),
        (
            [{**MAPPING, "containerName": "z"}],
            [("requestMappings[0].containerName", f'Invalid value: "z": {NAMED}')],
        ),
        (
            [{**MAPPING, "resourceName": "z"}],
            [("requestMappings[0].resourceName", f'Invalid value: "z": {REQUESTED}')],
        ),
        (
            [MAPPING, MAPPING],
            [
                ("requestMappings[1].containerName", 'Duplicate value: "a"'),
                ("requestMappings[1].resourceName", 'Duplicate value: "e.com/gpu"'),
                ("requestMappings[1].requestName", 'Duplicate value: "r"'),
            ],
        ),
    ],
)
def test_extended_resources_come_by_requests_of_one_claim(
    mappings: list[dict[str, Any]], expected: Causes
) -> None:
    status = {EXTENDED.partition(".")[2]: {"requestMappings": mappings, "resourceClaimName": "x"}}
    found = pod(status, containers=[ASKING])
    assert found == [(f"{EXTENDED}.{field}", text) for field, text in expected]


def test_the_claim_for_extended_resources_has_a_name() -> None:
    def of(**changed: Any) -> list[str]:
        claim = {"requestMappings": [MAPPING], "resourceClaimName": "x", **changed}
        found = pod({"extendedResourceClaimStatus": claim}, containers=[ASKING])
        return [field for field, _ in found]

    assert of(resourceClaimName="") == [f"{EXTENDED}.resourceClaimName"]
    assert of(resourceClaimName="X") == [f"{EXTENDED}.resourceClaimName"]
    # upstream leaves out which one it is
    assert of(requestMappings=[{**MAPPING, "requestName": "X"}]) == [f"{EXTENDED}.requestName"]


def test_generations_that_were_seen_are_not_negative() -> None:
    conditions = [{"type": "Ready", "status": "True", "observedGeneration": -1}]
    text = "Invalid value: -1: must be a non-negative integer"
    assert pod({"observedGeneration": -1, "conditions": conditions}) == [
        ("metadata.conditions[0].observedGeneration", text),
        ("status.observedGeneration", text),
    ]


def test_a_bound_pod_is_nominated_no_more() -> None:
    text = "Forbidden: may not be set on pods that are already bound to a node"
    assert pod({"nominatedNodeName": "m"}) == []
    assert pod({"nominatedNodeName": "m"}, nodeName="n") == [("status.nominatedNodeName", text)]


@pytest.mark.parametrize(
    ("code", "policy", "rules", "may"),
    [
        (0, "Never", None, False),
        (0, "OnFailure", None, False),
        (3, "OnFailure", None, True),
        (0, "Always", None, True),
        (3, "Never", {"operator": "In", "values": [3]}, True),
        (4, "Never", {"operator": "In", "values": [3]}, False),
        (4, "Never", {"operator": "NotIn", "values": [3]}, True),
    ],
)
def test_a_container_that_ended_begins_anew_where_its_own_rules_say_so(
    code: int, policy: str, rules: dict[str, Any] | None, may: bool
) -> None:
    given = [] if rules is None else [{"action": "Restart", "exitCodes": rules}]
    spec = {
        "restartPolicy": "Never",
        "containers": [
            {"name": "a", "image": "i", "restartPolicy": policy, "restartPolicyRules": given}
        ],
    }
    ended = container(state={"terminated": {"exitCode": code}})
    old = {"spec": spec, "status": {"containerStatuses": [ended]}}
    new = {"spec": spec, "status": {"containerStatuses": [container(state={"running": {}})]}}
    text = "Forbidden: may not be transitioned to non-terminated state"
    expected = [] if may else [("status.containerStatuses[0].state", text)]
    assert causes("", "pods", new, old, "status") == expected


AVOIDED = "scheduler.alpha.kubernetes.io/preferAvoidPods"
TAINTS = "scheduler.alpha.kubernetes.io/taints"
FEATURE = (
    "must start with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., "
    "MyFeature or MyFeature/mySubFeature), and contain only alphanumeric characters and slashes"
)


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        (
            AVOIDED,
            '{"preferAvoidPods":[{"podSignature":{"podController":{"controller":true}}}]}',
            [],
        ),
        (AVOIDED, '{"preferAvoidPods":[{}]}', [(f".{AVOIDED}[0].PodSignature", "Required value")]),
        (
            AVOIDED,
            '{"preferAvoidPods":[{"podSignature":{"podController":{"controller":false}}}]}',
            [
                (
                    f".{AVOIDED}[0].PodSignature.PodController.Controller",
                    "Invalid value: false: must point to a controller",
                )
            ],
        ),
        (TAINTS, '[{"key":"a","effect":"NoSchedule"}]', []),
        (TAINTS, '[{"key":"a"}]', [(f".{TAINTS}[0].effect", "Required value")]),
    ],
)
def test_the_old_annotations_of_a_node_are_read(key: str, text: str, expected: Causes) -> None:
    node = {"metadata": {"annotations": {key: text}}}
    found = [(f"metadata.annotations{field}", message) for field, message in expected]
    assert causes("", "nodes", node) == found
    assert causes("", "nodes", node, node, "status") == found


def test_an_old_annotation_of_a_node_is_json() -> None:
    for key, path in (
        (AVOIDED, "metadata.annotations.AvoidPods"),
        (TAINTS, "metadata.annotations"),
    ):
        ((field, text),) = causes("", "nodes", {"metadata": {"annotations": {key: "["}}})
        assert field == path
        assert text.startswith(f'Invalid value: "{key}": ')


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        (["A", "B/c"], []),
        (["a"], [(0, f'Invalid value: "a": invalid feature name "a": {FEATURE}')]),
        (["A", "A"], [(1, 'Duplicate value: "A"')]),
        (["B", "A"], [(1, 'Invalid value: "A": list must be sorted alphabetically')]),
        (
            ["A" * 254],
            [
                (
                    0,
                    f'Invalid value: "{"A" * 254}": invalid feature name "{"A" * 254}": '
                    "must be no more than 253 characters",
                )
            ],
        ),
    ],
)
def test_what_a_node_can_do_is_named_in_order(
    features: list[str], expected: list[tuple[int, str]]
) -> None:
    node = {"status": {"declaredFeatures": features}}
    found = [(f"status.declaredFeatures[{index}]", text) for index, text in expected]
    assert causes("", "nodes", node) == found
    assert causes("", "nodes", node, {}, "status") == found


def test_a_node_has_some_swap_or_says_nothing_of_it() -> None:
    info = dict.fromkeys(
        (
            "machineID",
            "systemUUID",
            "bootID",
            "kernelVersion",
            "osImage",
            "containerRuntimeVersion",
            "kubeletVersion",
            "kubeProxyVersion",
            "operatingSystem",
            "architecture",
        ),
        "x",
    )
    node = {"status": {"nodeInfo": {**info, "swap": {"capacity": 0}}}}
    text = "Invalid value: 0: must be greater than zero"
    assert causes("", "nodes", node) == [("metadata.nodeSwapStatus.capacity", text)]


def test_the_outside_id_of_a_node_stays() -> None:
    text = "Forbidden: may not be updated"
    old, new = ({"spec": {"externalID": name}} for name in "ab")
    assert causes("", "nodes", new, old) == [("spec.externalID", text)]
