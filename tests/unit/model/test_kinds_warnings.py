"""What writers are told though what they wrote is accepted, in upstream's words."""

from __future__ import annotations

from typing import Any

import pytest
from tests.checked import admitted, kind_of
from tests.served import Served, pod, prepare, served, serving

from steersman.world.simulated import SimulatedWorld, simulate

CONTAINER: dict[str, Any] = {"name": "a", "image": "i"}
POD: dict[str, Any] = {"spec": {"containers": [CONTAINER]}}
NOBODY = "a null labelSelector results in matching no pod"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def told(group: str, plural: str, new: Any, old: Any = None, subresource: str = "") -> list[str]:
    """Returns what the writer of a new or changed object is told."""
    kind = kind_of(group, plural)
    before = None if old is None else admitted(kind, old)
    return list(kind.warn(admitted(kind, new), before, subresource))


def of_pod(**spec: Any) -> list[str]:
    return told("", "pods", {"spec": {"containers": [CONTAINER], **spec}})


def of_container(**fields: Any) -> list[str]:
    return of_pod(containers=[{**CONTAINER, **fields}])


def of_volume(**source: Any) -> list[str]:
    return of_pod(volumes=[{"name": "v", **source}])


def annotated(key: str) -> list[str]:
    return told("", "pods", {**POD, "metadata": {"annotations": {key: "x"}}})


TERM = {"matchExpressions": [{"key": "beta.kubernetes.io/os", "operator": "Exists"}]}
OS = 'deprecated since v1.14; use "kubernetes.io/os" instead'
NEAR = {"topologyKey": "a"}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, []),
        ({"nodeSelector": {"beta.kubernetes.io/os": "linux", "a": "b"}},
         [f"spec.nodeSelector[beta.kubernetes.io/os]: {OS}"]),
        ({"affinity": {"nodeAffinity": {
            REQUIRED: {"nodeSelectorTerms": [TERM]},
            PREFERRED: [{"weight": 1, "preference": TERM}]}}},
         [f"spec.affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms[0].matchExpressions[0].key: "
          f"beta.kubernetes.io/os is {OS}",
          f"spec.affinity.nodeAffinity.{PREFERRED}[0].preference.matchExpressions[0].key: "
          f"beta.kubernetes.io/os is {OS}"]),
        ({"topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "failure-domain.beta.kubernetes.io/zone",
             "whenUnsatisfiable": "DoNotSchedule"}]},
         ["spec.topologySpreadConstraints[0].topologyKey: failure-domain.beta.kubernetes.io/zone "
          'is deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
          f"spec.topologySpreadConstraints[0].labelSelector: {NOBODY}"]),
        ({"affinity": {
            "podAffinity": {REQUIRED: [NEAR]},
            "podAntiAffinity": {PREFERRED: [{"weight": 1, "podAffinityTerm": NEAR}]}}},
         [f"spec.affinity.podAffinity.{REQUIRED}[0].labelSelector: {NOBODY}",
          f"spec.affinity.podAntiAffinity.{PREFERRED}[0].podAffinityTerm.labelSelector: {NOBODY}"]),
        ({"hostAliases": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.1"}]},
         ['spec.hostAliases[1].ip: duplicate ip "10.0.0.1"']),
        ({"imagePullSecrets": [{"name": "a"}, {"name": "a"}, {"name": ""}]},
         ['spec.imagePullSecrets[1].name: duplicate name "a"',
          'spec.imagePullSecrets[2].name: invalid empty name ""']),
        ({"overhead": {"memory": "100m"}},
         ['spec.overhead[memory]: fractional byte value "100m" is invalid, must be an integer']),
        ({"terminationGracePeriodSeconds": -1},
         ["spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will "
          "be treated as 1"]),
    ],
)  # fmt: skip
def test_a_pod(spec: dict[str, Any], expected: list[str]) -> None:
    assert of_pod(**spec) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"resources": {"limits": {"memory": "128m"}, "requests": {"memory": "1", "cpu": "1m"}}},
         ['resources.limits[memory]: fractional byte value "128m" is invalid, must be an integer']),
        ({"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]},
         ['env[1]: hides previous definition of "A", which may be dropped when using apply']),
        ({"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "$(A):2"}]}, []),
        ({"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "$(A)"}]},
         ['env[1]: hides previous definition of "A", which may be dropped when using apply']),
        ({"ports": [{"containerPort": 80}, {"containerPort": 80}]},
         ["ports[1]: duplicate port definition with spec.containers[0].ports[0]"]),
        ({"ports": [{"containerPort": 80}, {"containerPort": 80, "hostPort": 8}]},
         ["ports[1]: overlapping port definition with spec.containers[0].ports[0]"]),
        ({"ports": [{"containerPort": 80, "hostPort": 8},
                    {"containerPort": 80, "hostPort": 8, "hostIP": "10.0.0.1"}]},
         ["ports[1]: dangerously ambiguous port definition with spec.containers[0].ports[0]"]),
        ({"ports": [{"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}]}, []),
        ({"ports": [{"containerPort": 80, "hostIP": "10.0.0.1"}]},
         ["ports[0]: hostIP set without hostPort: {Name: HostPort:0 ContainerPort:80 Protocol:TCP "
          "HostIP:10.0.0.1}"]),
    ],
)  # fmt: skip
def test_a_container(fields: dict[str, Any], expected: list[str]) -> None:
    assert of_container(**fields) == [f"spec.containers[0].{text}" for text in expected]


ITEMS = [{"key": "a", "path": "x"}, {"key": "b", "path": "x/y"}]
FILES = [{"path": "x", "fieldRef": {"fieldPath": "metadata.name"}}] * 2


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"gitRepo": {"repository": "r"}}, ["spec.volumes[0].gitRepo: deprecated in v1.11"]),
        ({"storageos": {"volumeName": "v"}},
         ["spec.volumes[0].storageOS: deprecated in v1.22, non-functional in v1.25+"]),
        ({"ephemeral": {"volumeClaimTemplate": {"spec": {
            "resources": {"requests": {"storage": "1500m"}}}}}},
         ["spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources.requests[storage]: "
          'fractional byte value "1500m" is invalid, must be an integer']),
        ({"configMap": {"name": "m", "items": ITEMS}},
         ['volume "v" (ConfigMap "m"): overlapping paths: "x/y" with "x"']),
        ({"secret": {"secretName": "s", "items": ITEMS}},
         ['volume "v" (Secret "s"): overlapping paths: "x/y" with "x"']),
        ({"downwardAPI": {"items": FILES}},
         ['volume "v" (DownwardAPI): overlapping paths: "x" with "x"']),
        ({"projected": {"sources": [
            {"serviceAccountToken": {"path": "x"}}, {},
            {"configMap": {"name": "m", "items": ITEMS[:1]}}]}},
         ['volume "v" (Projected) has no sources provided',
          'volume "v" (Projected ConfigMap "m"): overlapping paths: "x" with "x"']),
        ({"projected": {"sources": [
            {"serviceAccountToken": {"path": "token"}},
            {"configMap": {"name": "m", "items": [{"key": "a", "path": "ca.crt"}]}},
            {"clusterTrustBundle": {"name": "b", "path": "anchors"}}]}}, []),
    ],
)  # fmt: skip
def test_a_volume(source: dict[str, Any], expected: list[str]) -> None:
    assert of_volume(**source) == expected


def test_annotations_that_do_nothing_any_more() -> None:
    seccomp = 'non-functional in v1.27+; use the "seccompProfile" field instead'
    for key, problem in (
        ("scheduler.alpha.kubernetes.io/critical-pod",
         'non-functional in v1.16+; use the "priorityClassName" field instead'),
        ("security.alpha.kubernetes.io/sysctls",
         'non-functional in v1.11+; use the "sysctls" field instead'),
        ("seccomp.security.alpha.kubernetes.io/pod", seccomp),
        ("container.seccomp.security.alpha.kubernetes.io/a", seccomp),
    ):  # fmt: skip
        assert annotated(key) == [f"metadata.annotations[{key}]: {problem}"]
    assert annotated("container.seccomp.security.alpha.kubernetes.io/b") == []


def template(**spec: Any) -> dict[str, Any]:
    about = {"labels": {"app": "a"}}
    return {"metadata": about, "spec": {"containers": [CONTAINER], "nodeSelector": OLD, **spec}}


OLD = {"beta.kubernetes.io/os": "linux"}
LABEL = (
    "metadata.name: this is used in {}, which can result in surprising behavior; a DNS label is "
    "recommended: [must not contain dots]"
)


@pytest.mark.parametrize(
    ("group", "plural", "named"),
    [
        ("apps", "deployments", True),
        ("apps", "replicasets", True),
        ("", "replicationcontrollers", True),
        ("batch", "jobs", True),
        ("apps", "daemonsets", False),
        ("apps", "statefulsets", False),
    ],
)
def test_a_workload_is_told_about_its_pods_when_they_change(
    group: str, plural: str, named: bool
) -> None:
    def of(generation: int) -> dict[str, Any]:
        metadata = {"name": "a.b", "generation": generation}
        return {"metadata": metadata, "spec": {"template": template()}}

    old_label = f"spec.template.spec.nodeSelector[beta.kubernetes.io/os]: {OS}"
    names = [LABEL.format("Pod names and hostnames")] if named else []
    assert told(group, plural, of(1)) == [*names, old_label]
    assert told(group, plural, of(2), of(1)) == [old_label]
    assert told(group, plural, of(1), of(1)) == []
    assert told(group, plural, of(2), of(1), "status") == []


def test_templates_lie_elsewhere_in_cron_jobs_and_pod_templates() -> None:
    job = {"template": template(), "completionMode": "Indexed", "completions": 100_001,
           "parallelism": 10_001}  # fmt: skip
    cron = {"spec": {"schedule": "@daily", "jobTemplate": {"spec": job}}}
    many, label = told("batch", "cronjobs", cron)
    assert many.startswith("spec.jobTemplate.spec: In Indexed Jobs with a number of completions")
    path = "spec.jobTemplate.spec.template.spec.nodeSelector[beta.kubernetes.io/os]"
    assert label == f"{path}: {OS}"
    zoned = {"spec": {**cron["spec"], "schedule": "TZ=UTC 0 0 * * *"}}
    assert told("batch", "cronjobs", zoned, zoned) == [
        "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see "
        "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
    ]
    assert told("batch", "cronjobs", zoned, zoned, "status") == []
    made = told("", "podtemplates", {"template": template()})
    assert made == [f"template.spec.nodeSelector[beta.kubernetes.io/os]: {OS}"]
    marks = {"container.apparmor.security.beta.kubernetes.io/a": "unconfined"}
    confined = {"metadata": {"annotations": marks}, "spec": {"containers": [CONTAINER]}}
    (found,) = told("apps", "daemonsets", {"spec": {"template": confined}})
    assert found.startswith("spec.template.metadata.annotations[container.apparmor")


def test_stateful_sets() -> None:
    claim = {"spec": {"resources": {"requests": {"storage": "1m"}}}}
    spec = {"template": {"spec": {"containers": [CONTAINER]}},
            "volumeClaimTemplates": [claim], "revisionHistoryLimit": -1}  # fmt: skip
    size = 'fractional byte value "1m" is invalid, must be an integer'
    kept = (
        "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value "
        ">= 0 is recommended"
    )
    made = {"spec": spec, "metadata": {"generation": 1}}
    assert told("apps", "statefulsets", made) == [
        f"spec.volumeClaimTemplates[0].resources.requests[storage]: {size}", kept,
    ]  # fmt: skip
    assert told("apps", "statefulsets", made, made) == [
        f"spec.volumeClaimTemplates[0].Spec.resources.requests[storage]: {size}", kept,
    ]  # fmt: skip


def test_nodes_by_labels_of_old_and_by_values_that_labels_cannot_have() -> None:
    key, values = "node-role.kubernetes.io/master", ["a b"]
    term = {"matchExpressions": [{"key": key, "operator": "In", "values": values}]}
    old = f'{key} is use "node-role.kubernetes.io/control-plane" instead'
    where = f"spec.affinity.nodeAffinity.{PREFERRED}[0].preference.matchExpressions[0]"
    preferring = of_pod(affinity={"nodeAffinity": {PREFERRED: [{"weight": 1, "preference": term}]}})
    assert preferring[0] == f"{where}.key: {old}"
    assert preferring[1].startswith(f"{where}.values[0]: a b is invalid, a valid label must be")
    needing = of_pod(affinity={"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [term]}}})
    assert needing == [
        f"spec.affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms[0].matchExpressions[0].key: {old}"
    ]
    assert of_pod(nodeSelector={"app.kubernetes.io/created-by": "x"}) == [
        "spec.nodeSelector[app.kubernetes.io/created-by]: deprecated since v1.9"
    ]


def test_a_pods_name_and_that_a_change_is_not_looked_at() -> None:
    named = {**POD, "metadata": {"name": "a.b"}}
    assert told("", "pods", named) == [LABEL.format("the Pod's hostname")]
    assert told("", "pods", named, named) == []


CLASS = "volume.beta.kubernetes.io/storage-class"


@pytest.mark.parametrize(
    ("group", "plural", "document", "expected"),
    [
        ("", "services", {"spec": {"clusterIP": "None", "sessionAffinity": "ClientIP"}},
         ["spec.SessionAffinity is ignored for headless services"]),
        ("", "services", {"spec": {"clusterIP": "None", "externalIPs": ["1.1.1.1"],
                                   "loadBalancerIP": "1.1.1.1"}},
         ["spec.loadBalancerIP is ignored for headless services",
          "spec.externalIPs is ignored for headless services"]),
        ("", "services", {"spec": {"clusterIP": "None"}}, []),
        ("", "services", {"metadata": {"annotations": {
            "service.kubernetes.io/topology-aware-hints": "auto"}}},
         ["annotation service.kubernetes.io/topology-aware-hints is deprecated, please use "
          "service.kubernetes.io/topology-mode instead"]),
        ("", "services", {"spec": {"externalIPs": ["1.1.1.1"], "externalName": "a",
                                   "trafficDistribution": "PreferClose"}},
         ["spec.externalIPs is deprecated and may no longer be implemented in some clusters",
          'spec.externalName is ignored when spec.type is not "ExternalName"',
          'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"']),
        ("", "services", {"spec": {"type": "ExternalName", "externalIPs": ["1.1.1.1"],
                                   "externalName": "a",
                                   "trafficDistribution": "PreferSameZone"}},
         ['spec.externalIPs is ignored when spec.type is "ExternalName"']),
        ("", "resourcequotas", {"spec": {"hard": {
            "cpu": "2", "limits.cpu": "1", "requests.memory": "2Gi", "memory": "1",
            "limits.memory": "1Gi", "requests.storage": "1", "requests.ephemeral-storage": "1",
            "limits.ephemeral-storage": "1"}}},
         ["ResourceQuota cpu (2) should be less than limits.cpu (1)",
          "ResourceQuota requests.memory (2Gi) should be less than limits.memory (1Gi)"]),
        ("", "persistentvolumes", {"spec": {"persistentVolumeReclaimPolicy": "Recycle",
                                            "rbd": {"image": "i", "monitors": []}}},
         ["spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, "
          "the recommended approach is to use dynamic provisioning.",
          "spec.rbd: deprecated in v1.28, non-functional in v1.31+"]),
        ("", "persistentvolumes", {"spec": {"nodeAffinity": {"required": {
            "nodeSelectorTerms": [TERM]}}}},
         ["spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[0].key: "
          f"beta.kubernetes.io/os is {OS}"]),
        ("", "persistentvolumeclaims", {"metadata": {"annotations": {CLASS: "c"}}},
         [f"metadata.annotations[{CLASS}]: deprecated since v1.8; use \"storageClassName\" "
          "attribute instead"]),
        ("storage.k8s.io", "storageclasses", {"provisioner": "p", "allowedTopologies": [
            {"matchLabelExpressions": [{"key": "beta.kubernetes.io/os", "values": ["a"]}]}]},
         [f"allowedTopologies[0].matchLabelExpressions[0]: {OS}"]),
        ("node.k8s.io", "runtimeclasses", {"handler": "h", "scheduling": {"nodeSelector": OLD}},
         [f"scheduling.nodeSelector: {OS}"]),
        ("networking.k8s.io", "ingresses",
         {"metadata": {"annotations": {"kubernetes.io/ingress.class": "nginx"}}},
         ['annotation "kubernetes.io/ingress.class" is deprecated, please use '
          "'spec.ingressClassName' instead"]),
        ("", "serviceaccounts",
         {"metadata": {"annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}},
         ["metadata.annotations[kubernetes.io/enforce-mountable-secrets]: deprecated in v1.32+; "
          "prefer separate namespaces to isolate access to mounted secrets"]),
        ("", "nodes", {"spec": {"externalID": "x"}},
         ["spec.externalID: this field is deprecated, and is unused by Kubernetes"]),
    ],
)  # fmt: skip
def test_others(group: str, plural: str, document: Any, expected: list[str]) -> None:
    assert told(group, plural, document) == expected


NAMESPACE = "/api/v1/namespaces/default"


@served
async def test_clients_are_told_in_headers(api: Served) -> None:
    async def said(method: Any, path: str, *document: Any) -> str:
        answer = await method(f"{NAMESPACE}/{path}", *document)
        answer.ok()
        return str(answer.headers.get("Warning", ""))

    assert await said(api.post, "pods", pod("plain")) == ""
    assert "the Pod's hostname" in await said(api.post, "pods", pod("a.b"))
    assert "the Pod's hostname" in await said(api.post, "pods", pod("a.c"))
    assert await said(api.post, "pods", pod("other")) == ""
    remark = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"
    assert await said(api.get, "endpoints") == f'299 - "{remark}"'


def test_what_was_not_deprecated_in_an_earlier_minor_is_not_called_so() -> None:
    async def case(world: SimulatedWorld) -> None:
        async with serving(world, minor=32) as api:
            await prepare(api)
            answer = await api.get(f"{NAMESPACE}/endpoints")
            assert (answer.code, answer.headers.get("Warning")) == (200, None)

    simulate(1, case)


def test_addresses_in_another_form() -> None:
    """The old ones of a slice or policy may stay; their writers are told."""
    addresses = ["010.0.0.1", "::ffff:10.0.0.1", "FD00::1", "10.0.0.1", "fd00::1"]
    slices = {"addressType": "IPv6", "endpoints": [{"addresses": addresses}]}
    path = "endpoints[0].addresses"
    odd = [
        f'{path}[0]: non-standard IP address "010.0.0.1" is invalid: use "10.0.0.1"',
        f'{path}[1]: non-standard IP address "::ffff:10.0.0.1" is invalid: use "10.0.0.1"',
        f'{path}[2]: IPv6 address "FD00::1" should be in RFC 5952 canonical format ("fd00::1")',
    ]
    assert told("discovery.k8s.io", "endpointslices", slices) == odd
    label = {"endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}
    own = {**slices, "metadata": {"labels": label}}
    assert told("discovery.k8s.io", "endpointslices", own) == []
    named = {"addressType": "FQDN", "endpoints": []}
    assert told("discovery.k8s.io", "endpointslices", named) == [
        "spec.addressType: FQDN endpoints are deprecated"
    ]
    assert told("discovery.k8s.io", "endpointslices", named, named) == []


def test_addresses_of_pods_services_endpoints_and_nodes_in_another_form() -> None:
    def ip(path: str) -> str:
        return f'{path}: IPv6 address "FD00::1" should be in RFC 5952 canonical format ("fd00::1")'

    def cidr(path: str) -> str:
        should = 'should be in RFC 5952 canonical format ("fd00::/64")'
        return f'{path}: IPv6 CIDR value "FD00::/64" {should}'

    assert of_pod(
        dnsConfig={"nameservers": ["fd00::1", "FD00::1"]},
        hostAliases=[{"ip": "FD00::1", "hostnames": ["h"]}],
    ) == [ip("spec.dnsConfig.nameservers[1]"), ip("spec.hostAliases[0].ip")]
    service = {
        "clusterIP": "FD00::1",
        "clusterIPs": ["FD00::1"],
        "externalIPs": ["FD00::1"],
        "loadBalancerIP": "FD00::1",
        "loadBalancerSourceRanges": ["FD00::/64"],
    }
    outside, balancer = ip("spec.externalIPs[0]"), ip("spec.loadBalancerIP")
    ranges = cidr("spec.loadBalancerSourceRanges[0]")
    old = "spec.externalIPs is deprecated and may no longer be implemented in some clusters"
    assert told("", "services", {"spec": service}) == [
        ip("spec.clusterIPs[0]"), outside, old, balancer, ranges,
    ]  # fmt: skip
    external = {**service, "type": "ExternalName"}
    ignored = 'spec.externalIPs is ignored when spec.type is "ExternalName"'
    assert told("", "services", {"spec": external}) == [outside, balancer, ranges, ignored]
    given = {"status": {"loadBalancer": {"ingress": [{"ip": "1.1.1.1"}, {"ip": "FD00::1"}]}}}
    assert told("", "services", given, given, "status") == [ip("status.loadBalancer.ingress[1]")]
    assert told("", "services", given, given) == []
    seen = {**POD, "status": {"podIPs": [{"ip": "FD00::1"}], "hostIPs": [{"ip": "FD00::1"}]}}
    assert told("", "pods", seen, seen, "status") == [
        ip("status.podIPs[0].ip"), ip("status.hostIPs[0].ip"),
    ]  # fmt: skip
    assert told("", "pods", seen, seen, "resize") == []
    subset = {"addresses": [{"ip": "FD00::1"}], "notReadyAddresses": [{"ip": "FD00::1"}]}
    endpoints = {"subsets": [subset]}
    assert told("", "endpoints", endpoints) == [
        ip("subsets[0].addresses[0].ip"),
        ip("subsets[0].notReadyAddresses[0].ip"),
    ]
    label = {"endpoints.kubernetes.io/managed-by": "endpoint-controller"}
    assert told("", "endpoints", {**endpoints, "metadata": {"labels": label}}) == []
    node = {"spec": {"podCIDRs": ["10.0.0.0/24", "FD00::/64"]}}
    assert told("", "nodes", node) == [cidr("spec.podCIDRs[1]")]


def test_prefixes_in_another_form() -> None:
    block = {"cidr": "10.0.0.1/24", "except": ["010.0.0.0/25", "FD00::/64", "fd00::/64"]}
    policy = {"spec": {"podSelector": {}, "egress": [{"to": [{"ipBlock": block}]}]}}
    path = "spec.egress[0].to[0].ipBlock"
    assert told("networking.k8s.io", "networkpolicies", policy) == [
        f'{path}.cidr: CIDR value "10.0.0.1/24" is ambiguous in this context (should be '
        '"10.0.0.0/24" or "10.0.0.1/32"?)',
        f'{path}.except[0]: non-standard CIDR value "010.0.0.0/25" is invalid: use "10.0.0.0/25"',
        f'{path}.except[1]: IPv6 CIDR value "FD00::/64" should be in RFC 5952 canonical format '
        '("fd00::/64")',
    ]


def test_what_was_so_before_is_not_told_again() -> None:
    key = "kubernetes.io/enforce-mountable-secrets"
    account = {"metadata": {"annotations": {key: "true"}}}
    assert len(told("", "serviceaccounts", account, {})) == 1
    assert told("", "serviceaccounts", account, account) == []
    quota = {"spec": {"hard": {"cpu": "2", "limits.cpu": "1"}}}
    assert told("", "resourcequotas", quota, quota) == []


def test_labels_of_capacity() -> None:
    old = "beta.kubernetes.io/os"
    topology = {"matchExpressions": TERM["matchExpressions"], "matchLabels": {old: "x", "a": "b"}}
    capacity = {"storageClassName": "s", "nodeTopology": topology}
    assert told("storage.k8s.io", "csistoragecapacities", capacity) == [
        f"nodeTopology.matchExpressions[0]: {old} is {OS}",
        f"nodeTopology.matchLabels.{old}: {OS}",
    ]
